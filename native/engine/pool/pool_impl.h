// The engine's inside: one object per open pool. It implements Pool, and owns the parts that do the
// work. Each part has its own state and is handed, as it is made, what it needs of those below it;
// none knows this class. Of the members here each stands above those that are handed to it.
//
//   maintain/maintenance.h   when to fold, merge, clean and give back; who waits for room
//   clean/tidier.h           cleaning ahead of need, compacting, what goes back to the disk
//   clean/cleaner.h          space comes back by segment
//   fold/folder.h            the overlay becomes a run, a root is set; regions' bytes are placed
//   commit/appender.h        places records and applies them
//   commit/barriers.h        how far the pool is durable, and who waits for it
//   fold/merger.h            runs become one, a few tables at a time
//   space/returns.h          what nobody needs any more is given back
//   commit/region_commits.h  what a commit asks of regions, and does to them
//   space/room.h             who may take how much of the pool; space/pace.h: how quickly
//   state/fold_root.h        the newest durable fold, and how another takes its place
//   state/log_state.h        the log's books, and the append lock
//   state/index_state.h      the index and its lock
//   state/asked_runs.h       what conditions have asked the runs
//   read/region_reader.h     regions' bytes as a view of the index sees them
//   state/operations.h       operations read where they lie
//   state/health.h           may the pool still be used, and if not, why
//
// Beside them: state/readers.h (in other processes), state/visits.h (what closing waits for),
// state/feed_tail.h, commit/commit_queue.h; recover/recovery.h for opening, damage/checker.h for
// one check.
//
// What this class does itself, in files by idea:
//
//   pool_impl.cc     begins its threads, and closes; what is asked for beside commits and reads
//   commit.cc        one record, one barrier; conditions
//   full_pool.cc     what a commit does that finds too little room
//   group_commit.cc  asynchronous commits, in groups
//   large_values.cc  values with segments of their own
//   reader.cc        snapshots, point reads, ranges
//   regions.cc       reading ranges of bytes that are changed in place
//   views.cc         values and regions shown without a copy
//   written_at.cc    which commit wrote a key
//   stats.cc         what it says of itself
//
// Locks, in the order they are taken: maintenance_.lock > log_.lock (the append lock) >
// index_.lock > the pins' mutex. Those of the barriers, of the commit queue and of the requests for
// space are leaves, but that health's is taken under the first and the maintenance thread's under
// the last. No lock is held while user code runs, except index_.lock shared inside RangeIterator's
// `each`.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>

#include "base/short_lock.h"
#include "engine/commit/appender.h"
#include "engine/commit/barriers.h"
#include "engine/commit/batch.h"
#include "engine/commit/commit_queue.h"
#include "engine/commit/region_commits.h"
#include "engine/feed/feed_source.h"
#include "engine/fold/folder.h"
#include "engine/fold/merger.h"
#include "engine/maintain/maintenance.h"
#include "engine/pool.h"
#include "engine/read/region_reader.h"
#include "engine/space/pace.h"
#include "engine/space/returns.h"
#include "engine/space/room.h"
#include "engine/state/asked_runs.h"
#include "engine/state/clock.h"
#include "engine/state/feed_tail.h"
#include "engine/state/fold_root.h"
#include "engine/state/health.h"
#include "engine/state/index_state.h"
#include "engine/state/log_state.h"
#include "engine/state/operations.h"
#include "engine/state/readers.h"
#include "engine/state/visits.h"
#include "format/large_value.h"
#include "log/log_reader.h"
#include "log/log_writer.h"

namespace holdfast {

class PoolImpl;

// What a snapshot pins. Ends with its pool: afterwards reads through it say kClosed.
class Snapshot {
 public:
  Snapshot(std::shared_ptr<PoolImpl> pool, IndexView view, IndexState::Pin pin);
  ~Snapshot();
  const std::shared_ptr<PoolImpl> pool;
  const IndexView view;
  const IndexState::Pin pin;
};

class PoolImpl final : public Pool {
 public:
  PoolImpl(OpenedMedium opened, std::string name, const PoolOptions& options);
  ~PoolImpl() override;

  void meet_readers(const uint8_t uuid[16]) { readers_.attach_at_open(name_, uuid, *medium_); }
  Status recover();  // before anything else
  Status start_threads();
  void abandon();  // recovery failed: let go of the medium

  Result<Receipt> commit(Batch& batch, CommitMode mode) override;
  std::shared_ptr<void> attach(OnCompleted on_completed) override;
  uint64_t submit(const std::shared_ptr<void>& client, Batch&& batch, CommitMode mode) override;
  void flush(const std::shared_ptr<void>& client) override;
  Status settle() override;
  Result<uint64_t> refresh() override {
    return index_.visible_epoch.load(std::memory_order_acquire);
  }
  Result<Reader> read(const SnapshotPtr& snapshot) override;
  Result<SnapshotPtr> snapshot() override;
  uint64_t epoch_of(const SnapshotPtr& snapshot) const override { return snapshot->pin.epoch; }
  Result<std::optional<uint64_t>> written_at(Bytes key) override;
  Result<std::unique_ptr<RangeIterator>> range(const RangeOptions& options,
                                               const SnapshotPtr& snapshot) override;
  Result<uint64_t> count(const RangeOptions& options, const SnapshotPtr& snapshot,
                         const std::atomic<bool>* cancelled) override;
  Status region_read(uint32_t region, uint64_t offset, uint64_t size, uint8_t* to,
                     const SnapshotPtr& snapshot) override;
  Result<uint64_t> region_data_from(uint32_t region, uint64_t offset,
                                    const SnapshotPtr& snapshot) override;
  Result<RegionInfo> region_info(uint32_t region, const SnapshotPtr& snapshot) override;
  Result<std::vector<RegionInfo>> regions(const SnapshotPtr& snapshot) override;
  Result<std::unique_ptr<MappedView>> view_value(Bytes key, const SnapshotPtr& snapshot) override;
  Result<std::unique_ptr<MappedView>> view_region(uint32_t region, uint64_t offset, uint64_t size,
                                                  const SnapshotPtr& snapshot) override;
  Result<std::unique_ptr<FeedCursor>> feed(const FeedOptions& options) override {
    return feed_.open(shared_from_this(), options);
  }
  Status watch(std::shared_ptr<FeedWaiter> waiter) override {
    return feed_tail_.add(std::move(waiter));
  }
  Status fold() override;
  Status compact(const Abandoned& abandoned) override;
  Status resize(uint64_t bytes, const Abandoned& abandoned) override;
  PoolFacts facts() const override;
  PoolStats stats() const override;
  Result<CheckReport> check(const std::atomic<bool>* cancelled,
                            const std::function<void(double)>& progress) override;
  void maintain(bool idle) override;
  Status close() override;

