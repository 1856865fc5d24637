// What searches in a run have found, remembered in ordinary memory: key -> where its operation
// lies. A key that is read again costs one cache line here in place of a walk through the run's
// nodes.
//
// An answer is a guess, known only by a hash of the key: whoever takes it reads the operation there
// and compares the key in it. That makes it exact, by three promises:
//   1. remember() is told only what a search in this run found and what was then read, whole and
//     with that key in it;
//   2. a run never changes, so what was once found for a key stays what a search finds for it;
//   3. before a segment is given back, forget() takes out all that lies in it, when no reader can
//     come upon it in a run any more. So bytes that a guess names are those that were there when
//     it was remembered: another key's guess shows another key.
//
// Threads: guess() and remember() by any number at once, and beside forget(). Words are whole; a
// lost one costs a search. A crash leaves nothing of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <vector>

#include "base/bytes.h"
#include "base/checksum.h"
#include "format/place.h"
#include "medium/medium.h"

namespace holdfast {

class PlaceMemory {
 public:
  struct Guess {
    uint64_t offset = 0;  // of the operation; 0: none
    uint32_t lines = 0;   // it has about so many cache lines, or more where that is kMostLines
  };
  static constexpr uint32_t kMostLines = 15;

  static uint64_t hash_of(Bytes key) { return checksum(key.data(), key.size()); }

  // For a run of so many entries. Null: there is no memory for it.
  static std::unique_ptr<PlaceMemory> make(uint64_t entries, uint64_t most_bytes);

  void prefetch(uint64_t hash) const { __builtin_prefetch(bucket(hash)); }

  Guess guess(uint64_t hash) const {
    const std::atomic<uint64_t>* const words = bucket(hash);
    for (size_t i = 0; i < kBucketWords; i++) {
      const uint64_t word = words[i].load(std::memory_order_relaxed);
      if (word >> kTagShift == tag(hash))
        return Guess{offset_in(word), static_cast<uint32_t>(word >> kLinesShift) & kMostLines};
    }
    return Guess();
  }

  void remember(uint64_t hash, Place place);
  // All that lies in one of these.
  void forget(const std::vector<Segment>& segments);

  uint64_t bytes() const { return buckets_ * kBucketBytes; }

 private:
  // A word: bits 0..39 the offset in units of 8 bytes, bits 40..43 the lines, bits 44..63 a part of
  // the hash. 0: empty.
  static constexpr uint32_t kLinesShift = 40;
  static constexpr uint32_t kTagShift = 44;
  static constexpr uint64_t kOffsets = uint64_t{1} << kLinesShift;
  static constexpr size_t kBucketWords = 8;
  static constexpr size_t kBucketBytes = kBucketWords * sizeof(uint64_t);  // a cache line
  static_assert(std::atomic<uint64_t>::is_always_lock_free &&
                sizeof(std::atomic<uint64_t>) == sizeof(uint64_t));

  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };

  PlaceMemory(void* memory, uint64_t buckets);
  static uint64_t tag(uint64_t hash) { return hash >> kTagShift; }
  static uint64_t offset_in(uint64_t word) { return (word & (kOffsets - 1)) * 8; }
  std::atomic<uint64_t>* bucket(uint64_t hash) const {
    return words_ + (uint64_t{static_cast<uint32_t>(hash)} * buckets_ >> 32) * kBucketWords;
  }

  const std::unique_ptr<void, Free> memory_;
  std::atomic<uint64_t>* const words_;  // in it, at a cache line
  const uint64_t buckets_;
};

// Those of one pool's runs; what they take together is bounded. Any thread.
class PlaceMemories {
 public:
  static constexpr uint64_t kMostBytes = 16 * kMiB;

  // Sets `*of`, once, to a memory for a run of so many entries; leaves it where there is no room.
  void add(uint64_t entries, std::atomic<PlaceMemory*>* of);
  void remove(PlaceMemory* memory);
  // Before these segments are given back.
  void forget(const std::vector<Segment>& segments);

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<PlaceMemory>> all_;  // guarded by mutex_
  std::atomic<uint64_t> bytes_{0};                 // of them; written under mutex_
};

}  // namespace holdfast
