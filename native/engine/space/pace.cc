#include "engine/space/pace.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "base/relax.h"

namespace holdfast {

namespace {
constexpr uint64_t kMillisecond = 1'000'000;
constexpr uint64_t kShortRound = 4 * kMillisecond;  // too little is committed in it to tell a rate
constexpr uint64_t kLongRound = 1000 * kMillisecond;  // nobody was in a hurry
constexpr uint64_t kMostWait = 5 * kMillisecond;      // of one commit
constexpr uint64_t kBurst = kMillisecond / 50;  // that a commit which came late may make up for
constexpr uint64_t kSleepFrom = kMillisecond / 5,
                   kSleepLate = kMillisecond / 12;  // shorter sleeps, and by so much, end too late

uint64_t now_ns() {
  return static_cast<uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count());
}
}  // namespace

void Pace::set(uint64_t left, uint64_t enough) {
  left_.store(left, std::memory_order_relaxed);
  // The cleaner has caught up: it could have let through more than it was asked for.
  if (left >= enough && is_on())
    bytes_per_s_.store(bytes_per_s_.load(std::memory_order_relaxed) * 5 / 4,
                       std::memory_order_relaxed);
  enough_.store(left < enough ? enough : 0, std::memory_order_relaxed);
}

void Pace::learn(uint64_t committed_bytes) {
  const uint64_t now = now_ns(), took = now - learned_ns_, bytes = committed_bytes - learned_bytes_;
  if (is_on() && took < kShortRound) return;
  learned_ns_ = now;
  learned_bytes_ = committed_bytes;
  if (!is_on() || took > kLongRound) return;
  const uint64_t rate =
      static_cast<uint64_t>(static_cast<double>(bytes) * 1e9 / static_cast<double>(took));
  const uint64_t before = bytes_per_s_.load(std::memory_order_relaxed);
  // Who commits at leisure says nothing about the cleaner: it is slower than was thought only if
  // little is left.
  const bool little =
      left_.load(std::memory_order_relaxed) < enough_.load(std::memory_order_relaxed) / 2;
  if (!little && (before == 0 || rate < before)) return;
  bytes_per_s_.store(std::max<uint64_t>(1, before == 0 ? rate : (3 * before + rate) / 4),
                     std::memory_order_relaxed);
}

// At the rate itself where half of enough is left; the square root keeps one round's ups and downs
// from doubling or halving it.
uint64_t Pace::ns_for(uint64_t bytes) {
  const uint64_t enough = enough_.load(std::memory_order_relaxed),
                 rate = bytes_per_s_.load(std::memory_order_relaxed);
  uint64_t left = left_.load(std::memory_order_relaxed);
  left -= std::min(left, bytes);
  left_.store(left, std::memory_order_relaxed);
  if (left >= enough || rate == 0) return 0;
  const double share = (static_cast<double>(left) + 1) / static_cast<double>(enough - left);
  return static_cast<uint64_t>(static_cast<double>(bytes) * 1e9 /
                               (static_cast<double>(rate) * std::sqrt(share)));
}

void Pace::wait(uint64_t bytes) {
  uint64_t now = now_ns();
  const uint64_t begin = std::max(next_ns_.load(std::memory_order_relaxed), now - kBurst);
  const uint64_t until = std::min(begin + std::min(ns_for(bytes), kMostWait), now + kMostWait);
  next_ns_.store(until, std::memory_order_relaxed);
  while (now < until && is_on()) {
    if (until - now >= kSleepFrom)
      std::this_thread::sleep_for(std::chrono::nanoseconds(until - now - kSleepLate));
    for (int i = 0; i < 8; i++) relax();  // the cleaner may be on the other half of this core
    now = now_ns();
  }
}

}  // namespace holdfast
