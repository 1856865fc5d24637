// Which parts of a pool's address space are free: extents, kept by place and by size, neighbours
// always joined.
//
// In ordinary memory only: a crash leaves nothing of it, it is made anew from what the engine
// holds. Best fit, the lowest place among equals, so that the endless space behind the end of the
// file (the largest extent) is touched last and the file stays compact. Logarithmic in the number
// of free extents. One thread at a time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "medium/medium.h"

namespace holdfast {

class ExtentAllocator {
 public:
  // Everything in [begin, end) is free.
  void reset(uint64_t begin, uint64_t end);

  // Takes exactly this piece; false (and no change) if not all of it is free.
  bool take(const Segment& piece);

  // `want` bytes if there is such an extent, else the largest there is if it has `min` bytes, else
  // nothing.
  std::optional<Segment> allocate(uint64_t min, uint64_t want);

  // The largest free piece below `limit` of at least `min` bytes (at most `want`), taken.
  std::optional<Segment> allocate_below(uint64_t limit, uint64_t min, uint64_t want);

  // False (and no change) if some of it is free already or out of bounds: it would be handed out
  // twice.
  bool release(const Segment& piece);

  // The space ends elsewhere: what is new is free; what is cut off must have been taken.
  void extend(uint64_t end);
  void shrink(uint64_t end) { end_ = end; }

  uint64_t free_bytes() const { return free_bytes_; }
  uint64_t largest() const { return by_size_.empty() ? 0 : by_size_.rbegin()->first; }
  uint64_t largest_below(uint64_t limit) const;  // linear: for statistics
  // What is free of [from, to), its first or its last piece.
  std::optional<Segment> first_within(uint64_t from, uint64_t to) const;
  std::optional<Segment> last_within(uint64_t from, uint64_t to) const;
  // The last extent if it reaches the end of the space.
  Segment tail() const;
  size_t extents() const { return by_place_.size(); }

 private:
  using ByPlace = std::map<uint64_t, uint64_t>;  // offset -> bytes
  void insert(uint64_t offset, uint64_t bytes);
  void erase(ByPlace::iterator at);
  Segment take_front(ByPlace::iterator at, uint64_t bytes);

  uint64_t begin_ = 0;
  uint64_t end_ = 0;
  uint64_t free_bytes_ = 0;
  ByPlace by_place_;
  std::set<std::pair<uint64_t, uint64_t>> by_size_;  // (bytes, offset)
};

}  // namespace holdfast
