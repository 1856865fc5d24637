// The part of check() that no read would notice: log frames whose operations are dead or out of
// reach, headers of segments, the fold's description, and the doubled pages at the pool's front.
//
// A sealed segment is one unbroken row of valid frames up to its link; the head segment up to where
// the next record goes. What is not valid in between is damage; the row is taken up again at the
// next valid frame. The caller's snapshot keeps the segments from being given away meanwhile.

#include "engine/damage/checker.h"

namespace holdfast {

namespace {

std::string named(const LogSegment& s) {
  return "log segment " + std::to_string(s.sequence) + " at offset " +
         std::to_string(s.segment.offset);
}

// Walks a segment up to its link, or to `end`. Returns how far it came.
uint64_t check_frames(const LogReader& reader, ReadAhead ahead, const LogSegment& s, uint64_t end,
                      std::vector<std::string>* damages) {
  uint64_t at = s.segment.offset + sizeof(SegmentHeader);
  uint64_t damaged_from = 0;
  FrameView frame;
  const auto say = [&](uint64_t until) {
    if (damaged_from == 0) return;
    damages->push_back(named(s) + ": the records from offset " + std::to_string(damaged_from) +
                       " to " + std::to_string(until) + " are damaged");
    damaged_from = 0;
  };
  while (at < end) {
    if (!reader.read_frame(s.segment, s.sequence, at, &frame)) {
      if (damaged_from == 0) damaged_from = at;
      at += kFrameAlign;
      continue;
    }
    say(at);
    at += frame.header.bytes;
    ahead.comes_to(at, frame.header.bytes);
    if (frame.header.kind == static_cast<uint16_t>(FrameKind::kLink)) break;
  }
  say(at);
  return at - s.segment.offset;
}

}  // namespace

void Checker::check_log() {
  std::vector<LogSegment> segments;
  uint64_t head_sequence = 0, head_end = 0;
  {
    std::lock_guard append(parts_.log.lock);
    segments = parts_.log.segments.by_sequence();
    head_sequence = parts_.log.writer.sequence();
    head_end = parts_.log.writer.position();
    const Bytes block =
        bytes_of(parts_.medium.view() + parts_.fold.root.fold.offset, parts_.fold.root.fold_bytes);
    if (checksum(block.data(), block.size()) != parts_.fold.root.fold_checksum) {
      report_.damages.push_back("the fold at offset " +
                                std::to_string(parts_.fold.root.fold.offset) + " is damaged");
    }
  }
  const LogReader reader(parts_.medium, parts_.secret);
  for (const LogSegment& s : segments) {
    if (s.retired || aborted()) continue;
    const bool is_head = s.sequence == head_sequence;
    if (is_head && head_end == s.segment.offset) continue;  // nothing has been written here yet
    SegmentHeader header;
    if (!reader.read_segment_header(s.segment, &header) || header.sequence != s.sequence) {
      report_.damages.push_back("the header of " + named(s) + " is damaged");
    }
    report_.bytes_read += check_frames(reader, ReadAhead(parts_.medium), s,
                                       is_head ? head_end : s.segment.end(), &report_.damages);
  }
  parts_.medium.check([&](const std::string& damage) { report_.damages.push_back(damage); });
}

}  // namespace holdfast
