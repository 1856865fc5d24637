#include "engine/commit/barriers.h"

#include "base/test_hooks.h"
#include "base/test_points.h"

namespace holdfast {

Status Barriers::raise(uint64_t covers) {
  return conclude(planted(PlantedBug::kBarrierLeftOut) ? Status() : medium_.barrier(), covers);
}

Status Barriers::conclude(Status done, uint64_t covers) {
  const bool believed = planted(PlantedBug::kFailedBarrierBelieved);
  if (believed) done = Status();
  if (done.is_ok() && medium_.failed() && !believed) {
    done = Status(Code::kIo, "the mapping failed under the barrier; the outcome is unknown");
  }
  if (!done.is_ok() && done.code() != Code::kIo) {
    // The medium had failed before. For the commits that wait it is all the same: they have been
    // appended, and may be there.
    done = Status(Code::kIo, "the outcome is unknown: " + done.message(), done.system_errno());
  }
  if (!done.is_ok()) return health_.fail(std::move(done));
  if (!at_once_) reach(TestPoint::kBarrierRaised);
  const uint64_t durable = planted(PlantedBug::kBarrierCoversTooMuch) ? appended() : covers;
  // Readers before anybody here can acknowledge it: who refreshes then must see it.
  readers_.announce(covers, [&] {
    reach(TestPoint::kReadersTold);
    uint64_t seen = durable_.load(std::memory_order_relaxed);
    // Sequentially consistent, as the feed's look: whoever waits for the next durable commit is
    // woken or sees it (feed_tail.h).
    while (seen < durable &&
           !durable_.compare_exchange_weak(seen, durable, std::memory_order_seq_cst)) {
    }
  });
  feed_tail_.durable_moved();
  return {};
}

Status Barriers::wait_durable(uint64_t epoch) {
  std::unique_lock guard(mutex_);
  while (durable_.load(std::memory_order_acquire) < epoch) {
    if (health_.has_failed())
      return Status(Code::kIo, "the outcome of the commit is unknown: " + health_.first_failure());
    if (health_.closed()) {  // the medium had failed, or closing would have waited for this
      return Status(Code::kIo,
                    "the outcome of the commit is unknown: the pool was closed behind a failure");
    }
    if (running_) {
      done_.wait(guard);
      continue;
    }
    running_ = true;
    guard.unlock();
    const auto begun = Clock::now();
    Status done = raise(appended());
    note_took(Clock::now() - begun);
    guard.lock();
    running_ = false;
    done_.notify_all();
    if (!done.is_ok()) return done;
  }
  return {};
}

void Barriers::note_took(Clock::duration took) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(took).count();
  usual_us_.store((usual_us() * 7 + static_cast<uint64_t>(us)) / 8, std::memory_order_relaxed);
}

}  // namespace holdfast
