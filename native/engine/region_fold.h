// What a fold makes of the regions: see region_fold.cc. One owner: the fold under way.
#pragma once

#include <vector>

#include "engine/region_map.h"
#include "format/fold.h"

namespace holdfast {

struct RegionFold {
  RegionMapPtr map;             // as of this fold
  std::vector<Segment> taken;   // new segments that were not set aside before: given back if the fold comes to nothing
  std::vector<Segment> left;    // old ones that the new fold does not refer to
  bool copied_for_readers = false;  // in other processes: what could have been placed in place
};

std::vector<FoldedRegion> folded_regions(const RegionMap& map);
// Was it made as that sector of sums? The same in every version of it, and so in any mixture of two.
bool region_sector_is_of(const SumSector& sector, uint32_t region, uint64_t extent);
// Does the sector of sums stand where it belongs, and whole?
bool region_sector_is_whole(const SumSector& sector, uint64_t secret, uint32_t region, uint64_t extent, uint64_t index);

}  // namespace holdfast
