// How long a pool takes from its opening to the first read after SIGKILL, in C++ and in a process
// of its own, and what of that is libpmemobj's.
//
//   open_bench fill <pmem|pmem-grow|file> <path> <keys> [value bytes]
//       makes the pool, and kills itself: what comes after is a real crash
//   open_bench open <pmem|pmem-grow|file> <path> <keys>
//       opens it, reads a key in the middle; prints one JSON object, and kills itself
//   open_bench libpmemobj <path>
//       the least that a medium on persistent memory can take: pmemobj_open alone
//
// Not a test.
#include <libpmemobj.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "engine/pool.h"
#include "format/pmem_layout.h"

namespace {

using namespace holdfast;

double now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "open_bench: %s\n", what.c_str());
  std::exit(2);
}

std::string key_of(uint64_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "user:%012llu", static_cast<unsigned long long>(number));
  return std::string("\0\0\0\1", 4) + text;
}

PoolOptions options_for(const std::string& medium, uint64_t bytes) {
  PoolOptions options;
  options.medium.choice = medium == "file" ? MediumChoice::kFile : MediumChoice::kPmem;
  options.medium.grow = medium == "pmem-grow";
  options.medium.size = medium == "pmem" ? bytes : 0;
  return options;
}

void fill(const std::string& medium, const std::string& path, uint64_t keys, uint64_t value_bytes) {
  auto opened =
      Pool::open(path, options_for(medium, 256 * kMiB + keys * (value_bytes + 100) * 3 / 2));
  if (!opened.is_ok()) die(opened.status().message());
  std::vector<char> value(value_bytes);
  for (size_t i = 0; i < value.size(); i++) value[i] = static_cast<char>(i * 31 + 7);
  for (uint64_t i = 0; i < keys;) {
    Batch batch;
    for (int n = 0; n < 100 && i < keys; n++, i++) {
      if (!batch.put(key_of(i), Bytes(value.data(), value.size())).is_ok()) die("a key is refused");
    }
    auto done = (*opened)->commit(batch, CommitMode::kDurable);
    if (!done.is_ok()) die(done.status().message());
  }
  kill(getpid(), SIGKILL);
}

uint64_t faults() {
  rusage used;
  getrusage(RUSAGE_SELF, &used);
  return static_cast<uint64_t>(used.ru_minflt + used.ru_majflt);
}

void open_and_read(const std::string& medium, const std::string& path, uint64_t keys) {
  const uint64_t faults_before = faults();
  const double begun = now_ms();
  auto opened = Pool::open(path, options_for(medium, 0));
  if (!opened.is_ok()) die(opened.status().message());
  const double is_open = now_ms();
  auto reader = (*opened)->read(nullptr);
  if (!reader.is_ok()) die(reader.status().message());
  auto found = reader->find(key_of(keys / 2));
  const double read = now_ms();
  if (!found.is_ok()) die(found.status().message());
  if (!found->has_value()) die("what was committed before the kill is not there");
  const PoolStats stats = (*opened)->stats();
  rusage used;
  getrusage(RUSAGE_SELF, &used);
  std::printf(
      "{\"openMs\":%.2f,\"recoveryMs\":%.2f,\"firstReadMs\":%.3f,\"toFirstReadMs\":%.2f,\"faults\":"
      "%llu,\"peakMiB\":%.1f,"
      "\"replayedOperations\":%llu,\"replayedMiB\":%.1f}\n",
      is_open - begun, static_cast<double>(stats.open_us) / 1e3, read - is_open, read - begun,
      static_cast<unsigned long long>(faults() - faults_before),
      static_cast<double>(used.ru_maxrss) / 1024,
      static_cast<unsigned long long>(stats.replayed_operations),
      static_cast<double>(stats.replayed_bytes) / 1048576);
  std::fflush(stdout);
  kill(getpid(), SIGKILL);
}

void libpmemobj_alone(const std::string& path) {
  const double begun = now_ms();
  PMEMobjpool* pool = pmemobj_open(path.c_str(), kPmemLayoutName);
  if (pool == nullptr) die(pmemobj_errormsg());
  std::printf("{\"openMs\":%.2f}\n", now_ms() - begun);
  std::fflush(stdout);
  kill(getpid(), SIGKILL);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  if (verb == "fill" && argc >= 5)
    fill(argv[2], argv[3], std::strtoull(argv[4], nullptr, 10),
         argc > 5 ? std::strtoull(argv[5], nullptr, 10) : 256);
  if (verb == "open" && argc == 5)
    open_and_read(argv[2], argv[3], std::strtoull(argv[4], nullptr, 10));
  if (verb == "libpmemobj" && argc == 3) libpmemobj_alone(argv[2]);
  die("usage: open_bench fill|open <pmem|pmem-grow|file> <path> <keys>, or open_bench libpmemobj "
      "<path>");
}
