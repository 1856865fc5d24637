// Makes good what libpmemobj (1.12) forgets after a power cut: the footers of its free blocks.
//
// A block of several chunks has a header at its first chunk and a footer at its last, by which a
// block that is freed finds its free neighbour in front. Footers are never flushed, "since they are
// made anew at open"; but libpmemobj does that for used blocks only. After a power cut a free block
// may so have the footer of an earlier, larger block, and the next block is merged with whatever
// lies that far in front of it: used blocks are then handed out again, or the process dies. Found
// by test/crash (states of 'fold' and 'clean' on persistent memory).
//
// Call it when libpmemobj has opened the pool (its own recovery may have changed headers) and
// before the first allocation. What it stores is derived from the headers and needs no flush: it is
// done at every open. A heap that does not look as expected is left alone. One thread.
#pragma once

#include <cstdint>
#include <cstring>

#include "medium/pmem/pmem_library_layout.h"

namespace holdfast {

inline void restore_footers_of_zone(uint8_t* headers_at, uint64_t count) {
  PmemChunkHeader header;
  for (uint64_t i = 0; i < count; i += header.chunks) {
    std::memcpy(&header, headers_at + i * sizeof header, sizeof header);
    if (header.chunks == 0 || header.chunks > count - i) return;  // damaged: libpmemobj will say so
    if ((header.type != kPmemFree && header.type != kPmemUsed) || header.chunks == 1) continue;
    const PmemChunkHeader footer = {kPmemFooter, header.flags, header.chunks};
    uint8_t* at = headers_at + (i + header.chunks - 1) * sizeof footer;
    if (std::memcmp(at, &footer, sizeof footer) != 0) std::memcpy(at, &footer, sizeof footer);
  }
}

// `pool`: where libpmemobj has mapped it.
inline void restore_pmem_footers(uint8_t* pool, uint64_t pool_bytes) {
  uint64_t heap = 0;
  constexpr uint64_t kHeapOffsetAt = kPmemDescriptorAt + offsetof(PmemDescriptor, heap_offset);
  if (pool_bytes < kHeapOffsetAt + sizeof heap) return;
  std::memcpy(&heap, pool + kHeapOffsetAt, sizeof heap);
  PmemHeapHeader header;
  if (heap > pool_bytes || pool_bytes - heap < sizeof header) return;
  std::memcpy(&header, pool + heap, sizeof header);
  if (std::memcmp(header.signature, kPmemHeapSignature, sizeof kPmemHeapSignature) != 0) return;
  if (header.chunk_bytes != kPmemLibraryChunkBytes || header.chunks_per_zone != kPmemZoneChunks)
    return;
  for (uint64_t zone = heap + sizeof header;
       zone < pool_bytes && pool_bytes - zone > kPmemZoneFront; zone += kPmemZoneBytes) {
    PmemZoneHeader of_zone;
    std::memcpy(&of_zone, pool + zone, sizeof of_zone);
    if (of_zone.magic == kPmemZoneMagic && of_zone.chunks <= kPmemZoneChunks) {
      restore_footers_of_zone(pool + zone + sizeof of_zone, of_zone.chunks);
    }
  }
}

}  // namespace holdfast
