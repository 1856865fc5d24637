// Pages of 2 MiB for what is mapped of a file in memory (tmpfs), whatever its mount says.
// Persistent memory is mapped in such pages by itself; in small ones half of a random read goes to
// finding its way through them, most of all in a virtual machine. Header only, no state, any
// thread.
#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>

#include "base/fresh_pages.h"
#include "base/system_page.h"

namespace holdfast {

// The large page at `at`, a multiple of its size. Its bytes stay what and where they are, and may
// be read and written meanwhile, which waits for less than a millisecond. One of which a part is
// not there is left alone: a hole would be filled. False: there are none to be had here (other file
// systems, a kernel before 6.1).
inline bool take_large_page(uint8_t* at) {
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
  unsigned char there[kHugePageBytes / 4096];
  if (mincore(at, kHugePageBytes, there) != 0) return false;
  for (uint64_t page = 0; page < kHugePageBytes / system_page_bytes(); page++) {
    if ((there[page] & 1) == 0) return true;
  }
  return madvise(at, kHugePageBytes, MADV_COLLAPSE) == 0 || errno != EINVAL;
}

}  // namespace holdfast
