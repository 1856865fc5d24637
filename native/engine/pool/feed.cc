// Cursors over the log. See feed.h for what they promise.
//
// Why a cursor cannot be led astray by what an earlier life left in the log: it goes from frame to
// frame by their lengths, from a place where a frame was known to begin, and looks at a frame only
// when the epoch that must come next is durable, so that what stands there is that frame or damage.
// Recovery goes on writing exactly behind the last whole record.

#include "engine/feed.h"

#include "base/test_hooks.h"
#include "engine/pool/pool_impl.h"
#include "engine/read/large_chunks.h"

namespace holdfast {

namespace {

std::string numbered(uint64_t n) { return std::to_string(n); }

}  // namespace

class LogCursor final : public FeedCursor {
 public:
  LogCursor(std::shared_ptr<PoolImpl> pool, const FeedOptions& options)
      : pool_(std::move(pool)), options_(options), reader_(*pool_->medium_, pool_->secret_) {
    hold_.lag_bytes = options.lag_bytes;
  }
  ~LogCursor() override { pool_->end_feed(&hold_); }

  Status begin() {
    std::lock_guard append(pool_->log_.lock);
    HOLDFAST_TRY(pool_->health_.usable());
    const uint64_t newest = pool_->log_.epoch;
    if (options_.after == FeedOptions::kNow) options_.after = newest;
    if (options_.after > newest) {
      return Status(Code::kOutOfRange, "the feed cannot begin behind epoch " +
                                           numbered(options_.after) + ": the newest commit of " +
                                           pool_->name_ + " is " + numbered(newest));
    }
    PoolImpl::FeedStart start;
    HOLDFAST_TRY(pool_->find_feed_start(options_.after, &start));
    segment_ = start.segment;
    sequence_ = start.sequence;
    position_ = start.position;
    reached_ = start.reached;
    hold_.sequence = sequence_;
    pool_->log_.retention.add(&hold_);
    return {};
  }

  Result<uint64_t> next(uint64_t at_most_bytes, const Each& each) override {
    HOLDFAST_TRY(begin_reading());
    auto given = walk(at_most_bytes, each);
    end_reading();
    return given;
  }

  // Where commits are fenced at once their epoch becomes durable by a plain store, under the append
  // lock, before they look whether a watcher is armed: one that arms itself and then looks under
  // the lock sees the commit, or is seen by it.
  bool behind() const override {
    std::unique_lock append(pool_->log_.lock, std::defer_lock);
    if (pool_->fence_at_once_) append.lock();
    return reached_ < pool_->barriers_.durable(std::memory_order_seq_cst);
  }
  uint64_t reached() const override {
    return reached_ > options_.after ? reached_ : options_.after;
  }

  Status read_large(const FeedChange& change, const EachChunk& each) override {
    LargeChunks chunks(pool_->medium(), pool_->health(), std::string(change.value));
    Status taken;
    while (taken.is_ok()) {
      auto more =
          chunks.next([&](const uint8_t* bytes, size_t size) { taken = each(bytes, size); });
      if (more.is_ok() && !*more) break;
      if (more.is_ok()) continue;
      const bool as_it_is =
          more.status().code() != Code::kCorrupt || pool_->large_is_held(change.key, change.value);
      return as_it_is ? std::move(more.status()) : LargeChunks::forgotten(change.value_bytes);
    }
    return taken;
  }

 private:
  Status begin_reading() {
    std::lock_guard append(pool_->log_.lock);
    HOLDFAST_TRY(pool_->health_.usable());
    if (hold_.lost) {
      const LogSegment* s = pool_->log_.segments.find(segment_.offset);
      const uint64_t oldest =
          Retention::oldest_unbroken(pool_->log_.segments, pool_->log_.writer.sequence());
      if (!s || s->retired || s->sequence != sequence_ || sequence_ < oldest)
        return pool_->forgotten(reached());
      hold_.lost = false;  // it has not been given back after all
    }
    hold_.reading = true;
    hold_.sequence = sequence_;
    return {};
  }

  void end_reading() {
    std::lock_guard append(pool_->log_.lock);
    hold_.reading = false;
    hold_.sequence = sequence_;
    pool_->feed_idle_.notify_all();  // close() may wait for us
  }

  Status damaged(uint64_t at) const {
    if (pool_->medium_->failed()) return pool_->health_.usable();
    return Status(Code::kCorrupt, "the record of commit " + numbered(reached_ + 1) + " at offset " +
                                      numbered(at) + " of " + pool_->name_ +
                                      " is damaged; holdfast check lists all damage");
  }

  // One step: the next whole record, or over a link. The cursor moves on only when all of a record
  // was seen.
  Result<uint64_t> walk(uint64_t at_most_bytes, const Each& each) {
    const bool early = planted(PlantedBug::kFeedAheadOfBarrier);
    const uint64_t durable =
        early ? pool_->barriers_.appended() : pool_->barriers_.durable(std::memory_order_seq_cst);
    uint64_t given = 0, seen = 0;
    while (reached_ < durable && seen < at_most_bytes) {
      Segment segment = segment_;
      uint64_t sequence = sequence_, position = position_, epoch = 0;
      commit_.changes.clear();
      bool whole = false;
      while (!whole) {
        FrameView frame;
        const uint64_t at =
            position == segment.offset ? position + sizeof(SegmentHeader) : position;
        if (!reader_.read_frame(segment, sequence, at, &frame)) return damaged(at);
        position = at + frame.header.bytes;
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
      HOLDFAST_TRY(pool_->health_.sound());  // else what was copied just now may be zeros in place
                                             // of a page that failed
      if (!commit_.changes.empty()) given++;
      segment_ = segment, sequence_ = sequence, position_ = position, reached_ = epoch;
    }
    return given;
  }

  void gather(const FrameView& frame) {
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

  const std::shared_ptr<PoolImpl> pool_;
  FeedOptions options_;
  const LogReader reader_;
  FeedHold hold_;  // guarded by the pool's log_.lock
  Segment segment_;
  uint64_t sequence_ = 0, position_ = 0;
  uint64_t reached_ = 0;  // of the last record that was passed
  FeedCommit commit_;     // scratch
};

// ── what the pool does for them

Result<std::unique_ptr<FeedCursor>> PoolImpl::feed(const FeedOptions& options) {
  auto cursor =
      std::make_unique<LogCursor>(std::static_pointer_cast<PoolImpl>(shared_from_this()), options);
  HOLDFAST_TRY(cursor->begin());
  return std::unique_ptr<FeedCursor>(std::move(cursor));
}

void PoolImpl::end_feed(FeedHold* hold) {
  std::lock_guard append(log_.lock);
  log_.retention.remove(hold);
}

Status PoolImpl::forgotten(uint64_t after) const {
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

// Under log_.lock. The last segment in which the record behind `after`, or one before it,
// begins.
Status PoolImpl::find_feed_start(uint64_t after, FeedStart* start) const {
  if (after == log_.epoch) {  // the next commit's place is known, whatever is damaged before it
    *start = {log_.writer.head(), log_.writer.sequence(), log_.writer.position(), log_.epoch};
    return {};
  }
  const LogReader reader(*medium_, secret_);
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

// Under log_.lock. The oldest epoch whose changes are held; the next one to come when none is.
uint64_t PoolImpl::oldest_change() const {
  const LogReader reader(*medium_, secret_);
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

// Is the description the newest value of its key, or one that is kept for readers of the log?
bool PoolImpl::large_is_held(Bytes key, Bytes description) const {
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
