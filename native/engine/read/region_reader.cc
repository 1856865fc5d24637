#include "engine/read/region_reader.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "base/test_hooks.h"

namespace holdfast {

std::string quoted_region(const std::string& name) { return "'" + name.substr(0, 100) + "'"; }

Status missing_region(uint32_t region) {
  return Status(Code::kNotFound, "there is no region with number " + std::to_string(region) +
                                     ": it was dropped, or is younger than the snapshot");
}

Status out_of_region(const std::string& name, uint64_t size, uint64_t offset, uint64_t bytes) {
  return Status(Code::kOutOfRange, "the region " + quoted_region(name) + " has " +
                                       std::to_string(size) + " bytes; " + std::to_string(bytes) +
                                       " bytes at offset " + std::to_string(offset) +
                                       " are not all inside; resize it first");
}

Status damaged(const std::string& name, uint64_t offset) {
  return Status(Code::kCorrupt,
                "the region " + quoted_region(name) + " is damaged at offset " +
                    std::to_string(offset) +
                    "; holdfast check lists all damage; writing that whole block of " +
                    std::to_string(kRegionBlockBytes) + " bytes anew mends it");
}

bool region_sector_is_sound(const SumSector& sector, bool on_its_way, uint64_t secret,
                            uint32_t region, uint64_t extent, uint64_t index) {
  return sector.region == region && sector.extent == static_cast<uint32_t>(extent) &&
         (on_its_way ||
          sector.checksum ==
              sector_checksum(sector, secret, extent * kExtentBlocks + index * kSumsPerSector));
}

bool RegionReader::read_placed_block(const IndexView& view, uint32_t region, uint64_t block,
                                     uint8_t* to, bool torn_allowed) const {
  const RegionExtents* of = view.regions ? view.regions->find(region) : nullptr;
  const uint64_t number = block / kExtentBlocks, index = block % kExtentBlocks;
  const RegionExtent* extent = of ? of->find(number) : nullptr;
  if (!extent || index >= extent->blocks()) {
    std::memset(to, 0, kRegionBlockBytes);
    return true;
  }
  if (extent->segment.end() > medium_.view_end()) return false;
  const uint8_t* page = medium_.view() + extent->segment.offset;
  const uint64_t sector = index / kSumsPerSector;
  const uint8_t* sums = page + sector * sizeof(SumSector);
  const auto sum = load<uint64_t>(sums + index % kSumsPerSector * sizeof(uint64_t));
  if (sum == 0) {
    std::memset(to, 0, kRegionBlockBytes);
    const uint64_t first = number * kExtentBlocks + sector * kSumsPerSector;
    const auto places = [&](const Overlay* overlay) {
      return overlay && (overlay->regions.is_on_its_way() || read_only_) &&
             overlay->regions.touches(region, first, kSumsPerSector);
    };
    const bool on_its_way = torn_allowed || places(view.active.get()) || places(view.frozen.get());
    return region_sector_is_sound(load<SumSector>(sums), on_its_way, secret_, region, number,
                                  sector);
  }
  std::memcpy(to, page + kSumPageBytes + index * kRegionBlockBytes, kRegionBlockBytes);
  return torn_allowed || planted(PlantedBug::kChecksumNotChecked) ||
         block_sum(to, secret_, region, block) == sum;
}

// A block as of an epoch of the view. False: damaged.
bool RegionReader::read_block(const IndexView& view, uint64_t at, uint32_t region, uint64_t block,
                              uint8_t* to) const {
  for (const Overlay* overlay : {view.active.get(), view.frozen.get()}) {
    if (!overlay || overlay->regions.empty()) continue;
    if (const auto* image = overlay->regions.find(region, block, at)) {
      std::memcpy(to, image->bytes, kRegionBlockBytes);
      return !image->damaged;
    }
    if (block * kRegionBlockBytes >= overlay->regions.limit(region, at)) {
      std::memset(to, 0, kRegionBlockBytes);
      return true;
    }
  }
  return read_placed_block(view, region, block, to, false);
}

RegionInfo RegionReader::info(const IndexView& view, uint64_t at, uint32_t region) const {
  RegionInfo found;
  found.region = region;
  const RegionExtents* placed = view.regions ? view.regions->find(region) : nullptr;
  if (placed) {
    found.size = placed->size;
    found.name = placed->name;
    for (const RegionExtent& extent : placed->extents) found.placed_bytes += extent.segment.bytes;
  }
  for (const Overlay* overlay : {view.frozen.get(), view.active.get()}) {
    const auto* cut = overlay ? overlay->regions.cut(region, at) : nullptr;
    if (!cut) continue;
    found.size = cut->size;
    found.name = overlay->regions.regions().at(region).name;
  }
  return found;
}

Status RegionReader::check_range(const IndexView& view, uint64_t at, uint32_t region,
                                 uint64_t offset, uint64_t size) const {
  uint64_t has = 0;
  const RegionOverlay::Cut* cut = view.active->regions.cut(region, at);
  if (!cut && view.frozen) cut = view.frozen->regions.cut(region, at);
  const RegionExtents* placed = cut || !view.regions ? nullptr : view.regions->find(region);
  if (cut)
    has = cut->size;
  else if (placed)
    has = placed->size;
  if (has == 0) return missing_region(region);
  if (offset > has || size > has - offset)
    return out_of_region(info(view, at, region).name, has, offset, size);
  return {};
}

Status RegionReader::damaged_block(const IndexView& view, uint64_t at, uint32_t region,
                                   uint64_t block) const {
  return health_.blame(damaged(info(view, at, region).name, block * kRegionBlockBytes));
}

// Of the extent at `offset` what will be read of so many bytes. Returns where the next one begins.
uint64_t RegionReader::expect_extent(const IndexView& view, uint32_t region, uint64_t offset,
                                     uint64_t size) const {
  const uint64_t number = offset / kExtentDataBytes, within = offset % kExtentDataBytes;
  const RegionExtents* of = view.regions ? view.regions->find(region) : nullptr;
  const RegionExtent* extent = of && size > kRegionBlockBytes ? of->find(number) : nullptr;
  if (extent)
    medium_.expect_reads(extent->segment.offset + kSumPageBytes + within,
                         std::min(size, kExtentDataBytes - within));
  return offset + kExtentDataBytes - within;
}

Status RegionReader::read(const IndexView& view, uint64_t at, uint32_t region, uint64_t offset,
                          uint64_t size, uint8_t* to) const {
  HOLDFAST_TRY(check_range(view, at, region, offset, size));
  uint8_t block[kRegionBlockBytes];
  uint64_t expected = offset;
  while (size > 0) {
    if (offset >= expected) expected = expect_extent(view, region, offset, size);
    const uint64_t within = offset % kRegionBlockBytes;
    const uint64_t take = std::min(kRegionBlockBytes - within, size);
    uint8_t* into = take == kRegionBlockBytes ? to : block;
    if (!read_block(view, at, region, offset / kRegionBlockBytes, into)) {
      return damaged_block(view, at, region, offset / kRegionBlockBytes);
    }
    if (into == block) std::memcpy(to, block + within, take);
    offset += take;
    to += take;
    size -= take;
  }
  return health_.sound();
}

// By extents and by blocks of the overlays, as of any epoch: what is given may turn out to be
// zeros, never the other way round.
Result<uint64_t> RegionReader::data_from(const IndexView& view, uint64_t at, uint32_t region,
                                         uint64_t offset) const {
  const uint64_t size = info(view, at, region).size;
  if (size == 0) return missing_region(region);
  uint64_t found = size, limit = UINT64_MAX;
  for (const Overlay* overlay : {view.active.get(), view.frozen.get()}) {
    const auto of = overlay ? overlay->regions.regions().find(region)
                            : std::map<uint32_t, RegionOverlay::Region>::const_iterator();
    if (!overlay || of == overlay->regions.regions().end()) continue;
    limit = std::min(limit, overlay->regions.limit(region, at));
    const auto block = of->second.blocks.lower_bound(offset / kRegionBlockBytes);
    if (block != of->second.blocks.end()) found = std::min(found, block->first * kRegionBlockBytes);
  }
  if (const RegionExtents* placed = view.regions->find(region)) {
    const auto extent =
        std::lower_bound(placed->extents.begin(), placed->extents.end(), offset / kExtentDataBytes,
                         [](const RegionExtent& e, uint64_t number) { return e.number < number; });
    if (extent != placed->extents.end() && extent->number * kExtentDataBytes < limit)
      found = std::min(found, extent->number * kExtentDataBytes);
  }
  return std::min(size, std::max(found, offset));
}

std::vector<RegionInfo> RegionReader::all(const IndexView& view, uint64_t at) const {
  std::set<uint32_t> numbers;
  if (view.regions) {
    for (const auto& [region, extents] : view.regions->regions) numbers.insert(region);
  }
  for (const Overlay* overlay : {view.active.get(), view.frozen.get()}) {
    if (!overlay) continue;
    for (const auto& [region, of] : overlay->regions.regions()) numbers.insert(region);
  }
  std::vector<RegionInfo> out;
  for (const uint32_t region : numbers) {
    RegionInfo one = info(view, at, region);
    if (one.size > 0) out.push_back(std::move(one));
  }
  return out;
}

}  // namespace holdfast
