// The pool: open, recover, commit, read, snapshot, check, stats. The one door of the engine; the
// binding and the native tests use nothing below it.
//
// What it promises. A durable commit has been behind its barrier before commit() returns (or its
// completion runs). After a crash the pool opens in the state after some commit E >= the last one
// acknowledged as durable. A read may see a commit whose barrier is still under way; since the log
// is one sequence, any durable commit made afterwards covers what was read.
//
// Threads: every member may be called from any thread, until close() has returned.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "engine/feed.h"
#include "format/place.h"
#include "format/value_room.h"
#include "medium/open_medium.h"

namespace holdfast {

constexpr size_t kMaxUserKeyBytes = 1024;
constexpr uint64_t kMaxValueBytes = uint64_t{64} << 30;
constexpr size_t kKeyspacePrefixBytes =
    4;  // every key begins with its keyspace's number, big-endian

enum class CommitMode : uint8_t { kDurable, kEventual };

// The changes of one commit, in order, and the conditions under which it may happen. Keys include
// the keyspace prefix. Copies what it is given. One thread at a time; reusable after clear().
class Batch {
 public:
  Batch();
  ~Batch();
  Batch(Batch&&) noexcept;
  Batch& operator=(Batch&&) noexcept;

  // kKeySize (empty or oversized), kValueSize. A failed call adds nothing.
  Status put(Bytes key, Bytes value);
  Status remove(Bytes key);
  // Conditions: all must hold, or the commit is refused whole with kConflict naming the key.
  Status require_absent(Bytes key);
  Status require_present(Bytes key);
  Status require_equal(Bytes key, Bytes value);

  // Regions. A size of 0 drops the region; `region` and name are the caller's affair. What is
  // outside of its region is refused when it is committed (kOutOfRange, kNotFound).
  Status region_size(uint32_t region, uint64_t size, Bytes name);
  Status region_write(uint32_t region, uint64_t offset, Bytes bytes);
  // On aligned cells of 64 bits. An addition is decided as the record is appended, after the
  // batch's operations before it; what came of them stands in sums(), in order, once the commit has
  // succeeded.
  Status region_add(uint32_t region, uint64_t offset, uint64_t delta);
  Status require_cell(uint32_t region, uint64_t offset, uint64_t expected);
  std::shared_ptr<const std::vector<uint64_t>> sums() const;

  void clear();
  size_t operations() const;
  uint64_t bytes() const;
  // Of the changes, not of the conditions: the same changes in the same order give the same number,
  // in any process.
  uint64_t digest() const;

  struct Impl;
  Impl& impl() { return *impl_; }
  const Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

struct Receipt {
  uint64_t epoch = 0;
};

// How an asynchronous commit ended.
struct Completion {
  uint64_t ticket = 0;
  uint64_t epoch = 0;
  Status status;
};

struct PoolOptions {
  MediumOptions medium;
  uint64_t fold_operations = 32 * 1024;  // the tail is folded when it holds this many operations
  uint64_t fold_bytes = 32 * kMiB;  // or this many bytes; or names large values of so many (of an
                                    // eighth of the pool, where that is less)
  uint32_t eventual_within_ms =
      10;  // an eventual commit is behind a barrier at most this much later
  std::optional<RetainWish> retain;  // how much of the log is kept for the change feed; absent: as
                                     // the pool was opened last

  // Opens for reading only, also while another process writes (engine/read_only/read_only_pool.h).
  // Nothing is created or recovered.
  bool read_only = false;
  uint32_t wait_for_writer_ms =
      5000;  // how long such a reader waits for a busy writer to take notice of it
  // What readers in other processes may hold back at most before the oldest of them expire; 0: a
  // quarter of the pool, at least 64 MiB.
  uint64_t reader_bytes = 0;

  uint64_t first_epoch =
      0;  // of a new pool that takes the place of another: its commits are numbered on from here

