#include "engine/feed/log_cursor.h"

#include "base/test_hooks.h"
#include "engine/read/large_chunks.h"
#include "format/large_value.h"

namespace holdfast {

LogCursor::LogCursor(std::shared_ptr<const void> pool, FeedSource& source,
                     const FeedOptions& options)
    : pool_(std::move(pool)),
      source_(source),
      health_(source.health_),
      log_(source.log_),
      options_(options),
      reader_(source.medium_, source.secret_),
      ahead_(source.medium_) {
  hold_.lag_bytes = options.lag_bytes;
}

LogCursor::~LogCursor() {
  std::lock_guard append(log_.lock);
  log_.retention.remove(&hold_);
}

Status LogCursor::begin() {
  std::lock_guard append(log_.lock);
  HOLDFAST_TRY(health_.usable());
  const uint64_t newest = log_.epoch;
  if (options_.after == FeedOptions::kNow) options_.after = newest;
  if (options_.after > newest) {
    return Status(Code::kOutOfRange,
                  "the feed cannot begin behind epoch " + std::to_string(options_.after) +
                      ": the newest commit of " + source_.name_ + " is " + std::to_string(newest));
  }
  FeedSource::Start start;
  HOLDFAST_TRY(source_.find_start(options_.after, &start));
  segment_ = start.segment;
  sequence_ = start.sequence;
  position_ = start.position;
  reached_ = start.reached;
  hold_.sequence = sequence_;
  log_.retention.add(&hold_);
  return {};
}

Result<uint64_t> LogCursor::next(uint64_t at_most_bytes, const Each& each) {
  HOLDFAST_TRY(begin_reading());
  auto given = walk(at_most_bytes, each);
  end_reading();
  return given;
}

// Where commits are fenced at once their epoch becomes durable by a plain store, under the append
// lock, before they look whether a watcher is armed: one that arms itself and then looks under
// the lock sees the commit, or is seen by it.
bool LogCursor::behind() const {
  std::unique_lock append(log_.lock, std::defer_lock);
  if (source_.barriers_.at_once()) append.lock();
  return reached_ < source_.barriers_.durable(std::memory_order_seq_cst);
}

Status LogCursor::read_large(const FeedChange& change, const EachChunk& each) {
  LargeChunks chunks(source_.medium_, health_, std::string(change.value));
  Status taken;
  while (taken.is_ok()) {
    auto more = chunks.next([&](const uint8_t* bytes, size_t size) { taken = each(bytes, size); });
    if (more.is_ok() && !*more) break;
    if (more.is_ok()) continue;
    const bool as_it_is =
        more.status().code() != Code::kCorrupt || source_.large_is_held(change.key, change.value);
    return as_it_is ? std::move(more.status()) : LargeChunks::forgotten(change.value_bytes);
  }
  return taken;
}

Status LogCursor::begin_reading() {
  std::lock_guard append(log_.lock);
  HOLDFAST_TRY(health_.usable());
  if (hold_.lost) {
    const LogSegment* s = log_.segments.find(segment_.offset);
    const uint64_t oldest = Retention::oldest_unbroken(log_.segments, log_.writer.sequence());
    if (!s || s->retired || s->sequence != sequence_ || sequence_ < oldest)
      return source_.forgotten(reached());
    hold_.lost = false;  // it has not been given back after all
  }
  hold_.reading = true;
  hold_.sequence = sequence_;
  return {};
}

void LogCursor::end_reading() {
  std::lock_guard append(log_.lock);
  hold_.reading = false;
  hold_.sequence = sequence_;
  source_.idle_.notify_all();  // who closes the pool may wait for us
}

Status LogCursor::damaged(uint64_t at) const {
  if (source_.medium_.failed()) return health_.usable();
  return Status(Code::kCorrupt, "the record of commit " + std::to_string(reached_ + 1) +
                                    " at offset " + std::to_string(at) + " of " + source_.name_ +
                                    " is damaged; holdfast check lists all damage");
}

// One step: the next whole record, or over a link. The cursor moves on only when all of a record
// was seen.
Result<uint64_t> LogCursor::walk(uint64_t at_most_bytes, const Each& each) {
  const bool early = planted(PlantedBug::kFeedAheadOfBarrier);
  const uint64_t durable =
      early ? source_.barriers_.appended() : source_.barriers_.durable(std::memory_order_seq_cst);
  uint64_t given = 0, seen = 0;
  while (reached_ < durable && seen < at_most_bytes) {
    Segment segment = segment_;
    uint64_t sequence = sequence_, position = position_, epoch = 0;
    commit_.changes.clear();
    bool whole = false;
    while (!whole) {
      FrameView frame;
      const uint64_t at = position == segment.offset ? position + sizeof(SegmentHeader) : position;
      if (!reader_.read_frame(segment, sequence, at, &frame)) return damaged(at);
      position = at + frame.header.bytes;
      ahead_.comes_to(position, frame.header.bytes);
      if (frame.header.kind == static_cast<uint16_t>(FrameKind::kLink)) {
        LinkTarget target;
        if (!reader_.read_link(frame, &target) || target.sequence != sequence + 1)
          return damaged(at);
        segment = {target.offset, target.bytes};
        sequence = target.sequence;
        position = target.offset;
        continue;
      }
      if (epoch == 0 && frame.header.epoch == reached_ && frame.header.part > 0)
        continue;  // of a record begun before our place
      if (frame.header.epoch != reached_ + 1) return damaged(at);
      epoch = frame.header.epoch;
      whole = (frame.header.flags & FrameHeader::kLastPart) != 0;
      seen += frame.header.bytes;
      const bool commit = frame.header.kind == static_cast<uint16_t>(FrameKind::kCommit) ||
                          planted(PlantedBug::kMovesInFeed);
      if (commit && epoch > options_.after) gather(frame);
    }
    if (!commit_.changes.empty()) HOLDFAST_TRY(each(commit_));
    HOLDFAST_TRY(health_.sound());  // else what was copied just now may be zeros in place
                                    // of a page that failed
    if (!commit_.changes.empty()) given++;
    segment_ = segment, sequence_ = sequence, position_ = position, reached_ = epoch;
  }
  return given;
}

void LogCursor::gather(const FrameView& frame) {
  commit_.epoch = frame.header.epoch;
  commit_.time_ms = frame.header.time_ms;
  commit_.incarnation = frame.header.incarnation;
  for_each_operation(frame, [&](const OperationView& operation, uint64_t) {
    if (is_region_operation(operation.type)) {
      const bool asked = options_.region == 0
                             ? options_.regions
                             : options_.region == decode_region_key(operation.key).region;
      if (asked)
        commit_.changes.push_back(
            {operation.type, operation.key, operation.value, operation.value.size()});
      return true;
    }
    if (options_.region != 0) return true;
    if (operation.key < Bytes(options_.low) ||
        (!options_.high.empty() && operation.key >= Bytes(options_.high)))
      return true;
    FeedChange change{operation.type, operation.key, operation.value, operation.value.size()};
    if (operation.type == OperationType::kPutLarge) {
      const auto large = LargeValue::decode(operation.value);
      change.value_bytes = large ? large->size : 0;
    }
    commit_.changes.push_back(change);
    return true;
  });
}

}  // namespace holdfast
