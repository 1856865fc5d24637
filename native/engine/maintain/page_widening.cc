#include "engine/maintain/page_widening.h"

#include <algorithm>
#include <vector>

namespace holdfast {

namespace {
constexpr auto kWidened = std::chrono::microseconds(100);
constexpr auto kWidenEvery = std::chrono::milliseconds(10);
constexpr int kWidenShare = 8;  // pages are widened for one in so many parts of the time at most
}  // namespace

PageWidening::Clock::duration PageWidening::pause(Clock::duration most) const {
  if (round_.from == 0) return most;
  return std::clamp<Clock::duration>(round_.next - Clock::now(), kWidenEvery, most);
}

void PageWidening::go_on() {
  if (Clock::now() < round_.next) return;
  std::vector<Segment> sealed;
  {
    std::lock_guard append(log_.lock);
    if (round_.from == 0) round_.below = log_.writer.sequence();
    if (round_.below <= round_.done_below) return;
    for (const auto& [offset, s] : log_.segments.all()) {
      if (offset >= round_.from && s.sequence < round_.below && !s.retired)
        sealed.push_back(s.segment);
    }
  }
  for (const Segment& segment : sealed) {
    const auto begun = Clock::now();
    const bool possible = medium_.widen_pages(segment);
    const auto took = Clock::now() - begun;
    if (!possible) {
      round_ = {.done_below = UINT64_MAX};
      return;
    }
    if (took < kWidened) continue;  // it was in large pages already
    round_.from = segment.end();
    round_.next = begun + std::max<Clock::duration>(kWidenEvery, took * kWidenShare);
    return;
  }
  round_ = {.done_below = round_.below};
}

}  // namespace holdfast
