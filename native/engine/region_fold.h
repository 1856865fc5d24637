// What a fold makes of the regions: see region_fold.cc. One owner: the fold under way.
#pragma once

#include <vector>

#include "engine/region_map.h"
#include "format/fold.h"

namespace holdfast {

struct RegionFold {
  RegionMapPtr map;            // as of this fold
  std::vector<Segment> taken;  // new segments that were not set aside before: given back if the
                               // fold comes to nothing
  std::vector<Segment> left;   // old ones that the new fold does not refer to
  bool copied_for_readers = false;  // in other processes: what could have been placed in place
};

std::vector<FoldedRegion> folded_regions(const RegionMap& map);
// Does the sector of sums stand where it belongs, and whole? `on_its_way`: it may be any mixture of
// an old one and a new one, and only what all its versions have in common is known: whose it is.
bool region_sector_is_sound(const SumSector& sector, bool on_its_way, uint64_t secret,
                            uint32_t region, uint64_t extent, uint64_t index);

}  // namespace holdfast
