// The system's XXH3, compiled for AVX2. See checksum_wide.h.
#include "base/checksum_wide.h"

#ifdef HOLDFAST_WIDE_CHECKSUM
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#include <cstring>

#include "base/bytes.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif
#define XXH_VECTOR 2  // the header's number for AVX2
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/checksum_copying.h"

namespace holdfast {
uint64_t checksum_avx2(const void* data, size_t size) { return XXH3_64bits(data, size); }
uint64_t checksum_copying_avx2(const void* data, size_t size, size_t skipped, uint8_t* to) {
  return xxh3_copying(data, size, skipped, to);
}
}  // namespace holdfast
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
