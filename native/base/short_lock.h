// A lock for sections of microseconds. Who waits looks again and again, and then asleep between two
// looks; it never sleeps until it is woken, so nobody has to wake it: that is a system call, which
// takes ten times what a commit does.
//
// It is let go of with a plain store, for which the processor does not wait until what was stored
// before has landed (a commit's bytes, draining behind their fence): the caller goes on meanwhile,
// and whatever it stores comes behind that fence. What went past the caches must be behind a fence
// by then, else the next holder may not see it. Nobody's turn, not recursive. Any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

#include "base/relax.h"

namespace holdfast {

class ShortLock {
 public:
  bool try_lock() {
    return !held_.load(std::memory_order_relaxed) &&
           !held_.exchange(true, std::memory_order_acquire);
  }
  // Not by yielding: on a busy machine whoever yields comes last, where who has slept comes first.
  // And not asleep at once: from a sleep, however short, a thread comes back 70 us later.
  void lock() {
    if (try_lock()) return;
    constexpr auto kAtHand = std::chrono::microseconds(60);
    const auto until = std::chrono::steady_clock::now() + kAtHand;
    while (!try_lock()) {
      if (std::chrono::steady_clock::now() >= until)
        std::this_thread::sleep_for(std::chrono::microseconds(20));
      else
        relax();
    }
  }
  void unlock() { held_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> held_{false};
};

}  // namespace holdfast
