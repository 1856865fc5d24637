// What a fold makes of the regions: see region_fold.cc. One owner: the fold under way.
#pragma once

#include <vector>

#include "engine/state/region_map.h"
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

}  // namespace holdfast
