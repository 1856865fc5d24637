#include "log/log_reader.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "base/test_hooks.h"
#include "format/large_value.h"
#include "format/log_mark.h"

namespace holdfast {

bool LogReader::read_frame(const Segment& segment, uint64_t sequence, uint64_t offset,
                           FrameView* out) const {
  const uint64_t end = segment.end() < medium_.view_end() ? segment.end() : medium_.view_end();
  if (offset % kFrameAlign != 0 || offset < segment.offset || offset >= end ||
      end - offset < sizeof(FrameHeader)) {
    return false;
  }
  const uint8_t* at = bytes_at(offset, sizeof(FrameHeader), end);
  auto header = load<FrameHeader>(at);
  if (!is_frame_magic(header.magic) || header.bytes % kFrameAlign != 0) return false;
  if (header.bytes < sizeof header || header.bytes > end - offset) return false;
  if (header.kind < 1 || header.kind > 3) return false;
  at = bytes_at(offset, header.bytes, end);
  const uint64_t room = header.bytes - sizeof header;
  if (header.operations > room / kLeastOperationBytes) return false;

  uint64_t rolled = 0;
  if (header.kind == static_cast<uint16_t>(FrameKind::kLink)) {
    // The frame's checksum covers the target's checksum only: torn within a line, that word may
    // have landed without the rest.
    if (room < sizeof(LinkTarget)) return false;
    const auto target = load<LinkTarget>(at + sizeof header);
    if (target.checksum != checksum(&target, offsetof(LinkTarget, checksum))) return false;
    rolled = target.checksum;
  } else {
    uint64_t used = 0;
    for (uint32_t i = 0; i < header.operations; i++) {
      OperationView view;
      if (!read_operation(at + sizeof header + used, room - used, form_of(header), &view)) {
        if (!planted(PlantedBug::kTornRecordAccepted)) return false;
        header.operations = i;
        break;
      }
      used += view.bytes;
      if (used > room) return false;
      if (view.key.size() < kLeastKeyBytes || view.key.size() > kMostKeyBytes) return false;
      rolled = roll(rolled, view.checksum);
    }
  }
  const bool unchecked =
      planted(PlantedBug::kTornRecordAccepted) || planted(PlantedBug::kChecksumNotChecked);
  if (!unchecked &&
      frame_checksum(header, rolled, place_seed(secret_, sequence, offset)) != header.checksum)
    return false;
  out->header = header;
  out->offset = offset;
  out->operations = at + sizeof header;
  out->operations_bytes = room;
  return true;
}

bool LogReader::peek_frame(const Segment& segment, uint64_t offset, FrameHeader* out) const {
  const uint64_t end = segment.end() < medium_.view_end() ? segment.end() : medium_.view_end();
  if (offset >= end || end - offset < sizeof(FrameHeader)) return false;
  *out = load<FrameHeader>(medium_.view() + offset);
  return is_frame_magic(out->magic);
}

bool LogReader::read_segment_header(const Segment& segment, SegmentHeader* out) const {
  if (segment.bytes < sizeof(SegmentHeader) || !is_inside(segment)) return false;
  *out = load<SegmentHeader>(medium_.view() + segment.offset);
  return out->magic == SegmentHeader::kMagic && out->offset == segment.offset &&
         out->checksum == segment_checksum(*out, secret_);
}

bool LogReader::follows(const FrameHeader& header, FrameExpectation* expected) {
  const bool any = planted(PlantedBug::kIncarnationNotChecked);
  if (header.incarnation < expected->incarnation && !any) return false;
  if (header.kind == static_cast<uint16_t>(FrameKind::kLink)) {
    if (header.epoch != (expected->pending_epoch ? expected->pending_epoch : expected->epoch))
      return false;
    expected->incarnation = header.incarnation;
    return true;
  }
  if (expected->pending_epoch) {
    if (header.epoch != expected->pending_epoch || header.part != expected->next_part) return false;
    if (header.incarnation != expected->incarnation && !any) return false;
  } else if (header.epoch != expected->epoch + 1 || header.part != 0) {
    return false;
  }
  expected->incarnation = header.incarnation;
  if (header.flags & FrameHeader::kLastPart) {
    expected->epoch = header.epoch;
    expected->pending_epoch = 0;
    expected->next_part = 0;
  } else {
    expected->pending_epoch = header.epoch;
    expected->next_part = header.part + 1;
  }
  return true;
}

bool LogReader::read_link(const FrameView& frame, LinkTarget* out) const {
  *out = load<LinkTarget>(frame.operations);
  if (out->checksum != checksum(out, offsetof(LinkTarget, checksum))) return false;
  return out->offset % 4096 == 0 && out->bytes >= 4096 && out->offset + out->bytes > out->offset;
}

bool LogReader::values_stand(const FrameView& frame) const {
  bool stand = true;
  std::vector<uint8_t> chunk;
  for_each_operation(frame, [&](const OperationView& operation, uint64_t) {
    if (operation.type != OperationType::kPutLarge) return true;
    const auto value = LargeValue::decode(operation.value);
    if (!value || !LargeValue::share_barrier(medium_.info(), value->size)) return true;
    for (const LargePiece& piece : value->pieces) {
      stand =
          stand && piece.segment.end() <= medium_.view_end() && piece.used <= piece.segment.bytes;
      uint64_t rolled = 0;
      for (uint64_t at = 0; stand && at < piece.used; at += chunk.size()) {
        chunk.resize(std::min(LargeValue::kChunk, piece.used - at));
        medium_.copy_out(piece.segment.offset + at, chunk.data(), chunk.size());
        rolled = roll(rolled, checksum(chunk.data(), chunk.size()));
      }
      stand = stand && rolled == piece.checksum;
    }
    return stand;
  });
  return stand;
}

bool LogReader::link_at(const Segment& segment, uint64_t sequence, uint64_t offset,
                        uint32_t incarnation, LinkTarget* out) const {
  FrameView frame;
  if (!read_frame(segment, sequence, offset, &frame)) return false;
  if (frame.header.kind != static_cast<uint16_t>(FrameKind::kLink) ||
      frame.header.incarnation < incarnation)
    return false;
  return read_link(frame, out) && out->sequence == sequence + 1;
}

// Calls `each(offset, header)` for every place in [from, end) where a frame may begin, in order,
// until it returns true. Most of it is looked at this once, behind the log's end: it is copied out,
// piece by piece. What the header says is not verified.
template <typename Each>
bool LogReader::any_frame_mark(uint64_t from, uint64_t end, Each&& each) const {
  constexpr uint64_t kPiece = 64 * kKiB;
  static_assert(sizeof(FrameHeader) <= kFrameAlign && kPiece % kFrameAlign == 0);
  end = std::min(end, medium_.view_end());
  if (from >= end) return false;
  const auto piece = std::make_unique<uint8_t[]>(kPiece);
  for (uint64_t at = from; at < end; at += kPiece) {
    const uint64_t bytes = std::min(kPiece, end - at);
    medium_.copy_out(at, piece.get(), bytes);
    for (uint64_t i = 0; i + kFrameAlign <= bytes; i += kFrameAlign) {
      if (!is_frame_magic(load<uint32_t>(piece.get() + i + offsetof(FrameHeader, magic)))) continue;
      if (each(at + i, load<FrameHeader>(piece.get() + i))) return true;
    }
  }
  return false;
}

bool LogReader::link_at_end(const Segment& segment, uint64_t sequence, uint32_t incarnation,
                            LinkTarget* out) const {
  return segment.bytes >= kLinkRoomBytes &&
         link_at(segment, sequence, segment.end() - kLinkFrameBytes, incarnation, out);
}

bool LogReader::find_link(const Segment& segment, uint64_t sequence, uint64_t offset,
                          uint32_t incarnation, LinkTarget* out) const {
  if (link_at_end(segment, sequence, incarnation, out)) return true;
  return any_frame_mark(offset, segment.end(), [&](uint64_t at, const FrameHeader& header) {
    return header.kind == static_cast<uint16_t>(FrameKind::kLink) &&
           link_at(segment, sequence, at, incarnation, out);
  });
}

// Where the links end a mark may lead to a segment that they do not reach any more.
bool LogReader::proves_durable(const Segment& segment, uint64_t sequence, uint64_t offset,
                               uint64_t epoch, uint32_t incarnation) const {
  if (chain_proves(segment, sequence, offset, epoch, incarnation)) return true;
  const uint64_t pages = medium_.log_marks();
  if (pages == 0 || planted(PlantedBug::kLogMarksNotRead)) return false;
  for (uint64_t slot = 0; slot < 2; slot++) {
    LogMark mark;
    medium_.copy_out(pages + slot * kPageBytes, &mark, sizeof mark);
    if (!is_log_mark(mark, slot, secret_) || mark.incarnation < incarnation) continue;
    const Segment begun{mark.offset, mark.bytes};
    if (mark.durable_epoch >= epoch || (mark.sequence >= sequence && !is_inside(begun)))
      return true;
    if (mark.sequence > sequence &&
        chain_proves(begun, mark.sequence, begun.offset, epoch, incarnation))
      return true;
  }
  return false;
}

// Sequences rise by one with each segment and seed its checksums, so a chain of links cannot run in
// a circle for long. What proves it and where the log goes on are looked for together: the rest of
// a segment is much to look at.
bool LogReader::chain_proves(const Segment& first, uint64_t first_sequence, uint64_t offset,
                             uint64_t epoch, uint32_t incarnation) const {
  constexpr int kMostSegments = 4096;
  Segment segment = first;
  uint64_t sequence = first_sequence;
  uint64_t from = offset + kFrameAlign;
  for (int hops = 0; hops < kMostSegments; hops++) {
    LinkTarget next;
    bool goes_on = link_at_end(segment, sequence, incarnation, &next);
    const bool proven =
        any_frame_mark(offset, segment.end(), [&](uint64_t at, const FrameHeader& header) {
          goes_on = goes_on || (header.kind == static_cast<uint16_t>(FrameKind::kLink) &&
                                link_at(segment, sequence, at, incarnation, &next));
          FrameView frame;
          return at >= from && header.epoch >= epoch && header.incarnation >= incarnation &&
                 read_frame(segment, sequence, at, &frame) &&
                 frame.header.epoch - frame.header.behind >= epoch;
        });
    if (proven) return true;
    if (!is_inside(segment) || !goes_on) return false;
    segment = {next.offset, next.bytes};
    if (!is_inside(segment)) return false;
    sequence = next.sequence;
    from = segment.offset + sizeof(SegmentHeader);
    offset = from;
  }
  return false;
}

}  // namespace holdfast
