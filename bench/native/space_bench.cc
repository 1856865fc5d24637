// What a nearly full pool costs: overwrites random keys, one a commit, of a pool of fixed size
// whose live data (operations and index) is a given share of its capacity. Prints the bytes
// appended for each byte that users committed, what they were for, how many were appended while one
// commit waited, and how long commits took. Counts do not depend on the machine's load (but with
// threads, a little, on its turns); times do.
//
//   space_bench <pmem|file> <path> [pool MiB 256] [live % 85] [value bytes 1024]
//               [rounds over the data 3] [threads 1]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "engine/pool.h"
#include "format/record.h"

using namespace holdfast;

namespace {

using Clock = std::chrono::steady_clock;
constexpr uint64_t kIndexEntry = 8;  // of keys like these, packed

std::string numbered(uint64_t n) {
  char text[32];
  std::snprintf(text, sizeof text, "user:%010llu", static_cast<unsigned long long>(n));
  return std::string("\0\0\0\1", 4) + text;
}

void print_state(const char* when, const PoolStats& s) {
  std::printf(
      "%s: free %.1f %%, log %.1f %% (live %.1f %%), index %.1f %%, waiting %.1f %% of %.0f MiB; "
      "%llu folds, %llu merges, %llu cleaned\n",
      when, 100.0 * s.free_bytes / s.capacity_bytes, 100.0 * s.log_bytes / s.capacity_bytes,
      100.0 * s.live_bytes / s.capacity_bytes, 100.0 * s.index_bytes / s.capacity_bytes,
      100.0 * s.waiting_bytes / s.capacity_bytes, s.capacity_bytes / 1048576.0,
      static_cast<unsigned long long>(s.folds), static_cast<unsigned long long>(s.compactions),
      static_cast<unsigned long long>(s.segments_cleaned));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const auto argument = [&](int i, double otherwise) {
    return argc > i ? std::atof(argv[i]) : otherwise;
  };
  PoolOptions options;
  options.medium.choice =
      std::string(argv[1]) == "pmem" ? MediumChoice::kPmem : MediumChoice::kFile;
  options.medium.size = static_cast<uint64_t>(argument(3, 256)) * kMiB;
  options.background = argument(7, 1) != 0;
  const double live = argument(4, 85) / 100;
  const uint64_t value_bytes = static_cast<uint64_t>(argument(5, 1024));
  auto opened = Pool::open(argv[2], options);
  if (!opened.is_ok()) return std::printf("%s\n", opened.status().message().c_str()), 1;
  Pool& pool = **opened;
  const uint64_t operation = operation_bytes(numbered(0).size(), value_bytes);
  const uint64_t frame = round_up(operation + sizeof(FrameHeader), kFrameAlign);
  const double capacity = static_cast<double>(pool.stats().capacity_bytes);
  const uint64_t keys =
      static_cast<uint64_t>(live * capacity / static_cast<double>(operation + kIndexEntry));
  std::string value(value_bytes, 'v');
  Batch batch;
  for (uint64_t i = 0; i < keys;) {
    batch.clear();
    for (uint64_t j = 0; j < 50 && i < keys; j++, i++) (void)batch.put(numbered(i), value).is_ok();
    auto receipt = pool.commit(batch, CommitMode::kEventual);
    if (!receipt.is_ok())
      return std::printf("filling, at key %llu: %s\n", (unsigned long long)i,
                         receipt.status().message().c_str()),
             1;
  }
  print_state("filled", pool.stats());
  std::mt19937_64 random(1);
  const auto overwrite = [&](uint64_t commits, std::vector<uint32_t>* took,
                             std::vector<uint32_t>* appended) {
    for (uint64_t i = 0; i < commits; i++) {
      const uint64_t bytes = appended ? pool.stats().bytes_appended : 0;
      batch.clear();
      (void)batch.put(numbered(random() % keys), value).is_ok();
      const auto begun = Clock::now();
      auto receipt = pool.commit(batch, CommitMode::kEventual);
      const auto ns =
          std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begun).count();
      if (took) took->push_back(static_cast<uint32_t>(std::min<int64_t>(ns, UINT32_MAX)));
      if (appended) appended->push_back(static_cast<uint32_t>(pool.stats().bytes_appended - bytes));
      if (receipt.is_ok()) continue;
      std::printf("REFUSED after %llu commits: %s\n", (unsigned long long)i,
                  receipt.status().message().c_str());
      print_state("then", pool.stats());
      std::exit(1);
    }
  };
  const uint64_t measured = static_cast<uint64_t>(argument(6, 3) * static_cast<double>(keys));
  overwrite(keys, nullptr, nullptr);  // until the state is steady
  print_state("steady", pool.stats());
  const PoolStats before = pool.stats();
  std::vector<uint32_t> took;
  took.reserve(measured);
  const auto begun = Clock::now();
  overwrite(measured, &took, nullptr);
  const double seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  const PoolStats after = pool.stats();
  print_state("after", after);
  const double committed = static_cast<double>(measured * frame);
  const double appended = static_cast<double>(after.bytes_appended - before.bytes_appended);
  const double moved = static_cast<double>(after.bytes_moved - before.bytes_moved);
  std::sort(took.begin(), took.end());
  const auto share = [&](double p) {
    return took[std::min(took.size() - 1,
                         static_cast<size_t>(p * static_cast<double>(took.size())))] /
           1e3;
  };
  std::printf(
      "amplification %.2f of the records' bytes (moved %.2f, index %.2f), %.2f of keys and values; "
      "%llu keys, %llu commits\n",
      appended / committed, moved / committed, (appended - moved - committed) / committed,
      appended / static_cast<double>(measured * (value_bytes + 15)), (unsigned long long)keys,
      (unsigned long long)measured);
  std::printf(
      "%.0f commits/s; p50 %.2f us, p99 %.2f us, p99.9 %.2f us (%.1f x), p99.99 %.0f us, longest "
      "%.1f ms\n",
      static_cast<double>(measured) / seconds, share(.5), share(.99), share(.999),
      share(.999) / share(.5), share(.9999), share(1) / 1e3);
  std::vector<uint32_t> bytes;  // apart, for it takes time to ask
  overwrite(keys, nullptr, &bytes);
  std::sort(bytes.begin(), bytes.end());
  std::printf("appended while one commit waited: p99 %.1f, p99.9 %.1f, at most %.1f KiB\n",
              bytes[bytes.size() * 99 / 100] / 1024.0, bytes[bytes.size() * 999 / 1000] / 1024.0,
              bytes.back() / 1024.0);
  return 0;
}
