// Merge: neighbouring runs become one, a few tables at a time.
//
// Merged tables take the place of the oldest input's, from the lowest key upward. The newer inputs
// lose the tables that are merged whole; what is left of them stays in front and says of the keys
// that are merged already what the merged tables say. So after each switch (a fold block and a
// root) the index says what it said before, and the tables that were replaced are given back:
// beyond its inputs a merge needs room for a few tables (of each newer input the one it is in the
// middle of), never for their whole size. It goes on in steps, folds and cleaning in between: they
// only add newer runs in front.
//
// Under the maintenance lock, but what is atomic. What a reopen sees: the tables as of the last
// switch. A merge that was cut short, by a crash or for want of room, keeps what was switched; what
// it had not yet switched is free again.
//
// A merge of many entries takes longer than folds need for many runs. So it does not keep those
// from being merged that came in front of it since: merges under way lie in front of one another,
// the newest is the shortest and comes first.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/space/returns.h"
#include "engine/state/fold_root.h"
#include "engine/state/index_state.h"
#include "engine/state/log_state.h"

namespace holdfast {

class Merger {
 public:
  Merger(Medium& medium, LogState& log, IndexState& index, FoldRoot& fold, Returns& returns);
  ~Merger();

  // Goes on with the merges under way, and begins the next one that is worth it, for so many
  // entries. Every fold adds a run: without this they take what cleaning has won, and the fold
  // block, which lists them, outgrows the pieces that are free.
  void go_on(uint64_t entries);
  void begin_all();  // of all runs, as far as there is room, unless others are under way
  // When there is nothing else to do: of the newest runs as many as are a good part of the next
  // older one. So a little that comes now and then does not write a large run anew each time.
  void begin_idly();
  // `go_on`: asked now and then. Where it says an error the merge ends there, and may be gone on
  // with.
  Status merge_all(const std::function<Status()>& go_on = nullptr);
  void drop();  // what is not switched in is free again

  // Commits wait for folds and merges: more runs are merged at once, each less often.
  void hurry(bool hurried) { hurried_ = hurried; }
  bool under_way() const { return !works_.empty(); }
  // So many runs that the next fold, which looks through all of them, should wait for a merge; or
  // so much to merge that there would be so many soon, and folds then wait for long.
  bool crowded() const;
  uint64_t newer_bytes() const;  // of all runs but the oldest: what merging them all may give back
  void note_due(uint64_t entries) { due_ += entries; }
  uint64_t due() const { return due_; }  // entries that merging is behind by

  // For stats, from any thread.
  uint64_t unswitched_bytes() const { return unswitched_bytes_; }
  uint64_t ended() const { return ended_; }

 private:
  struct Work;
  size_t newest_free() const;  // so many of the newest runs no merge under way has
  size_t choose() const;
  struct Plan {
    size_t count;  // of the newest runs
    uint64_t table_bytes, stretch;
    bool tight;
  };
  Plan usual_plan(size_t count);
  Plan tight_plan();
  void begin(size_t count);
  Status step(uint64_t* entries);
  Status switch_at_end();
  Status switch_anywhere();
  void pass_all_before(std::string end);
  Status leaves_enough();
  Status switch_merged(bool all, const std::vector<TableRef>& rest);
  void end_newest();
  void note_unswitched();

  Medium& medium_;
  LogState& log_;
  IndexState& index_;
  FoldRoot& fold_;
  Returns& returns_;
  std::vector<std::unique_ptr<Work>> works_;  // oldest first; only the last goes on
  uint64_t due_ = 0;
  bool hurried_ = false;
  // Inputs of so many bytes did not find room for their tables.
  uint64_t lacked_room_ = UINT64_MAX, lacked_though_tight_ = UINT64_MAX;
  // Of tables merged and not yet switched in, as of the last step; merges that came to their end.
  std::atomic<uint64_t> unswitched_bytes_{0}, ended_{0};
};

}  // namespace holdfast
