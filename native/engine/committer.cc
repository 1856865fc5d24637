// Asynchronous commits: whatever waits is taken as one group, appended with one write and put behind one barrier.
//
// A single commit on a quick medium is done by the thread that flushes: handing over to another thread costs more than the barrier
// does. Where the barrier is a fence, so is a whole group that is not long. The committer thread also keeps the bound for
// eventual commits.
//
// A crash leaves the same of a group whichever thread commits it: the first of its commits, in order, as far as their bytes landed; and
// none is completed before the one barrier behind all of them.

#include <unordered_set>

#include "base/test_hooks.h"
#include "engine/pool_impl.h"

namespace holdfast {

namespace {
constexpr uint64_t kInlineBarrierUs = 1000;  // above this a barrier is not waited for on the caller's thread
constexpr uint64_t kGroupBytes = kMiB;       // staged before it is written
constexpr uint64_t kInlineGroupBytes = 256 * kKiB;  // a fenced group up to here costs less than waking another thread twice
}  // namespace

// What one group has done so far.
struct PoolImpl::Group {
  // Committed by the thread that flushes: refused once the pool is closing. What the committer thread still has is committed first.
  bool inline_commit = false;
  std::map<std::shared_ptr<Client>, std::vector<Completion>> completions;
  uint64_t last_epoch = 0;
  bool durable = false;
};

std::shared_ptr<void> PoolImpl::attach(OnCompleted on_completed) {
  return std::make_shared<Client>(std::move(on_completed));
}

uint64_t PoolImpl::submit(const std::shared_ptr<void>& handle, Batch&& batch, CommitMode mode) {
  auto* client = static_cast<Client*>(handle.get());
  std::lock_guard guard(client->mutex);
  const uint64_t ticket = client->next_ticket++;
  client->queued.push_back({ticket, std::move(batch), mode});
  return ticket;
}

bool PoolImpl::commits_inline(const std::vector<Client::Queued>& queued) const {
  const bool quick_sync = options_.background && sync_us_.load(std::memory_order_relaxed) < kInlineBarrierUs;
  if (queued.size() == 1) return fence_at_once_ || quick_sync;
  if (!fence_at_once_) return false;
  uint64_t bytes = 0;
  for (const Client::Queued& one : queued) bytes += one.batch.bytes();
  return bytes <= kInlineGroupBytes;
}

void PoolImpl::flush(const std::shared_ptr<void>& handle) {
  auto client = std::static_pointer_cast<Client>(handle);
  std::vector<Client::Queued> taken;
  {
    std::lock_guard guard(client->mutex);
    taken.swap(client->queued);
  }
  if (taken.empty()) return;
  if (commits_inline(taken)) {
    std::unique_lock guard(queue_mutex_);
    if (queue_.empty() && !committer_busy_ && !committer_stop_) {
      guard.unlock();
      if (taken.size() > 1) {
        std::deque<std::pair<std::shared_ptr<Client>, Client::Queued>> group;
        for (Client::Queued& queued : taken) group.emplace_back(client, std::move(queued));
        return run_group(std::move(group), true);
      }
      Client::Queued& only = taken.front();
      auto receipt = commit(only.batch, only.mode);
      groups_.fetch_add(1, std::memory_order_relaxed);
      std::vector<Completion> done;
      const uint64_t epoch = receipt.is_ok() ? receipt->epoch : 0;
      done.push_back({only.ticket, epoch, std::move(receipt.status())});
      client->on_completed(std::move(done));
      return;
    }
  }
  {
    std::unique_lock guard(queue_mutex_);
    if (!committer_stop_) {
      for (auto& queued : taken) queue_.emplace_back(client, std::move(queued));
      queue_wake_.notify_one();
      if (!options_.background) commit_queued(&guard, false);
      return;
    }
  }
  std::vector<Completion> refused;
  for (auto& queued : taken) {
    refused.push_back({queued.ticket, 0, closed_status()});
  }
  client->on_completed(std::move(refused));
}

void PoolImpl::arm_eventual() {
  std::lock_guard guard(queue_mutex_);
  if (eventual_armed_) return;
  eventual_armed_ = true;
  eventual_due_ = Clock::now() + std::chrono::milliseconds(options_.eventual_within_ms);
  queue_wake_.notify_one();
}

void PoolImpl::committer_main() {
  std::unique_lock guard(queue_mutex_);
  while (true) {
    const auto ready = [&] { return committer_stop_ || !queue_.empty(); };
    if (eventual_armed_) {
      queue_wake_.wait_until(guard, eventual_due_, ready);
    } else {
      queue_wake_.wait(guard, [&] { return ready() || eventual_armed_; });
    }
    const bool barrier_due = eventual_armed_ && (Clock::now() >= eventual_due_ || committer_stop_);
    if (barrier_due) eventual_armed_ = false;
    if (queue_.empty() && !barrier_due && committer_stop_) return;
    commit_queued(&guard, barrier_due);
  }
}

// Takes what is queued, commits it, and raises the barrier that eventual commits wait for. Lets go of the queue meanwhile.
void PoolImpl::commit_queued(std::unique_lock<std::mutex>* guard, bool barrier_due) {
  std::deque<std::pair<std::shared_ptr<Client>, Client::Queued>> group;
  group.swap(queue_);
  if (group.empty() && !barrier_due) return;
  committer_busy_ = true;
  guard->unlock();
  if (!group.empty()) run_group(std::move(group), false);
  if (barrier_due && !failed_.load(std::memory_order_acquire)) {
    // A failure is remembered by the pool and told to whoever comes next.
    (void)wait_durable(appended_epoch_.load(std::memory_order_acquire)).is_ok();
  }
  guard->lock();
  committer_busy_ = false;
  queue_idle_.notify_all();
}

void PoolImpl::run_group(std::deque<std::pair<std::shared_ptr<Client>, Client::Queued>>&& waiting, bool inline_commit) {
  for (const auto& [client, queued] : waiting) throttle(queued.batch.impl().record);
  groups_.fetch_add(1, std::memory_order_relaxed);
  Group group;
  group.inline_commit = inline_commit;
  while (!waiting.empty()) {
    // A run of plain commits is appended under one hold of the lock, with one write.
    size_t done = append_plain(&waiting, &group);
    for (; done > 0; done--) waiting.pop_front();
    if (waiting.empty()) break;
    auto& [client, queued] = waiting.front();
    // Large values, or no room in the head: the long way.
    auto receipt = commit_at_once(queued.batch.impl(), CommitMode::kEventual, !inline_commit);
    const uint64_t epoch = receipt.is_ok() ? receipt->epoch : 0;
    group.durable = group.durable || queued.mode == CommitMode::kDurable;
    group.last_epoch = std::max(group.last_epoch, epoch);
    group.completions[client].push_back({queued.ticket, epoch, std::move(receipt.status())});
    waiting.pop_front();
  }
  complete(&group);
}

// Appends from the front as many as can be without waiting; returns how many. Conditions see what the group did before them:
// a commit whose conditions name a key that is staged but not applied ends the run early, so that the stage is applied first.
size_t PoolImpl::append_plain(std::deque<std::pair<std::shared_ptr<Client>, Client::Queued>>* waiting, Group* group) {
  const std::unique_lock guard = lock_to_commit();
  struct Staged {
    size_t index;
    uint64_t epoch;
    std::vector<Placement> placements;
  };
  std::vector<Staged> staged;
  std::unordered_set<uint64_t> staged_keys;
  bool conditional = false;  // without conditions nobody asks what is staged
  for (const auto& [client, queued] : *waiting) conditional = conditional || !queued.batch.impl().conditions.empty();
  const auto apply_staged = [&]() -> Status {
    Status flushed = log_.flush();
    if (!flushed.is_ok()) return fail(std::move(flushed));
    for (Staged& one : staged) {
      placements_.swap(one.placements);
      apply((*waiting)[one.index].second.batch.impl().record, FrameKind::kCommit, one.epoch);
    }
    staged.clear();
    staged_keys.clear();
    return {};
  };

  size_t done = 0;
  uint64_t staged_bytes = 0;
  Status trouble;
  log_.set_staging(true);
  for (; done < waiting->size() && trouble.is_ok(); done++) {
    const std::shared_ptr<Client>& client = (*waiting)[done].first;
    Client::Queued& queued = (*waiting)[done].second;
    Batch::Impl& batch = queued.batch.impl();
    const auto finish = [&](uint64_t epoch, Status status) {
      group->durable = group->durable || queued.mode == CommitMode::kDurable;
      group->last_epoch = std::max(group->last_epoch, epoch);
      group->completions[client].push_back({queued.ticket, epoch, std::move(status)});
    };
    Status ready = closing_.load(std::memory_order_acquire) && (group->inline_commit || closed_.load(std::memory_order_acquire))
                       ? closed_status()
                       : usable();
    if (ready.is_ok() && (!batch.large.empty() || batch.region_sizes > 0 || batch.record.bytes() > head_room(Purpose::kUser))) break;
    for (const Condition& condition : batch.conditions) {
      if (ready.is_ok() && staged_keys.count(checksum(condition.key.data(), condition.key.size()))) {
        trouble = apply_staged();
        if (!trouble.is_ok()) ready = trouble.clone();
      }
    }
    if (ready.is_ok() && batch.reads_regions()) {
      trouble = apply_staged();
      if (!trouble.is_ok()) ready = trouble.clone();
    }
    if (ready.is_ok()) ready = check_conditions(batch);
    if (ready.is_ok() && batch.has_regions()) ready = prepare_regions(batch, &batch.record);
    if (ready.is_full()) break;  // the long way looks for room
    if (!ready.is_ok() || batch.record.count() == 0) {
      finish(ready.is_ok() ? epoch_ : 0, std::move(ready));
      continue;
    }
    Staged one{done, epoch_ + 1, {}};
    const RecordStamp stamp{FrameKind::kCommit, one.epoch, durable_epoch_.load(std::memory_order_relaxed), now_ms()};
    trouble = log_.write(&batch.record, stamp, &one.placements);
    if (!trouble.is_ok()) trouble = fail(std::move(trouble));
    epoch_++;
    staged_bytes += batch.record.bytes();
    if (conditional) {
      for_each_key(batch.record, [&](Bytes key) { staged_keys.insert(checksum(key.data(), key.size())); });
    }
    staged.push_back(std::move(one));
    finish(epoch_, trouble.clone());
    count_commit(batch.record.bytes());
    if (staged_bytes > kGroupBytes && trouble.is_ok()) {
      trouble = apply_staged();
      staged_bytes = 0;
    }
  }
  log_.set_staging(false);
  if (trouble.is_ok()) trouble = apply_staged();
  // Their fence first: another thread that settles must not think it could raise it. A failure shows in complete().
  if (trouble.is_ok() && fence_at_once_ && done > 0) (void)barrier_now(epoch_).is_ok();
  appended_epoch_.store(epoch_, std::memory_order_release);
  if (work_is_due()) wake_maintenance();
  return done;
}

void PoolImpl::complete(Group* group) {
  Status durable;
  if (group->durable && group->last_epoch > 0 && !planted(PlantedBug::kGroupAcknowledgedEarly)) {
    durable = wait_durable(group->last_epoch);
  } else if (!fence_at_once_) {
    arm_eventual();
  }
  for (auto& [client, completions] : group->completions) {
    for (Completion& completion : completions) {
      if (completion.status.is_ok() && !durable.is_ok()) completion.status = durable.clone();
      if (completion.status.is_ok() && failed_.load(std::memory_order_acquire)) {
        completion.status = Status(Code::kIo, "the outcome of the commit is unknown: the pool has failed");
      }
    }
    client->on_completed(std::move(completions));
  }
}

Status PoolImpl::settle() {
  HOLDFAST_TRY(usable());
  return wait_durable(appended_epoch_.load(std::memory_order_acquire));
}

}  // namespace holdfast
