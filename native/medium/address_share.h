// How many addresses of the process a pool is mapped with beyond its file's end, to grow into.
//
// A mapping of what is not there yet costs nothing but addresses. Of those a process has 128 TiB,
// or what `ulimit -v` leaves, and everything else in it needs some too: memory, threads, and
// JavaScript, which ends the process where it gets none. So the share of a pool is the smaller the
// more are open: 4 TiB up to the eighth, 8 TiB / n of the n-th. However they come and go, the k-th
// oldest of those that are open found k - 1 others there: n of them have less than
// 32 TiB + 8 TiB * ln(n / 8) together, 89 TiB if they are 10,000.
//
// Threads: any.
#pragma once

#include <algorithm>
#include <cstdint>

#include "medium/posix_file.h"

namespace holdfast {

class AddressShare {
 public:
  AddressShare();
  ~AddressShare();
  AddressShare(const AddressShare&) = delete;
  AddressShare& operator=(const AddressShare&) = delete;
  uint64_t bytes() const { return bytes_; }

 private:
  const uint64_t bytes_;
};

// Maps `wish` bytes of a file or of a pool's parts. Where there are not so many addresses, at most
// half of what there is, but `least` in any case. 0 or the errno.
template <typename File>
int map_with_room(const File& file, uint64_t least, uint64_t wish, const uint8_t** at,
                  uint64_t* bytes) {
  *bytes = std::max(wish, least);
  int error = file.map_shared(*bytes, at);
  if (error == 0) return 0;
  while (error != 0 && *bytes > least) {
    *bytes = std::max(*bytes / 2, least);
    error = file.map_shared(*bytes, at);
  }
  if (error != 0 || *bytes == least) return error;
  PosixFile::unmap(*at, *bytes);
  *bytes = std::max(*bytes / 2, least);
  return file.map_shared(*bytes, at);
}

}  // namespace holdfast
