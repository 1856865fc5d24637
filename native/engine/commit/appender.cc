#include "engine/commit/appender.h"

#include <algorithm>

#include "base/test_hooks.h"
#include "base/test_points.h"
#include "engine/state/clock.h"
#include "format/large_value.h"

namespace holdfast {

namespace {
constexpr uint64_t kFencedBytes = 16 * kKiB;  // readers wait while it is copied
}

// Places the record and applies it. Nothing has happened if there is no room.
Status Appender::append_record(RecordBuffer* record, FrameKind kind, Purpose purpose) {
  std::vector<Segment> fresh;
  bool whole = false;
  HOLDFAST_TRY(room_.make_room(*record, purpose, &fresh, &whole));
  RecordStamp stamp{kind, log_.epoch + 1, barriers_.durable(std::memory_order_relaxed), now_ms()};
  placements_.clear();
  size_t taken = 0;
  Status placed;
  if (fresh.empty()) {
    placed = log_.writer.write(record, stamp, &placements_);
  } else if (whole) {
    const Segment next = fresh[0];
    HOLDFAST_POINT("log.before_link");
    log_.segments.add(next, log_.writer.next_sequence());
    taken = 1;
    placed = log_.writer.link_to(next, log_.epoch, std::min(stamp.durable_epoch, log_.epoch));
    if (placed.is_ok()) placed = log_.writer.write(record, stamp, &placements_);
  } else {
    const uint64_t first_sequence = log_.writer.next_sequence();
    record->seal();
    placed = log_.writer.write_parts(*record, stamp, fresh, &taken, &placements_);
    for (size_t i = 0; i < taken; i++) log_.segments.add(fresh[i], first_sequence + i);
  }
  room_.stow(fresh, taken);
  if (!placed.is_ok()) return health_.fail(std::move(placed));
  log_.epoch++;
  apply(*record, placements_, kind, log_.epoch);
  return {};
}

// Append, apply and fence in one, where the fence is per thread and costs nanoseconds. Any locked
// instruction waits until the non-temporal stores have drained, so there is none between them and
// the fence: the index lock is held from before the copy until behind the fence, and applying goes
// on while the stores drain.
//
// A reopen sees what it sees of append and barrier apart: before the fence the whole record or
// nothing, as its lines landed; and nobody has read it or been told of it. The fence is this
// thread's, as its stores are.
Status Appender::append_fenced(RecordBuffer* record, FrameKind kind) {
  struct Apply final : Medium::Meanwhile {
    Appender* appender;
    const RecordBuffer* record;
    FrameKind kind;
    Placement placement;
    bool ran = false;
    void run() override {
      ran = true;
      appender->apply_stretch(*record, placement, kind, ++appender->log_.epoch, &appender->hashes_);
      HOLDFAST_POINT("commit.before_barrier");
    }
  } apply;
  apply.appender = this;
  apply.record = record;
  apply.kind = kind;
  apply.placement.count = record->count();
  apply.placement.bytes = record->bytes();
  hashes_.resize(record->count());
  size_t hashed = 0;
  for_each_key(*record, [&](Bytes key) {
    const uint64_t hash = hashes_[hashed++] = HashedKey::hash_of(key);
    index_.view.active->expect(hash);
  });
  const RecordStamp stamp{kind, log_.epoch + 1, barriers_.durable(std::memory_order_relaxed),
                          now_ms()};
  std::unique_lock guard(index_.lock);
  Status placed = log_.writer.write_fenced(record, stamp, &apply.placement.pool_offset, apply);
  if (!apply.ran) return health_.fail(std::move(placed));
  if (!placed.is_ok() || planted(PlantedBug::kBarrierCoversTooMuch))
    return barriers_.conclude(std::move(placed), log_.epoch);
  barriers_.fenced(log_.epoch);
  return {};
}

// A long record, or one that needs another segment, goes the long way: readers are not kept waiting
// for it.
Status Appender::append_durable(RecordBuffer* record, FrameKind kind, Purpose purpose) {
  if (record->bytes() <= std::min(room_.head_room(purpose), kFencedBytes) &&
      !planted(PlantedBug::kBarrierLeftOut)) {
    HOLDFAST_TRY(append_fenced(record, kind));
  } else {
    HOLDFAST_TRY(append_record(record, kind, purpose));
    HOLDFAST_POINT("commit.before_barrier");
    HOLDFAST_TRY(barriers_.raise(log_.epoch));
  }
  barriers_.note_appended(log_.epoch);
  return {};
}

Status Appender::append_moves(RecordBuffer* moves, const Place* origins) {
  carried_from_ = origins;
  Status appended = fence_at_once_ ? append_durable(moves, FrameKind::kMove, Purpose::kCleaner)
                                   : append_record(moves, FrameKind::kMove, Purpose::kCleaner);
  carried_from_ = nullptr;
  HOLDFAST_TRY(std::move(appended));
  if (!fence_at_once_) barriers_.note_appended(log_.epoch);
  return {};
}

void Appender::apply(const RecordBuffer& record, const std::vector<Placement>& placements,
                     FrameKind kind, uint64_t epoch) {
  std::unique_lock guard(index_.lock, std::defer_lock);
  if (!planted(PlantedBug::kIndexLockLeftOut)) guard.lock();
  for (const Placement& placement : placements)
    apply_stretch(record, placement, kind, epoch, nullptr);
}

void Appender::apply_stretch(const RecordBuffer& record, const Placement& placement, FrameKind kind,
                             uint64_t epoch, const std::vector<uint64_t>* hashes) {
  const uint64_t operations =
      log_.tail.operations.load(std::memory_order_relaxed) + placement.count;
  log_.tail.operations.store(operations, std::memory_order_relaxed);
  log_.tail.bytes += placement.bytes + sizeof(FrameHeader);
  uint64_t at = 0;
  for (uint32_t i = 0; i < placement.count; i++) {
    const OperationView view = view_operation(record.operations() + placement.buffer_offset + at);
    const HashedKey key = hashes == nullptr ? view.key : HashedKey(view.key, (*hashes)[i]);
    apply_operation(view, key, placement.pool_offset + at, kind, epoch);
    at += view.bytes;
  }
  index_.visible_epoch.store(epoch, std::memory_order_release);
}

void Appender::apply_operation(const OperationView& operation, const HashedKey& key,
                               uint64_t pool_offset, FrameKind kind, uint64_t epoch) {
  if (is_region_operation(operation.type)) return region_commits_.apply(operation, epoch);
  const bool large = operation.type == OperationType::kPutLarge;
  const bool moved = kind == FrameKind::kMove;
  Place place = Place::deleted();
  if (operation.type != OperationType::kDelete) {
    place = Place::of(pool_offset, operation.bytes, large);
    log_.segments.born(place);
  }
  if (large && !moved) {
    if (const auto value = LargeValue::decode(operation.value)) {
      for (const LargePiece& piece : value->pieces) {
        log_.large[piece.segment.offset] = piece.segment;
        log_.tail.large_bytes += piece.segment.bytes;
      }
    }
  }
  const bool carried = moved && carried_from_ != nullptr;
  Place before;
  const bool was_here = index_.put(key, place, epoch, carried, &before);
  if (carried) log_.note_dead(*carried_from_++, place, true, fold_.begun + 1);
  if (was_here) {
    log_.note_dead(before, place, moved, fold_.begun + 1);
  } else {
    room_.note_key(operation.key.size());
  }
}

}  // namespace holdfast
