// XXH3 of long inputs while they are copied: reading, summing and writing go on side by side, in
// the time that the copying alone takes. Made of the system header's own inner loop, so it is as
// wide as the file that includes this one is compiled for. Only for checksum*.cc, behind
// <xxhash.h>; a test compares the sums. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/bytes.h"

namespace holdfast {
namespace {

// The inner loop has no promised interface: with a header that is not known it is not used.
#if XXH_VERSION_NUMBER >= 801 && XXH_VERSION_NUMBER <= 803

// How far ahead what is read, and what is written, is fetched. The processor foresees the former,
// but not beyond a page, and the latter only where it is written in one stretch.
constexpr size_t kReadAheadBytes = 1024, kWriteAheadBytes = 512;

// XXH3_64bits(data, size), `size` more than 240; what is behind the first `skipped` goes to `to`.
uint64_t xxh3_copying(const void* data, size_t size, size_t skipped, uint8_t* to) {
  constexpr size_t kStripe = 64, kSecretStep = 8, kLastStripe = 7, kMerge = 11;
  constexpr size_t kScramble = sizeof XXH3_kSecret - kStripe;  // where the secret has its last
  constexpr size_t kStripesOfBlock = kScramble / kSecretStep;
  const auto* const from = static_cast<const uint8_t*>(data);
  alignas(64) xxh_u64 lanes[] = XXH3_INIT_ACC;
  const size_t first = round_up(skipped, kStripe);  // whole stripes from here on are copied at once
  const size_t whole = (size - 1) / kStripe;
  for (size_t n = 0; n < whole; n++) {
    const size_t at = n * kStripe, of_block = n % kStripesOfBlock;
    __builtin_prefetch(from + at + kReadAheadBytes);
    XXH3_accumulate_512(lanes, from + at, XXH3_kSecret + of_block * kSecretStep);
    if (at >= first) {
      __builtin_prefetch(to + (at - skipped) + kWriteAheadBytes, 1);
      std::memcpy(to + (at - skipped), from + at, kStripe);
    }
    if (of_block == kStripesOfBlock - 1) XXH3_scrambleAcc(lanes, XXH3_kSecret + kScramble);
  }
  XXH3_accumulate_512(lanes, from + size - kStripe, XXH3_kSecret + kScramble - kLastStripe);
  const size_t copied = whole * kStripe;
  if (copied <= first) {
    std::memcpy(to, from + skipped, size - skipped);
  } else {
    std::memcpy(to, from + skipped, first - skipped);
    std::memcpy(to + (copied - skipped), from + copied, size - copied);
  }
  return XXH3_mergeAccs(lanes, XXH3_kSecret + kMerge, size * XXH_PRIME64_1);
}

#else

uint64_t xxh3_copying(const void* data, size_t size, size_t skipped, uint8_t* to) {
  const uint64_t sum = XXH3_64bits(data, size);
  std::memcpy(to, static_cast<const uint8_t*>(data) + skipped, size - skipped);
  return sum;
}

#endif

}  // namespace
}  // namespace holdfast
