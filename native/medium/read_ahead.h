// Tells a medium what a walk will read next: the mapping itself fetches a page at a time, since
// most reads are of single keys, anywhere (Medium::expect_reads).
//
// A walk is believed to be one when it has gone on for a few pages, each place near behind the one
// before. One thread; a few words of memory.
#pragma once

#include <algorithm>
#include <cstdint>

#include "medium/medium.h"

namespace holdfast {

class ReadAhead {
 public:
  explicit ReadAhead(const Medium& medium) : medium_(&medium) {}

  // So many bytes are about to be read there.
  void comes_to(uint64_t offset, uint64_t bytes) {
    if (offset < last_ || offset - last_ > kNear) begun_ = told_ = offset;
    last_ = offset + bytes;
    if (last_ - begun_ < kSure || told_ >= last_ + kStretch / 2) return;
    const uint64_t from = std::max(told_, offset);
    told_ = last_ + kStretch;
    medium_->expect_reads(from, told_ - from);
  }

 private:
  static constexpr uint64_t kNear = 16 * kKiB, kSure = 16 * kKiB, kStretch = 256 * kKiB;

  const Medium* medium_;
  uint64_t begun_ = 0, last_ = 0, told_ = 0;  // offsets
};

}  // namespace holdfast
