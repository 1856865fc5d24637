#include "engine/state/log_state.h"

#include "base/test_hooks.h"
#include "format/large_value.h"

namespace holdfast {

std::unique_lock<ShortLock> LogState::lock_to_commit() {
  std::unique_lock guard(lock, std::try_to_lock);
  if (guard) return guard;
  commits_waiting_.fetch_add(1, std::memory_order_relaxed);
  guard.lock();
  commits_waiting_.fetch_sub(1, std::memory_order_relaxed);
  return guard;
}

void LogState::note_dead(Place place, Place successor, bool moved, uint64_t fold_needed) {
  if (place.is_deleted()) return;
  if (!planted(PlantedBug::kDeathNotCounted)) segments.died(place);
  if (!place.is_large() || moved) return;
  OperationView operation;
  if (!operations_.read_in_pool(place, &operation)) return;  // damaged: check() will say so
  const auto value = LargeValue::decode(operation.value);
  if (!value) return;
  if (successor.is_large()) {
    OperationView next;
    if (operations_.read_in_pool(successor, &next) && next.value == operation.value) {
      return;  // the same value, carried elsewhere by the cleaner
    }
  }
  const LogSegment* named_in = segments.find(place.offset());
  const uint64_t held =
      named_in && named_in->sequence >= retention.floor() ? named_in->sequence : 0;
  for (const LargePiece& piece : value->pieces) {
    if (large.erase(piece.segment.offset) > 0) {
      graveyard.bury(piece.segment, fold_needed, index_.next_serial(), held);
    }
  }
}

}  // namespace holdfast
