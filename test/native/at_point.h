// While it lives, `once` is called the first time the engine reaches a point (base/test_hooks.h).
// One thread; made while no other calls.
#pragma once

#include <utility>

#include "base/test_hooks.h"

#ifdef HOLDFAST_PLANTED_BUGS

namespace holdfast::test {

struct AtPoint {
  template <typename Do>
  AtPoint(TestPoint point, Do&& once) {
    at_test_point = [point, once, met = false](TestPoint here) mutable {
      if (here == point && !std::exchange(met, true)) once();
    };
  }
  ~AtPoint() { at_test_point = nullptr; }
};

}  // namespace holdfast::test

#endif
