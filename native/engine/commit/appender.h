// Places records in the log and applies them to the index: commits, moves and replay change the
// index here and nowhere else.
//
// What a reopen sees if the machine stops here: before the append nothing of the record; between
// append and barrier the whole record or nothing, as its bytes landed; after the barrier the whole
// record. Applying happens between the two, so that on persistent memory it overlaps with the
// stores draining; it leaves nothing on the medium.
//
// Under the append lock. What is applied is applied under the exclusive index lock, which is taken
// here, but for apply_operation().
#pragma once

#include <vector>

#include "engine/commit/barriers.h"
#include "engine/commit/region_commits.h"
#include "engine/space/room.h"
#include "engine/state/fold_root.h"
#include "engine/state/health.h"
#include "engine/state/index_state.h"
#include "engine/state/log_state.h"

namespace holdfast {

class Appender {
 public:
  struct Parts {
    Health& health;
    IndexState& index;
    LogState& log;
    const FoldRoot& fold;
    Room& room;
    Barriers& barriers;
    RegionCommits& regions;
    const bool fence_at_once;
  };
  explicit Appender(const Parts& parts)
      : health_(parts.health),
        index_(parts.index),
        log_(parts.log),
        fold_(parts.fold),
        room_(parts.room),
        barriers_(parts.barriers),
        region_commits_(parts.regions),
        fence_at_once_(parts.fence_at_once) {}

  // Places the record, applies it and, where barriers are per thread, raises its fence: then it is
  // durable, else note_appended() lets others wait for it. Nothing has happened if there is no
  // room.
  Status append_record(RecordBuffer* record, FrameKind kind, Purpose purpose);
  Status append_durable(RecordBuffer* record, FrameKind kind, Purpose purpose);
  // Of live operations that stand at `origins`, in the same order.
  Status append_moves(RecordBuffer* moves, const Place* origins);

  // Of a record that was placed otherwise.
  void apply(const RecordBuffer& record, const std::vector<Placement>& placements, FrameKind kind,
             uint64_t epoch);
  void apply_operation(const OperationView& operation, uint64_t pool_offset, FrameKind kind,
                       uint64_t epoch) {
    apply_operation(operation, operation.key, pool_offset, kind, epoch);
  }

 private:
  Status append_fenced(RecordBuffer* record, FrameKind kind);
  // `hashes`: of its keys, in order; null where nobody has made them yet.
  void apply_stretch(const RecordBuffer& record, const Placement& placement, FrameKind kind,
                     uint64_t epoch, const std::vector<uint64_t>* hashes);
  void apply_operation(const OperationView& operation, const HashedKey& key, uint64_t pool_offset,
                       FrameKind kind, uint64_t epoch);

  Health& health_;
  IndexState& index_;
  LogState& log_;
  const FoldRoot& fold_;
  Room& room_;
  Barriers& barriers_;
  RegionCommits& region_commits_;
  const bool fence_at_once_;
  std::vector<Placement> placements_;    // scratch
  std::vector<uint64_t> hashes_;         // scratch
  const Place* carried_from_ = nullptr;  // of the next operation of append_moves(); in a replayed
                                         // move nobody knows
};

}  // namespace holdfast
