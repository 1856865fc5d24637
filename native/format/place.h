// Where an operation's bytes are in the pool: what the index maps a key to. One 64-bit word.
//
//   bit 63        the value is large: the operation holds its description, not its bytes
//   bits 20..62   offset of the operation in the pool, in units of 8 bytes (2^43 * 8 = 64 TiB)
//   bits 0..19    length of the whole operation, in units of 8 bytes (at most 8 MiB)
//
// The length makes the space of an operation countable without reading it. The word 0 is no place:
// in an index it says that the key was deleted (offset 0 is the superblock, never an operation).
#pragma once

#include <cstdint>

namespace holdfast {

class Place {
 public:
  static constexpr uint64_t kMaxOperationBytes = ((uint64_t{1} << 20) - 1) * 8;

  Place() = default;
  static Place deleted() { return Place(); }
  static Place of(uint64_t offset, uint64_t bytes, bool large) {
    return from_word((large ? kLargeBit : 0) | (offset / 8) << 20 | bytes / 8);
  }
  static Place from_word(uint64_t word) {
    Place place;
    place.word_ = word;
    return place;
  }

  uint64_t word() const { return word_; }
  bool is_deleted() const { return word_ == 0; }
  bool is_large() const { return (word_ & kLargeBit) != 0; }
  uint64_t offset() const { return ((word_ & ~kLargeBit) >> 20) * 8; }
  uint64_t bytes() const { return (word_ & ((uint64_t{1} << 20) - 1)) * 8; }
  bool operator==(const Place& other) const = default;

 private:
  static constexpr uint64_t kLargeBit = uint64_t{1} << 63;
  uint64_t word_ = 0;
};

}  // namespace holdfast
