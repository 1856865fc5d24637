// Fold: the overlay becomes a run, and a new root says so.
//
// What a reopen sees: until the root is set, the old fold and the whole tail behind it; afterwards
// the new fold and the tail behind that. Both describe the same state. Nothing the old fold refers
// to is given back before the new root is durable.
//
// A fold never blocks a commit for long: freezing the overlay is a swap of pointers; the frozen
// overlay and the runs do not change, so they are read without a lock. Only what died is counted
// under the append lock, in one go, by segment.
//
//   folder.cc       the fold
//   region_fold.cc  what it does with the regions
//
// Under the maintenance lock unless said otherwise.
#pragma once

#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/commit/barriers.h"
#include "engine/commit/region_commits.h"
#include "engine/fold/merger.h"
#include "engine/fold/region_fold.h"
#include "engine/space/returns.h"
#include "engine/space/room.h"
#include "engine/state/fold_root.h"
#include "engine/state/health.h"
#include "engine/state/index_state.h"
#include "engine/state/log_state.h"
#include "engine/state/readers.h"

namespace holdfast {

struct ExtentWork;

class Folder {
 public:
  struct Parts {
    Medium& medium;
    Health& health;
    IndexState& index;
    LogState& log;
    FoldRoot& fold;
    Readers& readers;
    Barriers& barriers;
    Room& room;
    RegionCommits& regions;
    Returns& returns;
    Merger& merger;
    const PoolOptions& options;
    const uint64_t secret;
  };
  explicit Folder(const Parts& parts);

  // Once the medium knows what is held: before, its capacity is not known.
  void set_limits();
  // By so many operations of the tail, or by its bytes. Under the append lock.
  bool fold_is_due(uint64_t operations) const;
  // Of large values that the tail names: so many make a fold due. What they replace waits for it.
  uint64_t most_large_bytes() const { return fold_large_bytes_; }

  // kPoolFull and kDiskFull leave everything as it was: the frozen overlay stays and the next fold
  // takes it.
  Status run_fold(bool even_if_empty);
  // The same; gives the log's spares back, and merges, where that makes room.
  Status fold_making_room(bool even_if_empty);
  Status fold_all();

  uint64_t folds() const { return folds_; }  // any thread

 private:
  using Changed = std::vector<std::pair<uint32_t, std::shared_ptr<RegionExtents>>>;

  void set_table_bytes();
  Result<bool> begin_fold(bool even_if_empty, FoldBlock* block);
  void give_up_fold(const RunPtr& run, const RegionFold& regions);
  Status fold_later(Status status, FoldBlock&& block, const RegionFold& regions);
  Result<RunPtr> write_run(const Overlay& overlay, bool keep_deleted);
  void count_deaths(const std::unordered_map<uint64_t, uint64_t>& died,
                    const std::vector<std::pair<Place, Place>>& died_large);
  void remember_segments(FoldBlock* block);

  // region_fold.cc
  Status fold_regions(const RegionOverlay& overlay, uint64_t epoch, RegionFold* out);
  Status place_regions(std::vector<ExtentWork>& works, uint64_t epoch, Changed& changed,
                       RegionFold* out);
  // Copies instead, where somebody reads in another process.
  void avoid_readers(std::vector<ExtentWork>* works);
  void readers_give_way(std::vector<ExtentWork>* works);
  void publish_regions(RegionFold&& fold, uint64_t number);

  Medium& medium_;
  Health& health_;
  IndexState& index_;
  LogState& log_;
  FoldRoot& fold_;
  Readers& readers_;
  Barriers& barriers_;
  Room& room_;
  RegionCommits& region_commits_;
  Returns& returns_;
  Merger& merger_;
  const PoolOptions& options_;
  const uint64_t secret_;

  uint64_t fold_bytes_ = 0;        // the tail's limit: smaller in a small pool, where it cannot be
                                   // cleaned
  uint64_t fold_large_bytes_ = 0;  // see most_large_bytes()
  FoldBlock pending_fold_;         // a fold that has frozen the overlay but did not find room yet
  SegmentTable frozen_segments_;   // as of the newest fold begun
  bool deaths_counted_ = false;    // of that fold
  std::atomic<uint64_t> folds_{0};
};

}  // namespace holdfast
