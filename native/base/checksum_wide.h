// XXH3 of inputs longer than 240 bytes with wider vectors than every x86-64 has. Only for
// checksum.cc, which asks the CPU first. Same numbers as checksum(). Any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(HOLDFAST_HAVE_XXHASH) && defined(__x86_64__) && defined(__GNUC__)
#define HOLDFAST_WIDE_CHECKSUM 1
namespace holdfast {
uint64_t checksum_avx2(const void* data, size_t size);
uint64_t checksum_avx512(const void* data, size_t size);
uint64_t checksum_copying_avx2(const void* data, size_t size, size_t skipped, uint8_t* to);
uint64_t checksum_copying_avx512(const void* data, size_t size, size_t skipped, uint8_t* to);
}  // namespace holdfast
#endif
