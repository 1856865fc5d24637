// What is still whole in a damaged pool's log: of each key the newest version that was found, and
// where records are missing. Used by salvage.cc; one thread; only reads.
//
// Bytes may have come to where they lie from elsewhere (swapped pages, an earlier life of the log),
// so a version is only as new as what vouches for it: a whole frame, or the header of a damaged
// one.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/damage/salvage.h"
#include "engine/damage/salvage_regions.h"
#include "format/fold.h"
#include "log/log_reader.h"
#include "medium/raw_pool.h"

namespace holdfast {

constexpr size_t kMostLosses = 1000;  // of one kind that a report lists

// How far a salvage is, and whether it is to go on.
struct SalvageSteps {
  const std::atomic<bool>* cancelled;
  const std::function<void(double)>& progress;
  // kAborted where it is not to go on.
  Status aborted() const {
    return cancelled && cancelled->load() ? Status(Code::kAborted, "the salvage was aborted")
                                          : Status();
  }
  void tell(double fraction) const {
    if (progress) progress(fraction < 1.0 ? fraction : 1.0);
  }
};

// A version of a key that was found whole in the log.
struct Version {
  uint64_t epoch = 0;
  uint64_t offset = 0;  // of the operation
  bool deleted = false;
  bool certain = false;  // its frame is valid: the epoch is right
};

class SalvagedLog {
 public:
  using Versions = std::unordered_map<std::string, Version>;

  // `fold`: empty where it is lost. What is found of regions is noted in `regions`.
  SalvagedLog(const RawPool& raw, uint64_t secret, SalvageSource source, const FoldBlock& fold,
              RegionSalvage& regions, const SalvageSteps& steps)
      : raw_(raw),
        secret_(secret),
        source_(source),
        fold_(fold),
        reader_(raw, secret),
        regions_(regions),
        steps_(steps) {}

  Status scan();  // the first half of all there is to do; kAborted
  const Versions& versions() const { return versions_; }
  std::vector<std::string> take_gaps() { return std::move(gaps_); }

 private:
  struct Found {
    Segment segment;
    uint64_t sequence = 0;
  };

  bool wanted(uint64_t sequence) const;
  void add_segment(const Segment& segment, uint64_t sequence);
  void find_segments();
  Status scan_segments();
  void scan_segment(const Found& s, bool newest);
  bool is_torn(const Found& s, const FrameView& frame) const;
  void report_gap(uint64_t begin, uint64_t end);
  void scan_gap(uint64_t begin, uint64_t end, uint64_t last_epoch);
  void scan_claimed(uint64_t begin, uint64_t end, uint32_t incarnation);
  bool plausible(uint64_t at, uint64_t end, OperationForm form, OperationView* out) const;
  uint64_t take(const OperationView& operation, uint64_t at, uint64_t epoch);
  void note(const OperationView& operation, uint64_t offset, uint64_t epoch, bool certain);
  Status scan_everything();
  uint64_t take_frame(uint64_t at, uint64_t end);

  const RawPool& raw_;
  const uint64_t secret_;
  const SalvageSource source_;
  const FoldBlock& fold_;
  const LogReader reader_;
  RegionSalvage& regions_;
  const SalvageSteps steps_;
  std::map<uint64_t, Found> segments_;  // by sequence
  uint64_t epoch_ = 0;                  // of the last valid frame met
  Versions versions_;
  std::vector<std::string> gaps_;
};

}  // namespace holdfast
