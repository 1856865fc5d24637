#include "engine/state/known_gaps.h"

#include <algorithm>

#include "base/test_hooks.h"

namespace holdfast {

std::optional<std::string> KnownGaps::end_of(Bytes key, uint64_t epoch) {
  if (!any_.load(std::memory_order_relaxed)) return std::nullopt;
  std::lock_guard guard(mutex_);
  auto it = gaps_.upper_bound(key);
  if (it == gaps_.begin()) return std::nullopt;
  Gap& gap = (--it)->second;
  if (key >= gap.end || epoch < gap.epoch) return std::nullopt;
  gap.used = ++uses_;
  return gap.end;
}

std::optional<std::string> KnownGaps::begin_of(Bytes bound, uint64_t epoch) {
  if (!any_.load(std::memory_order_relaxed)) return std::nullopt;
  std::lock_guard guard(mutex_);
  auto it = gaps_.lower_bound(bound);
  if (it == gaps_.begin()) return std::nullopt;
  Gap& gap = (--it)->second;
  if (bound > gap.end || epoch < gap.epoch) return std::nullopt;
  gap.used = ++uses_;
  return it->first;
}

// Those that touch it become one with it, which holds since the newest of their epochs.
void KnownGaps::learn(Bytes low, Bytes high, uint64_t epoch) {
  if (low >= high) return;
  std::lock_guard guard(mutex_);
  std::string begin(low), end(high);
  auto it = gaps_.upper_bound(low);
  if (it != gaps_.begin() && std::prev(it)->second.end >= low) --it;
  while (it != gaps_.end() && it->first <= end) {
    begin = std::min(begin, it->first);
    end = std::max(end, it->second.end);
    epoch = std::max(epoch, it->second.epoch);
    it = gaps_.erase(it);
  }
  if (gaps_.size() == kMost) drop_least_used();
  gaps_.emplace(std::move(begin), Gap{std::move(end), epoch, ++uses_});
  any_.store(true, std::memory_order_relaxed);
}

void KnownGaps::drop_least_used() {
  gaps_.erase(std::min_element(gaps_.begin(), gaps_.end(), [](const auto& a, const auto& b) {
    return a.second.used < b.second.used;
  }));
}

void KnownGaps::cut(Bytes key) {
  if (planted(PlantedBug::kGapOutlivesPut)) return;
  auto it = gaps_.upper_bound(key);
  if (it == gaps_.begin() || key >= (--it)->second.end) return;
  if (it->first == key) {
    gaps_.erase(it);
    any_.store(!gaps_.empty(), std::memory_order_relaxed);
  } else {
    it->second.end.assign(key.data(), key.size());
  }
}

}  // namespace holdfast
