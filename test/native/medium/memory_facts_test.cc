// What a process may fill with files: a machine's memory, or the least of the groups it is in.
#include "medium/memory_facts.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "base/bytes.h"
#include "native/scratch.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

void write(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path) << text;
}

}  // namespace

TEST_CASE("memory for files: what is available, where nothing limits it further") {
  const Scratch scratch = Scratch::quick();
  const std::string root = scratch.path("root");
  CHECK(memory_for_files(root) == 0);
  write(root + "/proc/meminfo", "MemTotal:       2000 kB\nMemFree: 10 kB\n");
  CHECK(memory_for_files(root) == 0);
  write(root + "/proc/meminfo", "MemTotal:       2000 kB\nMemAvailable:   1000 kB\n");
  CHECK(memory_for_files(root) == 1000 * kKiB);
  write(root + "/proc/self/cgroup", "0::/\n");
  CHECK(memory_for_files(root) == 1000 * kKiB);
  CHECK(memory_for_files() > 0);
}

TEST_CASE("memory for files: the least of the groups, be they of the first or the second version") {
  const Scratch scratch = Scratch::quick();
  const std::string root = scratch.path("root"), groups = root + "/sys/fs/cgroup";
  write(root + "/proc/meminfo", "MemAvailable:   1000 kB\n");
  write(root + "/proc/self/cgroup", "0::/user.slice/agent.scope\n");
  write(groups + "/user.slice/agent.scope/memory.max", "max\n");
  CHECK(memory_for_files(root) == 1000 * kKiB);
  write(groups + "/user.slice/memory.max", "500000\n");
  CHECK(memory_for_files(root) == 500'000);
  write(groups + "/user.slice/agent.scope/memory.max", "400000\n");
  CHECK(memory_for_files(root) == 400'000);
  // In a container that is its own root.
  write(groups + "/memory.max", "300000\n");
  CHECK(memory_for_files(root) == 300'000);
  write(root + "/proc/self/cgroup",
        "5:cpu,cpuacct:/a\n4:hugetlb,memory:/b/c\n0::/none\nnonsense\n:\n");
  write(groups + "/memory/b/c/memory.limit_in_bytes", "9223372036854771712\n");
  CHECK(memory_for_files(root) == 300'000);
  write(groups + "/memory/b/memory.limit_in_bytes", "200000\n");
  CHECK(memory_for_files(root) == 200'000);
}
