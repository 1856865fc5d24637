#include "engine/feed/feed_source.h"

#include "engine/feed/log_cursor.h"
#include "format/large_value.h"
#include "log/log_reader.h"

namespace holdfast {

Result<std::unique_ptr<FeedCursor>> FeedSource::open(std::shared_ptr<const void> pool,
                                                     const FeedOptions& options) {
  auto cursor = std::make_unique<LogCursor>(std::move(pool), *this, options);
  HOLDFAST_TRY(cursor->begin());
  return std::unique_ptr<FeedCursor>(std::move(cursor));
}

Status FeedSource::forgotten(uint64_t after) const {
  return Status(
      Code::kForgotten,
      "the changes behind epoch " + std::to_string(after) + " are not held any more: " + name_ +
          " holds those from epoch " + std::to_string(oldest_change()) +
          " on; read the state anew and go on from its epoch, or open the pool with retain");
}

namespace {
// What is known of a segment of the row: the first epoch whose record begins in it (0: nobody can
// tell). The record itself is verified by who reads it: it may be long, and commits wait meanwhile.
uint64_t first_whole_epoch(const LogReader& reader, const LogSegment& s) {
  SegmentHeader header;
  FrameHeader frame;
  if (!reader.read_segment_header(s.segment, &header) || header.sequence != s.sequence) return 0;
  if (!reader.peek_frame(s.segment, s.segment.offset + sizeof header, &frame) ||
      frame.epoch != header.first_epoch)
    return 0;
  const bool begins = frame.kind != static_cast<uint16_t>(FrameKind::kLink) && frame.part == 0;
  return begins ? header.first_epoch : header.first_epoch + 1;
}
}  // namespace

Status FeedSource::find_start(uint64_t after, Start* start) const {
  if (after == log_.epoch) {  // the next commit's place is known, whatever is damaged before it
    *start = {log_.writer.head(), log_.writer.sequence(), log_.writer.position(), log_.epoch};
    return {};
  }
  const LogReader reader(medium_, secret_);
  const auto row = log_.segments.by_sequence();
  const uint64_t oldest = Retention::oldest_unbroken(log_.segments, log_.writer.sequence());
  for (size_t i = row.size(); i-- > 0;) {
    const LogSegment& s = row[i];
    if (s.sequence > log_.writer.sequence()) continue;
    if (s.sequence < oldest) break;
    const bool untouched =
        s.sequence == log_.writer.sequence() && log_.writer.position() == s.segment.offset;
    const uint64_t first = untouched ? log_.epoch + 1 : first_whole_epoch(reader, s);
    if (first == 0 || first <= log_.history) break;
    if (first > after + 1) continue;
    *start = {s.segment, s.sequence, s.segment.offset, first - 1};
    return {};
  }
  return forgotten(after);
}

uint64_t FeedSource::oldest_change() const {
  const LogReader reader(medium_, secret_);
  uint64_t oldest = log_.epoch + 1;
  const uint64_t first_sequence = Retention::oldest_unbroken(log_.segments, log_.writer.sequence());
  const auto row = log_.segments.by_sequence();
  for (size_t i = row.size(); i-- > 0;) {
    const LogSegment& s = row[i];
    if (s.sequence > log_.writer.sequence()) continue;
    if (s.sequence < first_sequence) break;
    if (s.sequence == log_.writer.sequence() && log_.writer.position() == s.segment.offset)
      continue;
    const uint64_t first = first_whole_epoch(reader, s);
    if (first == 0 || first <= log_.history) break;
    oldest = first;
  }
  return oldest;
}

bool FeedSource::large_is_held(Bytes key, Bytes description) const {
  const auto value = LargeValue::decode(description);
  if (!value || value->pieces.empty()) return true;
  {
    std::shared_lock guard(index_.lock);
    auto found = index_.view.find(key, Overlay::kLatest);
    OperationView operation;
    if (found.is_ok() && found->has_value() && (*found)->is_large() &&
        operations_.read_in_pool(**found, &operation) && operation.value == description) {
      return true;
    }
  }
  std::lock_guard append(log_.lock);
  bool held = false;
  log_.graveyard.for_each_held([&](const Segment& segment, uint64_t, uint64_t) {
    held = held || segment.offset == value->pieces[0].segment.offset;
  });
  return held;
}

}  // namespace holdfast
