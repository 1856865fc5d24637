// The part of check() that reads the regions: every block that a fold has placed, and every sector
// of sums, as the pinned snapshot sees them. Commits and folds go on meanwhile: what they change in
// place the snapshot's overlays have.

#include "engine/damage/checker.h"

namespace holdfast {

void Checker::check_regions() {
  for (const auto& [region, extents] : view_.regions->regions) {
    auto info = pool_.region_info(region, pinned_);
    if (!info.is_ok())
      continue;  // dropped by then; or nothing can be read any more, which check() says
    check_extents(region, *extents, info->size);
  }
}

void Checker::check_extents(uint32_t region, const RegionExtents& extents, uint64_t size) {
  uint64_t damaged_from = 0, damaged_to = 0;
  const auto say = [&] {
    if (damaged_to == 0) return;
    report_.damages.push_back("the region " + quoted_region(extents.name) +
                              " is damaged at offset " + std::to_string(damaged_from) + " (up to " +
                              std::to_string(std::min(size, damaged_to)) + ")");
    damaged_to = 0;
  };
  for (const RegionExtent& extent : extents.extents) {
    if (aborted()) return;
    auto reader = pool_.read(pinned_);
    if (!reader.is_ok()) return;
    uint8_t bytes[kRegionBlockBytes];
    for (uint64_t index = 0; index < extent.blocks(); index++) {
      const uint64_t block = extent.number * kExtentBlocks + index;
      if (block * kRegionBlockBytes >= size) break;
      report_.bytes_read += kRegionBlockBytes;
      if (parts_.regions.read_block(view_, epoch_, region, block, bytes)) continue;
      if (damaged_to != block * kRegionBlockBytes) say();
      if (damaged_to == 0) damaged_from = block * kRegionBlockBytes;
      damaged_to = (block + 1) * kRegionBlockBytes;
    }
  }
  say();
}

}  // namespace holdfast
