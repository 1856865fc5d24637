// A kernel with larger pages than this one has, as arm64 knows them: asked for by
// HOLDFAST_TEST_PAGE_BYTES in the environment (a power of two). sysconf() says so; what is mapped
// is whole pages and begins at one; and what does not begin at one is refused as that kernel would.
// What libc maps for itself (memory, stacks, libraries) is not seen here.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace holdfast::test {

// What system_faults.cc has of mmap() when no call is to fail.
void* map_pages(void* at, size_t size, int protection, int flags, int fd, off_t offset);

}  // namespace holdfast::test
