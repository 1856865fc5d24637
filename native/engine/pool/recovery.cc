// Opening: take the newest valid fold, then replay records until the first that is not valid.
//
// What makes the replayed tail safe to build on: a barrier is raised before it is read (after a
// mere process death its bytes may only be in the page cache), and the incarnation written into
// every frame from now on is higher than any in the log, set in the root before the first commit:
// whatever older frames lie behind the place where we go on can never follow ours.
//
// What tells a torn tail from damage: every frame says how far behind it the durable epoch was. If
// behind the first invalid frame lies a valid one that was written when the invalid one's epoch was
// already durable, an acknowledged record is damaged: kCorrupt.

#include "base/test_hooks.h"
#include "base/test_points.h"
#include "engine/pool/pool_impl.h"
#include "log/tail.h"

namespace holdfast {

// A pool nobody has opened yet: one empty log segment and a fold that says so; where segments are
// short, others ready behind it.
Status PoolImpl::begin_new_pool() {
  log_.retention.begin(options_.retain.value_or(RetainWish()));
  HOLDFAST_TRY(medium_->adopt({}));
  const uint64_t want = room_.log_segment_bytes();
  auto piece = medium_->allocate(SegmentKind::kLog, std::min(512 * kKiB, want),
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
  fold_.root.incarnation = 1;
  return fold_.set(std::move(block), true);
}

Status PoolImpl::recover() {
  const auto begun = Clock::now();
  fold_.root = RootWords::from_root(medium_->root());
  const bool has_tail = fold_.root.incarnation != 0 && !fold_.root.clean;
  index_.view.active = std::make_shared<Overlay>(has_tail ? Pages::kSmall : Pages::kHuge);
  index_.view.regions = std::make_shared<RegionMap>();
  if (fold_.root.incarnation == 0) {
    HOLDFAST_TRY(begin_new_pool());
  } else {
    if (fold_.root.version > kRootVersion) {
      return Status(Code::kNewerFormat,
                    "the pool's root has version " + std::to_string(fold_.root.version) +
                        ", this build reads up to " + std::to_string(kRootVersion) +
                        "; use a newer Holdfast");
    }
    HOLDFAST_TRY(replay());
  }
  folder_.set_limits();
  readers_.durable(barriers_.durable());
  open_us_ = static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begun).count());
  return {};
}

// The header of a segment and its first record are written together, and a crash may have lost one
// without the other. A valid record makes the segment part of the log, so its header is written
// again: all it says is known from the link and the record.
void PoolImpl::note_lost_header(const LogReader& reader, const FrameView& frame,
                                std::vector<SegmentHeader>* lost) {
  const LogSegment* s = log_.segments.find(frame.offset);
  if (!s || frame.offset != s->segment.offset + sizeof(SegmentHeader)) return;
  SegmentHeader header;
  if (reader.read_segment_header(s->segment, &header) && header.sequence == s->sequence) return;
  lost->push_back(make_segment_header(s->segment.offset, s->segment.bytes, s->sequence,
                                      frame.header.epoch, secret_));
}

Status PoolImpl::write_headers(const std::vector<SegmentHeader>& headers) {
  if (headers.empty()) return {};
  for (const SegmentHeader& header : headers) {
    Status placed = medium_->append(header.offset, &header, sizeof header);
    if (!placed.is_ok()) return health_.fail(std::move(placed));
  }
  Status done = medium_->barrier();
  return done.is_ok() ? Status() : health_.fail(std::move(done));
}

