// Groups of asynchronous commits: appended with one write and put behind one barrier.
//
// Handing over to another thread and back takes as long as a quick disk's barrier does. So the
// thread that flushes commits by itself what is not long, where a barrier is a fence or quick: for
// a group that is a third of a millisecond, in which a thread that runs JavaScript does nothing
// else. All others the queue's thread takes.
//
// A crash leaves the same of a group whichever thread commits it: the first of its commits, in
// order, as far as their bytes landed; and none is completed before the one barrier behind all of
// them.

#include <map>
#include <unordered_set>

#include "base/test_hooks.h"
#include "engine/pool/pool_impl.h"

namespace holdfast {

namespace {
constexpr uint64_t kInlineBarrierUs =
    1000;  // above this a barrier is not waited for on the caller's thread
constexpr uint64_t kInlineGroupBarrierUs =
    300;  // the same of a group: meanwhile the next one could have been gathered
constexpr uint64_t kGroupBytes = kMiB;  // staged before it is written
constexpr uint64_t kInlineGroupBytes =
    256 * kKiB;  // up to here a group costs less than waking another thread twice
}  // namespace

// What came of the commits of one group so far.
struct PoolImpl::Group {
  // Committed by the thread that flushes: refused once the pool is closing. What the queue's thread
  // still has is committed first.
  const bool inline_commit;
  std::map<std::shared_ptr<Client>, std::vector<Completion>> completions = {};
  uint64_t last_epoch = 0;
  bool durable = false;

  void note(const std::shared_ptr<Client>& client, const Client::Queued& queued, uint64_t epoch,
            Status status) {
    durable = durable || queued.mode == CommitMode::kDurable;
    last_epoch = std::max(last_epoch, epoch);
    completions[client].push_back({queued.ticket, epoch, std::move(status)});
  }
};

// Appends plain commits from the front of what waits, under one hold of log_.lock: staged,
// written together, then applied. What a later one of them asks for under a condition, or adds to
// in a region, is written and applied first.
class PoolImpl::GroupAppend {
 public:
  GroupAppend(PoolImpl& pool, Waiting& waiting, Group& group)
      : pool_(pool), waiting_(waiting), group_(group) {}

  // From the front as many as can be without waiting for room; returns how many.
  size_t run() {
    const std::unique_lock guard = pool_.log_.lock_to_commit();
    for (const auto& [client, queued] : waiting_)
      conditional_ = conditional_ || !queued.batch.impl().conditions.empty();
    pool_.log_.writer.set_staging(true);
    size_t done = 0;
    while (done < waiting_.size() && trouble_.is_ok() && append(done)) done++;
    pool_.log_.writer.set_staging(false);
    if (trouble_.is_ok()) apply_staged();
    // Their fence first: another thread that settles must not think it could raise it. A failure
    // shows in complete().
    if (trouble_.is_ok() && pool_.fence_at_once_ && done > 0)
      (void)pool_.barriers_.raise(pool_.log_.epoch).is_ok();
    pool_.barriers_.note_appended(pool_.log_.epoch);
    if (pool_.maintenance_.work_is_due()) pool_.maintenance_.wake();
    return done;
  }

 private:
  struct Staged {
    const RecordBuffer* record;
    uint64_t epoch;
    std::vector<Placement> placements;
  };

  // False: it needs large values, or room that is not in the log's head: the long way.
  bool append(size_t index) {
    auto& [client, queued] = waiting_[index];
    Batch::Impl& batch = queued.batch.impl();
    Status ready = refused() ? pool_.health_.closed_status() : pool_.health_.usable();
    if (ready.is_ok() && (!batch.large.empty() || batch.region_sizes > 0 ||
                          batch.record.bytes() > pool_.room_.head_room(Purpose::kUser)))
      return false;
    if (ready.is_ok() && asks_for_staged(batch)) {
      apply_staged();
      ready = trouble_.clone();
    }
    if (ready.is_ok()) ready = pool_.check_conditions(batch);
    if (ready.is_ok() && batch.has_regions())
      ready = pool_.region_commits_.prepare(batch, &batch.record);
    if (ready.is_full()) return false;
    if (ready.is_ok() && batch.record.count() > 0) {
      stage(&batch.record, queued.mode == CommitMode::kDurable);
      group_.note(client, queued, pool_.log_.epoch, trouble_.clone());
      if (staged_bytes_ > kGroupBytes && trouble_.is_ok()) apply_staged();
    } else {
      group_.note(client, queued, ready.is_ok() ? pool_.log_.epoch : 0, std::move(ready));
    }
    return true;
  }

  bool refused() const { return pool_.health_.refuses_new(!group_.inline_commit); }

  bool asks_for_staged(const Batch::Impl& batch) const {
    if (batch.reads_regions()) return true;
    return std::any_of(
        batch.conditions.begin(), batch.conditions.end(), [&](const Condition& condition) {
          return staged_keys_.count(checksum(condition.key.data(), condition.key.size())) > 0;
        });
  }

  void stage(RecordBuffer* record, bool awaited) {
    Staged one{record, pool_.log_.epoch + 1, {}};
    const RecordStamp stamp{FrameKind::kCommit, one.epoch,
                            pool_.barriers_.durable(std::memory_order_relaxed), now_ms()};
    Status written = pool_.log_.writer.write(record, stamp, &one.placements);
    if (!written.is_ok()) trouble_ = pool_.health_.fail(std::move(written));
    pool_.log_.epoch++;
    pool_.log_.count_commit(record->bytes(), awaited);
    staged_bytes_ += record->bytes();
    if (conditional_) {
      for_each_key(*record,
                   [&](Bytes key) { staged_keys_.insert(checksum(key.data(), key.size())); });
    }
    staged_.push_back(std::move(one));
  }

