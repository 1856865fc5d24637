// The newest durable fold: its root, its block, and how another takes its place.
//
// What a reopen sees: until the root is set, the old fold; afterwards the new one. The block is
// behind a barrier before the root names it.
//
// Threads: changed under the maintenance lock and the append lock, read under either.
#pragma once

#include "engine/state/log_state.h"
#include "engine/state/readers.h"
#include "format/fold.h"

namespace holdfast {

// As a fold block lists them.
std::vector<std::vector<FoldedTable>> folded_runs(const std::vector<RunPtr>& runs);

class FoldRoot {
 public:
  FoldRoot(Medium& medium, Health& health, LogState& log, const Readers& readers, uint64_t secret)
      : medium_(medium), health_(health), log_(log), readers_(readers), secret_(secret) {}

  RootWords root;
  FoldBlock block;
  uint64_t begun = 0;    // number of the newest fold begun
  uint64_t durable = 0;  // number of the newest fold whose root is set
  // The oldest sequence of the log that the last fold kept only for the change feed.
  uint64_t kept_for_feed = UINT64_MAX;

  // The block that such a root names. kCorrupt.
  static Status read_block(const Medium& medium, const RootWords& root, FoldBlock* block);

  // Block, barrier, root. `all_placed`: of the regions, up to the block's epoch.
  Status set(FoldBlock&& next, bool all_placed);
  Status mark_placing();  // bytes of regions are about to be rewritten in place
  Status mark_clean();    // the log has no tail

  // Looks again at what must be kept for the change feed; true when a fold could let go of
  // something. Under the append lock.
  bool refresh_retention();

 private:
  void retire(const Segment& segment);

  Medium& medium_;
  Health& health_;
  LogState& log_;
  const Readers& readers_;
  const uint64_t secret_;
};

}  // namespace holdfast
