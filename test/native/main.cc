// The one main of the native tests. See test/native/<layer>/<unit>_test.cc and test/conformance/.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace holdfast::test {
// What is killed in the tests of that name, in a process of its own. Another program with this
// main() (concurrent_tests) has no such tests.
__attribute__((weak)) int resize_child(const char* job);        // resize_test.cc
__attribute__((weak)) int growth_child(const char* path);       // pmem_growth_test.cc
__attribute__((weak)) int giving_back_child(const char* path);  // idle_space_test.cc
__attribute__((weak)) int parts_child(
    const char* folder);  // pmem_parts_kills_test.cc, and the next
__attribute__((weak)) int parts_load_child(const char* path);
}  // namespace holdfast::test

int main(int argc, char** argv) {
#ifdef HOLDFAST_WITH_PMEM
  // libpmem looks at the variable once, while it is loaded: so it must be there before this program
  // begins. Tests may rely on it.
  const char* force = std::getenv("PMEM_IS_PMEM_FORCE");
  if (!force || std::strcmp(force, "1") != 0) {
    ::setenv("PMEM_IS_PMEM_FORCE", "1", 1);
    ::execv("/proc/self/exe", argv);
    std::perror("cannot start again with PMEM_IS_PMEM_FORCE=1");
    return 1;
  }
#endif
  using namespace holdfast::test;
  const struct {
    const char* variable;
    int (*run)(const char*);
  } children[] = {
      {"HOLDFAST_RESIZE_CHILD", resize_child},           {"HOLDFAST_GROWTH_CHILD", growth_child},
      {"HOLDFAST_GIVING_BACK_CHILD", giving_back_child}, {"HOLDFAST_PARTS_CHILD", parts_child},
      {"HOLDFAST_PARTS_LOAD_CHILD", parts_load_child},
  };
  for (const auto& child : children) {
    const char* what = std::getenv(child.variable);
    if (what && child.run) return child.run(what);
  }
  return doctest::Context(argc, argv).run();
}
