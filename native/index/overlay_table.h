// The overlay's look-up: an open-addressing hash table of entries. A slot is one word: the entry's
// address, above it the table's generation (4 bits), and above that 12 bits of the key's hash, so
// that nearly no other key's entry is looked at on the way. At most half full.
//
// A slot of another generation is empty. So a table that is cleared need not be filled with zeros:
// the thread that folds would do that, and each slot be on its processor when a commit comes to it.
//
// For overlay.cc only. Its memory is an arena of its own, many pages at once when it is large: a
// table is filled all over, and each would be a fault. Threads: as overlay.h says; nothing here
// locks. Nothing is ever taken out.
#pragma once

#include <cstddef>
#include <cstring>

#include "index/overlay_node.h"

namespace holdfast::overlay {

class EntryTable {
 public:
  explicit EntryTable(Pages pages) : arena_(pages) {}
  EntryTable(const EntryTable&) = delete;

  Entry* find(Bytes key, uint64_t hash) const {
    if (count_ == 0) return nullptr;
    const uint64_t tag = tag_of(hash);
    for (uint64_t at = hash & mask_; is_taken(slots_[at]); at = (at + 1) & mask_) {
      if (((slots_[at] ^ tag) & kTag) != 0) continue;
      Entry* const entry = entry_of(slots_[at]);
      if (entry->key() == key) return entry;
    }
    return nullptr;
  }

  void prefetch(uint64_t hash) const {
    if (slots_ != nullptr) __builtin_prefetch(slots_ + (hash & mask_), 1);
  }

  // Its key is not here yet; `entry->hash` is the low half of `hash`.
  void insert(Entry* entry, uint64_t hash) {
    if (2 * (count_ + 1) > capacity()) grow();
    place(reinterpret_cast<uint64_t>(entry) | tag_of(hash), hash);
    count_++;
  }

  // Empty, and as large as before.
  void clear() {
    count_ = 0;
    if (slots_ == nullptr) return;
    generation_ += kGeneration;
    if (generation_ <= kLastGeneration) return;
    arena_.reset();  // of smaller tables too
    take(capacity());
  }

  size_t count() const { return count_; }
  size_t bytes() const { return arena_.bytes(); }

 private:
  static constexpr uint64_t kTag = uint64_t{0xFFFF} << 48, kOfHash = uint64_t{0xFFF} << 52;
  static constexpr uint64_t kGeneration = uint64_t{1} << 48, kLastGeneration = 15 * kGeneration;
  static constexpr size_t kLeast = 256, kSmall = 2048, kUsual = 64 * 1024;
  static constexpr size_t kAhead =
      16;  // entries on their way from memory while a table is made anew

  bool is_taken(uint64_t slot) const { return (slot & kLastGeneration) == generation_; }
  uint64_t tag_of(uint64_t hash) const { return (hash & kOfHash) | generation_; }
  static Entry* entry_of(uint64_t slot) { return reinterpret_cast<Entry*>(slot & ~kTag); }
  size_t capacity() const { return slots_ == nullptr ? 0 : mask_ + 1; }

  void place(uint64_t slot, uint64_t hash) {
    uint64_t at = hash & mask_;
    while (is_taken(slots_[at])) at = (at + 1) & mask_;
    slots_[at] = slot;
  }

  // To make a larger table costs a cache miss an entry: a small one becomes one with room for a
  // usual tail at once.
  static size_t larger(size_t slots) {
    return slots < kSmall ? std::max(2 * slots, kLeast) : std::max(2 * slots, kUsual);
  }

  void take(size_t slots) {
    slots_ = static_cast<uint64_t*>(arena_.take(slots * sizeof(uint64_t), 64));
    std::memset(slots_, 0, slots * sizeof(uint64_t));
    mask_ = slots - 1;
    generation_ = kGeneration;
  }

  // The old table's memory is used again some generations later. The new one begins anew with them.
  void grow() {
    const size_t before = capacity();
    const uint64_t* const old = slots_;
    const uint64_t old_generation = generation_;
    take(larger(before));
    for (size_t i = 0; i < before; i++) {
      if (i + kAhead < before)
        __builtin_prefetch(reinterpret_cast<const char*>((old[i + kAhead] & ~kTag) +
                                                         offsetof(Entry, hash)));  // or nothing
      if ((old[i] & kLastGeneration) == old_generation)
        place((old[i] & ~kLastGeneration) | generation_, entry_of(old[i])->hash);
    }
  }

  Arena arena_;
  uint64_t* slots_ = nullptr;
  uint64_t mask_ = 0;  // below 2^32: all of it is in the half of the hash that entries keep
  uint64_t generation_ = kGeneration;  // where it stands in a slot; never 0
  size_t count_ = 0;
};

}  // namespace holdfast::overlay
