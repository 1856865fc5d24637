// What is read of the log once, from its beginning to its end, copied out of the medium piece by
// piece: recovery's tail. Reading it through the mapping costs a fault for each page, or for
// sixteen of them, and where a hypervisor keeps page tables of its own one for each: 9 MiB took 27
// to 44 ms on such a machine, and 1.3 ms by copies.
//
// Not for bytes that may be changing, nor for what stays in use: who keeps a pointer keeps it until
// release(). One thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "medium/medium.h"

namespace holdfast {

class LogCopy {
 public:
  explicit LogCopy(const Medium& medium) : medium_(medium) {}

  // `size` bytes of the pool at `offset`, which may be read ahead up to `end`. The pointer is good
  // until the next release().
  const uint8_t* at(uint64_t offset, uint64_t size, uint64_t end) {
    if (used_ > 0) {
      const Piece& newest = pieces_[used_ - 1];
      if (offset >= newest.offset && offset + size <= newest.offset + newest.bytes)
        return newest.memory.get() + (offset - newest.offset);
    }
    if (used_ == pieces_.size()) pieces_.emplace_back();
    Piece& piece = pieces_[used_++];
    piece.offset = offset;
    piece.bytes = std::min(std::max(size, kPieceBytes), end - offset);
    if (piece.room < piece.bytes) {
      piece.room = std::max(piece.bytes, kPieceBytes);
      piece.memory.reset(new uint8_t[piece.room]);
    }
    medium_.copy_out(offset, piece.memory.get(), piece.bytes);
    return piece.memory.get();
  }

  // Nothing that was given is needed any more. The newest piece is kept to be read on from, the
  // others' memory to be used again.
  void release() {
    if (used_ <= 1) return;
    std::swap(pieces_[0], pieces_[used_ - 1]);
    used_ = 1;
  }

 private:
  static constexpr uint64_t kPieceBytes = 256 * kKiB;
  struct Piece {
    std::unique_ptr<uint8_t[]> memory;
    uint64_t room = 0, offset = 0, bytes = 0;
  };
  const Medium& medium_;
  std::vector<Piece> pieces_;
  size_t used_ = 0;  // of them, the last of which is the newest
};

}  // namespace holdfast
