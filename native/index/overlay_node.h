// The pieces of the overlay: arenas everything lives in, versions, entries, and the nodes of the
// B+tree that orders them. For overlay*.cc and .h only.
//
// Keys are copied once into an arena and never move or go away, so a node refers to its prefix,
// its separators and its entries by pointer. A node keeps the heads of its keys after their common
// prefix in one array: a search touches the header, some heads, and the one key it ends at.
//
// Threads: as overlay.h says; nothing here locks. Ordinary memory: nothing of it outlives the
// process.
#pragma once

#include <cstdlib>
#include <new>
#include <vector>

#include "base/fresh_pages.h"
#include "format/place.h"
#include "index/heads.h"

namespace holdfast::overlay {

constexpr uint32_t kFanout = 64;

// Memory that is given back, or used anew, all at once.
class Arena {
 public:
  explicit Arena(Pages pages = Pages::kHuge) : pages_(pages) {}
  Arena(const Arena&) = delete;
  ~Arena() {
    reset();
    for (const Chunk& chunk : kept_) std::free(chunk.memory);
  }

  // `align` is a power of two, at most 64.
  void* take(size_t bytes, size_t align) {
    uintptr_t from = (next_ + align - 1) & ~(align - 1);
    if (from + bytes > end_) {
      grow(bytes + 64);
      from = (next_ + align - 1) & ~(align - 1);
    }
    next_ = from + bytes;
    return reinterpret_cast<void*>(from);
  }

  // Nothing that was taken is used any more. The memory stays, so that who fills the arena anew
  // need not wait for it page by page.
  void reset() {
    kept_.insert(kept_.end(), used_.rbegin(),
                 used_.rend());  // the last one first: then the same come in the same order
    used_.clear();
    next_ = end_ = 0;
  }

  size_t bytes() const { return bytes_; }

 private:
  struct Chunk {
    void* memory;
    size_t bytes;
  };

  void grow(size_t at_least) {
    if (!kept_.empty() && kept_.back().bytes >= at_least) {
      used_.push_back(kept_.back());
      kept_.pop_back();
    } else {
      size_t size = at_least > kHugePageBytes / 8 ? std::max(kHugePageBytes, at_least)
                                                  : std::max(next_chunk_bytes_, at_least);
      next_chunk_bytes_ = next_chunk_bytes_ < 128 * kKiB
                              ? next_chunk_bytes_ * 2
                              : kHugePageBytes;  // a small overlay takes little
      const bool paged = size >= kHugePageBytes;
      if (paged) size = round_up(size, kHugePageBytes);
      const Pages pages = bytes_ + size <= kMostSmall ? pages_ : Pages::kHuge;
      used_.push_back({paged ? take_fresh_pages(size, pages) : std::malloc(size), size});
      if (used_.back().memory == nullptr)
        std::abort();  // as operator new does here: without memory there is nothing to say it with
      bytes_ += size;
    }
    next_ = reinterpret_cast<uintptr_t>(used_.back().memory);
    end_ = next_ + used_.back().bytes;
  }

  static constexpr size_t kMostSmall =
      8 * kMiB;  // to find one's way in more of them takes longer than was saved
  const Pages pages_;
  std::vector<Chunk> used_, kept_;
  uintptr_t next_ = 0;
  uintptr_t end_ = 0;
  size_t bytes_ = 0;
  size_t next_chunk_bytes_ = 8 * kKiB;
};

struct Version {
  uint64_t epoch;
  Place place;
  Version* older;  // with a lower epoch; null: no older one is kept
};

// A key and its newest version. The key's bytes follow the fields.
struct Entry {
  Version newest;
  Entry* made_before;  // the next older of those that are in no order yet; else it means nothing
  uint16_t key_bytes;
  bool older_counted;  // as Overlay::put() was told
  uint32_t hash;       // the low half of the key's

  static size_t size_for(Bytes key) { return sizeof(Entry) + key.size(); }
  char* key_data() { return reinterpret_cast<char*>(this + 1); }
  Bytes key() const { return Bytes(reinterpret_cast<const char*>(this + 1), key_bytes); }

