#include "engine/recover/recovery.h"

#include "base/test_hooks.h"
#include "base/test_points.h"
#include "engine/state/clock.h"
#include "format/large_value.h"
#include "log/log_copy.h"

namespace holdfast {

// A pool nobody has opened yet: one empty log segment and a fold that says so; where segments are
// short, others ready behind it.
Status Recovery::begin_new_pool() {
  log_.retention.begin(options_.retain.value_or(RetainWish()));
  HOLDFAST_TRY(medium_.adopt({}));
  const uint64_t want = room_.log_segment_bytes();
  auto piece = medium_.allocate(SegmentKind::kLog, std::min(512 * kKiB, want),
                                std::max(want, room_.zeroed_at_once()));
  if (!piece.is_ok()) return std::move(piece.status());
  const Segment segment = room_.cut(*piece, want);
  log_.segments.add(segment, 1);
  log_.writer.resume(segment, 1, segment.offset, true, 1);
  FoldBlock block;
  block.time_ms = now_ms();
  block.epoch = options_.first_epoch;
  log_.epoch = options_.first_epoch;
  index_.visible_epoch = options_.first_epoch;
  barriers_.begin_at(options_.first_epoch);
  block.log_sequence = 1;
  block.log_offset = segment.offset;
  block.incarnation = 1;
  block.retain_ms = log_.retention.wish.ms;
  block.retain_bytes = log_.retention.wish.bytes;
  block.log.push_back({segment, 1, 0});
  fold_.root.version = kRootVersion;
  fold_.root.incarnation = 1;
  return fold_.set(std::move(block), true);
}

Status Recovery::run() {
  fold_.root = RootWords::from_root(medium_.root());
  const bool has_tail = fold_.root.incarnation != 0 && !fold_.root.clean;
  index_.view.active = std::make_shared<Overlay>(has_tail ? Pages::kSmall : Pages::kHuge);
  index_.view.regions = std::make_shared<RegionMap>();
  if (fold_.root.incarnation == 0) return begin_new_pool();
  if (fold_.root.version > kRootVersion) {
    return Status(Code::kNewerFormat, "the pool's root has version " +
                                          std::to_string(fold_.root.version) +
                                          ", this build reads up to " +
                                          std::to_string(kRootVersion) + "; use a newer Holdfast");
  }
  return replay();
}

// The header of a segment and its first record are written together, and a crash may have lost one
// without the other. A valid record makes the segment part of the log, so its header is written
// again: all it says is known from the link and the record.
void Recovery::note_lost_header(const LogReader& reader, const FrameView& frame) {
  const LogSegment* s = log_.segments.find(frame.offset);
  if (!s || frame.offset != s->segment.offset + sizeof(SegmentHeader)) return;
  SegmentHeader header;
  if (reader.read_segment_header(s->segment, &header) && header.sequence == s->sequence) return;
  lost_headers_.push_back(make_segment_header(s->segment.offset, s->segment.bytes, s->sequence,
                                              frame.header.epoch, secret_));
}

Status Recovery::write_headers() {
  if (lost_headers_.empty()) return {};
  for (const SegmentHeader& header : lost_headers_) {
    Status placed = medium_.append(header.offset, &header, sizeof header);
    if (!placed.is_ok()) return health_.fail(std::move(placed));
  }
  Status done = medium_.barrier();
  return done.is_ok() ? Status() : health_.fail(std::move(done));
}

Status Recovery::replay() {
  if (!fold_.root.clean) HOLDFAST_TRY(medium_.barrier());
  HOLDFAST_TRY(FoldRoot::read_block(medium_, fold_.root, &fold_.block));
  take_fold();

  LogCopy copy(medium_);
  const LogReader reader(medium_, secret_, &copy);
  Tail tail(reader, fold_.block);
  HOLDFAST_TRY(tail.begins_well());
  log_.epoch = fold_.block.epoch;
  const bool torn_allowed = fold_.root.placing != 0;
  region_commits_.allow_torn(torn_allowed);
  if (!fold_.root.clean) HOLDFAST_TRY(walk_tail(&tail, reader));
  if (torn_allowed) index_.view.active->regions.set_on_its_way();
  region_commits_.allow_torn(false);
  log_.tail.operations = replayed_operations_;
  log_.tail.bytes = replayed_bytes_;
  index_.visible_epoch = log_.epoch;
  barriers_.begin_at(log_.epoch);
  keep_for_readers();
  HOLDFAST_POINT("open.before_adopt");
  HOLDFAST_TRY(medium_.adopt(held_));
  region_commits_.set_aside_replayed(&fresh_);
  HOLDFAST_TRY(write_headers());
  HOLDFAST_POINT("open.before_root");
  return go_on_behind(tail);
}

// The books as of the fold.
void Recovery::take_fold() {
  held_.push_back(fold_.root.fold);
  for (const FoldedSegment& s : fold_.block.log) {
    log_.segments.add(s.segment, s.sequence, s.live_bytes);
    if (s.live_bytes == 0 && s.sequence < fold_.block.log_sequence)
      fold_.kept_for_feed = std::min(fold_.kept_for_feed, s.sequence);
    held_.push_back(s.segment);
  }
  for (const Segment& s : fold_.block.large) {
    log_.large[s.offset] = s;
    held_.push_back(s);
  }
  for (const KeptSegment& s : fold_.block.kept) {
    log_.graveyard.bury(s.segment, 0, 0, s.sequence);
    fold_.kept_for_feed = std::min(fold_.kept_for_feed, s.sequence);
    held_.push_back(s.segment);
  }
  log_.retention.begin(
      options_.retain.value_or(RetainWish{fold_.block.retain_ms, fold_.block.retain_bytes}));
  log_.history = fold_.block.history;
  for (const auto& tables : fold_.block.runs) {
    std::vector<TableRef> refs;
    for (const FoldedTable& t : tables) {
      refs.push_back({t.segment, t.entries, t.nodes, t.root, t.depth, t.first_key, t.last_key});
      held_.push_back(t.segment);
    }
    index_.view.runs.push_back(index_.make_run(medium_, std::move(refs)));
  }
  region_commits_.adopt(fold_.block.regions, &held_);
}

Status Recovery::walk_tail(Tail* tail, const LogReader& reader) {
  HOLDFAST_TRY(tail->walk(
      Tail::kToItsEnd,
      [&](const FrameView& frame) {
        note_lost_header(reader, frame);
        replay_frame(frame);
      },
      [&](const Segment& segment, uint64_t sequence) {
        log_.segments.add(segment, sequence);
        held_.push_back(segment);
      }));
  log_.epoch = tail->epoch();
  return {};
}

void Recovery::replay_frame(const FrameView& frame) {
  const auto kind = static_cast<FrameKind>(frame.header.kind);
  for_each_operation(frame, [&](const OperationView& operation, uint64_t offset) {
    if (const auto value = kind == FrameKind::kCommit && operation.type == OperationType::kPutLarge
                               ? LargeValue::decode(operation.value)
                               : std::nullopt) {
      for (const LargePiece& piece : value->pieces) held_.push_back(piece.segment);
    }
    region_commits_.note_wanted(operation, &fresh_);
    appender_.apply_operation(operation, offset, kind, frame.header.epoch);
    replayed_operations_++;
    return true;
  });
  replayed_bytes_ += frame.header.bytes;
}

// Frames of an incarnation that none before had.
Status Recovery::go_on_behind(const Tail& tail) {
  fold_.root.version = kRootVersion;
  fold_.root.incarnation++;
  fold_.root.clean = 0;
  log_.writer.resume(tail.head(), tail.sequence(), tail.position(),
                     tail.position() == tail.head().offset, fold_.root.incarnation);
  Status set = medium_.set_root(fold_.root.to_root());
  HOLDFAST_POINT("open.after_root");
  return set.is_ok() ? Status() : health_.fail(std::move(set));
}

}  // namespace holdfast
