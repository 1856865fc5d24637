// A large value written a piece at a time as its bytes come, and then committed under a key: a
// gigabyte takes a megabyte of memory.
//
// What a crash leaves before the commit: segments that nothing refers to, which are free at the
// next open. One that is given up keeps its segments held until then. Threads: one at a time.
#pragma once

#include <string>

#include "format/large_value.h"

namespace holdfast {

class PoolImpl;

class LargeWriter {
 public:
  LargeWriter(PoolImpl& pool, uint64_t size) : pool_(pool), size_(size) {}
  Status write(Bytes bytes);
  Status commit(Bytes key);  // when all bytes were written

 private:
  Status place();
  PoolImpl& pool_;
  const uint64_t size_;
  LargeValue value_;
  std::string chunk_;  // of the last piece
};

}  // namespace holdfast
