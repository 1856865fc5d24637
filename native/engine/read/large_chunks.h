// A large value read a chunk at a time, verified as it is copied: of each piece the last chunk is
// given only when the whole piece was found right. Whoever reads keeps the value's segments in
// place (a snapshot, or a cursor of the feed that stands before it).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/state/health.h"
#include "format/large_value.h"

namespace holdfast {

class LargeChunks {
 public:
  using Take = std::function<void(const uint8_t* bytes, size_t size)>;
  LargeChunks(const Medium& medium, const Health& health, const std::string& description)
      : medium_(medium), health_(health), value_(LargeValue::decode(description)) {}
  // Gives the next chunk; false: there is none left.
  Result<bool> next(const Take& take);
  // What to say of a value whose segments may have been given back.
  static Status forgotten(uint64_t bytes);

 private:
  const Medium& medium_;
  const Health& health_;
  const std::optional<LargeValue> value_;
  size_t piece_ = 0;
  uint64_t at_ = 0, rolled_ = 0;
  std::vector<uint8_t> chunk_;
};

}  // namespace holdfast
