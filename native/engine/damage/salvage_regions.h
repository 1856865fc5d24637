// What can be saved of a damaged pool's regions: the blocks their extents hold whole, and the log's
// writes behind them, in order. Used by salvage.cc; one thread; changes nothing but the new pool.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/pool.h"
#include "format/fold.h"
#include "format/region.h"
#include "medium/medium.h"

namespace holdfast {

class RegionSalvage {
 public:
  using Lose = std::function<void(const std::string& region, const std::string& why)>;

  RegionSalvage(const Medium& raw, uint64_t secret) : raw_(raw), secret_(secret) {}

  // An operation of a region, in the order of the log.
  void note(uint64_t offset, uint64_t epoch) { operations_.push_back({offset, epoch}); }
  // `fold`: empty where it is lost, and with it what folds had placed. `placing`: the root says
  // that blocks may be torn. Returns the bytes saved.
  Result<uint64_t> save(Pool& to, const FoldBlock& fold, bool placing, const Lose& lose);

 private:
  struct Noted {
    uint64_t offset;  // of the operation
    uint64_t epoch;
  };
  struct Known {
    uint64_t size = 0;
    std::string name;
  };
  Status save_extent(const FoldedRegion& region, const FoldedExtent& extent, const Lose& lose);
  Status replay(const Lose& lose);
  Status write(uint32_t region, uint64_t offset, Bytes bytes);
  Status flush();
  bool touched(uint32_t region, uint64_t block) const;

  const Medium& raw_;
  const uint64_t secret_;
  std::vector<Noted> operations_;
  std::map<uint32_t, Known> known_;
  std::vector<std::pair<uint32_t, std::pair<uint64_t, uint64_t>>>
      torn_;  // ranges the tail writes to; only while placing
  Pool* to_ = nullptr;
  Batch batch_;
  uint64_t saved_ = 0;
};

}  // namespace holdfast
