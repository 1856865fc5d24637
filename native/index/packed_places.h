// How the places of one leaf are written in fewer bytes than their words have: the places of a leaf
// are near each other, and their operations are about as long as each other. So a leaf says once
// what the least offset and the least length are, and each entry only what it has beyond those.
//
//   code 0       the key was deleted
//   else         (offset beyond the least) << length_bits | (length beyond the least), plus 1
//
// with Place's units (format/place.h), and its mark of a large value as the lowest bit of the
// length. Where that would take eight bytes a code is the place's word itself. Any word comes back
// as it was.
//
// Values only; no state, any thread.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

namespace holdfast {

struct PlacePacking {
  static constexpr uint32_t kLengthBits = 21, kOffsetBits = 43;
  static constexpr uint32_t kWholeWord = 8;  // code_bytes: codes are words

  uint64_t least_offset = 0;
  uint32_t least_length = 0;
  uint32_t code_bytes = 1;  // 1 to 8
  uint32_t length_bits = 0;

  static uint64_t offset_in(uint64_t word) {
    return word >> (kLengthBits - 1) & ((uint64_t{1} << kOffsetBits) - 1);
  }
  static uint32_t length_in(uint64_t word) {
    return static_cast<uint32_t>((word << 1 & ((1u << kLengthBits) - 1)) | word >> 63);
  }

  uint64_t pack(uint64_t word) const {
    if (code_bytes == kWholeWord || word == 0) return word;
    return ((offset_in(word) - least_offset) << length_bits | (length_in(word) - least_length)) + 1;
  }
  uint64_t unpack(uint64_t code) const {
    if (code_bytes == kWholeWord || code == 0) return code;
    code--;
    const uint64_t length = least_length + (code & ((uint64_t{1} << length_bits) - 1));
    return (least_offset + (code >> length_bits)) << (kLengthBits - 1) | length >> 1 | length << 63;
  }
};

// The places of a leaf in the making.
class PlaceSpan {
 public:
  void add(uint64_t word) {
    if (word == 0) return;
    const uint64_t offset = PlacePacking::offset_in(word);
    const uint32_t length = PlacePacking::length_in(word);
    least_offset_ = std::min(least_offset_, offset);
    most_offset_ = std::max(most_offset_, offset);
    least_length_ = std::min(least_length_, length);
    most_length_ = std::max(most_length_, length);
  }

  PlacePacking packing() const {
    PlacePacking packing;
    if (least_offset_ > most_offset_) return packing;  // all were deleted
    const uint64_t offsets = most_offset_ - least_offset_;
    const uint32_t lengths = most_length_ - least_length_;
    packing.least_offset = least_offset_;
    packing.least_length = least_length_;
    packing.length_bits = static_cast<uint32_t>(std::bit_width(lengths));
    const auto bits = static_cast<uint32_t>(std::bit_width(offsets)) + packing.length_bits;
    const uint64_t most = bits > 55 ? UINT64_MAX : (offsets << packing.length_bits | lengths) + 1;
    packing.code_bytes = (static_cast<uint32_t>(std::bit_width(most)) + 7) / 8;
    return packing;
  }

 private:
  uint64_t least_offset_ = UINT64_MAX, most_offset_ = 0;
  uint32_t least_length_ = UINT32_MAX, most_length_ = 0;
};

}  // namespace holdfast
