// The part of the regions that is in ordinary memory: what commits since the last fold changed, as
// images of whole blocks.
//
// Images carry the epoch that wrote them, as entries of the overlay of keys do: when a snapshot may
// still ask for the one before, it is kept behind the new one, else it is overwritten. A block that
// is not here is as of the overlay before, or the last fold. A region that was cut says up to where
// what lies below still counts.
//
// An image whose block was damaged when it was only partly overwritten says so, until it is
// overwritten whole: no write washes damage away.
//
// Threads: changes exclude everything else (the engine's exclusive lock); look-ups may run
// together. A crash leaves nothing of it; it is made again from the log's tail.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "format/region.h"

namespace holdfast {

// What lies below an overlay: blocks as they were when it began.
class RegionBase {
 public:
  virtual ~RegionBase() = default;
  // Copies the block to `to`, zeros where there is none. False: it is damaged; what was copied
  // means nothing.
  virtual bool read_below(uint32_t region, uint64_t block, uint8_t* to) = 0;
};

// Which epochs open snapshots of this overlay may ask for; none when oldest > newest.
struct NeededEpochs {
  uint64_t oldest = UINT64_MAX;
  uint64_t newest = 0;
  bool none() const { return oldest > newest; }
};

class RegionOverlay {
 public:
  static constexpr uint64_t kLatest = UINT64_MAX;

  struct Image {
    uint64_t epoch = 0;
    bool damaged = false;
    std::unique_ptr<Image> older;
    alignas(8) uint8_t bytes[kRegionBlockBytes];
  };
  // From `epoch` on the region has `size` bytes, and of what lies below the overlay only what is
  // before `limit`.
  struct Cut {
    uint64_t epoch = 0;
    uint64_t size = 0;
    uint64_t limit = 0;
  };
  struct Region {
    std::map<uint64_t, std::unique_ptr<Image>> blocks;  // by number
    std::vector<Cut> cuts;
    std::string name;  // of the last cut
  };

  void write(uint32_t region, uint64_t offset, Bytes bytes, uint64_t epoch,
             const NeededEpochs& needed, RegionBase& below);
  // `shrinks`: the region was longer.
  void resize(uint32_t region, uint64_t size, Bytes name, bool shrinks, uint64_t epoch,
              const NeededEpochs& needed, RegionBase& below);

  // The newest image with epoch <= `at`; null if there is none.
  const Image* find(uint32_t region, uint64_t block, uint64_t at) const;
  // The newest cut with epoch <= `at`; null if there is none.
  const Cut* cut(uint32_t region, uint64_t at) const;
  uint64_t limit(uint32_t region, uint64_t at) const {
    const Cut* found = cut(region, at);
    return found ? found->limit : UINT64_MAX;
  }
  // Is any of these blocks here, or cut off here, as of any epoch? Then the sums kept for them
  // below may be on their way.
  bool touches(uint32_t region, uint64_t first_block, uint64_t blocks) const;

  // From its freezing on: a fold may be placing its blocks, so sectors of sums that it touches may
  // be any mixture of old and new. Also of a tail that a fold was placing as the machine stopped.
  // Set under the exclusive index lock.
  void set_on_its_way() { on_its_way_ = true; }
  bool is_on_its_way() const { return on_its_way_; }

  const std::map<uint32_t, Region>& regions() const { return regions_; }
  bool empty() const { return regions_.empty(); }
  size_t bytes() const { return bytes_; }  // of memory taken, about

 private:
  // The bytes of a block to be changed as of `epoch`; `whole`: all of them will be.
  Image& change(Region& of, uint32_t region, uint64_t block, bool whole, uint64_t epoch,
                const NeededEpochs& needed, RegionBase& below);

  std::map<uint32_t, Region> regions_;
  size_t bytes_ = 0;
  bool on_its_way_ = false;
};

}  // namespace holdfast
