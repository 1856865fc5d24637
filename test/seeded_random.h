// Numbers that follow from one seed and nothing else, the same on every machine: a seed names a
// case. Belongs to one thread.
#pragma once

#include <cstdint>

namespace holdfast {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t next() {  // splitmix64
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  uint64_t below(uint64_t n) { return n == 0 ? 0 : next() % n; }
  uint64_t between(uint64_t low, uint64_t high) {
    return low + below(high - low + 1);
  }  // both included
  bool one_in(uint64_t n) { return below(n) == 0; }
  bool percent(uint64_t p) { return below(100) < p; }

 private:
  uint64_t state_;
};

}  // namespace holdfast
