#include "engine/maintain/fold_pace.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace holdfast {

namespace {
constexpr uint64_t kMillisecond = 1'000'000;
constexpr uint64_t kMostWait = 250 * kMillisecond;  // of one commit
constexpr uint64_t kBurst = 30 * kMillisecond;      // that a commit which came late may make up for
constexpr uint64_t kShortest = kMillisecond / 5;    // shorter waits are added up
constexpr uint64_t kLook = 5 * kMillisecond;

uint64_t now_ns() {
  return static_cast<uint64_t>(
      FoldPace::Nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count());
}
}  // namespace

// A tail that is on its way from what makes a fold due to what commits wait at.
uint64_t FoldPace::late_from() const { return due_ + (most_ - due_) * 3 / 4; }

// A fold that begins late had to wait for the last one and the merges behind it: so long they take,
// unless they had come to their end in between. One that begins in time says that commits may go
// quicker, and where none has waited for its turn, that they need no turns.
FoldPace::Nanoseconds FoldPace::fold_begins(uint64_t tail, Nanoseconds now) {
  const auto at = static_cast<uint64_t>(now.count());
  const uint64_t took = at - std::exchange(begun_ns_, at);
  const bool rested = std::exchange(caught_up_, false);
  const bool waited = waited_.exchange(false, std::memory_order_relaxed);
  const uint64_t before = ns_per_operation_.load(std::memory_order_relaxed);
  uint64_t each = before * 7 / 8;
  if (tail > late_from()) {
    on_.store(paces_, std::memory_order_relaxed);
    each = rested ? before : before == 0 ? took / tail : (before + took / tail) / 2;
  } else if (!waited) {
    on_.store(false, std::memory_order_relaxed);
  }
  ns_per_operation_.store(each, std::memory_order_relaxed);
  return Nanoseconds(took);
}

// A little less than folds took, so that it is seen when they become quicker; where the next one is
// late already the longer the less is left.
FoldPace::Nanoseconds FoldPace::time_for(uint64_t operations, uint64_t tail) const {
  const uint64_t usual = operations * ns_per_operation_.load(std::memory_order_relaxed) * 9 / 10;
  const uint64_t late = late_from();
  const uint64_t over = tail > late ? tail - late : 0, left = most_ > tail ? most_ - tail : 1;
  const double times = 1 + 4 * static_cast<double>(over) / static_cast<double>(left);
  return Nanoseconds(
      std::min(static_cast<uint64_t>(static_cast<double>(usual) * times), kMostWait));
}

void FoldPace::wait(Nanoseconds time, const std::function<bool()>& goes_on) {
  uint64_t now = now_ns();
  const uint64_t begin = std::max(next_ns_.load(std::memory_order_relaxed), now - kBurst);
  const uint64_t until = std::min(begin + static_cast<uint64_t>(time.count()), now + kMostWait);
  next_ns_.store(until, std::memory_order_relaxed);
  if (until < now + kShortest) return;
  waited_.store(true, std::memory_order_relaxed);
  for (; now < until && goes_on(); now = now_ns())
    std::this_thread::sleep_for(Nanoseconds(std::min(until - now, kLook)));
}

}  // namespace holdfast
