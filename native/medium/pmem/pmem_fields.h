// The segments of a pool on persistent memory that lies in several directories.
//
// There libpmemobj is not asked where a segment goes: it knows nothing of parts, stores a header
// into what it gives away, and a store into a full file system ends the process. So everything it
// could give away was taken when the pool was made, in objects as large as can be (fields), and
// segments are placed in them here, with the books in ordinary memory. Which segments are held the
// engine says at open; that is all that has to survive. No segment crosses from one part into the
// next.
//
// A segment gets its blocks from its part's file system before it is handed out, and gives them
// back when it is released. Parts are filled in order; where a file system has no room the next
// part is tried. Crash in between: blocks that belong to no segment; the next one there uses them.
// Nothing of libpmemobj's changes.
//
// Threads: any; one lock. adopt() comes first.
#pragma once

#include <libpmemobj.h>

#include <map>
#include <mutex>
#include <vector>

#include "base/status.h"
#include "medium/extent_allocator.h"
#include "medium/medium.h"
#include "medium/pmem/pmem_heap.h"
#include "medium/pool_parts.h"

namespace holdfast {

class PmemFields {
 public:
  // `pool`: open. `files`: the same pool's parts, writable; they outlive this.
  PmemFields(PMEMobjpool* pool, PoolParts* files) : pool_(pool), files_(files) {}
  PmemFields(const PmemFields&) = delete;

  // kCorrupt: one of `held` is not inside a field, or two overlap.
  Status adopt(const std::vector<Segment>& held);
  // kPoolFull: no piece is large enough; kDiskFull: there is one, but no room in its file system.
  Result<Segment> allocate(uint64_t min_bytes, uint64_t want_bytes);
  // False: this is no segment we hold (a mistake of the caller; nothing has changed).
  bool release(const Segment& segment);
  PmemHeap::Space space();
  uint64_t largest_free();

 private:
  struct Part {
    ExtentAllocator free;
    uint64_t device = 0;  // of its file system
  };
  void find_fields();
  void keep(const Segment& segment);
  uint64_t left(size_t part) const;
  // Blocks for what was taken of the part's free space; given back where there are none.
  int take_blocks(size_t part, const Segment& segment);

  PMEMobjpool* const pool_;
  PoolParts* const files_;
  std::mutex lock_;  // guards all below
  std::vector<Part> parts_;
  std::map<uint64_t, uint64_t> held_;  // offset -> bytes
  uint64_t capacity_ = 0, held_bytes_ = 0;
};

}  // namespace holdfast
