#include "medium/extent_allocator.h"

#include <algorithm>
#include <iterator>

namespace holdfast {

void ExtentAllocator::reset(uint64_t begin, uint64_t end) {
  by_place_.clear();
  by_size_.clear();
  free_bytes_ = 0;
  begin_ = begin;
  end_ = std::max(begin, end);
  if (end > begin) insert(begin, end - begin);
}

void ExtentAllocator::insert(uint64_t offset, uint64_t bytes) {
  by_place_.emplace(offset, bytes);
  by_size_.emplace(bytes, offset);
  free_bytes_ += bytes;
}

void ExtentAllocator::erase(ByPlace::iterator at) {
  by_size_.erase({at->second, at->first});
  free_bytes_ -= at->second;
  by_place_.erase(at);
}

Segment ExtentAllocator::take_front(ByPlace::iterator at, uint64_t bytes) {
  const uint64_t offset = at->first;
  const uint64_t had = at->second;
  erase(at);
  if (had > bytes) insert(offset + bytes, had - bytes);
  return Segment{offset, bytes};
}

bool ExtentAllocator::take(const Segment& piece) {
  if (piece.bytes == 0 || piece.end() < piece.offset) return false;
  auto at = by_place_.upper_bound(piece.offset);
  if (at == by_place_.begin()) return false;
  --at;
  const uint64_t offset = at->first;
  const uint64_t end = at->first + at->second;
  if (piece.end() > end) return false;
  erase(at);
  if (piece.offset > offset) insert(offset, piece.offset - offset);
  if (end > piece.end()) insert(piece.end(), end - piece.end());
  return true;
}

std::optional<Segment> ExtentAllocator::allocate(uint64_t min, uint64_t want) {
  if (by_size_.empty() || min == 0) return std::nullopt;
  auto fit = by_size_.lower_bound({std::max(min, want), 0});
  if (fit != by_size_.end()) return take_front(by_place_.find(fit->second), std::max(min, want));
  fit = std::prev(by_size_.end());
  if (fit->first < min) return std::nullopt;
  return take_front(by_place_.find(fit->second), fit->first);
}

std::optional<Segment> ExtentAllocator::allocate_below(uint64_t limit, uint64_t min,
                                                       uint64_t want) {
  auto best = by_place_.end();
  uint64_t best_bytes = 0;
  for (auto at = by_place_.begin(); at != by_place_.end() && at->first < limit; ++at) {
    const uint64_t below = std::min(at->second, limit - at->first);
    if (below <= best_bytes) continue;
    best = at;
    best_bytes = below;
  }
  if (min == 0 || best_bytes < min) return std::nullopt;
  return take_front(best, std::min(best_bytes, std::max(min, want)));
}

bool ExtentAllocator::release(const Segment& piece) {
  if (piece.bytes == 0 || piece.end() < piece.offset || piece.offset < begin_ || piece.end() > end_)
    return false;
  auto next = by_place_.lower_bound(piece.offset);
  if (next != by_place_.end() && next->first < piece.end()) return false;
  auto before = next == by_place_.begin() ? by_place_.end() : std::prev(next);
  if (before != by_place_.end() && before->first + before->second > piece.offset) return false;

  uint64_t offset = piece.offset;
  uint64_t end = piece.end();
  if (next != by_place_.end() && next->first == end) {
    end += next->second;
    erase(next);
  }
  if (before != by_place_.end() && before->first + before->second == offset) {
    offset = before->first;
    erase(before);
  }
  insert(offset, end - offset);
  return true;
}

void ExtentAllocator::extend(uint64_t end) {
  const uint64_t before = end_;
  end_ = end;
  (void)release({before, end - before});
}

uint64_t ExtentAllocator::largest_below(uint64_t limit) const {
  uint64_t largest = 0;
  for (auto at = by_place_.begin(); at != by_place_.end() && at->first < limit; ++at) {
    largest = std::max(largest, std::min(at->second, limit - at->first));
  }
  return largest;
}

std::optional<Segment> ExtentAllocator::first_within(uint64_t from, uint64_t to) const {
  if (from >= to) return std::nullopt;
  auto at = by_place_.upper_bound(from);
  if (at != by_place_.begin() && std::prev(at)->first + std::prev(at)->second > from) --at;
  if (at == by_place_.end() || at->first >= to) return std::nullopt;
  const uint64_t begin = std::max(from, at->first);
  return Segment{begin, std::min(at->first + at->second, to) - begin};
}

std::optional<Segment> ExtentAllocator::last_within(uint64_t from, uint64_t to) const {
  auto at = by_place_.lower_bound(to);
  if (at == by_place_.begin()) return std::nullopt;
  --at;
  const uint64_t begin = std::max(from, at->first), end = std::min(at->first + at->second, to);
  return begin < end ? std::optional<Segment>({begin, end - begin}) : std::nullopt;
}

Segment ExtentAllocator::tail() const {
  if (by_place_.empty()) return {};
  const auto last = std::prev(by_place_.end());
  if (last->first + last->second != end_) return {};
  return Segment{last->first, last->second};
}

}  // namespace holdfast
