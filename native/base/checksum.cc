// See checksum.h. With the system's xxhash.h: short inputs are hashed right here, longer ones by
// the widest vectors the CPU has (checksum_avx2.cc, checksum_avx512.cc), chosen once. Without it:
// the portable implementation.
#include "base/checksum.h"

#include <cstring>

#include "base/xxh3_portable.h"

#ifdef HOLDFAST_HAVE_XXHASH
#include <atomic>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/checksum_copying.h"
#include "base/checksum_wide.h"
#endif

namespace holdfast {

#ifdef HOLDFAST_HAVE_XXHASH

namespace {

constexpr size_t kShort = 240;  // up to here XXH3 has no loop worth a vector

uint64_t checksum_baseline(const void* data, size_t size) { return XXH3_64bits(data, size); }

using LongChecksum = uint64_t (*)(const void*, size_t);
using LongCopying = uint64_t (*)(const void*, size_t, size_t, uint8_t*);
uint64_t choose_and_checksum(const void* data, size_t size);
uint64_t choose_and_copy(const void* data, size_t size, size_t skipped, uint8_t* to);
// Relaxed: whoever still sees the old value merely chooses again, and chooses the same.
std::atomic<LongChecksum> long_checksum{choose_and_checksum};
std::atomic<LongCopying> long_copying{choose_and_copy};

void choose() {
  LongChecksum checksum_chosen = checksum_baseline;
  LongCopying copying_chosen = xxh3_copying;
#ifdef HOLDFAST_WIDE_CHECKSUM
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2")) {
    checksum_chosen = checksum_avx2;
    copying_chosen = checksum_copying_avx2;
  }
  if (__builtin_cpu_supports("avx512f")) {
    checksum_chosen = checksum_avx512;
    copying_chosen = checksum_copying_avx512;
  }
#endif
  long_checksum.store(checksum_chosen, std::memory_order_relaxed);
  long_copying.store(copying_chosen, std::memory_order_relaxed);
}

uint64_t choose_and_checksum(const void* data, size_t size) {
  choose();
  return checksum(data, size);
}

uint64_t choose_and_copy(const void* data, size_t size, size_t skipped, uint8_t* to) {
  choose();
  return checksum_copying(data, size, skipped, to);
}

}  // namespace

uint64_t checksum(const void* data, size_t size) {
  if (size <= kShort) return XXH3_64bits(data, size);
  return long_checksum.load(std::memory_order_relaxed)(data, size);
}

uint64_t checksum_copying(const void* data, size_t size, size_t skipped, uint8_t* to) {
  if (size > kShort) return long_copying.load(std::memory_order_relaxed)(data, size, skipped, to);
  std::memcpy(to, static_cast<const uint8_t*>(data) + skipped, size - skipped);
  return XXH3_64bits(data, size);
}

uint64_t checksum_seeded(const void* data, size_t size, uint64_t seed) {
  return XXH3_64bits_withSeed(data, size, seed);
}

#else

uint64_t checksum(const void* data, size_t size) { return xxh3_portable(data, size); }
uint64_t checksum_copying(const void* data, size_t size, size_t skipped, uint8_t* to) {
  std::memcpy(to, static_cast<const uint8_t*>(data) + skipped, size - skipped);
  return xxh3_portable(data, size);
}
uint64_t checksum_seeded(const void* data, size_t size, uint64_t seed) {
  return xxh3_portable_seeded(data, size, seed);
}

#endif

}  // namespace holdfast
