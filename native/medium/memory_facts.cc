#include "medium/memory_facts.h"

#include <algorithm>
#include <cstdlib>

#include "base/bytes.h"
#include "medium/posix_file.h"

namespace holdfast {
namespace {

// The number at the beginning of a file. "max", and a file that is not there: no limit.
uint64_t limit_in(const std::string& path) {
  std::string text;
  if (read_text(path, &text) != 0 || text.empty() || text[0] < '0' || text[0] > '9')
    return UINT64_MAX;
  return std::strtoull(text.c_str(), nullptr, 10);
}

// Of a group and of all that it is in. A container that sees its own group as the root finds the
// limit there.
uint64_t least_limit(const std::string& folder, std::string group, const std::string& file) {
  uint64_t least = limit_in(folder + "/" + file);
  for (; group.size() > 1; group.erase(group.rfind('/')))
    least = std::min(least, limit_in(folder + group + "/" + file));
  return least;
}

}  // namespace

uint64_t memory_for_files(const std::string& root) {
  std::string text;
  if (read_text(root + "/proc/meminfo", &text) != 0) return 0;
  static constexpr char kAvailable[] = "MemAvailable:";
  const size_t at = text.find(kAvailable);
  if (at == std::string::npos) return 0;
  uint64_t memory = std::strtoull(text.c_str() + at + sizeof kAvailable - 1, nullptr, 10) * kKiB;
  // A line is number:controllers:/group; those of the second version name no controllers.
  if (read_text(root + "/proc/self/cgroup", &text) != 0) return memory;
  const std::string groups = root + "/sys/fs/cgroup";
  for (size_t line = 0; line < text.size();) {
    const size_t end = std::min(text.find('\n', line), text.size());
    const size_t names = text.find(':', line) + 1, group = text.find(':', names) + 1;
    if (names != 0 && group > names && group < end && text[group] == '/') {
      const std::string controllers = "," + text.substr(names, group - 1 - names) + ",";
      const std::string path = text.substr(group, end - group);
      if (controllers == ",,") memory = std::min(memory, least_limit(groups, path, "memory.max"));
      if (controllers.find(",memory,") != std::string::npos)
        memory = std::min(memory, least_limit(groups + "/memory", path, "memory.limit_in_bytes"));
    }
    line = end + 1;
  }
  return memory;
}

}  // namespace holdfast
