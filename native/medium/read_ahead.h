// Tells a medium what a walk will read next: the mapping itself fetches a page at a time, since
// most reads are of single keys, anywhere (Medium::expect_reads).
//
// A walk is believed to be one when it has gone on for a few pages, each place near behind the one
// before, or each near in front of it. What it comes to is told in stretches, which grow where all
// of them is in memory already: telling is a system call. One thread; a few words of memory.
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
    const uint64_t end = offset + bytes;
    const bool up = offset >= end_ && offset - end_ <= kNear;
    const bool down = end <= from_ && from_ - end <= kNear;
    if (!(down_ ? down : up)) {
      down_ = down;
      begun_ = down ? end_ : offset;
      told_ = down ? from_ : offset;
      stretch_ = kStretch;
    }
    from_ = offset;
    end_ = end;
    if (walks()) down_ ? tell_down() : tell_up();
  }

  bool walks() const { return (down_ ? begun_ - from_ : end_ - begun_) >= kSure; }

 private:
  static constexpr uint64_t kNear = 16 * kKiB, kSure = 16 * kKiB;
  static constexpr uint64_t kAhead = 128 * kKiB;  // at least, when it is told
  static constexpr uint64_t kStretch = 256 * kKiB, kLongestStretch = kMiB;

  void tell_up() {
    if (told_ >= end_ + kAhead) return;
    const uint64_t from = std::max(told_, from_);
    told_ = end_ + stretch_;
    tell(from, told_);
  }

  void tell_down() {
    if (told_ + kAhead <= from_) return;
    const uint64_t to = std::min(told_, end_);
    told_ = from_ - std::min(from_, stretch_);
    tell(told_, to);
  }

  void tell(uint64_t from, uint64_t to) {
    const bool fetched = medium_->expect_reads(from, to - from);
    stretch_ = fetched ? kStretch : std::min(2 * stretch_, kLongestStretch);
  }

  const Medium* medium_;
  bool down_ = false;
  // Offsets: where the walk began, up to where the medium was told, the last place.
  uint64_t begun_ = 0, told_ = 0, from_ = 0, end_ = 0;
  uint64_t stretch_ = kStretch;  // that is told next, beyond the place
};

}  // namespace holdfast
