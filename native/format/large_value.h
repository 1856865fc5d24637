// The description of a value too large for the log: the value has segments of its own, and the
// log's operation holds this.
//
//   | size u64 | count u32 | zero u32 |
//   count x { offset u64, bytes u64 (allocated), used u64, checksum u64 } |
//
// A piece's checksum rolls up the checksums of its chunks of 1 MiB, so that a reader verifies while
// it copies.
// The segments are behind a barrier of their own before the operation is appended, so that a valid
// operation's value is there; or, where a barrier is a sync and they are short, behind the
// record's: of a record that was not durable when the machine died they may be torn, as the record
// may be, and replay looks whether they are (log/tail.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "format/record.h"
#include "medium/medium.h"

namespace holdfast {

struct LargePiece {
  Segment segment;
  uint64_t used = 0;
  uint64_t checksum = 0;
};

struct LargeValue {
  static constexpr uint64_t kChunk = kMiB;
  uint64_t size = 0;
  std::vector<LargePiece> pieces;

  // Have `bytes` of large values, all that a record names, its barrier? What replay reads of them
  // costs less than a sync.
  static bool share_barrier(const MediumInfo& info, uint64_t bytes) {
    return !info.barrier_is_per_thread && bytes <= 4 * kMiB;
  }

  std::string encode() const;
  static std::optional<LargeValue> decode(Bytes description);
};

}  // namespace holdfast
