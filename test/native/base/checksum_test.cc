// checksum(): the published numbers, and the system's header against our portable implementation.
#include "base/checksum.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "base/xxh3_portable.h"

#if defined(HOLDFAST_HAVE_XXHASH)
#include "base/checksum_wide.h"
#endif

namespace holdfast {
namespace {

constexpr uint64_t kSeed = 11400714785074694797ull;

// The buffer of the reference implementation's own self test.
std::vector<uint8_t> reference_bytes(size_t size) {
  std::vector<uint8_t> bytes(size);
  uint64_t generator = 2654435761u;
  for (auto& byte : bytes) {
    byte = static_cast<uint8_t>(generator >> 56);
    generator *= kSeed;
  }
  return bytes;
}

struct Vector {
  size_t size;
  uint64_t seed;
  uint64_t expected;
};

constexpr Vector kVectors[] = {
    {0, 0, 0x2D06800538D394C2},       {1, 0, 0xC44BDFF4074EECDB},
    {6, 0, 0x27B56A84CD2D7325},       {12, 0, 0xA713DAF0DFBB77E7},
    {24, 0, 0xA3FE70BF9D3510EB},      {48, 0, 0x397DA259ECBA1F11},
    {80, 0, 0xBCDEFBBB2C47C90A},      {195, 0, 0xCD94217EE362EC3A},
    {403, 0, 0xCDEB804D65C6DEA4},     {512, 0, 0x617E49599013CB6B},
    {2048, 0, 0xDD59E2C3A5F038E0},    {2240, 0, 0x6E73A90539CF2948},
    {2367, 0, 0xCB37AEB9E5D361ED},    {0, kSeed, 0xA8A6B918B2F0364A},
    {1, kSeed, 0x032BE332DD766EF8},   {6, kSeed, 0x84589C116AB59AB9},
    {12, kSeed, 0xE7303E1B2336DE0E},  {24, kSeed, 0x850E80FC35BDD690},
    {48, kSeed, 0xADC2CBAA44ACC616},  {80, kSeed, 0xC6DD0CB699532E73},
    {195, kSeed, 0xBA68003D370CB3D9},
};

TEST_CASE("checksum: published vectors") {
  const auto bytes = reference_bytes(4096);
  for (const Vector& v : kVectors) {
    CAPTURE(v.size);
    CAPTURE(v.seed);
    if (v.seed == 0) {
      CHECK(checksum(bytes.data(), v.size) == v.expected);
      CHECK(xxh3_portable(bytes.data(), v.size) == v.expected);
    } else {
      CHECK(checksum_seeded(bytes.data(), v.size, v.seed) == v.expected);
      CHECK(xxh3_portable_seeded(bytes.data(), v.size, v.seed) == v.expected);
    }
  }
}

TEST_CASE("checksum: seed 0 is the unseeded sum") {
  const auto bytes = reference_bytes(240);
  for (size_t size = 0; size <= 240; ++size) {
    CHECK(checksum_seeded(bytes.data(), size, 0) == checksum(bytes.data(), size));
  }
}

TEST_CASE("checksum: what is built in and the portable implementation agree") {
  const auto bytes = reference_bytes((1 << 20) + 64);
  std::vector<size_t> sizes;
  for (size_t size = 0; size <= 2304; ++size) sizes.push_back(size);
  for (size_t size : {4095, 4096, 4097, 65535, 65536, 65537, 262144 - 16, 1 << 20})
    sizes.push_back(size);
  for (size_t size : sizes) {
    CAPTURE(size);
    const uint8_t* unaligned = bytes.data() + size % 61;
    REQUIRE(checksum(unaligned, size) == xxh3_portable(unaligned, size));
    if (size > 240) continue;
    for (uint64_t seed : {uint64_t{1}, uint64_t{0xFFFFFFFF}, kSeed, ~uint64_t{0}}) {
      REQUIRE(checksum_seeded(unaligned, size, seed) ==
              xxh3_portable_seeded(unaligned, size, seed));
    }
  }
}

using Copying = uint64_t (*)(const void*, size_t, size_t, uint8_t*);

// The sum is the plain one; what is behind the first bytes is at its place, and nothing beside it.
void check_copying(Copying copying, const uint8_t* from, size_t size, size_t skipped) {
  CAPTURE(size);
  CAPTURE(skipped);
  constexpr size_t kAround = 80;
  std::vector<uint8_t> to(kAround + size - skipped + kAround, 0xEE);
  REQUIRE(copying(from, size, skipped, to.data() + kAround) == xxh3_portable(from, size));
  std::vector<uint8_t> expected(to.size(), 0xEE);
  std::copy(from + skipped, from + size, expected.begin() + kAround);
  REQUIRE(to == expected);
}

void check_copying(Copying copying, size_t least) {
  const auto bytes = reference_bytes(70000 + 64);
  for (size_t size = least; size <= 2304; size += 1 + size / 240) {
    const uint8_t* unaligned = bytes.data() + size % 61;
    for (size_t skipped = 0; skipped <= size; skipped += 1 + skipped / 24)
      check_copying(copying, unaligned, size, skipped);
    check_copying(copying, unaligned, size, size);
  }
  for (size_t size : {4095, 4096, 4097, 4120, 65537, 70000})
    for (size_t skipped : {0, 12, 26, 63, 64, 65, 1038})
      check_copying(copying, bytes.data() + size % 61, size, skipped);
}

TEST_CASE("checksum: while it is copied it is the same, and so are the bytes") {
  check_copying(checksum_copying, 0);
}

#ifdef HOLDFAST_WIDE_CHECKSUM
TEST_CASE("checksum: ... in every vector width this CPU has") {
  if (__builtin_cpu_supports("avx2")) check_copying(checksum_copying_avx2, 241);
  if (__builtin_cpu_supports("avx512f")) check_copying(checksum_copying_avx512, 241);
}

TEST_CASE("checksum: every vector width this CPU has gives the same numbers") {
  const auto bytes = reference_bytes(70000);
  for (size_t size = 0; size <= 70000; size += size < 2304 ? 1 : 997) {
    const uint64_t expected = xxh3_portable(bytes.data(), size);
    if (__builtin_cpu_supports("avx2")) REQUIRE(checksum_avx2(bytes.data(), size) == expected);
    if (__builtin_cpu_supports("avx512f")) REQUIRE(checksum_avx512(bytes.data(), size) == expected);
  }
}
#endif

TEST_CASE("checksum: one flipped bit is seen") {
  auto bytes = reference_bytes(4096);
  for (size_t size : {1, 8, 16, 100, 200, 1000, 4096}) {
    const uint64_t whole = checksum(bytes.data(), size);
    for (size_t at = 0; at < size; at += 1 + size / 50) {
      bytes[at] ^= 0x10;
      CHECK(checksum(bytes.data(), size) != whole);
      bytes[at] ^= 0x10;
    }
  }
}

}  // namespace
}  // namespace holdfast
