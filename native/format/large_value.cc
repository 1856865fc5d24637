#include "format/large_value.h"

namespace holdfast {

namespace {
constexpr size_t kHead = 16;
constexpr size_t kPiece = 32;

void put64(std::string* out, uint64_t value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}
}  // namespace

std::string LargeValue::encode() const {
  std::string out;
  out.reserve(kHead + pieces.size() * kPiece);
  put64(&out, size);
  put64(&out, pieces.size());
  for (const LargePiece& piece : pieces) {
    put64(&out, piece.segment.offset);
    put64(&out, piece.segment.bytes);
    put64(&out, piece.used);
    put64(&out, piece.checksum);
  }
  return out;
}

std::optional<LargeValue> LargeValue::decode(Bytes description) {
  if (description.size() < kHead) return std::nullopt;
  const char* at = description.data();
  LargeValue value;
  value.size = load<uint64_t>(at);
  const auto count = load<uint64_t>(at + 8);
  if (count != (description.size() - kHead) / kPiece || (description.size() - kHead) % kPiece != 0)
    return std::nullopt;
  uint64_t total = 0;
  for (uint64_t i = 0; i < count; i++) {
    const char* p = at + kHead + i * kPiece;
    LargePiece piece;
    piece.segment = {load<uint64_t>(p), load<uint64_t>(p + 8)};
    piece.used = load<uint64_t>(p + 16);
    piece.checksum = load<uint64_t>(p + 24);
    if (piece.used > piece.segment.bytes || piece.segment.end() < piece.segment.offset ||
        piece.used > value.size - total)
      return std::nullopt;
    total += piece.used;
    value.pieces.push_back(piece);
  }
  if (total != value.size) return std::nullopt;
  return value;
}

}  // namespace holdfast
