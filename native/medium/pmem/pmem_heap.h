// The segments of a pool on persistent memory: each is one libpmemobj object of whole 256 KiB
// chunks, less its header.
//
// A segment's range is the page-aligned inside of its object, so it follows from the object alone.
// Crash: an allocation is one published reservation, a release one atomic free; each has happened
// or not. What was allocated and never made part of anything durable is found by its type at the
// next open and freed by adopt(): nothing leaks.
//
// How much is free cannot be asked of libpmemobj, so it is found by reserving and cancelling, which
// is volatile but for the header of what is reserved. In a pool that grows that could be a store
// into a full file system, so there it is reckoned.
//
// In a pool that grows, a segment's chunks get their blocks from the file system after they were
// reserved and before they are published, and a released segment's pages give theirs back: nothing
// is published that a store could find no room for. Crash in between: blocks that belong to no
// segment; the next segment there uses them.
//
// Threads: any; one lock, held for microseconds, and one of the books, which space() reads, so that
// it never waits for libpmemobj. adopt() comes first.
#pragma once

#include <libpmemobj.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "base/status.h"
#include "medium/medium.h"
#include "medium/posix_file.h"

namespace holdfast {

class PmemHeap {
 public:
  explicit PmemHeap(PMEMobjpool* pool) : pool_(pool) {}
  // The pool's file, writable, and how many chunks the pool may have: it grows. Before adopt().
  void grow_in(PosixFile* file, uint64_t chunks) {
    file_ = file;
    all_chunks_ = chunks;
  }
  PmemHeap(const PmemHeap&) = delete;
  PmemHeap& operator=(const PmemHeap&) = delete;

  // kCorrupt: one of `held` is not a segment of this pool.
  Status adopt(const std::vector<Segment>& held);
  // kPoolFull; where the pool grows also kDiskFull.
  Result<Segment> allocate(SegmentKind kind, uint64_t min_bytes, uint64_t want_bytes);
  // False: this is no segment we hold (a mistake of the caller; nothing has changed).
  bool release(const Segment& segment);

  struct Space {
    uint64_t capacity = 0, free = 0, ready = 0, held = 0;
  };
  Space space();  // waits for nobody who allocates or releases
  uint64_t largest_free();

 private:
  struct Held {
    PMEMoid object;
    uint64_t bytes;
    uint64_t chunks;
  };
  struct Reservation {
    pobj_action action;
    PMEMoid object;
  };

  std::optional<Reservation> reserve(uint64_t chunks, uint64_t type);
  int take_blocks(const Reservation& reservation, uint64_t chunks);
  uint64_t blocks_left();
  void cancel(Reservation& reservation) { pmemobj_cancel(pool_, &reservation.action, 1); }
  // The most chunks in [low, high] that can be had in one piece; `low` is known to be possible.
  uint64_t most_reservable(uint64_t low, uint64_t high);
  uint64_t largest_free_chunks();
  void count_free_chunks();

  PMEMobjpool* const pool_;
  PosixFile* file_ = nullptr;  // null: all blocks were taken when the pool was made
  uint64_t all_chunks_ = 0;    // where it grows
  struct Books {
    uint64_t held_chunks = 0, held_bytes = 0, free_chunks = 0;
  };
  template <typename Change>
  void keep_books(const Change& change) {
    std::lock_guard guard(books_lock_);
    change(books_);
  }
  std::mutex lock_;                  // guards all below
  std::map<uint64_t, Held> held_;    // by offset of the segment
  std::optional<uint64_t> largest_;  // chunks; absent after a change
  std::mutex books_lock_;            // a leaf; the books are changed under both, read under either
  Books books_;
};

}  // namespace holdfast
