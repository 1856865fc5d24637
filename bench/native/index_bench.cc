// Times the index in memory: put and find in an overlay, build, find and scan of a run. Prints ns
// per operation and bytes per entry. Not a test: numbers depend on the machine. Usage: index_bench
// [entries of the run]

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "../../test/native/index/memory_medium.h"
#include "index/overlay.h"
#include "index/table.h"

namespace holdfast {
namespace {

using Clock = std::chrono::steady_clock;

double ns_since(Clock::time_point from, size_t operations) {
  return std::chrono::duration<double, std::nano>(Clock::now() - from).count() /
         static_cast<double>(operations);
}

uint64_t random_word() {
  static uint64_t state = 1;
  uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

void shuffle(std::vector<std::string>& keys) {
  for (size_t i = keys.size(); i > 1; i--) std::swap(keys[i - 1], keys[random_word() % i]);
  // Fresh copies, one after the other in memory: what is timed is the index, not the fetching of
  // the key sought.
  std::vector<std::string> copies(keys.begin(), keys.end());
  keys = std::move(copies);
}

std::vector<std::string> numbered_keys(size_t n, const char* format) {
  std::vector<std::string> keys;
  for (size_t i = 0; i < n; i++) {
    char text[64];
    const int size = std::snprintf(text, sizeof text, format, i);
    keys.push_back(std::string("\0\0\0\1", 4) + std::string(text, static_cast<size_t>(size)));
  }
  return keys;
}

std::vector<std::string> random_keys(size_t n) {
  std::vector<std::string> keys;
  for (size_t i = 0; i < n; i++) {
    const uint64_t words[2] = {random_word(), random_word()};
    keys.push_back(std::string("\0\0\0\1", 4) +
                   std::string(reinterpret_cast<const char*>(words), 16));
  }
  return keys;
}

// The machine may be shared: of 20 pieces the quickest one's mean.
template <typename Operation>
double best_piece(const std::vector<std::string>& keys, Operation operation) {
  double best = 1e9;
  const size_t piece = keys.size() / 20;
  for (size_t begin = 0; begin + piece <= keys.size(); begin += piece) {
    const auto from = Clock::now();
    for (size_t i = begin; i < begin + piece; i++) operation(keys[i]);
    best = std::min(best, ns_since(from, piece));
  }
  return best;
}

void overlay_bench(const char* name, const std::vector<std::string>& keys,
                   std::vector<std::string> lookups) {
  double put = 1e9, again = 1e9, find = 1e9, miss = 1e9, scan = 1e9;
  size_t bytes = 0;
  for (int trial = 0; trial < 5; trial++) {
    Overlay overlay;
    auto from = Clock::now();
    uint64_t epoch = 1;
    for (const std::string& key : keys)
      overlay.put(key, Place::from_word(1), ++epoch, Overlay::kLatest);
    put = std::min(put, ns_since(from, keys.size()));
    from = Clock::now();
    for (const std::string& key : lookups)
      overlay.put(key, Place::from_word(1), ++epoch, Overlay::kLatest);
    again = std::min(again, ns_since(from, keys.size()));
    from = Clock::now();
    size_t found = 0;
    for (const std::string& key : lookups) found += overlay.find(key).has_value();
    find = std::min(find, ns_since(from, keys.size()));
    if (found != keys.size()) std::abort();
    from = Clock::now();
    for (const std::string& key : lookups)
      found += overlay.find(Bytes(key).substr(0, key.size() - 1)).has_value();
    miss = std::min(miss, ns_since(from, keys.size()));
    from = Clock::now();
    auto cursor = overlay.cursor();
    for (cursor->seek(Bytes()); cursor->valid(); cursor->next()) found++;
    scan = std::min(scan, ns_since(from, keys.size()));
    bytes = overlay.bytes();
  }
  std::printf(
      "overlay %-22s %7zu keys: put %4.0f ns, overwrite %4.0f ns, find %4.0f ns, miss %4.0f ns, "
      "scan %3.0f ns, "
      "%.1f bytes/entry\n",
      name, keys.size(), put, again, find, miss, scan,
      static_cast<double>(bytes) / static_cast<double>(keys.size()));
}

void run_bench(const char* name, std::vector<std::string> keys) {
  std::sort(keys.begin(), keys.end());
  MemoryMedium medium(keys.size() * 64 + 64 * kMiB, 64 * kKiB);
  auto from = Clock::now();
  RunBuilder builder(medium, 4 * kMiB);
  for (size_t i = 0; i < keys.size(); i++) {
    if (!builder.add(keys[i], Place::from_word(i + 1))) std::abort();
  }
  auto tables = builder.finish();
  const double build = ns_since(from, keys.size());
  Run run(medium, *tables);
  std::vector<std::string> lookups = keys;
  shuffle(lookups);
  size_t found = 0;
  const double first =
      best_piece(lookups, [&](Bytes key) { found += run.find(key).value().has_value(); });
  if (found < keys.size() / 20 * 20) std::abort();
  double find = 1e9, miss = 1e9;
  for (int trial = 0; trial < 3; trial++) {
    find = std::min(
        find, best_piece(lookups, [&](Bytes key) { found += run.find(key).value().has_value(); }));
    miss = std::min(miss, best_piece(lookups, [&](Bytes key) {
                      found += run.find(key.substr(0, key.size() - 1)).value().has_value();
                    }));
  }
  auto cursor = run.cursor();
  size_t seen = 0;
  from = Clock::now();
  for (cursor->seek(Bytes()); cursor->valid(); cursor->next()) seen++;
  const double scan = ns_since(from, keys.size());
  std::vector<std::unique_ptr<Cursor>> sources;
  sources.push_back(run.cursor());
  sources.push_back(run.cursor());
  auto merged = merge_cursors(std::move(sources), false);
  from = Clock::now();
  for (merged->seek(Bytes()); merged->valid(); merged->next()) seen++;
  if (seen != 2 * keys.size()) std::abort();
  const double merge = ns_since(from, keys.size());
  std::printf(
      "run     %-22s %7zu keys: build %4.0f ns, find %4.0f ns (first time %4.0f), "
      "miss %4.0f ns, scan %3.0f ns, merge of 2 %3.0f ns, %.2f bytes/entry, %zu tables, depth %u\n",
      name, keys.size(), build, find, first, miss, scan, merge,
      static_cast<double>(builder.bytes_written()) / static_cast<double>(keys.size()),
      run.tables().size(), run.tables().front().depth);
}

}  // namespace
}  // namespace holdfast

int main(int argc, char** argv) {
  using namespace holdfast;
  const size_t entries = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1000000;
  std::vector<std::string> in_order = numbered_keys(65536, "run/0123456789ab/s:%06zu");
  std::vector<std::string> shuffled = in_order;
  shuffle(shuffled);
  overlay_bench("28 bytes, in order", in_order, shuffled);
  overlay_bench("28 bytes, shuffled", shuffled, shuffled);
  std::vector<std::string> random = random_keys(65536);
  std::vector<std::string> lookups = random;
  shuffle(lookups);
  overlay_bench("16 random bytes", random, lookups);
  run_bench("user:%010d", numbered_keys(entries, "user:%010zu"));
  run_bench("16 random bytes", random_keys(entries));
  return 0;
}
