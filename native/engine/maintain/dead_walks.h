// How many deleted keys ranges have walked over since they were last merged away. A queue that is
// read from its front, and deleted there, would walk over all that was deleted each time, until a
// merge is due for other reasons. So when walking has cost several times what a merge would, a
// merge is due for its sake.
//
// Any thread. A crash leaves nothing of it.
#pragma once

#include <atomic>
#include <cstdint>

namespace holdfast {

class DeadWalks {
 public:
  // Of an index with so many entries. True: a merge is worth its price.
  bool passed(uint64_t dead, uint64_t entries) {
    return dead >= kMany &&
           passed_.fetch_add(dead, std::memory_order_relaxed) + dead >= price(entries);
  }
  bool worth_merging(uint64_t entries) const {
    return passed_.load(std::memory_order_relaxed) >= price(entries);
  }
  void merged() { passed_.store(0, std::memory_order_relaxed); }

 private:
  static constexpr uint64_t kMany = 64;  // fewer at a time cost a range nothing that counts
  // To merge an entry, with its write, takes about four times what it takes to walk over a deleted
  // one; and four times that, so that merges take no more than a fifth of what walks do.
  static constexpr uint64_t kMerge = 16;
  static constexpr uint64_t kFold = 2000;  // what the fold before it takes, in entries merged
  static uint64_t price(uint64_t entries) { return kMerge * (entries + kFold); }

  std::atomic<uint64_t> passed_{0};
};

}  // namespace holdfast
