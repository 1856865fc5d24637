// Segments that nothing current refers to any more, but that may not be given back yet: because the
// durable fold still refers to them, or because a snapshot may still read them. Why nothing leaks:
// after a crash whatever the recovered fold and tail do not refer to is free anyway
// (Medium::adopt). Threads: the owner's lock (the engine's append lock).
#pragma once

#include <cstdint>
#include <vector>

#include "medium/medium.h"

namespace holdfast {

class Graveyard {
 public:
  // `fold_needed`: the number of the first fold that will not refer to the segment; 0 if the
  // durable one no longer does. `serial`: snapshots below it may still read the segment. `held`:
  // the log segment (its sequence) with which it is kept for readers of the log; 0: not kept.
  void bury(const Segment& segment, uint64_t fold_needed, uint64_t serial, uint64_t held = 0) {
    dead_.push_back({segment, fold_needed, serial, held});
    bytes_ += segment.bytes;
  }
  // Takes out what may be given back now. `clock`: of the readers in other processes, raised after
  // the durable root was set. Whoever pinned at it or later has read that root; those from
  // `oldest_pin` on may still read what it no longer refers to.
  std::vector<Segment> exhume(uint64_t durable_fold, uint64_t oldest_serial, uint64_t clock = 0,
                              uint64_t oldest_pin = UINT64_MAX) {
    std::vector<Segment> out;
    size_t kept = 0;
    held_for_readers_ = 0;
    for (Dead& dead : dead_) {
      const bool forgotten = dead.held == 0 && dead.fold_needed <= durable_fold;
      if (forgotten && dead.clock == 0) dead.clock = clock;
      const bool dead_here = forgotten && dead.serial <= oldest_serial;
      if (dead_here && dead.clock <= oldest_pin) {
        out.push_back(dead.segment);
        bytes_ -= dead.segment.bytes;
      } else {
        if (dead_here) held_for_readers_ += dead.segment.bytes;
        dead_[kept++] = dead;
      }
    }
    dead_.resize(kept);
    return out;
  }
  template <typename Each>
  void for_each(Each&& each) const {
    for (const Dead& dead : dead_) each(dead.segment);
  }
  // Readers of the log need nothing below `floor` any more; the fold `number` will be the first not
  // to list it.
  void let_go(uint64_t floor, uint64_t number) {
    for (Dead& dead : dead_) {
      if (dead.held == 0 || dead.held >= floor) continue;
      dead.held = 0;
      dead.fold_needed = dead.fold_needed > number ? dead.fold_needed : number;
    }
  }
  // `each(segment, held, fold_needed)` for what is kept for readers of the log.
  template <typename Each>
  void for_each_held(Each&& each) const {
    for (const Dead& dead : dead_) {
      if (dead.held != 0) each(dead.segment, dead.held, dead.fold_needed);
    }
  }
  bool waits_for_fold(uint64_t durable_fold) const {
    for (const Dead& dead : dead_) {
      if (dead.fold_needed > durable_fold) return true;
    }
    return false;
  }
  uint64_t bytes() const { return bytes_; }
  uint64_t held_for_readers() const {
    return held_for_readers_;
  }  // by them alone, as of the last exhume()
  bool empty() const { return dead_.empty(); }

 private:
  struct Dead {
    Segment segment;
    uint64_t fold_needed;
    uint64_t serial;
    uint64_t held;
    uint64_t clock = 0;  // of the readers, when no new one could come upon the segment any more; 0:
                         // it still could
  };
  std::vector<Dead> dead_;
  uint64_t bytes_ = 0;
  uint64_t held_for_readers_ = 0;
};

}  // namespace holdfast