  // For tests. Without threads of its own the pool does their work inside maintain() and flush(),
  // and inside a commit that must wait for it: what happens then depends on the calls alone.
  bool background = true;
  uint64_t log_segment_bytes = 0;  // 0: as large as the pool finds right
};

// What does not change while a pool is open.
struct PoolFacts {
  std::string path;
  std::string medium;
  DurabilityClass durability = DurabilityClass::kProcess;
  std::string durability_reason;
};

struct PoolStats : PoolFacts {
  bool grows = false;
  std::vector<MediumPart> parts = {};  // empty: the pool is one file
  uint32_t format_version = 0;
  uint64_t epoch = 0, durable_epoch = 0, folded_epoch = 0, incarnation = 0;
  uint64_t capacity_bytes = 0, taken_bytes = 0, free_bytes = 0;
  uint64_t live_bytes = 0, log_bytes = 0, index_bytes = 0, large_bytes = 0;
  uint64_t other_bytes = 0;  // held besides log, index and large values: the fold, spares, and what
                             // waits to be given back
  uint64_t waiting_bytes =
      0;  // of all held: what waits for a fold or a snapshot before it is given back
  uint64_t log_segments = 0, index_segments = 0, large_segments = 0;
  uint64_t region_segments = 0, region_bytes = 0;  // as of the newest fold
  uint64_t set_aside_bytes = 0;  // of other_bytes: for parts of regions that the next fold places
  uint64_t spare_bytes = 0;      // of other_bytes: log segments that are kept ready
  uint64_t overlay_entries = 0, overlay_bytes = 0, runs = 0;
  uint64_t open_snapshots = 0, oldest_snapshot_epoch = 0;
  // Readers in other processes: how many, the oldest one's process and epoch, what is held back for
  // them, how many have expired.
  uint64_t readers = 0, oldest_reader_pid = 0, oldest_reader_epoch = 0, reader_bytes = 0,
           readers_expired = 0;
  uint64_t commits = 0, groups = 0, appends = 0, writes = 0, barriers = 0, roots = 0,
           bytes_appended = 0, bytes_grown = 0;
  uint64_t folds = 0, compactions = 0, segments_cleaned = 0, bytes_moved = 0;
  uint64_t replayed_operations = 0, replayed_bytes = 0, open_us = 0;
  uint64_t retain_ms = 0, retain_bytes = 0;  // the wish in force
  uint64_t oldest_change = 0;                // the feed holds the commits from this epoch on
  uint64_t retained_given_way = 0;  // how often what was kept for it went for want of space
  uint64_t feed_cursors = 0;
};

struct RegionInfo {
  uint32_t region = 0;
  uint64_t size = 0;
  std::string name;
  uint64_t placed_bytes = 0;  // of segments, as of the newest fold
};

struct CheckReport {
  uint64_t entries = 0, bytes_read = 0;
  std::vector<std::string> damages;  // empty: sound
};

struct IndexView;
struct OperationView;

class Snapshot;  // a pinned epoch; shared by whoever reads through it
using SnapshotPtr = std::shared_ptr<Snapshot>;

class PrivateView;

// Bytes of the pool, shown where they are or, where that cannot be, copied. They do not change
// while it lives, whatever is committed; stores into them reach nobody else. Not verified: reads
// through a Reader are.
struct MappedView {
  MappedView(std::unique_ptr<PrivateView> memory, uint64_t skipped, uint64_t size,
             std::vector<SnapshotPtr> pins);
  ~MappedView();
  MappedView(const MappedView&) = delete;
  // Zeros from here on, and nothing is pinned any more; the memory stays until the end.
  void blank();

  const std::unique_ptr<PrivateView> memory;
  uint8_t* const data;
  const uint64_t size;
  bool mapped = false;  // false: at least a part was copied

 private:
  std::vector<SnapshotPtr> pins_;
};

// A value found; readable while the Reader it came from lives.
struct FoundValue {
  uint64_t size = 0;
  bool large = false;
  const uint8_t* inline_bytes = nullptr;  // when not large
  Bytes description;                      // when large: what Reader::copy() reads it by
  uint64_t operation_offset = 0;          // in the pool

