// Which extents the regions have, as of a fold: immutable, shared by the views that see it. The
// next fold makes a new one and shares what did not change. A crash leaves what the fold block says
// of it. Any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "format/region.h"
#include "medium/medium.h"

namespace holdfast {

struct RegionExtent {
  uint64_t number = 0;
  Segment segment;
  uint64_t born = 0;  // snapshots with an older serial cannot see it
  uint64_t blocks() const {
    return std::min(kExtentBlocks, (segment.bytes - kSumPageBytes) / kRegionBlockBytes);
  }
};

struct RegionExtents {
  std::string name;
  uint64_t size = 0;
  std::vector<RegionExtent> extents;  // numbers rising

  const RegionExtent* find(uint64_t number) const {
    const auto at =
        std::lower_bound(extents.begin(), extents.end(), number,
                         [](const RegionExtent& e, uint64_t n) { return e.number < n; });
    return at != extents.end() && at->number == number ? &*at : nullptr;
  }
};

struct RegionMap {
  std::map<uint32_t, std::shared_ptr<const RegionExtents>> regions;
  uint64_t segments = 0, bytes = 0;  // of all extents

  const RegionExtents* find(uint32_t region) const {
    const auto at = regions.find(region);
    return at == regions.end() ? nullptr : at->second.get();
  }
};
using RegionMapPtr = std::shared_ptr<const RegionMap>;

}  // namespace holdfast
