// The inside of a Batch: operations already encoded as they will stand on the medium, conditions, and large values waiting
// to be given segments of their own. See pool.h for what it promises.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/pool.h"
#include "log/record_buffer.h"

namespace holdfast {

enum class ConditionKind : uint8_t { kAbsent, kPresent, kEqual };

struct Condition {
  ConditionKind kind;
  std::string key;
  std::string value;
};

// A large value on its way: bytes owned here until the commit has placed them.
struct PendingLarge {
  std::string key;
  std::string bytes;
};

struct Batch::Impl {
  RecordBuffer record;                 // all operations, in order, but for large values
  std::vector<Condition> conditions;
  // Large values go behind the operations before them: `at` counts operations.
  struct Large {
    uint32_t at;
    PendingLarge value;
  };
  std::vector<Large> large;
  uint64_t large_bytes = 0;
};

// Values above this have segments of their own.
constexpr uint64_t kLargeValueBytes = 256 * kKiB;

}  // namespace holdfast