Status PoolImpl::replay() {
  if (!fold_.root.clean) HOLDFAST_TRY(medium_->barrier());
  HOLDFAST_TRY(FoldRoot::read_block(*medium_, fold_.root, &fold_.block));
  std::vector<Segment> held{fold_.root.fold};
  for (const FoldedSegment& s : fold_.block.log) {
    log_.segments.add(s.segment, s.sequence, s.live_bytes);
    if (s.live_bytes == 0 && s.sequence < fold_.block.log_sequence)
      fold_.kept_for_feed = std::min(fold_.kept_for_feed, s.sequence);
    held.push_back(s.segment);
  }
  for (const Segment& s : fold_.block.large) {
    log_.large[s.offset] = s;
    held.push_back(s);
  }
  for (const KeptSegment& s : fold_.block.kept) {
    log_.graveyard.bury(s.segment, 0, 0, s.sequence);
    fold_.kept_for_feed = std::min(fold_.kept_for_feed, s.sequence);
    held.push_back(s.segment);
  }
  log_.retention.begin(
      options_.retain.value_or(RetainWish{fold_.block.retain_ms, fold_.block.retain_bytes}));
  log_.history = fold_.block.history;
  for (const auto& tables : fold_.block.runs) {
    std::vector<TableRef> refs;
    for (const FoldedTable& t : tables) {
      refs.push_back({t.segment, t.entries, t.nodes, t.root, t.depth, t.first_key, t.last_key});
      held.push_back(t.segment);
    }
    index_.view.runs.push_back(index_.make_run(*medium_, std::move(refs)));
  }
  region_commits_.adopt(fold_.block.regions, &held);
  fold_.note_announced();

  LogCopy copy(*medium_);
  const LogReader reader(*medium_, secret_, &copy);
  std::vector<SegmentHeader> lost_headers;
  WantedExtents fresh;
  Tail tail(reader, fold_.block);
  HOLDFAST_TRY(tail.begins_well());
  log_.epoch = fold_.block.epoch;
  const bool torn_allowed = fold_.root.placing != 0;
  region_commits_.allow_torn(torn_allowed);
  if (!fold_.root.clean) {
    HOLDFAST_TRY(tail.walk(
        Tail::kToItsEnd,
        [&](const FrameView& frame) {
          const auto kind = static_cast<FrameKind>(frame.header.kind);
          note_lost_header(reader, frame, &lost_headers);
          for_each_operation(frame, [&](const OperationView& operation, uint64_t offset) {
            if (const auto value =
                    kind == FrameKind::kCommit && operation.type == OperationType::kPutLarge
                        ? LargeValue::decode(operation.value)
                        : std::nullopt) {
              for (const LargePiece& piece : value->pieces) held.push_back(piece.segment);
            }
            region_commits_.note_wanted(operation, &fresh);
            appender_.apply_operation(operation, offset, kind, frame.header.epoch);
            replayed_operations_++;
            return true;
          });
          replayed_bytes_ += frame.header.bytes;
        },
        [&](const Segment& segment, uint64_t sequence) {
          log_.segments.add(segment, sequence);
          held.push_back(segment);
        }));
    log_.epoch = tail.epoch();
  }
  if (torn_allowed) index_.view.active->regions.set_on_its_way();
  region_commits_.allow_torn(false);
  log_.tail.operations = replayed_operations_;
  log_.tail.bytes = replayed_bytes_;
  index_.visible_epoch = log_.epoch;
  barriers_.begin_at(log_.epoch);
  keep_for_readers(&held);
  HOLDFAST_POINT("open.before_adopt");
  HOLDFAST_TRY(medium_->adopt(held));
  region_commits_.set_aside_replayed(&fresh);
  HOLDFAST_TRY(write_headers(lost_headers));
  HOLDFAST_POINT("open.before_root");

  fold_.root.incarnation++;
  fold_.root.clean = 0;
  log_.writer.resume(tail.head(), tail.sequence(), tail.position(),
                     tail.position() == tail.head().offset, fold_.root.incarnation);
  Status set = medium_->set_root(fold_.root.to_root());
  HOLDFAST_POINT("open.after_root");
  return set.is_ok() ? Status() : health_.fail(std::move(set));
}

// The log goes on in a segment of its own, so that the feed meets no jump inside one; then the
// numbers jump and a fold says so.
Status PoolImpl::continue_from(uint64_t epoch) {
  HOLDFAST_TRY(settle());
  std::lock_guard guard(maintenance_mutex_);
  HOLDFAST_TRY(folder_.fold_all());
  {
    std::lock_guard append(log_.lock);
    HOLDFAST_TRY(health_.usable());
    std::vector<Segment> fresh;
    HOLDFAST_TRY(room_.take_log_segment(Purpose::kUser, kKiB, &fresh));
    log_.segments.add(fresh[0], log_.writer.next_sequence());
    Status linked =
        log_.writer.link_to(fresh[0], log_.epoch, std::min(barriers_.durable(), log_.epoch));
    if (linked.is_ok() && fence_at_once_)
      linked = medium_->barrier();  // before another thread can go on behind it
    if (!linked.is_ok()) return health_.fail(std::move(linked));
    log_.epoch = std::max(log_.epoch, epoch);
    log_.history = log_.epoch;
    index_.visible_epoch = log_.epoch;
    barriers_.begin_at(log_.epoch);
  }
  return folder_.run_fold(true);
}

}  // namespace holdfast
