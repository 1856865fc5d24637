#include "engine/copies/large_writer.h"

#include <algorithm>

#include "engine/pool/pool_impl.h"

namespace holdfast {

Status LargeWriter::write(Bytes bytes) {
  while (!bytes.empty()) {
    if (value_.pieces.empty() || value_.pieces.back().used == value_.pieces.back().segment.bytes) {
      auto segment = pool_.take_large_segment(size_ - value_.size);
      if (!segment.is_ok()) return std::move(segment.status());
      value_.pieces.push_back({*segment, 0, 0});
    }
    const LargePiece& piece = value_.pieces.back();
    const uint64_t room =
        std::min(LargeValue::kChunk, piece.segment.bytes - piece.used) - chunk_.size();
    const Bytes part = bytes.substr(0, room);
    chunk_.append(part);
    value_.size += part.size();
    bytes.remove_prefix(part.size());
    if (part.size() == room || value_.size == size_) HOLDFAST_TRY(place());
  }
  return {};
}

// Chunks are counted from the beginning of each piece, as they are read.
Status LargeWriter::place() {
  LargePiece& piece = value_.pieces.back();
  HOLDFAST_TRY(pool_.append_large(piece.segment.offset + piece.used, chunk_.data(), chunk_.size()));
  piece.checksum = roll(piece.checksum, checksum(chunk_.data(), chunk_.size()));
  piece.used += chunk_.size();
  chunk_.clear();
  return {};
}

Status LargeWriter::commit(Bytes key) { return pool_.commit_placed(key, value_); }

}  // namespace holdfast
