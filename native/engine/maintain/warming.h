// A pool that fits well into memory comes there while it is read: for each read that had to wait
// for the disk a stretch of what nobody has asked for yet is fetched besides, the index first,
// which every read needs. So as much is read as the kernel reads around each fault of a usual
// mapping, but of use whatever is read next, and at most once all of it. Of a pool that does not
// fit nothing is. Nor of a pool that is open for reading only: it has no threads, and the kernel
// does not tell it which of its reads waited.
//
// Under the maintenance lock. Nothing of it is on the medium.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/state/log_state.h"

namespace holdfast {

class Warming {
 public:
  Warming(Medium& medium, const IndexState& index, const LogState& log)
      : medium_(medium), index_(index), log_(log), waited_(medium.reads_that_waited()) {}

  void go_on();

 private:
  bool fits() const;
  void plan();

  Medium& medium_;
  const IndexState& index_;
  const LogState& log_;
  uint64_t waited_;            // reads, that were seen
  uint64_t due_ = 0;           // bytes to be fetched for them
  bool planned_ = false;       // once while the pool is open
  std::vector<Segment> left_;  // what is left of it, the last first
};

}  // namespace holdfast