  void apply_staged() {
    Status flushed = pool_.log_.writer.flush();
    if (!flushed.is_ok()) {
      trouble_ = pool_.health_.fail(std::move(flushed));
      return;
    }
    for (Staged& one : staged_) {
      pool_.appender_.apply(*one.record, one.placements, FrameKind::kCommit, one.epoch);
    }
    staged_.clear();
    staged_keys_.clear();
    staged_bytes_ = 0;
  }

  PoolImpl& pool_;
  Waiting& waiting_;
  Group& group_;
  std::vector<Staged> staged_;
  std::unordered_set<uint64_t> staged_keys_;  // checksums
  bool conditional_ = false;                  // without conditions nobody asks for the keys
  uint64_t staged_bytes_ = 0;
  Status trouble_;  // the pool has failed
};

std::shared_ptr<void> PoolImpl::attach(OnCompleted on_completed) {
  return std::make_shared<Client>(std::move(on_completed));
}

uint64_t PoolImpl::submit(const std::shared_ptr<void>& client, Batch&& batch, CommitMode mode) {
  return static_cast<Client*>(client.get())->submit(std::move(batch), mode);
}

void PoolImpl::flush(const std::shared_ptr<void>& handle) {
  const auto client = std::static_pointer_cast<Client>(handle);
  std::vector<Client::Queued> taken = client->take();
  if (taken.empty()) return;
  if (commits_inline(taken) && commit_queue_.is_idle()) {
    taken.size() > 1 ? commit_group_inline(client, std::move(taken))
                     : commit_inline(*client, taken.front());
  } else if (!commit_queue_.add(client, &taken)) {
    client->refuse(std::move(taken), health_.closed_status());
  } else if (!options_.background) {
    commit_queue_.work_off(false);
  }
}

bool PoolImpl::commits_inline(const std::vector<Client::Queued>& queued) const {
  const uint64_t most = queued.size() == 1 ? kInlineBarrierUs : kInlineGroupBarrierUs;
  if (!fence_at_once_ && !(options_.background && barriers_.usual_us() < most)) return false;
  if (queued.size() == 1) return true;
  uint64_t bytes = 0;
  for (const Client::Queued& one : queued) bytes += one.batch.bytes();
  return bytes <= kInlineGroupBytes;
}

void PoolImpl::commit_inline(const Client& client, Client::Queued& only) {
  auto receipt = commit(only.batch, only.mode);
  groups_.fetch_add(1, std::memory_order_relaxed);
  std::vector<Completion> done;
  const uint64_t epoch = receipt.is_ok() ? receipt->epoch : 0;
  done.push_back({only.ticket, epoch, std::move(receipt.status())});
  client.on_completed(std::move(done));
}

void PoolImpl::commit_group_inline(const std::shared_ptr<Client>& client,
                                   std::vector<Client::Queued>&& taken) {
  Waiting group;
  for (Client::Queued& queued : taken) group.emplace_back(client, std::move(queued));
  commit_group(std::move(group), true);
}

void PoolImpl::commit_group(Waiting&& waiting, bool inline_commit) {
  for (const auto& [client, queued] : waiting) maintenance_.throttle(queued.batch.impl().record);
  groups_.fetch_add(1, std::memory_order_relaxed);
  Group group{inline_commit};
  while (!waiting.empty()) {
    for (size_t done = GroupAppend(*this, waiting, group).run(); done > 0; done--)
      waiting.pop_front();
    if (waiting.empty()) break;
    auto& [client, queued] = waiting.front();
    auto receipt = commit_at_once(queued.batch.impl(), CommitMode::kEventual, !inline_commit);
    const uint64_t epoch = receipt.is_ok() ? receipt->epoch : 0;
    group.note(client, queued, epoch, std::move(receipt.status()));
    waiting.pop_front();
  }
  complete(&group);
}

void PoolImpl::complete(Group* group) {
  Status durable;
  if (group->durable && group->last_epoch > 0 && !planted(PlantedBug::kGroupAcknowledgedEarly)) {
    durable = barriers_.wait_durable(group->last_epoch);
  } else if (!fence_at_once_) {
    commit_queue_.arm_eventual();
  }
  for (auto& [client, completions] : group->completions) {
    for (Completion& completion : completions) {
      if (completion.status.is_ok() && !durable.is_ok()) completion.status = durable.clone();
      if (completion.status.is_ok() && health_.has_failed()) {
        completion.status =
            Status(Code::kIo, "the outcome of the commit is unknown: the pool has failed");
      }
    }
    client->on_completed(std::move(completions));
  }
}

// The barrier that eventual commits wait for. A failure is remembered by the pool and told to
// whoever comes next.
void PoolImpl::raise_eventual_barrier() {
  if (!health_.has_failed()) (void)barriers_.wait_durable(barriers_.appended()).is_ok();
}

Status PoolImpl::settle() {
  HOLDFAST_TRY(health_.usable());
  return barriers_.wait_durable(barriers_.appended());
}

}  // namespace holdfast
