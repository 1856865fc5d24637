// One seed: everything that happens in one simulated life of a pool follows from it.
#pragma once

#include <cstdint>
#include <string>

#include "world.h"

namespace holdfast::crash {

struct Verdict {
  std::string failure;  // empty: every property held
  uint64_t digest = 0;
  Tally tally;
};

Verdict simulate(uint64_t seed, bool trace);

}  // namespace holdfast::crash
