// Space comes back by segment: the few live operations of a mostly dead segment are appended to the log again, as a record of
// their own kind, and after the next fold the segment is given back whole.
//
// What a reopen sees: a move changes no key's value, only where it lies. Until the fold that follows is durable the old segment is
// still held, so whichever of the two places the recovered index names, the bytes are there.
//
// Moves go in small records under the append lock; a key that was committed anew in between is left alone, because its place is
// compared again under that lock.

#include <algorithm>

#include "base/test_hooks.h"
#include "base/test_points.h"
#include "engine/pool_impl.h"

namespace holdfast {

namespace {
constexpr int kFruitlessRounds = 16;
constexpr uint64_t kMoveBytes = 64 * kKiB;  // live bytes moved under one hold of the append lock
}

// Sealed, folded segments, those with the largest dead share first, as many as their live bytes may be moved.
std::vector<LogSegment> PoolImpl::choose_victims(uint64_t may_move) {
  std::vector<LogSegment> candidates;
  {
    std::lock_guard append(append_mutex_);
    (void)refresh_retention();
    for (const auto& [offset, s] : segments_.all()) {
      const uint64_t dead = s.segment.bytes - std::min(s.live_bytes, s.segment.bytes);
      if (s.sequence >= retention_.floor()) continue;
      if (!s.retired && !s.damaged && s.sequence < folded_.log_sequence && dead * 16 >= s.segment.bytes) candidates.push_back(s);
    }
  }
  const auto dead_share = [](const LogSegment& s) {
    return static_cast<double>(s.segment.bytes - s.live_bytes) / static_cast<double>(s.segment.bytes);
  };
  std::sort(candidates.begin(), candidates.end(), [&](const auto& a, const auto& b) { return dead_share(a) > dead_share(b); });
  std::vector<LogSegment> out;
  uint64_t moving = 0;
  for (const LogSegment& s : candidates) {
    if (!out.empty() && moving + s.live_bytes > may_move) break;
    moving += s.live_bytes;
    out.push_back(s);
    if (out.size() >= 16) break;
  }
  return out;
}

Status PoolImpl::clean_segment(const LogSegment& victim) {
  const LogReader reader(*medium_, secret_);
  RecordBuffer moves;
  std::vector<Place> origins;
  uint64_t at = victim.segment.offset + sizeof(SegmentHeader);
  FrameView frame;
  bool ended = false;
  while (!ended && reader.read_frame(victim.segment, victim.sequence, at, &frame)) {
    if (frame.header.kind == static_cast<uint16_t>(FrameKind::kLink)) {
      ended = true;
      break;
    }
    for_each_operation(frame, [&](const OperationView& operation, uint64_t offset) {
      if (operation.type == OperationType::kDelete) return true;
      const Place here = Place::of(offset, operation.bytes, operation.type == OperationType::kPutLarge);
      std::shared_lock guard(index_.lock);
      auto found = index_.view.find(operation.key, Overlay::kLatest);
      if (found.is_ok() && found->has_value() && **found == here) {
        moves.add_encoded(medium_->view() + offset, operation.bytes);
        origins.push_back(here);
      }
      return true;
    });
    if (moves.bytes() >= kMoveBytes) reach(TestPoint::kMovesGathered);
    if (moves.bytes() >= kMoveBytes) HOLDFAST_TRY(move_live(&moves, &origins));
    at += frame.header.bytes;
  }
  if (moves.count() > 0) reach(TestPoint::kMovesGathered);
  if (moves.count() > 0) HOLDFAST_TRY(move_live(&moves, &origins));
  reach(TestPoint::kCleaned);
  std::lock_guard append(append_mutex_);
  LogSegment* now = segments_.find(victim.segment.offset);
  if (!now) return {};
  if (!ended) {
    now->damaged = true;  // what cannot be read cannot be carried: the segment stays, and check() names the place
    return {};
  }
  if (now->sequence >= retention_.floor()) return {};  // a reader of the log has come meanwhile: when it has passed, the next fold takes it
  HOLDFAST_POINT("clean.before_retire");
  now->retired = true;
  graveyard_.bury(victim.segment, freezes_ + 1, index_.next_serial());
  segments_cleaned_.fetch_add(1, std::memory_order_relaxed);
  return {};
}

Status PoolImpl::move_live(RecordBuffer* moves, std::vector<Place>* origins) {
  RecordBuffer still;

  {
    std::lock_guard append(append_mutex_);
    HOLDFAST_TRY(usable());
    uint64_t at = 0;
    for (const Place& origin : *origins) {
      const uint8_t* raw = moves->operations() + at;
      const auto header = load<OperationHeader>(raw);
      at += origin.bytes();
      std::shared_lock guard(index_.lock);
      auto found = index_.view.find(bytes_of(raw + sizeof header, header.key_bytes), Overlay::kLatest);
      const bool same = found.is_ok() && found->has_value() && **found == origin;
      if (same || planted(PlantedBug::kMoveNotCompared)) still.add_encoded(raw, origin.bytes());
    }
    if (still.count() > 0) {
      HOLDFAST_POINT("clean.before_move");
      if (fence_at_once_) {
        HOLDFAST_TRY(append_durable(&still, FrameKind::kMove, Purpose::kCleaner));
      } else {
        HOLDFAST_TRY(append_record(&still, FrameKind::kMove, Purpose::kCleaner));
        appended_epoch_.store(epoch_, std::memory_order_release);
      }
      HOLDFAST_POINT("clean.after_move");
      bytes_moved_.fetch_add(still.bytes(), std::memory_order_relaxed);
    }
  }
  moves->clear();
  origins->clear();
  return {};
}

// Nothing is left to clean: what is kept for the change feed only goes before a commit is refused. False: there is none.
bool PoolImpl::let_retention_give_way() {
  std::lock_guard append(append_mutex_);
  return retention_.give_way(segments_, log_.sequence());
}

// Folds and cleans until `wanted_free` bytes are free, or nothing more is to be had. Under maintenance_mutex_.
bool PoolImpl::reclaim(uint64_t wanted_free) {
  const auto free_now = [&] {
    std::lock_guard append(append_mutex_);
    uint64_t free = medium_->space().free;
    for (const Segment& spare : spares_) free += spare.bytes;
    return free;
  };
  int fruitless = 0;  // a round may free less than its folds took; several in a row say that nothing is left
  for (int round = 0; round < 256; round++) {
    if (!run_fold(false).is_ok()) {
      merge_piled_up();
      if (!run_fold(false).is_ok() && free_now() < wanted_free && round > 0) return false;
    }
    give_back();
    const uint64_t before = free_now();
    if (before >= wanted_free) return true;
    if (closing_.load()) return false;
    const uint64_t log_bytes = [&] {
      std::lock_guard append(append_mutex_);
      return log_segment_bytes();
    }();
    const auto victims = choose_victims(before > 4 * log_bytes ? before - 2 * log_bytes : before / 2);
    if (victims.empty() && !let_retention_give_way()) return false;
    for (const LogSegment& victim : victims) {
      if (!clean_segment(victim).is_ok()) break;
    }
    if (!run_fold(false).is_ok()) return free_now() >= wanted_free;
    merge_piled_up();
    give_back();
    fruitless = free_now() > before ? 0 : fruitless + 1;
    if (fruitless < kFruitlessRounds) continue;
    if (!let_retention_give_way()) return free_now() >= wanted_free;
    fruitless = 0;
  }
  return free_now() >= wanted_free;
}

}  // namespace holdfast
