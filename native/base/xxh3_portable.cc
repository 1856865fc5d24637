// XXH3-64 in four length classes (0..16, 17..128, 129..240, longer), in the order the published
// specification has them. The long class is written so that a compiler can vectorise its inner
// loop: eight independent 64-bit lanes.
#include "base/xxh3_portable.h"

#include "base/bytes.h"

namespace holdfast {
namespace {

constexpr uint64_t kPrime32a = 0x9E3779B1u, kPrime32b = 0x85EBCA77u, kPrime32c = 0xC2B2AE3Du;
constexpr uint64_t kPrime64a = 0x9E3779B185EBCA87ull, kPrime64b = 0xC2B2AE3D27D4EB4Full,
                   kPrime64c = 0x165667B19E3779F9ull, kPrime64d = 0x85EBCA77C2B2AE63ull,
                   kPrime64e = 0x27D4EB2F165667C5ull;
constexpr uint64_t kPrimeMix1 = 0x165667919E3779F9ull, kPrimeMix2 = 0x9FB21C651E98DF25ull;

constexpr size_t kSecretBytes = 192;
constexpr size_t kStripe = 64;
constexpr size_t kLanes = kStripe / 8;
constexpr size_t kSecretStep = 8;  // the secret moves on by this much each stripe
constexpr size_t kStripesPerBlock = (kSecretBytes - kStripe) / kSecretStep;
constexpr size_t kBlock = kStripe * kStripesPerBlock;

// The specification's default secret.
alignas(64) constexpr uint8_t kSecret[kSecretBytes] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e};

inline uint64_t read64(const uint8_t* p) { return load<uint64_t>(p); }
inline uint64_t read32(const uint8_t* p) { return load<uint32_t>(p); }
inline uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

inline uint64_t multiply_fold(uint64_t a, uint64_t b) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint64_t avalanche(uint64_t h) {
  h = (h ^ h >> 37) * kPrimeMix1;
  return h ^ h >> 32;
}

inline uint64_t avalanche_classic(uint64_t h) {
  h = (h ^ h >> 33) * kPrime64b;
  h = (h ^ h >> 29) * kPrime64c;
  return h ^ h >> 32;
}

inline uint64_t hash_1_to_3(const uint8_t* p, size_t size, uint64_t seed) {
  const uint64_t combined =
      uint64_t{p[0]} << 16 | uint64_t{p[size >> 1]} << 24 | uint64_t{p[size - 1]} | size << 8;
  const uint64_t flip = (read32(kSecret) ^ read32(kSecret + 4)) + seed;
  return avalanche_classic(combined ^ flip);
}

inline uint64_t hash_4_to_8(const uint8_t* p, size_t size, uint64_t seed) {
  seed ^= uint64_t{__builtin_bswap32(static_cast<uint32_t>(seed))} << 32;
  const uint64_t input = read32(p + size - 4) + (read32(p) << 32);
  uint64_t h = input ^ ((read64(kSecret + 8) ^ read64(kSecret + 16)) - seed);
  h ^= rotate(h, 49) ^ rotate(h, 24);
  h *= kPrimeMix2;
  h ^= (h >> 35) + size;
  h *= kPrimeMix2;
  return h ^ h >> 28;
}

inline uint64_t hash_9_to_16(const uint8_t* p, size_t size, uint64_t seed) {
  const uint64_t low = read64(p) ^ ((read64(kSecret + 24) ^ read64(kSecret + 32)) + seed);
  const uint64_t high =
      read64(p + size - 8) ^ ((read64(kSecret + 40) ^ read64(kSecret + 48)) - seed);
  return avalanche(size + __builtin_bswap64(low) + high + multiply_fold(low, high));
}

inline uint64_t hash_0_to_16(const uint8_t* p, size_t size, uint64_t seed) {
  if (size > 8) return hash_9_to_16(p, size, seed);
  if (size >= 4) return hash_4_to_8(p, size, seed);
  if (size > 0) return hash_1_to_3(p, size, seed);
  return avalanche_classic(seed ^ (read64(kSecret + 56) ^ read64(kSecret + 64)));
}

inline uint64_t mix_16(const uint8_t* p, const uint8_t* secret, uint64_t seed) {
  return multiply_fold(read64(p) ^ (read64(secret) + seed),
                       read64(p + 8) ^ (read64(secret + 8) - seed));
}

inline uint64_t hash_17_to_128(const uint8_t* p, size_t size, uint64_t seed) {
  uint64_t sum = size * kPrime64a;
  // Pairs from both ends inward.
  for (size_t i = (size - 1) / 32 + 1; i-- > 0;) {
    sum += mix_16(p + 16 * i, kSecret + 32 * i, seed);
    sum += mix_16(p + size - 16 * (i + 1), kSecret + 32 * i + 16, seed);
  }
  return avalanche(sum);
}

inline uint64_t hash_129_to_240(const uint8_t* p, size_t size, uint64_t seed) {
  constexpr size_t kStartOffset = 3, kLastOffset = 17, kSecretMinimum = 136;
  uint64_t sum = size * kPrime64a;
  const size_t rounds = size / 16;
  for (size_t i = 0; i < 8; ++i) sum += mix_16(p + 16 * i, kSecret + 16 * i, seed);
  sum = avalanche(sum);
  for (size_t i = 8; i < rounds; ++i)
    sum += mix_16(p + 16 * i, kSecret + 16 * (i - 8) + kStartOffset, seed);
  sum += mix_16(p + size - 16, kSecret + kSecretMinimum - kLastOffset, seed);
  return avalanche(sum);
}

inline void accumulate(uint64_t* lanes, const uint8_t* p, const uint8_t* secret) {
  uint64_t values[kLanes], keyed[kLanes];
  for (size_t i = 0; i < kLanes; ++i) values[i] = read64(p + 8 * i);
  for (size_t i = 0; i < kLanes; ++i) keyed[i] = values[i] ^ read64(secret + 8 * i);
  for (size_t i = 0; i < kLanes; ++i)
    lanes[i] += values[i ^ 1] + (keyed[i] & 0xFFFFFFFFu) * (keyed[i] >> 32);
}

inline void scramble(uint64_t* lanes) {
  const uint8_t* secret = kSecret + kSecretBytes - kStripe;
  for (size_t i = 0; i < kLanes; ++i)
    lanes[i] = (lanes[i] ^ lanes[i] >> 47 ^ read64(secret + 8 * i)) * kPrime32a;
}

uint64_t merge(const uint64_t* lanes, const uint8_t* secret, uint64_t start) {
  for (size_t i = 0; i < kLanes; i += 2) {
    start +=
        multiply_fold(lanes[i] ^ read64(secret + 8 * i), lanes[i + 1] ^ read64(secret + 8 * i + 8));
  }
  return avalanche(start);
}

uint64_t hash_long(const uint8_t* p, size_t size) {
  constexpr size_t kLastStripeOffset = 7, kMergeOffset = 11;
  uint64_t lanes[kLanes] = {kPrime32c, kPrime64a, kPrime64b, kPrime64c,
                            kPrime64d, kPrime32b, kPrime64e, kPrime32a};
  const size_t blocks = (size - 1) / kBlock;
  for (size_t b = 0; b < blocks; ++b) {
    const uint8_t* block = p + b * kBlock;
    for (size_t s = 0; s < kStripesPerBlock; ++s)
      accumulate(lanes, block + s * kStripe, kSecret + s * kSecretStep);
    scramble(lanes);
  }
  const uint8_t* rest = p + blocks * kBlock;
  const size_t stripes = (size - 1 - blocks * kBlock) / kStripe;
  for (size_t s = 0; s < stripes; ++s)
    accumulate(lanes, rest + s * kStripe, kSecret + s * kSecretStep);
  accumulate(lanes, p + size - kStripe, kSecret + kSecretBytes - kStripe - kLastStripeOffset);
  return merge(lanes, kSecret + kMergeOffset, size * kPrime64a);
}

inline uint64_t hash_short(const uint8_t* p, size_t size, uint64_t seed) {
  if (size <= 16) return hash_0_to_16(p, size, seed);
  if (size <= 128) return hash_17_to_128(p, size, seed);
  return hash_129_to_240(p, size, seed);
}

}  // namespace

uint64_t xxh3_portable(const void* data, size_t size) {
  const auto* p = static_cast<const uint8_t*>(data);
  return size <= 240 ? hash_short(p, size, 0) : hash_long(p, size);
}

uint64_t xxh3_portable_seeded(const void* data, size_t size, uint64_t seed) {
  return hash_short(static_cast<const uint8_t*>(data), size, seed);
}

}  // namespace holdfast
