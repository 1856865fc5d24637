// Merge: neighbouring runs become one, a few tables at a time.
//
// Merged tables take the place of the oldest input's, from the lowest key upward; the newer inputs
// stay in front of them to the end and say of the keys that are merged already what the merged
// tables say. So after each switch (a fold block and a root) the index says what it said before,
// and the tables that were replaced are given back: beyond its inputs a merge needs room for a few
// tables, never for their whole size. It goes on in steps, folds and cleaning in between: they only
// add newer runs in front.
//
// Under the maintenance lock, but what is atomic. What a reopen sees: the tables as of the last
// switch. A merge that was cut short, by a crash or for want of room, keeps what was switched; what
// it had not yet switched is free again.
#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include "engine/space/returns.h"
#include "engine/state/fold_root.h"
#include "engine/state/index_state.h"
#include "engine/state/log_state.h"

namespace holdfast {

class Merger {
 public:
  Merger(Medium& medium, LogState& log, IndexState& index, FoldRoot& fold, Returns& returns);
  ~Merger();

  // Goes on with the merge under way, or begins the next one that is worth it, for so many entries.
  // Every fold adds a run: without this they take what cleaning has won, and the fold block, which
  // lists them, outgrows the pieces that are free.
  void go_on(uint64_t entries);
  void begin_all();  // of all runs, as far as there is room
  Status merge_all();
  void drop();  // what it has not switched in is free again

  bool under_way() const { return work_ != nullptr; }
  void note_due(uint64_t entries) { due_ += entries; }
  uint64_t due() const { return due_; }  // entries that merging is behind by

  // For stats, from any thread.
  uint64_t unswitched_bytes() const { return unswitched_bytes_; }
  uint64_t ended() const { return ended_; }

 private:
  struct Work;
  std::pair<size_t, size_t> choose() const;
  size_t mergeable(size_t first, size_t count);
  void begin(size_t first, size_t count);
  Status step(uint64_t entries);
  Status switch_when_due();
  Status switch_merged(bool all);

  Medium& medium_;
  LogState& log_;
  IndexState& index_;
  FoldRoot& fold_;
  Returns& returns_;
  std::unique_ptr<Work> work_;
  uint64_t due_ = 0;
  uint64_t lacked_room_ = UINT64_MAX;  // inputs of so many bytes did not find room for their tables
  // Of tables merged and not yet switched in, as of the last step; merges that came to their end.
  std::atomic<uint64_t> unswitched_bytes_{0}, ended_{0};
};

}  // namespace holdfast
