#include "log/segment_table.h"

#include <algorithm>

namespace holdfast {

void SegmentTable::add(const Segment& segment, uint64_t sequence, uint64_t live_bytes) {
  by_offset_[segment.offset] = {segment, sequence, live_bytes, false,
                                false};  // in place: who points at it stays right
  live_ += live_bytes;
  bytes_ += segment.bytes;
}

void SegmentTable::remove(uint64_t offset) {
  const auto it = by_offset_.find(offset);
  if (it == by_offset_.end()) return;
  live_ -= it->second.live_bytes;
  bytes_ -= it->second.segment.bytes;
  by_offset_.erase(it);
  born_ = died_ = Recent();
}

LogSegment* SegmentTable::find(uint64_t offset) {
  auto it = by_offset_.upper_bound(offset);
  if (it == by_offset_.begin()) return nullptr;
  --it;
  return offset < it->second.segment.end() ? &it->second : nullptr;
}

LogSegment* SegmentTable::find_near(Recent* recent, uint64_t offset) {
  LogSegment* const last = recent->at;
  if (last != nullptr && offset - last->segment.offset < last->segment.bytes) return last;
  return recent->at = find(offset);
}

void SegmentTable::born(Place place) {
  if (LogSegment* s = find_near(&born_, place.offset())) {
    s->live_bytes += place.bytes();
    live_ += place.bytes();
  }
}

void SegmentTable::died(Place place) {
  if (place.is_deleted()) return;
  if (LogSegment* s = find_near(&died_, place.offset())) {
    const uint64_t bytes = std::min<uint64_t>(place.bytes(), s->live_bytes);
    s->live_bytes -= bytes;
    live_ -= bytes;
  }
}

std::vector<LogSegment> SegmentTable::by_sequence() const {
  std::vector<LogSegment> out;
  for (const auto& [offset, segment] : by_offset_) out.push_back(segment);
  std::sort(out.begin(), out.end(),
            [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
  return out;
}

}  // namespace holdfast
