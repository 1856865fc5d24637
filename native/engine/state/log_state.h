// The log as the engine holds it: where it is written, its segments and what of each lives, the
// large values that live, what is dead and not yet given back, and what is kept for the change
// feed.
//
// Threads: all of it is guarded by `lock`, the append lock, but what is said to be atomic. What a
// crash leaves is the log itself; recovery makes these books again from the newest fold and the
// tail.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <optional>

#include "base/short_lock.h"
#include "engine/state/graveyard.h"
#include "engine/state/index_state.h"
#include "engine/state/operations.h"
#include "engine/state/retention.h"
#include "log/log_writer.h"
#include "log/segment_table.h"

namespace holdfast {

class LogState {
 public:
  LogState(Medium& medium, uint64_t secret, const Operations& operations, const IndexState& index)
      : writer(medium, secret), operations_(operations), index_(index) {}

  mutable ShortLock lock;
  // Counted while it waits: between two holds the cleaner lets by who does.
  std::unique_lock<ShortLock> lock_to_commit();
  bool commits_wait() const { return commits_waiting_.load(std::memory_order_relaxed) > 0; }

  uint64_t epoch = 0;  // of the newest record
  LogWriter writer;
  SegmentTable segments;
  std::map<uint64_t, Segment> large;  // live large segments, by offset
  Graveyard graveyard;
  Retention retention;   // what of the log is kept for the change feed
  uint64_t history = 0;  // commits up to this one are in no log of this pool

  // Written under the lock, so without locked instructions.
  std::atomic<uint64_t> commits{0}, committed_bytes{0};
  uint64_t awaited_commits = 0;  // those of which somebody waits for the barrier
  void count_commit(uint64_t bytes, bool awaited) {
    awaited_commits += awaited ? 1 : 0;
    commits.store(commits.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    committed_bytes.store(committed_bytes.load(std::memory_order_relaxed) + bytes,
                          std::memory_order_relaxed);
  }

  // What has come since the newest fold was begun.
  struct Tail {
    std::atomic<uint64_t> operations{0};  // written under the lock, so without locked instructions
    uint64_t bytes = 0;
    uint64_t large_bytes = 0;  // of the large values that it names
  };
  Tail tail;

  // `place` is no longer the newest of its key; `successor` is, where the key was not deleted. Its
  // bytes are dead; a large value's segments too, unless the operation was only moved.
  // `fold_needed`: the first fold that will lead to the successor and not to `place`.
  void note_dead(Place place, Place successor, bool moved, uint64_t fold_needed);

 private:
  const Operations& operations_;
  const IndexState& index_;
  std::atomic<uint32_t> commits_waiting_{0};
};

}  // namespace holdfast
