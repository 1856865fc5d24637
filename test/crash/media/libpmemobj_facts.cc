#include "crash/media/libpmemobj_facts.h"

#ifdef HOLDFAST_WITH_PMEM
#include <libpmemobj.h>
#endif

namespace holdfast::crash {
namespace {

void set_views([[maybe_unused]] int on) {
#ifdef HOLDFAST_WITH_PMEM
  pmemobj_ctl_set(nullptr, "copy_on_write.at_open", &on);
#endif
}

}  // namespace

OpensViews::OpensViews() { set_views(1); }
OpensViews::~OpensViews() { set_views(0); }

bool libpmemobj_never_flushes(uint64_t offset) {
  constexpr uint64_t kDescriptorEnd = 0x2000;
  // The heap begins behind 1024 lanes of 3 KiB; its first zone has 65528 chunk headers of 8 bytes, then come the chunks.
  constexpr uint64_t kHeap = kDescriptorEnd + 1024 * 3072;
  constexpr uint64_t kChunkHeaders = kHeap + 1024 + 64;
  constexpr uint64_t kChunks = kChunkHeaders + 65528 * 8;
  constexpr uint64_t kChunkBytes = 256 * 1024;
  if (offset < kDescriptorEnd) return true;
  if (offset < kChunks) return offset + 64 > kChunkHeaders;
  return (offset - kChunks) % kChunkBytes < 128;
}

}  // namespace holdfast::crash
