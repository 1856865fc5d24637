// Operations read where they lie in the pool. Every one's checksum and key are compared before it
// is handed out, so a damaged byte or a lost place can give an error but never a wrong value.
//
// Any thread; whoever reads keeps the bytes in place (reader.cc).
#pragma once

#include <algorithm>
#include <string>

#include "engine/pool.h"
#include "engine/state/health.h"
#include "index/place_memory.h"
#include "log/log_reader.h"

namespace holdfast {

class Operations {
 public:
  Operations(const Medium& medium, const Health& health, const std::string& name)
      : medium_(medium), health_(health), name_(name) {}

  bool read_in_pool(Place place, OperationView* out) const;
  Status read_at(Place place, Bytes key, OperationView* out, ValueRoom room = {}) const;
  // False: it must be searched for.
  bool read_guessed(const PlaceMemory::Guess& guess, Bytes key, FoundValue* found,
                    ValueRoom room) const;
  // Fetches its first lines into the cache all at once; what follows them the processor foresees by
  // itself. A long one is had from the disk meanwhile.
  void expect(uint64_t offset, uint64_t bytes) const {
    const uint8_t* const from = medium_.view() + offset;
    const uint64_t most = std::min<uint64_t>(bytes, PlaceMemory::kMostLines * kCacheLineBytes);
    for (uint64_t at = 0; at < most; at += kCacheLineBytes) __builtin_prefetch(from + at);
    if (bytes >= kLong) medium_.expect_reads(offset, bytes);
  }

 private:
  bool is_in_pool(Place place) const;

  static constexpr uint64_t kLong = 32 * kKiB;  // many pages, which a disk reads at once
  const Medium& medium_;
  const Health& health_;
  const std::string& name_;
};

}  // namespace holdfast
