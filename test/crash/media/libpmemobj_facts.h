// What the crash tests know of libpmemobj beyond its interface.
#pragma once

#include <cstdint>

namespace holdfast::crash {

// While one lives, libpmemobj opens pools copy-on-write: recovery and everything after it works, and the file stays as it is.
class OpensViews {
 public:
  OpensViews();
  ~OpensViews();
  OpensViews(const OpensViews&) = delete;
  OpensViews& operator=(const OpensViews&) = delete;
};

// Is the line at this byte of the pool one in which libpmemobj (1.12) keeps run-time fields that it never flushes and writes
// anew at each open: in its pool descriptor, the footers among its chunk headers, and the first two lines of a chunk?
bool libpmemobj_never_flushes(uint64_t offset);

}  // namespace holdfast::crash
