// In which pages fresh memory is: small ones, all of them there, where somebody waits for it; else
// huge ones.
#include "base/fresh_pages.h"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "index/overlay_node.h"
#ifdef HOLDFAST_WITH_PMEM
#include "medium/pmem/pmem_memory.h"
#endif

using namespace holdfast;

namespace {

constexpr size_t kSmallPageBytes = 4 * kKiB;

bool kernel_has_huge_pages() {
  return ::access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) == 0;
}

struct Mapping {
  uintptr_t begin = 0, end = 0;
  std::string flags;  // as /proc has them: "hg" where huge pages were asked for, "nh" where they
                      // were refused
  bool has(const std::string& flag) const {
    return (flags + " ").find(" " + flag + " ") != std::string::npos;
  }
};

std::vector<Mapping> mappings() {
  std::vector<Mapping> all;
  std::ifstream lines("/proc/self/smaps");
  for (std::string line; std::getline(lines, line);) {
    Mapping mapping;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &mapping.begin, &mapping.end) == 2)
      all.push_back(mapping);
    if (line.compare(0, 8, "VmFlags:") == 0) all.back().flags = line;
  }
  return all;
}

bool has_flag(const void* at, const std::string& flag) {
  const auto address = reinterpret_cast<uintptr_t>(at);
  for (const Mapping& mapping : mappings()) {
    if (address >= mapping.begin && address < mapping.end) return mapping.has(flag);
  }
  return false;
}

// How many of its pages are there.
size_t present(void* at, size_t bytes) {
  std::vector<unsigned char> there(bytes / kSmallPageBytes);
  REQUIRE(::mincore(at, bytes, there.data()) == 0);
  return static_cast<size_t>(std::count_if(there.begin(), there.end(),
                                           [](unsigned char page) { return (page & 1) != 0; }));
}

bool kernel_takes_pages_at_once() {
#ifdef MADV_POPULATE_WRITE
  void* const page = std::aligned_alloc(kSmallPageBytes, kSmallPageBytes);
  const bool takes = ::madvise(page, kSmallPageBytes, MADV_POPULATE_WRITE) == 0;
  std::free(page);
  return takes;
#else
  return false;
#endif
}

}  // namespace

TEST_CASE("fresh pages: small ones are all there, and none of them is huge") {
  constexpr size_t kBytes = 8 * kMiB;
  const std::unique_ptr<void, void (*)(void*)> memory(take_fresh_pages(kBytes, Pages::kSmall),
                                                      std::free);
  REQUIRE(memory != nullptr);
  if (kernel_takes_pages_at_once())
    CHECK(present(memory.get(), kBytes) == kBytes / kSmallPageBytes);
  if (kernel_has_huge_pages()) CHECK(has_flag(memory.get(), "nh"));
}

TEST_CASE("fresh pages: those of an overlay are huge, but the first of a recovered one") {
  if (!kernel_has_huge_pages()) return;
  for (const Pages pages : {Pages::kHuge, Pages::kSmall}) {
    overlay::Arena arena(pages);
    const std::string first_flag = pages == Pages::kSmall ? "nh" : "hg";
    const void* const first = arena.take(kMiB, 64);
    CHECK(has_flag(first, first_flag));
    while (arena.bytes() < 16 * kMiB) arena.take(kMiB / 2, 64);
    CHECK(has_flag(arena.take(3 * kMiB, 64), "hg"));
    CHECK(has_flag(first, first_flag));
  }
}

#ifdef HOLDFAST_WITH_PMEM
TEST_CASE("fresh pages: what libpmemobj is given for its own bookkeeping is in small ones") {
  if (!kernel_has_huge_pages()) return;
  give_libpmemobj_memory();
  const std::vector<Mapping> all = mappings();
  CHECK(std::any_of(all.begin(), all.end(), [](const Mapping& mapping) {
    return mapping.end - mapping.begin >= 11 * kMiB && mapping.has("nh");
  }));
}
#endif
