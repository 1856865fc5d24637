// The clocks that records and maintenance are stamped by: coarse ones, which cost nanoseconds. Any
// thread.
#pragma once

#include <cstdint>
#include <ctime>

namespace holdfast {

inline uint64_t coarse_ms(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}
inline uint64_t now_ms() { return coarse_ms(CLOCK_REALTIME_COARSE); }  // wall clock, since 1970
inline uint64_t monotonic_ms() { return coarse_ms(CLOCK_MONOTONIC_COARSE); }

}  // namespace holdfast
