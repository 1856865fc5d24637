#include "engine/read/large_chunks.h"

#include <algorithm>

namespace holdfast {

Status LargeChunks::forgotten(uint64_t bytes) {
  return Status(
      Code::kForgotten,
      "the value of " + std::to_string(bytes) +
          " bytes that this commit put has been replaced and given back since; open the pool with "
          "retain to keep such values for readers of the log");
}

Result<bool> LargeChunks::next(const Take& take) {
  if (!value_) return Status(Code::kCorrupt, "a large value's description is damaged");
  if (piece_ == value_->pieces.size()) return false;
  const LargePiece& piece = value_->pieces[piece_];
  HOLDFAST_TRY(health_.usable());
  if (piece.segment.end() > medium_.view_end() || piece.used > piece.segment.bytes ||
      piece.used == 0) {
    return Status(Code::kCorrupt, "a large value's segment at offset " +
                                      std::to_string(piece.segment.offset) +
                                      " lies beyond the pool's end");
  }
  chunk_.resize(std::min(LargeValue::kChunk, piece.used - at_));
  medium_.expect_reads(piece.segment.offset + at_, 2 * LargeValue::kChunk);
  std::memcpy(chunk_.data(), medium_.view() + piece.segment.offset + at_, chunk_.size());
  rolled_ = roll(rolled_, checksum(chunk_.data(), chunk_.size()));
  at_ += chunk_.size();
  HOLDFAST_TRY(health_.sound());
  if (at_ == piece.used) {
    if (rolled_ != piece.checksum) {
      return Status(Code::kCorrupt, "a large value's bytes at offset " +
                                        std::to_string(piece.segment.offset) + " are damaged");
    }
    piece_++;
    at_ = rolled_ = 0;
  }
  take(chunk_.data(), chunk_.size());
  return true;
}

}  // namespace holdfast
