// What the runs say of the keys that conditions ask for again and again: where the record of a
// run's driver is, which every commit of its requires; and that the next key of a journal is in
// none, which every entry requires. Without this each commit looks for both in every run.
//
// Runs never change, and merging says nothing new: only the fold, which puts a run in front, does.
// So what was learnt holds while the newest run is the same one. A key is kept with the stretch of
// keys around it of which the same holds: from an absent key on, up to the next that there is.
//
// Threads: under the append lock, and the shared index lock. A crash leaves nothing of it.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "engine/state/index_state.h"

namespace holdfast {

class AskedRuns {
 public:
  // As IndexView::find_in_runs().
  Result<std::optional<Place>> find(Bytes key, const IndexView& view);
  // So often runs were looked into, and so often something was learnt.
  uint64_t looked() const { return looked_; }
  uint64_t learnt() const { return learnt_; }

 private:
  // What is known of the last key with a certain stem that was asked for.
  struct Known {
    uint64_t stem = 0;  // its hash: another with the same is no harm
    bool is_known = false;
    bool was_of_use = false;  // since it was learnt
    bool has_end = false;
    // Where what was learnt was of no use, it is not learnt again for so many times; twice as many
    // the next time.
    uint32_t pause = 0, passed = 0;
    std::string low, end;  // from `low` on, to below `end` if there is one
    std::optional<Place> place;
    bool holds_of(Bytes key) const { return is_known && key >= low && (!has_end || key < end); }
  };

  static bool is_worth_learning(Known* known, bool asked_before);
  void learn(Bytes key, const std::optional<Place>& place, const IndexView& view, Known* known);

  std::array<Known, 64> known_;  // by the stem's last bits
  std::weak_ptr<Run> newest_;    // the run in front when they were learnt
  uint64_t looked_ = 0, learnt_ = 0;
};

}  // namespace holdfast
