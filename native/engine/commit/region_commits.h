// The commits' side of regions: decides their conditions and additions, sees to it that the next
// fold will have room for what they touch for the first time, and applies their operations to the
// overlay.
//
// Under the append lock; apply() under the exclusive index lock too. What a crash leaves:
// region_fold.cc.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/commit/batch.h"
#include "engine/read/region_reader.h"
#include "engine/space/extent_reserve.h"
#include "engine/space/room.h"
#include "format/fold.h"

namespace holdfast {

class RegionCommits {
 public:
  RegionCommits(Medium& medium, const std::string& name, const RegionReader& reader,
                IndexState& index, Room& room)
      : medium_(medium), name_(name), reader_(reader), index_(index), room_(room) {}

  // Refuses what is outside of its region, decides additions and comparisons, and sets segments
  // aside. Before anything is appended.
  Status prepare(const Batch::Impl& batch, RecordBuffer* record);
  void apply(const OperationView& operation, uint64_t epoch);  // from replay too
  // Bytes of segments that the last commit found no room for, told once.
  uint64_t take_refused() { return std::exchange(fresh_refused_, 0); }
  ExtentReserve& extents() { return extents_; }
  const ExtentReserve& extents() const { return extents_; }

  // ── for who opens a pool
  // What the fold says of them. Adds their segments to `held`.
  void adopt(const std::vector<FoldedRegion>& folded, std::vector<Segment>* held);
  // Of an operation that is about to be applied.
  void note_wanted(const OperationView& operation, WantedExtents* fresh) const;
  // As far as there is room: else the fold looks for itself.
  void set_aside_replayed(WantedExtents* fresh);
  // During replay, when a fold was placing blocks as the machine stopped.
  void allow_torn(bool allowed) { torn_allowed_ = allowed; }

 private:
  struct KnownRegion {
    uint64_t size = 0;
    std::string name;
  };

  Status check_conditions(const Batch::Impl& batch);
  void overlay_earlier_writes(const RecordBuffer& record, uint64_t end, const RegionKey& cell,
                              uint64_t* value) const;
  void note_fresh_extents(uint32_t region, uint64_t offset, uint64_t bytes,
                          WantedExtents* fresh) const;
  void note_resized_extents(const RegionKey& key, WantedExtents* fresh) const;
  void size_extents(WantedExtents* fresh, const std::map<uint32_t, uint64_t>& resized) const;
  Status set_aside(const WantedExtents& fresh);

  Medium& medium_;
  const std::string& name_;
  const RegionReader& reader_;
  IndexState& index_;
  Room& room_;
  std::unordered_map<uint32_t, KnownRegion> region_sizes_;  // as of the newest record
  ExtentReserve extents_;
  uint64_t fresh_refused_ = 0;
  bool torn_allowed_ = false;
};

}  // namespace holdfast
