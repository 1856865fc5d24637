#include "engine/state/known_gaps.h"

#include <algorithm>

#include "base/test_hooks.h"

namespace holdfast {

// The last one in front of `behind`, where it is known as of `epoch`.
KnownGaps::Gaps::iterator KnownGaps::last_before(Gaps::iterator behind, uint64_t epoch) {
  if (behind == gaps_.begin() || epoch < std::prev(behind)->second.epoch) return gaps_.end();
  return std::prev(behind);
}

std::optional<std::string> KnownGaps::end_of(Bytes key, uint64_t epoch) {
  std::lock_guard guard(mutex_);
  const auto it = last_before(gaps_.upper_bound(key), epoch);
  if (it == gaps_.end() || key >= it->second.end) return std::nullopt;
  it->second.used = ++uses_;
  return it->second.end;
}

std::optional<std::string> KnownGaps::begin_of(Bytes bound, uint64_t epoch) {
  std::lock_guard guard(mutex_);
  const auto it = last_before(gaps_.lower_bound(bound), epoch);
  if (it == gaps_.end() || bound > it->second.end) return std::nullopt;
  it->second.used = ++uses_;
  return it->first;
}

// Those that touch it become one with it, which holds since its epoch: theirs are not newer.
void KnownGaps::learn(Bytes low, Bytes high, uint64_t epoch) {
  if (low >= high) return;
  std::lock_guard guard(mutex_);
  std::string begin(low), end(high);
  auto it = gaps_.upper_bound(low);
  if (it != gaps_.begin() && std::prev(it)->second.end >= low) --it;
  while (it != gaps_.end() && it->first <= end) {
    begin = std::min(begin, it->first);
    end = std::max(end, it->second.end);
    it = gaps_.erase(it);
  }
  if (gaps_.size() == kMost) drop_least_used();
  gaps_.emplace(std::move(begin), Gap{std::move(end), epoch, ++uses_});
  note_keyspaces();
}

// Of a gap within one keyspace, or up to the next one's first key, that one's.
uint64_t KnownGaps::bits_of(Bytes low, Bytes high) {
  if (low.size() < kKeyspacePrefixBytes || high.size() < kKeyspacePrefixBytes) return UINT64_MAX;
  const auto keyspace = [](Bytes key) {
    uint32_t number = 0;
    for (size_t i = 0; i < kKeyspacePrefixBytes; i++)
      number = number << 8 | static_cast<uint8_t>(key[i]);
    return number;
  };
  const bool ends_there = keyspace(high) == keyspace(low) || (high.size() == kKeyspacePrefixBytes &&
                                                              keyspace(high) == keyspace(low) + 1);
  return ends_there ? bit_of(low) : UINT64_MAX;
}

void KnownGaps::note_keyspaces() {
  uint64_t bits = 0;
  for (const auto& [low, gap] : gaps_) bits |= bits_of(low, gap.end);
  keyspaces_.store(bits, std::memory_order_relaxed);
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
    note_keyspaces();
  } else {
    it->second.end.assign(key.data(), key.size());
  }
}

}  // namespace holdfast
