// The bytes at the front of a pool: the superblock (who this pool is, written once at creation,
// twice) and the root slots (the few words that change all at once). Described for readers in
// docs/format.md.
//
//   0       superblock, copy 0       4096    superblock, copy 1
//   8192    root slot 0              12288   root slot 1
//   20480   log mark 0 (log_mark.h)  24576   log mark 1
//   65536   segments begin
//
// Each has a page of its own, so that a torn write of one can never touch another. The pmem medium
// keeps the same superblock in its root object and lets libpmemobj change the root; the root slots
// are the file medium's.
//
// The shape of Superblock (its first 128 bytes) never changes in any later format: that is how an
// older Holdfast can tell "newer" from "damaged".
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/bytes.h"

namespace holdfast {

constexpr uint32_t kFormatVersion = 1;

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kSuperblockOffsets[2] = {0, kPageBytes};
constexpr uint64_t kRootSlotOffsets[2] = {2 * kPageBytes, 3 * kPageBytes};
constexpr uint64_t kLogMarksOffset =
    5 * kPageBytes;  // the first of the two; the page before is the use mark's on persistent memory
constexpr uint64_t kSegmentsOffset = 64 * kKiB;
// What the engine may place bytes in, of what lies before the medium's end.
inline bool is_placeable(uint64_t offset, uint64_t bytes) {
  return offset >= kSegmentsOffset ||
         (offset >= kLogMarksOffset && offset + bytes <= kLogMarksOffset + 2 * kPageBytes);
}
constexpr size_t kRootBytes = 192;

// A file of fixed size has one that is a multiple of the unit.
constexpr uint64_t kFileSegmentUnit = 64 * kKiB;
constexpr uint64_t kMinFilePoolBytes = kMiB;
constexpr uint64_t kMaxFilePoolBytes = 16 * 1024 * kGiB;

constexpr char kSuperblockMagic[8] = {'H', 'O', 'L', 'D', 'F', 'A', 'S', 'T'};
constexpr char kRootSlotMagic[8] = {'H', 'F', '-', 'R', 'O', 'O', 'T', '\n'};

enum class MediumKind : uint32_t { kFile = 1, kPmem = 2 };

struct Superblock {
  char magic[8];
  MediumKind medium;
  uint32_t format_version;
  uint8_t uuid[16];
  uint64_t secret;
  uint64_t size;  // fixed size in bytes; 0: grows by itself
  uint8_t reserved[72];
  uint64_t checksum;  // XXH3 of all bytes before it
};
static_assert(sizeof(Superblock) == 128 && offsetof(Superblock, medium) == 8 &&
              offsetof(Superblock, uuid) == 16 && offsetof(Superblock, secret) == 32 &&
              offsetof(Superblock, size) == 40 && offsetof(Superblock, checksum) == 120 &&
              std::is_trivially_copyable_v<Superblock>);

// 256 bytes at the front of its page: inside one 512-byte sector, so a power cut leaves it old or
// new, hardly ever torn; the checksum is for the rest.
struct RootSlot {
  char magic[8];
  uint64_t sequence;  // the valid slot with the larger one is the root
  uint8_t root[kRootBytes];
  uint8_t reserved[40];
  uint64_t checksum;  // XXH3 of magic..root, seeded with the pool's secret + the slot's offset
};
static_assert(kLogMarksOffset + 2 * kPageBytes <= kSegmentsOffset);
static_assert(sizeof(RootSlot) == 256 && offsetof(RootSlot, sequence) == 8 &&
              offsetof(RootSlot, root) == 16 && offsetof(RootSlot, checksum) == 248 &&
              std::is_trivially_copyable_v<RootSlot>);

}  // namespace holdfast
