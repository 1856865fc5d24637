// What the crash tests know of libpmemobj beyond its interface.
#pragma once

#include <cstdint>

namespace holdfast::crash {

// While one lives, libpmemobj opens pools copy-on-write: recovery and everything after it works,
// and the file stays as it is.
class OpensViews {
 public:
  OpensViews();
  ~OpensViews();
  OpensViews(const OpensViews&) = delete;
  OpensViews& operator=(const OpensViews&) = delete;
};

// Before this byte lie libpmemobj's lanes and chunk headers: an operation of any thread (a spare
// segment's, say) may be under way there.
constexpr uint64_t kFirstChunk = 4 * 1024 * 1024;

// Is the line at this byte of the pool one in which libpmemobj (1.12) keeps run-time fields that it
// never flushes and writes anew at each open: in its pool descriptor, the footers among its chunk
// headers, and the first two lines of a chunk?
inline bool libpmemobj_never_flushes(uint64_t offset) {
  constexpr uint64_t kDescriptorEnd = 0x2000;
  // The heap begins behind 1024 lanes of 3 KiB; its first zone has 65528 chunk headers of 8 bytes,
  // then come the chunks.
  constexpr uint64_t kHeap = kDescriptorEnd + 1024 * 3072;
  constexpr uint64_t kChunkHeaders = kHeap + 1024 + 64;
  constexpr uint64_t kChunks = kChunkHeaders + 65528 * 8;
  constexpr uint64_t kChunkBytes = 256 * 1024;
  if (offset < kDescriptorEnd) return true;
  if (offset < kChunks) return offset + 64 > kChunkHeaders;
  return (offset - kChunks) % kChunkBytes < 128;
}

}  // namespace holdfast::crash
