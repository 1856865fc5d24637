// Memory in huge pages, where the kernel gives them out on request. Header only, no state, any thread.
//
// Memory that is filled once costs a fault for each page: for 2 MiB, 512 of them or one. A fault takes 2 us on a quiet virtual machine, 13 on a
// busy one, so filling memory costs more in faults than in anything that is done with it.
#pragma once

#include <sys/mman.h>

#include <cstdlib>

#include "base/bytes.h"

namespace holdfast {

constexpr size_t kHugePageBytes = 2 * kMiB;

// A multiple of kHugePageBytes, to be given to free(). Null: no memory.
inline void* take_huge_pages(size_t bytes) {
  void* const memory = std::aligned_alloc(kHugePageBytes, bytes);
#ifdef MADV_HUGEPAGE
  if (memory != nullptr) (void)madvise(memory, bytes, MADV_HUGEPAGE);  // where it cannot be had: small ones, as ever
#endif
  return memory;
}

}  // namespace holdfast
