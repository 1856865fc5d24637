// Opens what a crash has left and says what is wrong with it; the one place that states the
// property (docs/testing.md): the pool opens, its state is the one after some commit between the
// last acknowledged and the last begun, check() finds nothing, no space is held that nothing refers
// to, and the pool goes on.
//
// One thread. What it opens it closes.
#pragma once

#include <string>
#include <vector>

#include "crash/media/script.h"

namespace holdfast::crash {

struct Expected {
  const std::vector<State>* states = nullptr;
  int64_t acked = -1;  // -1: not even the pool itself was acknowledged
  uint64_t begun = 0;
  // Of a recovery that was crashed: bytes of large values of earlier states that may be held until
  // the next fold.
  uint64_t superseded = 0;
};

// Bytes of the segments that the large values of a state take.
uint64_t large_bytes_of(const State& state, bool pmem);

enum class Depth {
  kGoesOn,   // open, read, check, one more commit, close
  kReopens,  // and fold, close, open again, read again
};

// Empty: nothing is wrong. `found`: after which commit the state was.
std::string judge(const std::string& path, const PoolOptions& options, const Expected& expected,
                  Depth depth, uint64_t* found);

}  // namespace holdfast::crash
