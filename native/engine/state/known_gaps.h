// Stretches of keys in which nothing lives, as ranges found them when they walked over deleted
// keys. A queue is read at its front and deleted there: without this each look at the front would
// walk over all that was deleted before, until a merge has taken it away.
//
// What is known of a gap holds for every state since the epoch at which it was found, until a key
// is put into it: then it ends in front of that key.
//
// Threads: put() under the exclusive index lock, the others under the shared one. A crash leaves
// nothing of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "engine/pool.h"

namespace holdfast {

class KnownGaps {
 public:
  static constexpr uint64_t kWorthKnowing = 16;  // fewer deleted keys in a row are walked over
  static constexpr size_t kMost = 64;            // then the one that was of no use for longest goes

  bool any() const { return keyspaces_.load(std::memory_order_relaxed) != 0; }
  // The least key from `key` on that may live as of `epoch`, where that is not `key` itself.
  std::optional<std::string> end_of(Bytes key, uint64_t epoch);
  // The same downwards: what lives below `bound` lives below this.
  std::optional<std::string> begin_of(Bytes bound, uint64_t epoch);
  // Of the keys from `low` to below `high` none lives as of `epoch`, which is the newest state.
  void learn(Bytes low, Bytes high, uint64_t epoch);

  // Costs a look at a word where no gap of the key's keyspace is known.
  void put(Bytes key) {
    if (keyspaces_.load(std::memory_order_relaxed) & bit_of(key)) cut(key);
  }

 private:
  struct Gap {
    std::string end;  // the first key behind it
    uint64_t epoch;
    uint64_t used;
  };
  using Gaps = std::map<std::string, Gap, std::less<>>;  // by their first key; apart

  // By the last six bits of the keyspace's number, with which a key begins.
  static uint64_t bit_of(Bytes key) {
    return key.size() < kKeyspacePrefixBytes
               ? UINT64_MAX
               : uint64_t{1} << (static_cast<uint8_t>(key[kKeyspacePrefixBytes - 1]) & 63);
  }
  static uint64_t bits_of(Bytes low, Bytes high);
  Gaps::iterator last_before(Gaps::iterator behind, uint64_t epoch);
  void note_keyspaces();
  void cut(Bytes key);
  void drop_least_used();

  std::atomic<uint64_t> keyspaces_{0};  // bits_of() all gaps
  std::mutex mutex_;                    // among readers
  Gaps gaps_;
  uint64_t uses_ = 0;
};

}  // namespace holdfast
