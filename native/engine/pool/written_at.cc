// Which commit wrote a key's newest value: read off the frame that its operation lies in. Nothing
// is kept for that; it is asked when a process has died before it could write an epoch down.
//
// Any thread. The snapshot keeps the segment where it is while its frames are walked.

#include "engine/pool/pool_impl.h"

namespace holdfast {

Result<std::optional<uint64_t>> PoolImpl::written_at(Bytes key) {
  Visit visit(visits_);
  HOLDFAST_TRY(visit.begin());
  auto pinned = snapshot();
  if (!pinned.is_ok()) return std::move(pinned.status());
  Place place = Place::deleted();
  {
    std::shared_lock guard(index_.lock);
    auto found = (*pinned)->view.find(key, (*pinned)->pin.epoch);
    if (!found.is_ok()) return health_.blame(std::move(found.status()));
    if (found->has_value()) place = **found;
  }
  if (place.is_deleted()) return std::optional<uint64_t>();
  LogSegment segment;
  {
    std::lock_guard append(log_.lock);
    const LogSegment* const around = log_.segments.find(place.offset());
    if (around == nullptr) return std::optional<uint64_t>();
    segment = *around;
  }
  const LogReader reader(*medium_, secret_);
  FrameView frame;
  for (uint64_t at = segment.segment.offset + sizeof(SegmentHeader);
       at <= place.offset() && reader.read_frame(segment.segment, segment.sequence, at, &frame);
       at += frame.header.bytes) {
    if (place.offset() >= at + frame.header.bytes) continue;
    if (frame.header.kind != static_cast<uint16_t>(FrameKind::kCommit)) break;
    HOLDFAST_TRY(health_.sound());
    return std::optional<uint64_t>(frame.header.epoch);
  }
  HOLDFAST_TRY(health_.sound());
  return std::optional<uint64_t>();
}

}  // namespace holdfast
