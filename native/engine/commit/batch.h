// The inside of a Batch: operations already encoded as they will stand on the medium, conditions,
// and large values waiting to be given segments of their own. See pool.h for what it promises.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "engine/pool.h"
#include "log/record_buffer.h"

namespace holdfast {

enum class ConditionKind : uint8_t { kAbsent, kPresent, kEqual };

// A value of the user's, copied. It may be as long as he likes: no memory for it is an error of the
// call.
class UserBytes {
 public:
  Status set(Bytes from);
  Bytes bytes() const { return {data_.get(), size_}; }
  size_t size() const { return size_; }

 private:
  std::unique_ptr<char[]> data_;
  size_t size_ = 0;
};

struct Condition {
  ConditionKind kind;
  std::string key;
  UserBytes value;
};

// A cell of a region that must hold a certain number; compared as the commit is decided, before its
// changes.
struct RegionCondition {
  uint32_t region;
  uint64_t offset;
  uint64_t expected;
};

// The record's region write number `write` is an addition: its value is decided when the record is
// about to be appended.
struct RegionAdd {
  uint32_t write;
  uint64_t delta;
};

struct Batch::Impl {
  RecordBuffer record;  // all operations, in order, but for large values
  std::vector<Condition> conditions;
  // Large values, owned here until the commit has placed them, go behind the operations before
  // them: `at` counts operations.
  struct Large {
    uint32_t at;
    std::string key;
    UserBytes value;
  };
  std::vector<Large> large;
  uint64_t large_bytes = 0;
  uint32_t region_writes = 0;  // operations of that kind in the record
  uint32_t region_sizes = 0;
  std::vector<RegionCondition> region_conditions;
  std::vector<RegionAdd> adds;                  // in order
  std::shared_ptr<std::vector<uint64_t>> sums;  // of the additions, once committed

  // Nothing but what is in the record, and no region.
  bool is_plain() const { return conditions.empty() && large.empty() && !has_regions(); }
  bool has_regions() const {
    return region_writes > 0 || region_sizes > 0 || !region_conditions.empty();
  }
  // Decided by what regions hold now: everything before it must have been applied.
  bool reads_regions() const { return !adds.empty() || !region_conditions.empty(); }
};

// Values above this have segments of their own.
constexpr uint64_t kLargeValueBytes = 256 * kKiB;

}  // namespace holdfast
