// Named points at which a test can end the process: HOLDFAST_POINT("fold.before_root"). Compiled to
// nothing unless HOLDFAST_TEST_POINTS is defined, which only the test build does; armed there by
// the environment:
//
//   HOLDFAST_POINT_KILL=fold.before_root:2   SIGKILL to ourselves when the point is met for the
//                                            second time
//
// What is left of the process's work is what the kernel has: as with any kill. Any thread.
#pragma once

#ifdef HOLDFAST_TEST_POINTS

namespace holdfast {
void test_point(const char* name);
}  // namespace holdfast
#define HOLDFAST_POINT(name) ::holdfast::test_point(name)

#else

#define HOLDFAST_POINT(name) \
  do {                       \
  } while (0)

#endif
