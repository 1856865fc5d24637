// Where the front of a pool (layout.h) lies on persistent memory: in libpmemobj's root object, at
// its first page boundary. libpmemobj owns the file's own first bytes and decides where the root
// object goes (4.5 MiB in with version 1.12), so the front is found by its superblocks, which stand
// at page boundaries and name medium pmem.
//
//   front + 0, 4096        superblock, twice; the same struct as on a file, medium = kPmem, size =
//                          bytes of the pool
//   front + 8192, 12288    root slot, twice; changed together by one libpmemobj transaction
//   front + 16384          the use mark: was the pool closed? 64 bytes behind it, the growth mark:
//                          is the file's space taken as it is needed?
//   front + 20480, 24576   log marks
//
// A pool over several directories is a libpmemobj pool set without headers in its parts. Each part
// but the first begins with a page that says which one it is (PmemPartMark). All that libpmemobj
// could allocate belongs to fields: objects that were made with the pool, as large as can be, in
// which the medium places segments itself (medium/pmem/pmem_fields.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "format/layout.h"

namespace holdfast {

constexpr char kPmemLayoutName[] = "holdfast";    // what libpmemobj keeps at byte 4096 of the file
constexpr char kPmemobjSignature[8] = "PMEMOBJ";  // what it keeps at byte 0
constexpr uint64_t kPmemLayoutNameOffset = 4096;
constexpr uint64_t kPmemFrontBytes = kSegmentsOffset;
constexpr uint64_t kPmemUseMarkOffset = 4 * kPageBytes;
// The front can be moved to a page boundary inside the root object.
constexpr uint64_t kPmemRootObjectBytes = kPmemFrontBytes + kPageBytes;
// Where libpmemobj 1.12 keeps the offset of its root object: in its pool descriptor, behind what
// that one's checksum covers. A hint only.
constexpr uint64_t kPmemRootOffsetAt = 4096 + 2048;
// The front is looked for in this much of the pool where the hint does not lead to it.
constexpr uint64_t kPmemFrontSearchBytes = 16 * kMiB;

// One 8-byte word, so it is old or new. Anything that is not kPmemClosed counts as in use.
constexpr uint64_t kPmemInUse = 0x21455355204e49ull;  // "IN USE!"
constexpr uint64_t kPmemClosed = 0x4445534f4c43ull;   // "CLOSED"
// Set before the pool has its name, and never changed. Anything else: all space was taken when the
// pool was made.
constexpr uint64_t kPmemGrowthMarkOffset = kPmemUseMarkOffset + 64;
constexpr uint64_t kPmemGrows = 0x53574f5247ull;  // "GROWS"

// libpmemobj hands out large objects in chunks; each begins with this header.
constexpr uint64_t kPmemChunkBytes = 256 * kKiB;
constexpr uint64_t kPmemObjectHeaderBytes = 16;
// Object type of a segment: this plus its kind.
constexpr uint64_t kPmemSegmentType = 0x484600;  // "HF"

// Object type of a field: the kind of no segment.
constexpr uint64_t kPmemFieldType = kPmemSegmentType | 0x40;

struct PmemPartMark {
  char magic[8];
  uint8_t uuid[16];        // of the pool
  uint64_t number, parts;  // of how many
  uint64_t offset, bytes;  // in the pool
  uint64_t checksum;       // of the words before
};
static_assert(sizeof(PmemPartMark) == 64);
constexpr char kPmemPartMagic[8] = {'H', 'F', 'P', 'A', 'R', 'T', '1', '\0'};

static_assert(kPmemGrowthMarkOffset + sizeof(uint64_t) <= kPmemFrontBytes);
static_assert(kPmemUseMarkOffset >= kRootSlotOffsets[1] + kPageBytes &&
              kPmemUseMarkOffset + kPageBytes <= kLogMarksOffset);

}  // namespace holdfast
