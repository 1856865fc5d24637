// The sealed part of the log, which is where values are read, is put into large pages while there
// is nothing else to do: one, then a pause. Whoever reads just there waits for it, on a busy
// machine for long, so it takes a small part of the time.
//
// Under the maintenance lock. Nothing of it is on the medium.
#pragma once

#include <chrono>
#include <cstdint>

#include "engine/state/log_state.h"

namespace holdfast {

class PageWidening {
 public:
  using Clock = std::chrono::steady_clock;
  PageWidening(Medium& medium, const LogState& log) : medium_(medium), log_(log) {}

  void go_on();
  // How long to wait before the next step; `most` where none is under way.
  Clock::duration pause(Clock::duration most) const;

 private:
  // Of the round that is under way, or the last one.
  struct Round {
    uint64_t done_below = 0;       // segments of the log below this sequence are in large pages.
                                   // UINT64_MAX: there are none here
    uint64_t below = 0, from = 0;  // of a round under way: below which sequence, and from which
                                   // offset on it goes on (0: none is)
    Clock::time_point next = {};   // not before
  };

  Medium& medium_;
  const LogState& log_;
  Round round_;
};

}  // namespace holdfast
