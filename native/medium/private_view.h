// A stretch of memory of our own in which pieces of a pool are mapped side by side, privately:
// whoever stores into it changes a copy of the page, never the pool, and whoever reads sees the
// pool's pages without copying them.
//
// Begins as zeros. A page that cannot be had later (the file was truncated) reads as zeros: see
// mapping_guard.h. One owner; the memory goes away with it. Nothing of it outlives the process.
#pragma once

#include <cstdint>
#include <memory>

#include "base/status.h"
#include "medium/mapping_guard.h"
#include "medium/medium.h"

namespace holdfast {

class PrivateView {
 public:
  // kNoMemory: no such stretch of addresses is to be had.
  static Result<std::unique_ptr<PrivateView>> reserve(uint64_t bytes);
  ~PrivateView();
  PrivateView(const PrivateView&) = delete;

  // Shows `bytes` of the pool from `offset` on at `at`; all three multiples of 4 KiB. Says how many
  // it shows; the rest is to be copied there: what makes no whole page of a kernel with larger
  // ones, or all of it where no mapping is to be had (device DAX, too many mappings, a pool that
  // another process writes).
  uint64_t map(const Medium& medium, uint64_t offset, uint64_t bytes, uint64_t at);
  bool shows_pool() const { return shows_pool_; }  // false: all that is in it is a copy
  // Zeros again, all of it; the addresses stay taken.
  void blank();

  uint8_t* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

 private:
  PrivateView(uint8_t* data, uint64_t bytes) : data_(data), bytes_(bytes) {}
  uint8_t* const data_;
  const uint64_t bytes_;
  MappingGuard guard_;
  bool watched_ = false, shows_pool_ = false;
};

}  // namespace holdfast
