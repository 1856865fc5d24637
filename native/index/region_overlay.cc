#include "index/region_overlay.h"

#include <algorithm>

namespace holdfast {

RegionOverlay::Image& RegionOverlay::change(Region& of, uint32_t region, uint64_t block, bool whole,
                                            uint64_t epoch, const NeededEpochs& needed,
                                            RegionBase& below) {
  std::unique_ptr<Image>& newest = of.blocks[block];
  if (newest) {
    const bool seen = !needed.none() && newest->epoch < epoch && newest->epoch <= needed.newest;
    if (seen) {
      auto next = std::make_unique<Image>();
      next->damaged = newest->damaged && !whole;
      std::memcpy(next->bytes, newest->bytes, sizeof next->bytes);
      next->older = std::move(newest);
      newest = std::move(next);
      bytes_ += sizeof(Image);
    }
    newest->damaged = newest->damaged && !whole;
    newest->epoch = epoch;
    return *newest;
  }
  newest = std::make_unique<Image>();
  bytes_ += sizeof(Image) + 64;
  const uint64_t limit = of.cuts.empty() ? UINT64_MAX : of.cuts.back().limit;
  const auto fill = [&](Image* image) {
    if (block * kRegionBlockBytes >= limit) {
      std::memset(image->bytes, 0, sizeof image->bytes);
    } else {
      image->damaged = !below.read_below(region, block, image->bytes);
    }
  };
  if (!whole || !needed.none()) fill(newest.get());
  if (!needed.none()) {
    // A snapshot of this overlay sees the block as it was, while a fold may overwrite it below.
    // (Where the region was cut off, the fold leaves what is below alone for the snapshot's sake.)
    auto next = std::make_unique<Image>();
    next->damaged = newest->damaged && !whole;
    std::memcpy(next->bytes, newest->bytes, sizeof next->bytes);
    if (limit == UINT64_MAX) {
      next->older = std::move(newest);
      bytes_ += sizeof(Image);
    }
    newest = std::move(next);
  }
  newest->epoch = epoch;
  return *newest;
}

void RegionOverlay::write(uint32_t region, uint64_t offset, Bytes bytes, uint64_t epoch,
                          const NeededEpochs& needed, RegionBase& below) {
  Region& of = regions_[region];
  while (!bytes.empty()) {
    const uint64_t within = offset % kRegionBlockBytes;
    const size_t take = std::min<size_t>(kRegionBlockBytes - within, bytes.size());
    Image& image = change(of, region, offset / kRegionBlockBytes, take == kRegionBlockBytes, epoch,
                          needed, below);
    std::memcpy(image.bytes + within, bytes.data(), take);
    offset += take;
    bytes.remove_prefix(take);
  }
}

void RegionOverlay::resize(uint32_t region, uint64_t size, Bytes name, bool shrinks, uint64_t epoch,
                           const NeededEpochs& needed, RegionBase& below) {
  Region& of = regions_[region];
  of.name.assign(name.data(), name.size());
  if (shrinks && size % kRegionBlockBytes != 0) {
    const uint64_t within = size % kRegionBlockBytes;
    Image& image = change(of, region, size / kRegionBlockBytes, false, epoch, needed, below);
    std::memset(image.bytes + within, 0, sizeof image.bytes - within);
  }
  const uint64_t first_gone = round_up(size, kRegionBlockBytes) / kRegionBlockBytes;
  for (auto it = of.blocks.lower_bound(first_gone); it != of.blocks.end();) {
    if (needed.none()) {
      it = of.blocks.erase(it);
      bytes_ -= std::min(bytes_, sizeof(Image) + 64);
      continue;
    }
    Image& image = change(of, region, it->first, true, epoch, needed, below);
    std::memset(image.bytes, 0, sizeof image.bytes);
    ++it;
  }
  const uint64_t before = of.cuts.empty() ? UINT64_MAX : of.cuts.back().limit;
  if (needed.none()) of.cuts.clear();
  of.cuts.push_back({epoch, size, shrinks ? std::min(before, size) : before});
}

const RegionOverlay::Image* RegionOverlay::find(uint32_t region, uint64_t block,
                                                uint64_t at) const {
  const auto of = regions_.find(region);
  if (of == regions_.end()) return nullptr;
  const auto found = of->second.blocks.find(block);
  if (found == of->second.blocks.end()) return nullptr;
  const Image* image = found->second.get();
  while (image && image->epoch > at) image = image->older.get();
  return image;
}

const RegionOverlay::Cut* RegionOverlay::cut(uint32_t region, uint64_t at) const {
  const auto of = regions_.find(region);
  if (of == regions_.end()) return nullptr;
  for (auto cut = of->second.cuts.rbegin(); cut != of->second.cuts.rend(); ++cut) {
    if (cut->epoch <= at) return &*cut;
  }
  return nullptr;
}

bool RegionOverlay::touches(uint32_t region, uint64_t first_block, uint64_t blocks) const {
  const auto of = regions_.find(region);
  if (of == regions_.end()) return false;
  const auto at = of->second.blocks.lower_bound(first_block);
  if (at != of->second.blocks.end() && at->first < first_block + blocks) return true;
  const auto& cuts = of->second.cuts;
  return !cuts.empty() && cuts.back().limit < (first_block + blocks) * kRegionBlockBytes;
}

}  // namespace holdfast
