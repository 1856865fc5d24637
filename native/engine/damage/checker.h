// Reads everything a snapshot can reach and says what is damaged. Commits go on meanwhile; a pool
// that closes ends it between two of its parts.
//
//   check.cc          the runs, every entry and its value
//   check_regions.cc  every block that a fold has placed, and every sector of sums
//   check_log.cc      what no read would notice
//
// One thread, one run; its caller is on a visit. Changes nothing.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>

#include "engine/pool.h"
#include "engine/read/region_reader.h"
#include "engine/read/value_ahead.h"
#include "engine/state/fold_root.h"
#include "engine/state/log_state.h"

namespace holdfast {

class Checker {
 public:
  struct Parts {
    Medium& medium;
    const Operations& operations;
    const Health& health;
    const LogState& log;
    const FoldRoot& fold;
    const RegionReader& regions;
    const uint64_t secret;
  };
  // `pool`: whose snapshot it is, to read by. `view`: what the snapshot pins.
  Checker(Pool& pool, const Parts& parts, SnapshotPtr pinned, const IndexView& view,
          const std::atomic<bool>* cancelled)
      : pool_(pool),
        parts_(parts),
        pinned_(std::move(pinned)),
        view_(view),
        epoch_(pool.epoch_of(pinned_)),
        cancelled_(cancelled),
        ahead_(parts.medium, parts.operations, false) {}

  Result<CheckReport> run(const std::function<void(double)>& progress);

 private:
  struct EntriesChecked {
    std::optional<std::string> last;  // key of the last one
    std::string large;                // description of its value, if that is a large one
    bool more = true;
  };

  bool aborted() const { return parts_.health.closing() || (cancelled_ && cancelled_->load()); }
  Status ended() const;
  Status check_runs();
  Status check_all_entries(const std::function<void(double)>& progress);
  Status check_entries(EntriesChecked* done);
  void check_large(const std::string& description);
  void check_regions();
  void check_extents(uint32_t region, const RegionExtents& extents, uint64_t size);
  void check_log();

  Pool& pool_;
  const Parts parts_;
  const SnapshotPtr pinned_;
  const IndexView& view_;
  const uint64_t epoch_;
  const std::atomic<bool>* const cancelled_;
  ValueAhead ahead_;
  CheckReport report_;
};

}  // namespace holdfast
