// The bytes of regions as a view of the index sees them: images of blocks in its overlays, else
// what the folds have placed in extents, verified block by block on each read.
//
// Knows no lock: whoever calls keeps the view in place (a snapshot, the shared index lock, or the
// append lock).
#pragma once

#include <string>
#include <vector>

#include "engine/pool.h"
#include "engine/state/health.h"
#include "engine/state/index_state.h"
#include "format/region.h"

namespace holdfast {

Status missing_region(uint32_t region);
Status out_of_region(const std::string& name, uint64_t size, uint64_t offset, uint64_t bytes);
std::string quoted_region(const std::string& name);

// Does the sector of sums stand where it belongs, and whole? `on_its_way`: it may be any mixture of
// an old one and a new one, and only what all its versions have in common is known: whose it is.
bool region_sector_is_sound(const SumSector& sector, bool on_its_way, uint64_t secret,
                            uint32_t region, uint64_t extent, uint64_t index);

class RegionReader {
 public:
  // `read_only`: another process may be placing blocks.
  RegionReader(const Medium& medium, const Health& health, uint64_t secret, bool read_only)
      : medium_(medium), health_(health), secret_(secret), read_only_(read_only) {}

  // `at`: an epoch of the view, or RegionOverlay::kLatest.
  RegionInfo info(const IndexView& view, uint64_t at, uint32_t region) const;  // size 0: none
  std::vector<RegionInfo> all(const IndexView& view, uint64_t at) const;
  // Where something may have been written; see Pool::region_data_from().
  Result<uint64_t> data_from(const IndexView& view, uint64_t at, uint32_t region,
                             uint64_t offset) const;
  Status check_range(const IndexView& view, uint64_t at, uint32_t region, uint64_t offset,
                     uint64_t size) const;
  Status read(const IndexView& view, uint64_t at, uint32_t region, uint64_t offset, uint64_t size,
              uint8_t* to) const;

  bool read_block(const IndexView& view, uint64_t at, uint32_t region, uint64_t block,
                  uint8_t* to) const;  // false: damaged
  // A block as the newest fold left it. `torn_allowed`: a fold may have been placing it when the
  // machine stopped; whatever the tail does not say of it was the same before and after, so any
  // mixture is as good.
  uint64_t expect_extent(const IndexView& view, uint32_t region, uint64_t offset,
                         uint64_t size) const;
  bool read_placed_block(const IndexView& view, uint32_t region, uint64_t block, uint8_t* to,
                         bool torn_allowed) const;
  Status damaged_block(const IndexView& view, uint64_t at, uint32_t region, uint64_t block) const;

 private:
  const Medium& medium_;
  const Health& health_;
  const uint64_t secret_;
  const bool read_only_;
};

}  // namespace holdfast
