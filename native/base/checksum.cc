#include "base/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace holdfast {

uint64_t checksum(const void* data, size_t size) { return XXH3_64bits(data, size); }

uint64_t checksum_seeded(const void* data, size_t size, uint64_t seed) { return XXH3_64bits_withSeed(data, size, seed); }

}  // namespace holdfast
