// XXH3-64 in plain C++, for machines without the system's xxhash.h. Written from the published
// algorithm; gives the same numbers as the header (a test compares every length class). No state,
// any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace holdfast {

// XXH3_64bits(data, size), seed 0, any size.
uint64_t xxh3_portable(const void* data, size_t size);
// XXH3_64bits_withSeed(data, size, seed), size at most 240.
uint64_t xxh3_portable_seeded(const void* data, size_t size, uint64_t seed);

}  // namespace holdfast
