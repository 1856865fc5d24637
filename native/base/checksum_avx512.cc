// The system's XXH3, compiled for AVX-512. See checksum_wide.h.
#include "base/checksum_wide.h"

#ifdef HOLDFAST_WIDE_CHECKSUM
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#include <cstring>

#include "base/bytes.h"

// GCC 12 warns about the intrinsics' own deliberately undefined operands.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f")
#endif
#define XXH_VECTOR 3  // the header's number for AVX-512
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/checksum_copying.h"

namespace holdfast {
uint64_t checksum_avx512(const void* data, size_t size) { return XXH3_64bits(data, size); }
uint64_t checksum_copying_avx512(const void* data, size_t size, size_t skipped, uint8_t* to) {
  return xxh3_copying(data, size, skipped, to);
}
}  // namespace holdfast
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
