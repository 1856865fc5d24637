// The one main of the native tests. See test/native/<unit>_test.cc and test/conformance/.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace holdfast::test {
// In resize_test.cc, pmem_growth_test.cc and pmem_parts_test.cc: what is killed there. Another program with this main() (concurrent_tests) has no such tests.
__attribute__((weak)) int resize_child(const char* job);
__attribute__((weak)) int growth_child(const char* path);
__attribute__((weak)) int parts_child(const char* folder);
__attribute__((weak)) int parts_load_child(const char* path);
}

int main(int argc, char** argv) {
#ifdef HOLDFAST_WITH_PMEM
  // libpmem looks at the variable once, while it is loaded: so it must be there before this program begins. Tests may rely on it.
  const char* force = std::getenv("PMEM_IS_PMEM_FORCE");
  if (!force || std::strcmp(force, "1") != 0) {
    ::setenv("PMEM_IS_PMEM_FORCE", "1", 1);
    ::execv("/proc/self/exe", argv);
    std::perror("cannot start again with PMEM_IS_PMEM_FORCE=1");
    return 1;
  }
#endif
  if (const char* job = std::getenv("HOLDFAST_RESIZE_CHILD"); job && holdfast::test::resize_child) return holdfast::test::resize_child(job);
  if (const char* path = std::getenv("HOLDFAST_GROWTH_CHILD"); path && holdfast::test::growth_child) return holdfast::test::growth_child(path);
  if (const char* path = std::getenv("HOLDFAST_PARTS_CHILD"); path && holdfast::test::parts_child) return holdfast::test::parts_child(path);
  if (const char* path = std::getenv("HOLDFAST_PARTS_LOAD_CHILD"); path && holdfast::test::parts_load_child) return holdfast::test::parts_load_child(path);
  return doctest::Context(argc, argv).run();
}
