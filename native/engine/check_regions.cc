// The part of check() that reads the regions: every block that a fold has placed, and every sector
// of sums, as the pinned snapshot sees them. Commits and folds go on meanwhile: what they change in
// place the snapshot's overlays have.

#include "engine/pool_impl.h"

namespace holdfast {

void PoolImpl::check_regions(const SnapshotPtr& pinned, CheckReport* report,
                             const std::function<bool()>& aborted) {
  const IndexView& view = pinned->view;
  for (const auto& [region, extents] : view.regions->regions) {
    auto info = region_info(region, pinned);
    if (!info.is_ok())
      continue;  // dropped by then; or nothing can be read any more, which check() says
    const uint64_t size = info->size;
    uint64_t damaged_from = 0, damaged_to = 0;
    const std::string& name = extents->name;
    const auto say = [&] {
      if (damaged_to == 0) return;
      report->damages.push_back("the region '" + name.substr(0, 100) + "' is damaged at offset " +
                                std::to_string(damaged_from) + " (up to " +
                                std::to_string(std::min(size, damaged_to)) + ")");
      damaged_to = 0;
    };
    for (const RegionExtent& extent : extents->extents) {
      if (aborted()) return;
      auto reader = read(pinned);
      if (!reader.is_ok()) return;
      uint8_t bytes[kRegionBlockBytes];
      for (uint64_t index = 0; index < extent.blocks(); index++) {
        const uint64_t block = extent.number * kExtentBlocks + index;
        if (block * kRegionBlockBytes >= size) break;
        report->bytes_read += kRegionBlockBytes;
        if (read_block(view, pinned->pin.epoch, region, block, bytes)) continue;
        if (damaged_to != block * kRegionBlockBytes) say();
        if (damaged_to == 0) damaged_from = block * kRegionBlockBytes;
        damaged_to = (block + 1) * kRegionBlockBytes;
      }
    }
    say();
  }
}

}  // namespace holdfast
