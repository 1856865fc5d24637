#include "engine/damage/salvage_regions.h"

#include <algorithm>

#include "engine/read/region_reader.h"

namespace holdfast {

namespace {
constexpr uint64_t kRegionBatchBytes = kMiB;
}

Status RegionSalvage::flush() {
  if (batch_.operations() == 0) return {};
  Status done = std::move(to_->commit(batch_, CommitMode::kEventual).status());
  batch_.clear();
  return done;
}

Status RegionSalvage::write(uint32_t region, uint64_t offset, Bytes bytes) {
  HOLDFAST_TRY(batch_.region_write(region, offset, bytes));
  saved_ += bytes.size();
  return batch_.bytes() >= kRegionBatchBytes ? flush() : Status();
}

bool RegionSalvage::touched(uint32_t region, uint64_t block) const {
  const uint64_t from = block * kRegionBlockBytes, to = from + kRegionBlockBytes;
  return std::any_of(torn_.begin(), torn_.end(), [&](const auto& range) {
    return range.first == region && range.second.first < to && range.second.second > from;
  });
}

Status RegionSalvage::save_extent(const FoldedRegion& region, const FoldedExtent& extent,
                                  const Lose& lose) {
  const Segment& at = extent.segment;
  if (at.offset % 4096 != 0 || at.bytes <= kSumPageBytes || at.end() < at.offset ||
      at.end() > raw_.view_end()) {
    lose(region.name, "its bytes from offset " + std::to_string(extent.number * kExtentDataBytes) +
                          " on lie beyond the pool's end");
    return {};
  }
  const uint8_t* page = raw_.view() + at.offset;
  const uint64_t blocks = std::min(kExtentBlocks, (at.bytes - kSumPageBytes) / kRegionBlockBytes);
  for (uint64_t index = 0; index < blocks; index++) {
    const uint64_t block = extent.number * kExtentBlocks + index,
                   offset = block * kRegionBlockBytes;
    if (offset >= region.size) break;
    const uint64_t sector = index / kSumsPerSector;
    const auto sums = load<SumSector>(page + sector * sizeof(SumSector));
    const uint64_t sum = sums.sums[index % kSumsPerSector];
    if (sum == 0) {
      const bool first = index % kSumsPerSector == 0;
      if (first && !region_sector_is_sound(sums, !torn_.empty(), secret_, region.region,
                                           extent.number, sector)) {
        lose(region.name, "which of its bytes from offset " + std::to_string(offset) +
                              " on had been written is not known any more; they are zeros now");
      }
      continue;
    }
    const uint8_t* bytes = page + kSumPageBytes + index * kRegionBlockBytes;
    if (block_sum(bytes, secret_, region.region, block) != sum && !touched(region.region, block)) {
      lose(region.name,
           "its bytes at offset " + std::to_string(offset) + " are damaged; they are zeros now");
      continue;
    }
    HOLDFAST_TRY(write(region.region, offset,
                       bytes_of(bytes, std::min(kRegionBlockBytes, region.size - offset))));
  }
  return {};
}

Status RegionSalvage::replay(const Lose& lose) {
  for (const Noted& noted : operations_) {
    OperationView operation;
    if (!read_operation(raw_.view() + noted.offset, raw_.view_end() - noted.offset, &operation))
      continue;
    const RegionKey key = decode_region_key(operation.key);
    if (operation.type == OperationType::kRegionSize) {
      HOLDFAST_TRY(flush());
      if (key.word > kMaxRegionBytes || (key.word == 0 && !known_.contains(key.region))) continue;
      HOLDFAST_TRY(batch_.region_size(key.region, key.word, operation.value));
      HOLDFAST_TRY(flush());
      if (key.word == 0)
        known_.erase(key.region);
      else
        known_[key.region] = {key.word, std::string(operation.value)};
      continue;
    }
    const auto known = known_.find(key.region);
    const std::string name =
        known == known_.end() ? "number " + std::to_string(key.region) : known->second.name;
    if (known == known_.end() || key.word > known->second.size ||
        operation.value.size() > known->second.size - key.word) {
      lose(name, "a write at offset " + std::to_string(key.word) +
                     " is left of it, and not the region's size then");
      continue;
    }
    HOLDFAST_TRY(write(key.region, key.word, operation.value));
  }
  return flush();
}

Result<uint64_t> RegionSalvage::save(Pool& to, const FoldBlock& fold, bool placing,
                                     const Lose& lose) {
  to_ = &to;
  std::erase_if(operations_, [&](const Noted& noted) { return noted.epoch <= fold.epoch; });
  for (const Noted& noted : operations_) {
    OperationView operation;
    if (!placing ||
        !read_operation(raw_.view() + noted.offset, raw_.view_end() - noted.offset, &operation))
      continue;
    const RegionKey key = decode_region_key(operation.key);
    const uint64_t end = operation.type == OperationType::kRegionSize
                             ? UINT64_MAX
                             : key.word + operation.value.size();
    torn_.push_back({key.region, {key.word, end}});
  }
  for (const FoldedRegion& region : fold.regions) {
    known_[region.region] = {region.size, region.name};
    HOLDFAST_TRY(batch_.region_size(region.region, region.size, region.name));
    HOLDFAST_TRY(flush());
    for (const FoldedExtent& extent : region.extents)
      HOLDFAST_TRY(save_extent(region, extent, lose));
  }
  HOLDFAST_TRY(flush());
  HOLDFAST_TRY(replay(lose));
  return saved_;
}

}  // namespace holdfast