  // ── for backups and restores
  const uint8_t* uuid() const { return uuid_; }
  bool large_is_held(Bytes key, Bytes description) const {
    return feed_.large_is_held(key, description);
  }
  Result<Segment> take_large_segment(uint64_t want);
  Status append_large(uint64_t offset, const char* bytes, size_t size);
  Status commit_placed(Bytes key, const LargeValue& value);
  Status continue_from(
      uint64_t epoch);  // the next commit is above this epoch, and history begins there

  // ── for Reader, Snapshot and RangeIterator
  const Health& health() const { return health_; }
  Visits& visits() { return visits_; }
  const Operations& operations() const { return operations_; }
  IndexState& index() { return index_; }
  const Medium& medium() const { return *medium_; }
  Maintenance& maintenance() { return maintenance_; }
  Result<SnapshotPtr> pin_locked();  // under index_.lock, shared or exclusive
  Status copy_large(Bytes description, uint64_t expected,
                    uint8_t* to) const;  // of `expected` bytes

 private:
  friend class Generation;  // makes one of these, without threads, and fills its books
  using Clock = std::chrono::steady_clock;
  struct Group;
  class GroupAppend;

  // pool_impl.cc
  Status finish();
  void merge_before_closing();

  // commit.cc — under log_.lock unless said otherwise
  Status check_conditions(const Batch::Impl& batch);
  Result<Receipt> commit_at_once(Batch::Impl& batch, CommitMode mode,
                                 bool queued = false);  // throttled already
  Result<Receipt> commit_with_space(Batch::Impl& batch, CommitMode mode, bool queued);
  Result<Receipt> commit_once(const Batch::Impl& batch, RecordBuffer* record, CommitMode mode,
                              bool queued = false);

  // full_pool.cc
  Result<Receipt> with_space(const Batch::Impl& batch, bool queued,
                             const std::function<Result<Receipt>()>& attempt);
  uint64_t space_for(const RecordBuffer& record);

  // group_commit.cc
  bool commits_inline(
      const std::vector<Client::Queued>& queued) const;  // by the thread that flushes
  void commit_inline(const Client& client, Client::Queued& only);
  void commit_group_inline(const std::shared_ptr<Client>& client,
                           std::vector<Client::Queued>&& taken);
  void commit_group(Waiting&& waiting, bool inline_commit);
  void complete(Group* group);
  void raise_eventual_barrier();

  // large_values.cc
  Result<Receipt> commit_large(const Batch::Impl& batch, CommitMode mode, bool queued);
  Status place_large(const Batch::Impl& batch, RecordBuffer* record, std::vector<Segment>* taken);
  Result<bool> large_equals(Bytes description, Bytes expected) const;
  Result<LargeValue> write_large(Bytes bytes, std::vector<Segment>* taken);

  // regions.cc — under log_.lock unless said otherwise
  std::pair<const IndexView*, uint64_t> seen_by(const SnapshotPtr& snapshot) const;

  // views.cc
  Result<std::unique_ptr<MappedView>> shown(std::unique_ptr<PrivateView> memory, uint64_t skipped,
                                            uint64_t size, std::vector<SnapshotPtr> pins,
                                            bool mapped) const;
  void show(PrivateView* memory, uint64_t offset, uint64_t bytes, uint64_t at, bool* mapped) const;
  Status show_extent(PrivateView* memory, const IndexView& view, uint32_t region,
                     const RegionExtent& extent, uint64_t first_page, uint64_t limit,
                     const std::set<uint64_t>& on_their_way, bool* mapped);

  std::unique_ptr<Medium> medium_;
  const std::string name_;
  const PoolOptions options_;
  const uint64_t secret_;
  uint8_t uuid_[16];
  const uint32_t format_version_;
  const bool fence_at_once_;  // the medium's barrier is per thread, and cheap
  Health health_;
  const Operations operations_;
  const RegionReader region_reader_;

  IndexState index_;
  AskedRuns asked_runs_;
  Readers readers_;  // in other processes

  LogState log_;
  FoldRoot fold_;
  Pace pace_;
  Room room_;
  RegionCommits region_commits_;
  Returns returns_;
  Merger merger_;
  Visits visits_;
  FeedTail feed_tail_;
  Barriers barriers_;
  FeedSource feed_;
  Appender appender_;
  Folder folder_;
  Cleaner cleaner_;
  Tidier tidier_;
  Maintenance maintenance_;

  CommitQueue commit_queue_;

  // counters
  std::atomic<uint64_t> groups_{0};
  uint64_t replayed_operations_ = 0, replayed_bytes_ = 0, open_us_ = 0;
  std::mutex close_mutex_;
};

}  // namespace holdfast
