// One record, one barrier.
//
// What a reopen sees if the machine stops here: before the append nothing of the commit; between
// append and barrier the whole commit or nothing, as its bytes landed; after the barrier the whole
// commit. Applying to the overlay happens between the two, so that on persistent memory it overlaps
// with the stores draining (append_fenced); it leaves nothing on the medium.

#include <algorithm>
#include <ctime>

#include "base/test_hooks.h"
#include "base/test_points.h"
#include "engine/pool_impl.h"
#include "format/layout.h"

namespace holdfast {

Status PoolImpl::check_conditions(const Batch::Impl& batch) {
  if (batch.conditions.empty()) return {};
  std::shared_lock guard(index_.lock);
  for (const Condition& condition : batch.conditions) {
    auto found = index_.view.find(condition.key, Overlay::kLatest);
    if (!found.is_ok()) return std::move(found.status());
    const bool present = found->has_value() && !(*found)->is_deleted();
    bool holds = present == (condition.kind != ConditionKind::kAbsent);
    if (holds && condition.kind == ConditionKind::kEqual) {
      OperationView operation;
      HOLDFAST_TRY(operations_.read_at(**found, condition.key, &operation));
      if (operation.type == OperationType::kPutLarge) {
        auto same = large_equals(operation.value, condition.value.bytes());
        if (!same.is_ok()) return std::move(same.status());
        holds = *same;
      } else {
        holds = operation.value == condition.value.bytes();
      }
    }
    if (holds) continue;
    const char* wanted = condition.kind == ConditionKind::kAbsent ? "to be absent, but it is there"
                         : condition.kind == ConditionKind::kPresent
                             ? "to be there, but it is absent"
                             : "to have a certain value, but it has not";
    const Bytes user_key = Bytes(condition.key).substr(kKeyspacePrefixBytes);
    return Status(Code::kConflict,
                  "a condition of the commit does not hold: it requires the key '" +
                      std::string(user_key.substr(0, 100)) + "' " + wanted +
                      "; nothing was changed");
  }
  return {};
}

namespace {
constexpr uint64_t kFencedBytes = 16 * kKiB;  // readers wait while it is copied
}

// Places the record and applies it. Nothing has happened if there is no room.
Status PoolImpl::append_record(RecordBuffer* record, FrameKind kind, Purpose purpose) {
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
  apply(*record, kind, log_.epoch);
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
Status PoolImpl::append_fenced(RecordBuffer* record, FrameKind kind) {
  struct Apply final : Medium::Meanwhile {
    PoolImpl* pool;
    const RecordBuffer* record;
    FrameKind kind;
    Placement placement;
    bool ran = false;
    void run() override {
      ran = true;
      pool->apply_stretch(*record, placement, kind, ++pool->log_.epoch);
      HOLDFAST_POINT("commit.before_barrier");
    }
  } apply;
  apply.pool = this;
  apply.record = record;
  apply.kind = kind;
  apply.placement.count = record->count();
  apply.placement.bytes = record->bytes();
  for_each_key(*record, [&](Bytes key) { index_.view.active->expect(key); });
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
Status PoolImpl::append_durable(RecordBuffer* record, FrameKind kind, Purpose purpose) {
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

void PoolImpl::apply(const RecordBuffer& record, FrameKind kind, uint64_t epoch) {
  std::unique_lock guard(index_.lock, std::defer_lock);
  if (!planted(PlantedBug::kIndexLockLeftOut)) guard.lock();
  for (const Placement& placement : placements_) apply_stretch(record, placement, kind, epoch);
}

void PoolImpl::apply_stretch(const RecordBuffer& record, const Placement& placement, FrameKind kind,
                             uint64_t epoch) {
  const uint64_t operations =
      log_.tail.operations.load(std::memory_order_relaxed) + placement.count;
  log_.tail.operations.store(operations, std::memory_order_relaxed);
  log_.tail.bytes += placement.bytes + sizeof(FrameHeader);
  uint64_t at = 0;
  for (uint32_t i = 0; i < placement.count; i++) {
    const OperationView view = view_operation(record.operations() + placement.buffer_offset + at);
    apply_operation(view, placement.pool_offset + at, kind, epoch);
    at += view.bytes;
  }
  visible_epoch_.store(epoch, std::memory_order_release);
}

// Commits, moves and replay all change the index here and nowhere else.
void PoolImpl::apply_operation(const OperationView& operation, uint64_t pool_offset, FrameKind kind,
                               uint64_t epoch) {
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
  const auto before =
      index_.view.active->put(operation.key, place, epoch, index_.oldest_needed(), carried);
  if (carried) log_.note_dead(*carried_from_++, place, true, fold_.begun + 1);
  if (before) {
    log_.note_dead(*before, place, moved, fold_.begun + 1);
  } else {
    room_.note_key(operation.key.size());
  }
}

bool only_deletes(const RecordBuffer& record) {
  for (uint64_t at = 0; at < record.bytes();) {
    const auto header = load<OperationHeader>(record.operations() + at);
    const uint8_t* key = record.operations() + at + sizeof header;
    const bool drops = header.type == static_cast<uint8_t>(OperationType::kRegionSize) &&
                       decode_region_key(bytes_of(key, header.key_bytes)).word == 0;
    if (header.type != static_cast<uint8_t>(OperationType::kDelete) && !drops) return false;
    at += operation_bytes(header.key_bytes, header.value_bytes);
  }
  return true;
}

// Is there something the maintenance thread should not wait with, and has not been told of? A spare
// is asked for once a segment, a fold once for each look of its.
bool PoolImpl::work_is_due() {
  if (fold_is_due() && !std::exchange(fold_asked_for_, true)) return true;
  if (!room_.spare_is_due() || spare_asked_for_ == log_.writer.sequence()) return false;
  spare_asked_for_ = log_.writer.sequence();
  return true;
}

// `queued`: handed over before the pool began to close, which waits for it.
Result<Receipt> PoolImpl::commit_once(const Batch::Impl& batch, RecordBuffer* record,
                                      CommitMode mode, bool queued) {
  std::unique_lock guard = log_.lock_to_commit();
  if (health_.refuses_new(queued)) return health_.closed_status();
  HOLDFAST_TRY(health_.usable());
  HOLDFAST_TRY(check_conditions(batch));
  if (batch.has_regions()) HOLDFAST_TRY(region_commits_.prepare(batch, record));
  if (record->count() == 0) {
    // Whoever is told that its conditions hold may act on what they saw: that is durable then, as
    // behind any durable commit.
    const uint64_t seen = log_.epoch;
    guard.unlock();
    if (mode == CommitMode::kDurable) HOLDFAST_TRY(barriers_.wait_durable(seen));
    return Receipt{seen};
  }
  const Purpose purpose = only_deletes(*record) ? Purpose::kDelete : Purpose::kUser;
  const bool early = planted(PlantedBug::kAcknowledgedBeforeBarrier);
  if (fence_at_once_ && !early) {
    HOLDFAST_TRY(append_durable(record, FrameKind::kCommit, purpose));
  } else {
    HOLDFAST_TRY(append_record(record, FrameKind::kCommit, purpose));
    barriers_.note_appended(log_.epoch);
  }
  const uint64_t epoch = log_.epoch;
  count_commit(record->bytes());
  const bool due = work_is_due();
  if (early) {
    commit_queue_.arm_eventual();
    return Receipt{epoch};
  }
  guard.unlock();
  if (due) maintenance_.wake();
  if (fence_at_once_) return Receipt{epoch};
  HOLDFAST_POINT("commit.before_barrier");
  if (mode == CommitMode::kDurable) {
    HOLDFAST_TRY(barriers_.wait_durable(epoch));
  } else {
    commit_queue_.arm_eventual();
  }
  return Receipt{epoch};
}

Result<Receipt> PoolImpl::commit(Batch& batch, CommitMode mode) {
  throttle(batch.impl().record);
  return commit_at_once(batch.impl(), mode);
}

// What is short and plain asks under the lock, once; the rest looks at the medium before.
Result<Receipt> PoolImpl::commit_at_once(Batch::Impl& impl, CommitMode mode, bool queued) {
  if (impl.region_sizes == 0 && impl.large.empty() && impl.record.bytes() < kMiB)
    return commit_with_space(impl, mode, queued);
  Visit visit(visits_);
  HOLDFAST_TRY(visit.begin(queued));
  HOLDFAST_TRY(health_.usable());
  HOLDFAST_TRY(room_.fits_at_all(impl.record.bytes() + impl.large_bytes));
  if (impl.region_sizes > 0) HOLDFAST_TRY(announce_regions());
  if (impl.large.empty()) return commit_with_space(impl, mode, queued);
  impl.record.seal();
  return commit_large(impl, mode, queued);
}

// One result from its making to the caller: whoever moved it would read in one piece what was just
// stored in several, and wait for that until the commit's bytes have drained.
Result<Receipt> PoolImpl::commit_with_space(Batch::Impl& impl, CommitMode mode, bool queued) {
  Result<Receipt> receipt = commit_once(impl, &impl.record, mode, queued);
  if (receipt.status().is_full())
    receipt =
        with_space(impl, queued, [&] { return commit_once(impl, &impl.record, mode, queued); });
  return receipt;
}

}  // namespace holdfast
