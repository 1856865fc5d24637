// Has what is appended at length written to the device while it goes on: else it would stay in
// memory until the next barrier, a commit's, which then has all of it to write (Medium::write_out).
//
// At most two stretches are on their way; so whoever appends faster than the device writes waits
// here, and not the commits. One thread; a few words of memory. A crash leaves what appends leave.
#pragma once

#include <cstdint>
#include <utility>

#include "medium/medium.h"

namespace holdfast {

class WriteBehind {
 public:
  // In stretches of so many bytes.
  explicit WriteBehind(Medium& medium, uint64_t stretch = kMiB)
      : medium_(&medium), stretch_(stretch) {}
  void in_stretches_of(uint64_t bytes) { stretch_ = bytes; }

  // So many bytes were appended there.
  Status comes_behind(uint64_t offset, uint64_t bytes) {
    if (offset != now_.end()) {
      if (now_.bytes > 0) HOLDFAST_TRY(write_out());
      now_ = {offset, 0};
    }
    now_.bytes += bytes;
    return now_.bytes < stretch_ ? Status() : write_out();
  }

 private:
  Status write_out() {
    const Segment begun = std::exchange(now_, {now_.end(), 0});
    return medium_->write_out(begun, std::exchange(before_, begun));
  }

  Medium* medium_;
  uint64_t stretch_;
  Segment now_, before_;
};

}  // namespace holdfast