  // Of an operation that was read and found right. False: it describes a large value, and the
  // description is damaged.
  bool set(const OperationView& operation, uint64_t offset);
};

class PoolImpl;

// Keeps what it reads from being moved away. Short-lived: hold it while copying, not while waiting.
// With a snapshot: any length of time.
class Reader {
 public:
  Reader(Reader&&) noexcept;
  ~Reader();
  // nullopt: absent. kCorrupt when the bytes are damaged (checked on every read).
  // Who will copy() the value says in `room` where to: a long one is copied there while it is
  // verified, and `inline_bytes` is the copy. Whatever is found, the bytes there may be used only
  // once copy() has succeeded.
  Result<std::optional<FoundValue>> find(Bytes key, ValueRoom room = {});
  Status value_at(Place place, Bytes key, FoundValue* found, ValueRoom room = {});
  // Copies `size` bytes of the value into `to`, verifying a large value as it is copied.
  Status copy(const FoundValue& value, uint8_t* to);

 private:
  friend class PoolImpl;
  Reader(PoolImpl* pool, SnapshotPtr snapshot);
  Result<std::optional<FoundValue>> find_in_runs(const IndexView& view, Bytes key, uint64_t hash,
                                                 ValueRoom room);
  Result<std::optional<FoundValue>> absent() const;
  PoolImpl* pool_;
  SnapshotPtr snapshot_;
};

struct RangeOptions {
  std::string low;   // inclusive; includes the keyspace prefix
  std::string high;  // exclusive
  bool reverse = false;
  uint64_t limit = UINT64_MAX;
  bool keys_only = false;  // values are not read: FoundValue says nothing
};

// Iterates one consistent state, in batches. Pins a snapshot until it is destroyed or has ended.
class RangeIterator {
 public:
  virtual ~RangeIterator() = default;
  // Calls `each(key, size, value bytes or null when large)` for the next entries until it returns
  // false (that entry was taken) or `at_most` were given. Returns how many were given; 0: the end.
  // `room` is looked at before each: where `each` will copy its value to, as in Reader::find().
  using Each = std::function<bool(Bytes key, const FoundValue& value, Reader& reader)>;
  virtual Result<uint64_t> next(uint64_t at_most, const Each& each,
                                const ValueRoom& room = kNoRoom) = 0;
  // What next() gave was the last of it, and nothing is pinned any more.
  virtual bool ended() const = 0;

 protected:
  static constexpr ValueRoom kNoRoom = {};
};

class Pool : public std::enable_shared_from_this<Pool> {
 public:
  static Result<std::shared_ptr<Pool>> open(const std::string& path, const PoolOptions& options);
  // For tests: on a medium made by them.
  static Result<std::shared_ptr<Pool>> open_on(OpenedMedium&& medium, const std::string& name,
                                               const PoolOptions& options);
  virtual ~Pool() = default;

  // Commits on the calling thread. kConflict, kPoolFull, kDiskFull, kBatchTooLarge: nothing has
  // happened and the pool goes on. kIo: the outcome is unknown and the pool has failed. kFailed,
  // kClosed.
  virtual Result<Receipt> commit(Batch& batch, CommitMode mode) = 0;

  // Asynchronous commits. submit() only queues (and takes the batch); flush() hands what is queued
  // to the committer thread (or, if it is a single commit and the medium is quick, commits it here
  // and completes before it returns). Completions run in ticket order, on the committer thread or
  // inside flush(), through the function set once here.
  using OnCompleted = std::function<void(std::vector<Completion>&&)>;
  virtual std::shared_ptr<void> attach(
      OnCompleted on_completed) = 0;  // a client: one per environment; detaches when dropped
  virtual uint64_t submit(const std::shared_ptr<void>& client, Batch&& batch, CommitMode mode) = 0;
  virtual void flush(const std::shared_ptr<void>& client) = 0;

  // Returns when everything committed before (eventual too) is behind a barrier.
  virtual Status settle() = 0;

  // A pool that is open for reading only goes on to the newest durable state; any other is always
  // there. The epoch it is at.
  virtual Result<uint64_t> refresh() = 0;
  virtual bool read_only() const { return false; }

