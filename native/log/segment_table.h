// Which segments the log is made of, and how many bytes in each are still live. The cleaner chooses
// by it.
//
// An operation is live while the newest index entry of its key points at it. Each death is counted
// exactly once: at once if the overlay still knew the old place, else by the fold that finds it in
// a run. Threads: the owner's lock (the engine's append lock). A crash leaves what the last fold
// wrote; replay adds the tail's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "format/fold.h"
#include "format/place.h"

namespace holdfast {

struct LogSegment {
  Segment segment;
  uint64_t sequence = 0;
  uint64_t live_bytes = 0;
  bool retired = false;  // cleaned out; waits for a fold before it is released
  bool damaged = false;  // could not be read to its end: never a victim again
};

class SegmentTable {
 public:
  void add(const Segment& segment, uint64_t sequence, uint64_t live_bytes = 0);
  void remove(uint64_t offset);

  void born(Place place);
  void died(Place place);

  LogSegment* find(uint64_t offset_inside);
  const std::map<uint64_t, LogSegment>& all() const { return by_offset_; }
  std::vector<LogSegment> by_sequence() const;

  uint64_t live_bytes() const { return live_; }
  uint64_t bytes() const { return bytes_; }

 private:
  // Where the last one was found: births come in the log's order, so nearly all are in the same
  // segment, and what dies of a key that is written again and again is near. Points into its own
  // table's map, so a copy of the table begins without.
  struct Recent {
    Recent() = default;
    Recent(const Recent&) {}
    Recent& operator=(const Recent&) {
      at = nullptr;
      return *this;
    }
    LogSegment* at = nullptr;
  };
  LogSegment* find_near(Recent* recent, uint64_t offset);

  std::map<uint64_t, LogSegment> by_offset_;
  Recent born_, died_;
  uint64_t live_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace holdfast
