// A region on the medium: a named range of bytes that commits change in place. docs/regions.md
// tells what it promises, docs/format.md has the same in prose.
//
// In the log. Two kinds of operations, both self-describing, so that a tail, a change feed or a
// copy of the log can be replayed without anything else:
//
//   kRegionWrite   key: region u32, offset u64
//                  value: the bytes that stand there from this commit on
//   kRegionSize    key: region u32, size u64
//                  value: the region's name; from this commit on it has that size (0: it is gone),
//                  and whatever stood behind it is gone
//
// In segments. A region is cut into extents of 496 blocks of 512 bytes; an extent has a segment of
// its own once something in it was written by a fold, and reads as zeros before:
//
//   | sums page 4096: 8 sectors of 62 sums | block | block | …
//     (as many as the segment holds, at most 496) |
//
// A block is what a disk writes whole or not at all. Its sum is the block's checksum bound to the
// pool, the region and the place; 0 says that the block was never written and reads as zeros, which
// the sector's own checksum vouches for.
// Which extents there are, the fold block says (format/fold.h). No state, any thread.
#pragma once

#include "base/bytes.h"
#include "base/checksum.h"
#include "format/record.h"

namespace holdfast {

constexpr uint64_t kRegionBlockBytes = 512;
constexpr uint64_t kSumsPerSector = 62;
constexpr uint64_t kSumSectors = 8;
constexpr uint64_t kExtentBlocks = kSumsPerSector * kSumSectors;
constexpr uint64_t kExtentDataBytes =
    kExtentBlocks *
    kRegionBlockBytes;  // 248 KiB; with the sums page 252 KiB: a pmem segment's unit
constexpr uint64_t kSumPageBytes = 4096;
constexpr uint64_t kMaxRegionBytes = uint64_t{1} << 40;
constexpr size_t kRegionKeyBytes = 12;
constexpr uint64_t kRegionPieceBytes =
    64 * kKiB;  // longer writes are several operations of one record

// Of a segment for an extent of a region that has `size` bytes: no larger than the region can use.
inline uint64_t extent_segment_bytes(uint64_t size, uint64_t number) {
  const uint64_t begin = number * kExtentDataBytes;
  const uint64_t bytes = size > begin ? size - begin : 0;
  return kSumPageBytes + round_up(bytes < kExtentDataBytes ? bytes : kExtentDataBytes, 4 * kKiB);
}

struct SumSector {
  uint64_t sums[kSumsPerSector] = {};
  uint32_t region = 0;
  uint32_t extent = 0;
  uint64_t checksum = 0;  // of all before it, bound to its place
};
static_assert(sizeof(SumSector) == kRegionBlockBytes &&
              sizeof(SumSector) * kSumSectors == kSumPageBytes);

inline uint64_t region_seed(uint64_t secret, uint32_t region, uint64_t place) {
  return secret ^ ((uint64_t{region} + 1) * 0x9E3779B185EBCA87ull) ^
         ((place + 1) * 0xC2B2AE3D27D4EB4Full);
}

// Never 0: that is an absent block.
inline uint64_t block_sum(const uint8_t* block, uint64_t secret, uint32_t region, uint64_t number) {
  const uint64_t sum = checksum(block, kRegionBlockBytes) ^ region_seed(secret, region, number);
  return sum == 0 ? 1 : sum;
}

inline uint64_t sector_checksum(const SumSector& sector, uint64_t secret, uint64_t first_block) {
  return checksum(&sector, offsetof(SumSector, checksum)) ^
         ~region_seed(secret, sector.region, first_block);
}

// ── operations

struct RegionKey {
  uint32_t region = 0;
  uint64_t word = 0;  // the offset of a write, the size of a kRegionSize
};

inline void encode_region_key(char (&to)[kRegionKeyBytes], uint32_t region, uint64_t word) {
  store(to, region);
  store(to + sizeof region, word);
}

inline RegionKey decode_region_key(Bytes key) {
  return {load<uint32_t>(key.data()), load<uint64_t>(key.data() + sizeof(uint32_t))};
}

inline bool is_region_operation(OperationType type) {
  return type == OperationType::kRegionWrite || type == OperationType::kRegionSize;
}

}  // namespace holdfast
