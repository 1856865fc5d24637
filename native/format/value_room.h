// Where who reads a value will copy it to. A long one is copied there while it is summed: reading
// and writing go on side by side. Header only, no state.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace holdfast {

struct ValueRoom {
  // A shorter one is copied from the cache afterwards as quickly.
  static constexpr uint64_t kLeast = kKiB;

  uint8_t* to = nullptr;
  uint64_t bytes = 0;

  bool suits(uint64_t value_bytes) const { return value_bytes <= bytes && value_bytes >= kLeast; }
};

}  // namespace holdfast
