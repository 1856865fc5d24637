// Heads: the 8 key bytes after a node's common prefix, as one big-endian word, so that ordering
// keys is mostly ordering words. Shared by the overlay's nodes in memory and the tables' nodes on
// the medium. No state, any thread.
//
// A key that ends early is padded with zero bytes, so equal heads do not mean equal keys: "a" and
// "a\0" have the same head. Whoever finds a tie compares further.
#pragma once

#include <algorithm>

#include "base/bytes.h"

namespace holdfast {

constexpr size_t kHeadBytes = 8;

// The head of what follows `prefix_bytes` (at most key.size()). Reads nothing outside the key.
inline uint64_t head_after(Bytes key, size_t prefix_bytes) {
  const size_t left = key.size() - prefix_bytes;
  const char* const from = key.data() + prefix_bytes;
  if (left >= kHeadBytes) return load_big_endian64(from);
  if (left == 0) return 0;
  // The last 8 bytes of the key hold what is left at their end.
  if (key.size() >= kHeadBytes)
    return load_big_endian64(key.data() + key.size() - kHeadBytes) << (64 - 8 * left);
  uint64_t head = 0;
  for (size_t i = 0; i < left; i++) head |= uint64_t{static_cast<uint8_t>(from[i])} << (56 - 8 * i);
  return head;
}

// How many of the `count` rising heads are less than `head`. Without branches on what is compared.
template <typename Head>
uint32_t heads_below(const Head* heads, uint32_t count, uint64_t head) {
  const Head* base = heads;
  while (count > 1) {
    const uint32_t half = count / 2;
    base += (base[half - 1] < head) * half;
    count -= half;
  }
  return static_cast<uint32_t>(base - heads) + (count == 1 && *base < head);
}

inline size_t common_prefix_bytes(Bytes a, Bytes b) {
  const size_t most = std::min(a.size(), b.size());
  size_t n = 0;
  while (n + 8 <= most) {
    const uint64_t differ = load<uint64_t>(a.data() + n) ^ load<uint64_t>(b.data() + n);
    if (differ != 0) return n + static_cast<size_t>(__builtin_ctzll(differ)) / 8;
    n += 8;
  }
  while (n < most && a[n] == b[n]) n++;
  return n;
}

// How `key` stands to a node whose keys all begin with `prefix`: 0 when it begins with it too; less
// or more than 0 when it is less or more than every key of the node.
inline int compare_to_prefix(Bytes key, Bytes prefix) {
  const int order =
      Bytes::traits_type::compare(key.data(), prefix.data(), std::min(key.size(), prefix.size()));
  return order == 0 && key.size() < prefix.size() ? -1 : order;
}

}  // namespace holdfast
