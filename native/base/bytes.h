// Bytes, and the few sums on them that everybody needs. Header only, no state, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

namespace holdfast {

// Borrowed, binary-safe bytes; ordered as unsigned bytes (std::char_traits<char> compares as
// unsigned).
using Bytes = std::string_view;

inline Bytes bytes_of(const void* data, size_t size) {
  return Bytes(static_cast<const char*>(data), size);
}

constexpr uint64_t round_up(uint64_t n, uint64_t unit) { return (n + unit - 1) / unit * unit; }
constexpr uint64_t round_down(uint64_t n, uint64_t unit) { return n / unit * unit; }

// All machines we build for are little-endian, and so is the format.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the pool format is little-endian");

template <typename T>
T load(const void* from) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename T>
void store(void* to, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(to, &value, sizeof value);
}

inline uint64_t load_big_endian64(const void* from) {
  return __builtin_bswap64(load<uint64_t>(from));
}

constexpr uint64_t kCacheLineBytes = 64;
constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = 1024 * kKiB;
constexpr uint64_t kGiB = 1024 * kMiB;

}  // namespace holdfast
