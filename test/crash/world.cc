#include "world.h"

#include <cstdio>
#include <utility>

#include "engine/commit/batch.h"

namespace holdfast::crash {

void Tally::add(const Tally& other) {
  commits += other.commits, crashes += other.crashes, faults += other.faults, opens += other.opens;
  refused_full += other.refused_full, folds += other.folds, cleaned += other.cleaned,
      merges += other.merges;
  interleaved += other.interleaved;
}

World::World(const Geometry& geometry, uint64_t seed, bool trace)
    : geometry_(geometry),
      random_(seed),
      trace_(trace),
      disk_(SimulatedDisk::create(geometry.disk, random_.next())) {}

World::World(const World& before, std::shared_ptr<SimulatedDisk> disk)
    : geometry_(before.geometry_),
      random_(before.random_),
      trace_(before.trace_),
      disk_(std::move(disk)),
      model_(before.model_) {}

World::~World() { end_process(); }

bool World::fail(const std::string& what) {
  if (failure_.empty()) failure_ = what;
  trace("VIOLATED: " + what);
  return false;
}

void World::trace(const std::string& line) {
  if (trace_)
    std::printf("  [%llu] %s%s\n", static_cast<unsigned long long>(disk_->calls()),
                in_between_ ? "    " : "", line.c_str());
}

void World::note(uint64_t word) {
  digest_ = (digest_ ^ word ^ disk_->calls() << 32) * 0x9e3779b97f4a7c15 + 1;
}

void World::apart(const std::function<void()>& work) {
  if (!second_ || in_between_) return work();
  if (!second_thread_) second_thread_ = std::make_unique<OtherThread>();
  second_thread_->run(work);
}

bool World::broken() const { return !pool_ || disk_->crashed() || !pool_->read(nullptr).is_ok(); }

// ── opening and ending ───────────────────────────────────────────────────────

bool World::open() {
  Result<OpenedMedium> medium = disk_->open();
  if (!medium.is_ok()) return fail("the disk does not open: " + medium.status().message());
  auto opened = Pool::open_on(std::move(*medium), "simulated", geometry_.pool);
  note(static_cast<uint64_t>(opened.status().code()));
  if (!opened.is_ok()) {
    trace("open: " + opened.status().message());
    const Code code = opened.status().code();
    if (disk_->crashed()) return true;
    if (fault_armed_ && (code == Code::kIo || code == Code::kFailed || code == Code::kDiskFull))
      return true;
    return fail("the pool does not open: " + opened.status().message());
  }
  pool_ = *opened;
  tally_.opens++;
  client_ = pool_->attach([this](std::vector<Completion>&& some) {
    for (Completion& one : some) completions_.push_back(std::move(one));
  });
  at_test_point = [this](TestPoint point) {
    if (!between_ || in_between_ || in_group_ || !failure_.empty()) return;
    if (point == TestPoint::kReadersTold) return;  // nothing can be committed there
    if (point == TestPoint::kWalkLetGo)
      return;  // what is walked over is compared with the model as it is at the walk's end
    if (point == TestPoint::kBarrierRaised && in_commit_)
      return;  // appended already, and not yet in the model
    in_between_ = true;
    if (!third_thread_) third_thread_ = std::make_unique<OtherThread>();
    third_thread_->run([&] { between_(point); });
    in_between_ = false;
  };
  return expect_open_state();
}

bool World::expect_open_state() {
  State observed;
  Status status;
  if (!read_all(nullptr, &observed, &status))
    return fail("the opened pool cannot be read: " + status.message());
  std::string why;
  const uint64_t maybe = model_.not_durable();
  if (!model_.settle_on(observed, &why)) return fail(why);
  const PoolStats stats = pool_->stats();
  if (feed_) feed_->reopened(stats.epoch);
  trace("opened: epoch " + std::to_string(stats.epoch) + ", fold " +
        std::to_string(stats.folded_epoch) + ", incarnation " + std::to_string(stats.incarnation) +
        ", " + std::to_string(observed.size()) + " keys, replayed " +
        std::to_string(stats.replayed_operations) + " operations; " + std::to_string(maybe) +
        " commits were not known durable");
  return check();
}

void World::end_process() {
  snapshots_.clear();
  if (feed_ && pool_) feed_->closing(*pool_);
  client_.reset();
  completions_.clear();
  if (pool_) {
    const PoolStats stats = pool_->stats();
    tally_.folds += stats.folds, tally_.cleaned += stats.segments_cleaned,
        tally_.merges += stats.compactions;
    if (!disk_->crashed()) disk_->crash_at(1);  // so that closing finishes nothing
    at_test_point = nullptr;
    (void)pool_->close().is_ok();
    pool_.reset();
  }
}

bool World::recover(End end, const std::vector<uint64_t>& crash_in) {
  if (!claim()) return false;
  tally_.crashes++;
  std::vector<uint32_t> all = disk_->pending_choices();
  trace(std::string(end == End::kKilled ? "killed" : "power cut") + " with " +
        std::to_string(all.size()) + " atoms pending");
  for (uint32_t& choice : all) choice--;
  if (end == End::kFirstAtomLost && !all.empty()) all[0] = 0;
  auto next = end != End::kPowerCut ? disk_->crash_choosing(all) : disk_->crash(random_.next());
  end_process();
  fault_armed_ = false;
  disk_ = next;
  for (const uint64_t nth : crash_in) {
    disk_->crash_at(nth);
    if (!open()) return false;
    if (!disk_->crashed()) {
      disk_->disarm();
      return true;
    }
    trace("power cut inside recovery");
    tally_.crashes++;
    next = disk_->crash(random_.next());
    end_process();
    disk_ = next;
  }
  return open();
}

bool World::reopen_failed() {
  if (!claim()) return false;
  trace("closing the failed pool and opening it again");
  snapshots_.clear();
  if (feed_ && pool_) feed_->closing(*pool_);
  client_.reset();
  at_test_point = nullptr;
  if (pool_) (void)pool_->close().is_ok();
  pool_.reset();
  disk_->disarm();
  fault_armed_ = false;
  return open();
}

bool World::close() {
  snapshots_.clear();
  Status closed;
  apart([&] { closed = pool_->close(); });
  snapshots_.clear();
  note(static_cast<uint64_t>(closed.code()));
  trace("close: " + (closed.is_ok() ? std::string("ok") : closed.message()));
  if (!failure_.empty()) return false;
  if (closed.is_ok() && !disk_->crashed()) model_.durable_to(model_.commits());
  if (feed_) feed_->closing(*pool_);
  if (!acceptable(closed, "close")) return false;
  client_.reset();
  pool_.reset();
  at_test_point = nullptr;
  return true;
}

bool World::claim() {
  if (pool_) model_.durable_epoch(pool_->stats().durable_epoch);
  return failure_.empty();
}

// ── commits ──────────────────────────────────────────────────────────────────

namespace {

Batch batch_of(const Transaction& transaction, Status* status) {
  Batch batch;
  const auto keep = [&](Status one) {
    if (!one.is_ok()) *status = std::move(one);
  };
  for (const Condition& c : transaction.conditions) {
    if (c.kind == Condition::kAbsent) keep(batch.require_absent(c.key));
    if (c.kind == Condition::kPresent) keep(batch.require_present(c.key));
    if (c.kind == Condition::kEqual) keep(batch.require_equal(c.key, bytes_of(c.value)));
  }
  for (const Change& change : transaction.changes) {
    if (!is_region_key(change.key)) {
      keep(change.put ? batch.put(change.key, bytes_of(change.value)) : batch.remove(change.key));
    } else if (const auto slot = slot_of(change.key)) {
      keep(batch.region_write(region_of(change.key), *slot * kSlotBytes,
                              change.put ? bytes_of(change.value) : std::string(kSlotBytes, '\0')));
    } else {
      keep(batch.region_size(region_of(change.key), change.put ? change.value.size : 0, "region"));
    }
  }
  return batch;
}

std::string describe(const Transaction& transaction) {
  uint64_t bytes = 0;
  for (const Change& change : transaction.changes) bytes += change.value.size;
  std::string out = transaction.mode == CommitMode::kDurable ? "durable" : "eventual";
  out += " commit of " + std::to_string(transaction.changes.size()) + " changes, " +
         std::to_string(bytes) + " bytes";
  if (!transaction.conditions.empty())
    out += ", " + std::to_string(transaction.conditions.size()) + " conditions";
  return out;
}

}  // namespace

bool World::holds(const std::vector<Condition>& conditions) const {
  const State& state = model_.latest();
  for (const Condition& condition : conditions) {
    const auto it = state.find(condition.key);
    const bool present = it != state.end();
    if (present == (condition.kind == Condition::kAbsent)) return false;
    if (condition.kind == Condition::kEqual && !(it->second == condition.value)) return false;
  }
  return true;
}

// An error that the disk's faults and crashes explain, or a full pool.
bool World::acceptable(const Status& status, const char* what) {
  if (status.is_ok() || disk_->crashed()) return true;
  const Code code = status.code();
  if (code == Code::kPoolFull || code == Code::kDiskFull || code == Code::kBatchTooLarge)
    return true;
  if (fault_armed_ && (code == Code::kIo || code == Code::kFailed)) return true;
  return fail(std::string(what) + " failed: " + code_name(code) + ": " + status.message());
}

bool World::account(const Transaction& transaction, const Status& status, uint64_t epoch,
                    const char* what) {
  note(static_cast<uint64_t>(status.code()) ^ epoch << 8);
  const bool holding = holds(transaction.conditions);
  const Code code = status.code();
  was_full_ = status.is_full();
  trace(std::string(what) + describe(transaction) + ": " +
        (status.is_ok() ? "epoch " + std::to_string(epoch) : code_name(code)));
  if (status.is_ok()) {
    tally_.commits++;
    if (!holding) return fail("a commit succeeded although its conditions do not hold");
    if (!transaction.changes.empty() && !model_.commit(epoch, transaction.changes))
      return fail("epochs do not rise");
    if (feed_ && !transaction.changes.empty()) feed_->committed(epoch, transaction.changes);
    return true;
  }
  if (code == Code::kConflict)
    return !holding || fail("a commit was refused although its conditions hold");
  if (code == Code::kClosed && in_between_) return true;
  if (!acceptable(status, "a commit")) return false;
  if (code == Code::kPoolFull || code == Code::kDiskFull || code == Code::kBatchTooLarge) {
    tally_.refused_full++;
    return true;
  }
  // Unknown: there or not. kFailed says that nothing was done, unless it is the crash itself that
  // speaks.
  if ((code == Code::kIo || disk_->crashed()) && holding && !transaction.changes.empty()) {
    model_.commit(0, transaction.changes);
    if (feed_) feed_->committed(0, transaction.changes);
  }
  return true;
}

bool World::commit(const Transaction& transaction) {
  Status built;
  Batch batch = batch_of(transaction, &built);
  if (!built.is_ok()) return fail("a batch was refused: " + built.message());
  const bool inside = std::exchange(in_commit_, true);
  auto receipt = pool_->commit(batch, transaction.mode);
  in_commit_ = inside;
  if (!account(transaction, receipt.status(), receipt.is_ok() ? receipt->epoch : 0, ""))
    return false;
  if (receipt.is_ok() && transaction.mode == CommitMode::kDurable && !transaction.changes.empty()) {
    model_.durable_to(model_.commits());
  }
  return failure_.empty();
}

bool World::delete_while_full() {
  if (model_.latest().empty() || is_region_key(model_.latest().begin()->first) || broken())
    return true;
  Transaction removal;
  removal.changes.push_back({model_.latest().begin()->first, false, {}});
  if (!commit(removal)) return false;
  if (!was_full_ || fault_armed_ || !snapshots_.empty()) return true;
  const PoolStats stats = pool_->stats();
  return fail("no room to delete in a full pool or disk: free " + std::to_string(stats.free_bytes) +
              " of " + std::to_string(stats.capacity_bytes) + " bytes, log " +
              std::to_string(stats.log_bytes) + ", live " + std::to_string(stats.live_bytes) +
              ", index " + std::to_string(stats.index_bytes) + ", waiting " +
              std::to_string(stats.waiting_bytes));
}

bool World::commit_group(const std::vector<Transaction>& transactions) {
  in_group_ = true;
  completions_.clear();
  uint64_t first = 0;
  for (const Transaction& transaction : transactions) {
    Status built;
    Batch batch = batch_of(transaction, &built);
    if (!built.is_ok()) return fail("a batch was refused: " + built.message());
    const uint64_t ticket = pool_->submit(client_, std::move(batch), transaction.mode);
    if (first == 0) first = ticket;
  }
  pool_->flush(client_);
  in_group_ = false;
  if (completions_.size() != transactions.size()) {
    return fail(std::to_string(transactions.size()) + " commits were submitted, " +
                std::to_string(completions_.size()) + " completed");
  }
  uint64_t durable = 0;
  for (size_t i = 0; i < transactions.size(); i++) {
    const Completion& done = completions_[i];
    if (done.ticket != first + i) return fail("completions are out of order");
    if (!account(transactions[i], done.status, done.epoch, "  in a group: ")) return false;
    if (done.status.is_ok() && transactions[i].mode == CommitMode::kDurable)
      durable = model_.commits();
  }
  if (durable > 0) model_.durable_to(durable);
  return failure_.empty();
}

// ── the rest of the work ─────────────────────────────────────────────────────

bool World::settle() {
  const uint64_t covered = model_.commits();  // what others commit meanwhile is not
  Status done = pool_->settle();
  note(static_cast<uint64_t>(done.code()));
  trace("settle: " + std::string(code_name(done.code())));
  if (done.is_ok()) model_.durable_to(covered);
  return acceptable(done, "settle") && failure_.empty();
}

bool World::fold() {
  const uint64_t covered = model_.commits();
  Status done;
  apart([&] { done = pool_->fold(); });
  note(static_cast<uint64_t>(done.code()));
  trace("fold: " + std::string(code_name(done.code())));
  if (done.is_ok()) model_.durable_to(covered);
  return acceptable(done, "fold") && failure_.empty();
}

bool World::compact() {
  const uint64_t covered = model_.commits();
  Status done;
  apart([&] { done = pool_->compact(); });
  note(static_cast<uint64_t>(done.code()));
  trace("compact: " + (done.is_ok() ? std::string("OK") : done.message()));
  if (done.is_ok()) model_.durable_to(covered);
  compacted_ = done.is_ok();
  return acceptable(done, "compact") && failure_.empty();
}

bool World::maintain(bool idle) {
  trace(idle ? "maintenance, idle" : "maintenance");
  apart([&] { pool_->maintain(idle); });
  note(idle);
  return failure_.empty();
}

bool World::feed_step(bool to_the_end) {
  if (!feed_ || broken()) return true;
  const bool crashed = disk_->crashed();
  uint64_t durable = 0;
  const std::string wrong = feed_->read(*pool_, to_the_end, &crashed, &durable);
  trace("feed: up to epoch " + std::to_string(durable));
  model_.durable_epoch(durable);  // who was told of a commit must find it again
  return wrong.empty() || fail(wrong);
}

bool World::compare_history() {
  if (!feed_ || broken()) return true;
  const std::string wrong = feed_->read_history(*pool_);
  return wrong.empty() || fail("history: " + wrong);
}

bool World::take_snapshot() {
  auto snapshot = pool_->snapshot();
  if (!snapshot.is_ok()) return acceptable(snapshot.status(), "snapshot");
  trace("snapshot of epoch " + std::to_string(pool_->epoch_of(*snapshot)));
  snapshots_.emplace_back(*snapshot, model_.latest());
  return true;
}

bool World::drop_snapshot(size_t which) {
  const bool same = broken() || compare_state(snapshots_[which].first, snapshots_[which].second);
  trace("drop snapshot");
  snapshots_.erase(snapshots_.begin() + static_cast<long>(which));
  return same;
}

}  // namespace holdfast::crash