  const Version* version_at(uint64_t at) const {
    const Version* version = &newest;
    while (version != nullptr && version->epoch > at) version = version->older;
    return version;
  }
};

// What leaves and inner nodes have in common: up to 64 rising keys.
struct alignas(64) Node {
  uint16_t count = 0;
  uint16_t level = 0;  // 0: a leaf
  uint32_t prefix_bytes = 0;
  const char* prefix = prefix_copy;  // or into a key of the arena when it is longer than the copy
  char prefix_copy[48];
  uint64_t heads[kFanout];
  Entry* entries[kFanout];

  // All keys begin with the first `bytes` of `key`, which stays where it is. Makes the heads anew.
  void set_prefix(Bytes key, size_t bytes) {
    prefix_bytes = static_cast<uint32_t>(bytes);
    prefix = key.data();
    if (bytes <= sizeof prefix_copy) {
      std::memcpy(prefix_copy, key.data(), bytes);
      prefix = prefix_copy;
    }
    for (uint32_t i = 0; i < count; i++) heads[i] = head_after(entries[i]->key(), prefix_bytes);
  }

  // Takes over the entries of `full` from `from` on; this node is new.
  void take_tail_of(Node* full, uint32_t from) {
    count = static_cast<uint16_t>(full->count - from);
    std::copy(full->entries + from, full->entries + full->count, entries);
    full->count = static_cast<uint16_t>(from);
    remake();
    full->remake();
  }

  // Fewer keys may have more in common.
  void remake() {
    if (count > 0)
      set_prefix(entries[0]->key(),
                 common_prefix_bytes(entries[0]->key(), entries[count - 1]->key()));
  }

  // Index of the first key >= `key`.
  uint32_t lower_bound(Bytes key, bool* equal) const {
    *equal = false;
    const int order = compare_to_prefix(key, Bytes(prefix, prefix_bytes));
    if (order != 0) return order < 0 ? 0 : count;
    const uint64_t head = head_after(key, prefix_bytes);
    uint32_t low = heads_below(heads, count, head);
    uint32_t high = count;
    while (low < high && heads[low] == head) {  // a tie: look at the first, then halve what is left
      const int tie = entries[low]->key().compare(key);
      *equal = tie == 0;
      if (tie >= 0) return low;
      low++;
      const uint32_t middle = low + (high - low) / 2;
      if (middle < high && (heads[middle] > head || entries[middle]->key() >= key)) {
        high = middle + 1;
      } else {
        low = std::min(middle + 1, high);
      }
    }
    return low;
  }

  void insert(uint32_t at, Entry* entry) {
    const Bytes key = entry->key();
    const size_t shared =
        count == 0 ? key.size() : common_prefix_bytes(key, Bytes(prefix, prefix_bytes));
    if (count == 0 || shared < prefix_bytes) set_prefix(key, shared);
    std::memmove(heads + at + 1, heads + at, (count - at) * sizeof heads[0]);
    std::memmove(entries + at + 1, entries + at, (count - at) * sizeof entries[0]);
    heads[at] = head_after(key, prefix_bytes);
    entries[at] = entry;
    count++;
  }

  // Brings in what a search will touch first.
  void prefetch() const {
    __builtin_prefetch(this);
    for (uint32_t i = 0; i < kFanout; i += 8) __builtin_prefetch(heads + i);
  }
};

struct Leaf : Node {
  Leaf* previous = nullptr;
  Leaf* next = nullptr;
  uint32_t last_insert =
      UINT32_MAX - 1;  // where the newest entry went: keys that come in order show themselves
};

// children[i] has the keys < entries[i]'s; children[i + 1] those >= it.
struct Inner : Node {
  Node* children[kFanout + 1];

  uint32_t child_for(Bytes key) const {
    bool equal;
    const uint32_t at = lower_bound(key, &equal);
    return at + (equal ? 1 : 0);
  }

  void insert_child(uint32_t at, Entry* separator, Node* right) {
    std::memmove(children + at + 2, children + at + 1, (count - at) * sizeof children[0]);
    children[at + 1] = right;
    insert(at, separator);
  }
};

}  // namespace holdfast::overlay
