// The overlay's look-up: an open-addressing hash table of entries. A slot is one word: the entry's address, and above it 16 bits of
// the key's hash, so that nearly no other key's entry is looked at on the way. At most half full.
//
// For overlay.cc only. Threads: as overlay.h says; nothing here locks. Nothing is ever taken out.
#pragma once

#include <cstring>

#include "index/overlay_node.h"

namespace holdfast::overlay {

class EntryTable {
 public:
  EntryTable() = default;
  EntryTable(const EntryTable&) = delete;
  ~EntryTable() { std::free(slots_); }

  Entry* find(Bytes key, uint64_t hash) const {
    if (count_ == 0) return nullptr;
    for (uint64_t at = hash & mask_; slots_[at] != 0; at = (at + 1) & mask_) {
      if (((slots_[at] ^ hash) & kTag) != 0) continue;
      Entry* const entry = entry_of(slots_[at]);
      if (entry->key() == key) return entry;
    }
    return nullptr;
  }

  // Its key is not here yet; `entry->hash` is the low half of `hash`.
  void insert(Entry* entry, uint64_t hash) {
    if (2 * (count_ + 1) > capacity()) grow();
    place(reinterpret_cast<uint64_t>(entry) | (hash & kTag), hash);
    count_++;
  }

  // Keeps its memory.
  void clear() {
    if (count_ > 0) std::memset(slots_, 0, bytes());
    count_ = 0;
  }

  size_t count() const { return count_; }
  size_t bytes() const { return capacity() * sizeof(uint64_t); }

 private:
  static constexpr uint64_t kTag = uint64_t{0xFFFF} << 48;
  static constexpr size_t kLeast = 256;

  static Entry* entry_of(uint64_t slot) { return reinterpret_cast<Entry*>(slot & ~kTag); }
  size_t capacity() const { return slots_ == nullptr ? 0 : mask_ + 1; }

  void place(uint64_t slot, uint64_t hash) {
    uint64_t at = hash & mask_;
    while (slots_[at] != 0) at = (at + 1) & mask_;
    slots_[at] = slot;
  }

  void grow() {
    const size_t before = capacity();
    uint64_t* const old = slots_;
    const size_t now = std::max(2 * before, kLeast);
    slots_ = static_cast<uint64_t*>(std::calloc(now, sizeof(uint64_t)));
    if (slots_ == nullptr) std::abort();  // as the arena does
    mask_ = now - 1;
    for (size_t i = 0; i < before; i++) {
      if (old[i] != 0) place(old[i], entry_of(old[i])->hash);
    }
    std::free(old);
  }

  uint64_t* slots_ = nullptr;
  uint64_t mask_ = 0;  // below 2^32: all of it is in the half of the hash that entries keep
  size_t count_ = 0;
};

}  // namespace holdfast::overlay
