#include "engine/state/retention.h"

#include <algorithm>

namespace holdfast {

namespace {

// The unbroken row that ends at the head, oldest first. What is retired is not ours any more.
std::vector<LogSegment> unbroken_row(const SegmentTable& segments, uint64_t head) {
  std::vector<LogSegment> all = segments.by_sequence();
  while (!all.empty() && all.back().sequence > head) all.pop_back();
  size_t first = all.size();
  uint64_t expected = head;
  while (first > 0 && all[first - 1].sequence == expected && !all[first - 1].retired) {
    first--;
    expected--;
  }
  return {all.begin() + static_cast<long>(first), all.end()};
}

}  // namespace

uint64_t Retention::oldest_unbroken(const SegmentTable& segments, uint64_t head) {
  const auto row = unbroken_row(segments, head);
  return row.empty() ? head : row.front().sequence;
}

void Retention::add(FeedHold* hold) {
  hold->at = holds_.size();
  holds_.push_back(hold);
  floor_ = std::min(floor_, hold->sequence);
}

bool Retention::any_reading() const {
  return std::any_of(holds_.begin(), holds_.end(),
                     [](const FeedHold* hold) { return hold->reading; });
}

// The last one takes its place: a pool that closes under 1e5 watchers must not look for each of
// them among all. One that was never added, because its cursor could not begin, is none of them.
void Retention::remove(FeedHold* hold) {
  if (hold->at >= holds_.size() || holds_[hold->at] != hold) return;
  holds_[hold->at] = holds_.back();
  holds_[hold->at]->at = hold->at;
  holds_.pop_back();
}

// A segment's records are as old as the first one of the segment behind it at most.
uint64_t Retention::wished_floor(const std::vector<LogSegment>& row, uint64_t now_ms,
                                 const BegunAt& begun_at) {
  if (!wish.any() || row.empty()) return kNothing;
  begun_ms_.erase(begun_ms_.begin(), begun_ms_.lower_bound(row.front().sequence));
  uint64_t floor = row.back().sequence;
  uint64_t newer_bytes = 0;
  for (size_t i = row.size(); i-- > 0;) {
    if (wish.bytes > 0 && newer_bytes >= wish.bytes) break;
    if (wish.ms > 0 && i + 1 < row.size()) {
      const auto known = begun_ms_.find(row[i + 1].sequence);
      const uint64_t ended = known != begun_ms_.end() ? known->second : begun_at(row[i + 1]);
      if (known == begun_ms_.end() && ended > 0) begun_ms_[row[i + 1].sequence] = ended;
      if (ended > 0 && ended + wish.ms < now_ms) break;
    }
    floor = row[i].sequence;
    newer_bytes += row[i].segment.bytes;
  }
  return floor;
}

void Retention::refresh(const SegmentTable& segments, uint64_t head, uint64_t now_ms,
                        const BegunAt& begun_at) {
  floor_ = kNothing;
  if (!wish.any() && holds_.empty()) return;
  const auto row = unbroken_row(segments, head);
  floor_ = std::max(wished_floor(row, now_ms, begun_at), given_way_);
  // Of the segments from each one of the row on. Their sequences are consecutive.
  std::vector<uint64_t> bytes_from(row.size() + 1, 0);
  for (size_t i = row.size(); i-- > 0;) bytes_from[i] = bytes_from[i + 1] + row[i].segment.bytes;
  for (FeedHold* hold : holds_) {
    const uint64_t first = row.empty() ? 0 : row.front().sequence, next = hold->sequence + 1;
    const uint64_t behind =
        bytes_from[next <= first ? 0 : std::min<uint64_t>(next - first, row.size())];
    const bool gone = behind > hold->lag_bytes || hold->sequence < given_way_;
    if (gone && !hold->reading && hold->sequence < floor_) hold->lost = true;
    if (!hold->lost) floor_ = std::min(floor_, hold->sequence);
  }
}

bool Retention::give_way(const SegmentTable& segments, uint64_t head) {
  if (floor_ == kNothing) return false;
  const auto row = unbroken_row(segments, head);
  std::vector<uint64_t> kept;
  for (const LogSegment& s : row) {
    if (s.sequence >= floor_ && s.sequence < head) kept.push_back(s.sequence);
  }
  if (kept.empty()) return false;
  const uint64_t before = floor_;
  given_way_ = kept[std::min(kept.size() - 1, kept.size() / 8)] + 1;
  refresh(segments, head, 0, [](const LogSegment&) { return uint64_t{0}; });
  times_given_way_ += floor_ > before;
  return floor_ > before;
}

}  // namespace holdfast
