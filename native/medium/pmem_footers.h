// Makes good what libpmemobj (1.12) forgets after a power cut: the footers of its free blocks.
//
// A block of several chunks has a header at its first chunk and a footer at its last, by which a block that is freed finds
// its free neighbour in front. Footers are never flushed, "since they are made anew at open"; but libpmemobj does that for used blocks
// only. After a power cut a free block may so have the footer of an earlier, larger block, and the next block is
// merged with whatever lies that far in front of it: used blocks are then handed out again, or the process dies. Found by
// test/crash (states of 'fold' and 'clean' on persistent memory).
//
// Call it when libpmemobj has opened the pool (its own recovery may have changed headers) and before the first allocation. What
// it stores is derived from the headers and needs no flush: it is done at every open. A heap that does not look as
// expected is left alone. One thread.
#pragma once

#include <cstdint>
#include <cstring>

namespace holdfast {

struct PmemChunkHeader {
  uint16_t type;  // 1 footer, 2 free, 3 used, 4 run
  uint16_t flags;
  uint32_t chunks;
};
static_assert(sizeof(PmemChunkHeader) == 8);

inline void restore_footers_of_zone(uint8_t* headers_at, uint64_t count) {
  PmemChunkHeader header;
  for (uint64_t i = 0; i < count; i += header.chunks) {
    std::memcpy(&header, headers_at + i * sizeof header, sizeof header);
    if (header.chunks == 0 || header.chunks > count - i) return;  // damaged: libpmemobj will say so
    if ((header.type != 2 && header.type != 3) || header.chunks == 1) continue;
    const PmemChunkHeader footer = {1, header.flags, header.chunks};
    uint8_t* at = headers_at + (i + header.chunks - 1) * sizeof footer;
    if (std::memcmp(at, &footer, sizeof footer) != 0) std::memcpy(at, &footer, sizeof footer);
  }
}

// `pool`: where libpmemobj has mapped it.
inline void restore_pmem_footers(uint8_t* pool, uint64_t pool_bytes) {
  constexpr uint64_t kHeapOffsetAt = 4096 + 1024 + 16;  // in libpmemobj's pool descriptor, behind the layout's name
  constexpr char kHeapSignature[16] = "MEMORY_HEAP_HDR";
  constexpr uint64_t kHeapHeaderBytes = 1024, kChunkBytesAt = 40, kChunksPerZoneAt = 48;
  constexpr uint64_t kZoneHeaderBytes = 64, kChunkBytes = 256 * 1024, kChunksPerZone = 65528;
  constexpr uint32_t kZoneMagic = 0xC3F0A2D2;
  uint64_t heap = 0, chunk_bytes = 0, chunks_per_zone = 0;
  if (pool_bytes < kHeapOffsetAt + sizeof heap) return;
  std::memcpy(&heap, pool + kHeapOffsetAt, sizeof heap);
  if (heap > pool_bytes || pool_bytes - heap < kHeapHeaderBytes) return;
  std::memcpy(&chunk_bytes, pool + heap + kChunkBytesAt, sizeof chunk_bytes);
  std::memcpy(&chunks_per_zone, pool + heap + kChunksPerZoneAt, sizeof chunks_per_zone);
  if (std::memcmp(pool + heap, kHeapSignature, sizeof kHeapSignature) != 0) return;
  if (chunk_bytes != kChunkBytes || chunks_per_zone != kChunksPerZone) return;
  constexpr uint64_t kZoneFront = kZoneHeaderBytes + kChunksPerZone * sizeof(PmemChunkHeader);
  for (uint64_t zone = heap + kHeapHeaderBytes; zone < pool_bytes && pool_bytes - zone > kZoneFront;
       zone += kZoneFront + kChunksPerZone * kChunkBytes) {
    uint32_t words[2];  // magic, chunks
    std::memcpy(words, pool + zone, sizeof words);
    if (words[0] == kZoneMagic && words[1] <= kChunksPerZone) restore_footers_of_zone(pool + zone + kZoneHeaderBytes, words[1]);
  }
}

}  // namespace holdfast
