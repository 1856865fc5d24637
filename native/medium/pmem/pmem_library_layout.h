// How libpmemobj (1.x) lays out a pool: the parts that we look at from outside. It owns all of it;
// we write none but footers (pmem_footers.h). Whoever reads by these checks first that the pool is
// of this layout, and else leaves it to libpmemobj.
//
//   0        its header: signature, checksum
//   4096     pool descriptor: the name of the layout, then DescriptorWords, then what only a
//            running process uses
//   8192     1,024 lanes of 3 KiB; each has three logs: internal and external redo, undo
//   3153920  the heap's header, then zones of at most 65,528 chunks of 256 KiB: a header, the
//            headers of all chunks, the chunks
//
// A block of several chunks has its header at its first chunk. A used one begins with a
// PmemObjectHeader.
#pragma once

#include <cstddef>
#include <cstdint>

namespace holdfast {

constexpr uint64_t kPmemDescriptorAt = 4096 + 1024;  // behind the name
struct PmemDescriptor {
  uint64_t lanes_offset, lanes, heap_offset, unused;
  uint8_t zeros[2048 - 1024 - 40];
  uint64_t checksum;  // from the name to here
  uint64_t root_offset, run_id, root_size, conversion_flags, heap_size;
};
static_assert(kPmemDescriptorAt + offsetof(PmemDescriptor, root_offset) == 4096 + 2048);

constexpr uint64_t kPmemLanesAt = 8192, kPmemLanes = 1024, kPmemLaneBytes = 3072,
                   kPmemHeapAt = 3153920;
static_assert(kPmemHeapAt == (kPmemLanesAt + kPmemLanes * kPmemLaneBytes + 4095) / 4096 * 4096);

struct PmemLog {  // entries follow
  uint64_t checksum, next, capacity, generation, flags, unused[3];
};
static_assert(sizeof(PmemLog) == 64);
constexpr uint64_t kPmemInternalLogBytes = 192, kPmemExternalLogBytes = 640,
                   kPmemUndoLogBytes = 2048;
static_assert(3 * sizeof(PmemLog) + kPmemInternalLogBytes + kPmemExternalLogBytes +
                  kPmemUndoLogBytes ==
              kPmemLaneBytes);

constexpr char kPmemHeapSignature[16] = "MEMORY_HEAP_HDR";
struct PmemHeapHeader {
  char signature[16];
  uint64_t major, minor, unused, chunk_bytes, chunks_per_zone;
  uint8_t reserved[960];
  uint64_t checksum;
};
static_assert(sizeof(PmemHeapHeader) == 1024);

constexpr uint64_t kPmemZoneChunks = 65528;
constexpr uint32_t kPmemZoneMagic = 0xC3F0A2D2;
struct PmemZoneHeader {
  uint32_t magic, chunks;
  uint8_t reserved[56];
};
static_assert(sizeof(PmemZoneHeader) == 64);

struct PmemChunkHeader {
  uint16_t type;  // of PmemChunkType
  uint16_t flags;
  uint32_t chunks;
};
static_assert(sizeof(PmemChunkHeader) == 8);
enum PmemChunkType : uint16_t { kPmemFooter = 1, kPmemFree = 2, kPmemUsed = 3, kPmemRun = 4 };
constexpr uint16_t kPmemCompactHeader = 1, kPmemFlexibleBitmap = 8;

constexpr uint64_t kPmemZoneFront =
    sizeof(PmemZoneHeader) + kPmemZoneChunks * sizeof(PmemChunkHeader);
constexpr uint64_t kPmemLibraryChunkBytes = 256 * 1024;
constexpr uint64_t kPmemZoneBytes = kPmemZoneFront + kPmemZoneChunks * kPmemLibraryChunkBytes;

// In a pool of so many bytes, those of its root object's run included.
constexpr uint64_t chunks_of_pmem_pool(uint64_t pool_bytes) {
  uint64_t chunks = 0;
  for (uint64_t zone = kPmemHeapAt + sizeof(PmemHeapHeader); zone + kPmemZoneFront < pool_bytes;
       zone += kPmemZoneBytes) {
    const uint64_t room = (pool_bytes - zone - kPmemZoneFront) / kPmemLibraryChunkBytes;
    chunks += room < kPmemZoneChunks ? room : kPmemZoneChunks;
  }
  return chunks;
}

struct PmemObjectHeader {
  uint64_t size;  // of all its chunks or of all its blocks of a run, this header included; flags in
                  // the upper 16 bits
  uint64_t extra;  // the object's type
};
constexpr uint64_t kPmemRootObjectFlag = uint64_t{1} << 63;

struct PmemRunHeader {  // a bitmap follows
  uint64_t block_bytes, alignment;
};

}  // namespace holdfast