  virtual Result<Reader> read(const SnapshotPtr& snapshot) = 0;  // null: the latest state
  virtual Result<SnapshotPtr> snapshot() = 0;
  virtual uint64_t epoch_of(const SnapshotPtr& snapshot) const = 0;
  // Of the commit that wrote the key's newest value. Nothing: the key is absent; its operation was
  // carried elsewhere by the cleaner, which leaves the value but not its commit; or the pool is
  // open for reading only. Walks up to a segment of the log.
  virtual Result<std::optional<uint64_t>> written_at(Bytes key) {
    (void)key;
    return std::optional<uint64_t>();
  }
  virtual Result<std::unique_ptr<RangeIterator>> range(const RangeOptions& options,
                                                       const SnapshotPtr& snapshot) = 0;
  // Entries in [low, high) without reading values.
  virtual Result<uint64_t> count(const RangeOptions& options, const SnapshotPtr& snapshot,
                                 const std::atomic<bool>* cancelled) = 0;

  // Copies bytes of a region as of the snapshot. kNotFound, kOutOfRange, kCorrupt naming region and
  // offset.
  virtual Status region_read(uint32_t region, uint64_t offset, uint64_t size, uint8_t* to,
                             const SnapshotPtr& snapshot) = 0;
  virtual Result<RegionInfo> region_info(uint32_t region,
                                         const SnapshotPtr& snapshot) = 0;  // kNotFound
  virtual Result<std::vector<RegionInfo>> regions(const SnapshotPtr& snapshot) = 0;

  // Null: there is no such key.
  virtual Result<std::unique_ptr<MappedView>> view_value(Bytes key,
                                                         const SnapshotPtr& snapshot) = 0;
  virtual Result<std::unique_ptr<MappedView>> view_region(uint32_t region, uint64_t offset,
                                                          uint64_t size,
                                                          const SnapshotPtr& snapshot) = 0;

  // The change feed; see feed.h. kForgotten: the log does not reach back to there. kOutOfRange:
  // that epoch is yet to come.
  virtual Result<std::unique_ptr<FeedCursor>> feed(const FeedOptions& options) = 0;
  // Wakes the waiter once soon, and again with each durable commit, until it says that it is done;
  // from the time the pool closes on: at once, as closing. kNoMemory: there is no thread to do so.
  virtual Status watch(std::shared_ptr<FeedWaiter> waiter) = 0;

  virtual Status fold() = 0;  // make the index durable as of now; returns when done
  // Of long work, asked between its steps: need it go on no more? Then it ends with kAborted; what
  // it has done by then stays done.
  using Abandoned = std::function<bool()>;
  // Fold, merge all runs into one, clean what is mostly dead. kClosed: the pool was closed
  // meanwhile.
  virtual Status compact(const Abandoned& abandoned = nullptr) = 0;
  // Makes the capacity `bytes` (0: grows by itself); smaller: compacts first. Errors as
  // Medium::resize, and those of compact().
  virtual Status resize(uint64_t bytes, const Abandoned& abandoned = nullptr) = 0;
  virtual PoolFacts facts() const = 0;
  virtual PoolStats stats() const = 0;
  virtual Result<CheckReport> check(const std::atomic<bool>* cancelled,
                                    const std::function<void(double)>& progress) = 0;

  // For pools opened without background threads: what those would do at this moment. `idle`: as if
  // nothing had been committed for long.
  virtual void maintain(bool idle) = 0;

  // Refuses new work, completes what waits, folds, marks the pool clean, releases the lock.
  // Idempotent; snapshots end.
  virtual Status close() = 0;

  // The first offset from `offset` on where something may have been written: all before it is
  // zeros. The region's size: nothing follows. So who copies a sparse region reads what is there,
  // not what could be.
  virtual Result<uint64_t> region_data_from(uint32_t region, uint64_t offset,
                                            const SnapshotPtr& snapshot) = 0;

 private:
  static Result<std::shared_ptr<Pool>> started(std::shared_ptr<PoolImpl>&& pool,
                                               const PoolOptions& options);
};

}  // namespace holdfast
