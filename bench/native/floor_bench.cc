// The floors everything is measured against, in C++ and in a process of their own: what the machine
// itself allows, what a libpmemobj transaction takes, and what the engine makes of it without
// JavaScript.
//
//   floor_bench <driver> <folder> <value bytes> <commits> [batch]
//   pmem-raw       non-temporal copy + one fence, into a ring of cold lines
//   pmem-tx        libpmemobj: allocate, copy, change a pointer, free the old one, in one
//                  transaction
//   file-raw       pwrite + fdatasync, into blocks that were written before
//   pmem-holdfast  Pool::commit on the pmem medium
//   file-holdfast  Pool::commit on the file medium
//
// Prints one JSON object: nanoseconds per commit, each commit timed alone (the clock's own cost is
// subtracted; the time is taken behind an mfence, so that a fence is paid in full by the commit
// that raised it and not by whatever comes next), and the mean of back-to-back commits. With
// HOLDFAST_BENCH_UNTIMED=1 it only does the work, between two marks, for callgrind and strace. Not
// a test.
#include <fcntl.h>
#include <libpmem.h>
#include <libpmemobj.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/pool.h"

namespace {

using Commit = std::function<void(uint64_t)>;

struct Driver {
  Commit commit;
  std::function<std::string()> counts = [] { return std::string("{}"); };
  std::function<bool()> is_warm = [] { return true; };
  std::shared_ptr<void> keeps;
};

uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000ull + static_cast<uint64_t>(now.tv_nsec);
}

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "floor_bench: %s\n", what.c_str());
  std::exit(2);
}

// strace and fence_counter.cc count what lies between two of these (lib/bench/counted.ts).
void mark() { (void)!access("/holdfast-bench-mark", F_OK); }

constexpr uint64_t kRing = 128ull << 20;
constexpr uint64_t kKeys = 1024;

Driver pmem_raw(const std::string& path, const std::vector<char>& value) {
  size_t mapped = 0;
  int is_pmem = 0;
  char* ring = static_cast<char*>(
      pmem_map_file(path.c_str(), kRing, PMEM_FILE_CREATE, 0600, &mapped, &is_pmem));
  if (ring == nullptr) die("cannot map " + path);
  std::memset(ring, 0, kRing);
  const size_t step = (value.size() + 127) / 64 * 64;
  Driver driver;
  driver.commit = [ring, step, &value, at = size_t{0}](uint64_t) mutable {
    if (at + step > kRing) at = 0;
    pmem_memcpy(ring + at, value.data(), value.size(), PMEM_F_MEM_NONTEMPORAL | PMEM_F_MEM_NODRAIN);
    pmem_drain();
    at += step;
  };
  return driver;
}

Driver file_raw(const std::string& path, const std::vector<char>& value) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT, 0600);
  if (fd < 0) die("cannot create " + path);
  const std::vector<char> zeros(1 << 20);
  for (uint64_t at = 0; at < kRing; at += zeros.size()) {
    if (pwrite(fd, zeros.data(), zeros.size(), static_cast<off_t>(at)) < 0)
      die("cannot write " + path);
  }
  fsync(fd);
  Driver driver;
  driver.commit = [fd, &value, at = uint64_t{0}](uint64_t) mutable {
    if (at + value.size() > kRing) at = 0;
    if (pwrite(fd, value.data(), value.size(), static_cast<off_t>(at)) < 0 || fdatasync(fd) != 0)
      die("a write failed");
    at += value.size();
  };
  return driver;
}

Driver pmem_tx(const std::string& path, const std::vector<char>& value) {
  const size_t size = std::max<size_t>(256ull << 20, kKeys * value.size() * 2);
  PMEMobjpool* pool = pmemobj_create(path.c_str(), "bench", size, 0600);
  if (pool == nullptr) die(std::string("cannot create a pool: ") + pmemobj_errormsg());
  auto* slots = static_cast<PMEMoid*>(pmemobj_direct(pmemobj_root(pool, kKeys * sizeof(PMEMoid))));
  Driver driver;
  driver.commit = [pool, slots, &value](uint64_t i) {
    PMEMoid* slot = &slots[i % kKeys];
    if (pmemobj_tx_begin(pool, nullptr, TX_PARAM_NONE) != 0) die("cannot begin a transaction");
    const PMEMoid made = pmemobj_tx_alloc(value.size(), 1);
    if (OID_IS_NULL(made)) die("the pool is full");
    std::memcpy(pmemobj_direct(made), value.data(), value.size());
    pmemobj_tx_add_range_direct(slot, sizeof *slot);
    if (!OID_IS_NULL(*slot)) pmemobj_tx_free(*slot);
    *slot = made;
    pmemobj_tx_commit();
    pmemobj_tx_end();
  };
  return driver;
}

Driver engine(const std::string& path, const std::vector<char>& value, bool pmem,
              uint64_t batch_keys) {
  using namespace holdfast;
  PoolOptions options;
  options.medium.choice = pmem ? MediumChoice::kPmem : MediumChoice::kFile;
  options.medium.size = pmem ? kRing : 0;
  auto opened = Pool::open(path, options);
  if (!opened.is_ok()) die(opened.status().message());
  auto pool = *opened;
  auto batch = std::make_shared<Batch>();
  auto keys = std::make_shared<std::vector<std::string>>();
  for (uint64_t i = 0; i < kKeys; i++)
    keys->push_back(std::string("\0\0\0\1key-", 8) + std::to_string(1000000000 + i));
  Driver driver;
  driver.keeps = pool;
  driver.commit = [pool, batch, keys, &value, batch_keys](uint64_t i) {
    batch->clear();
    for (uint64_t n = 0; n < batch_keys; n++) {
      const Status put =
          batch->put((*keys)[(i * batch_keys + n) % kKeys], Bytes(value.data(), value.size()));
      if (!put.is_ok()) die(put.message());
    }
    const auto receipt = pool->commit(*batch, CommitMode::kDurable);
    if (!receipt.is_ok()) die(receipt.status().message());
  };
  // Every page of it has been had before, as every page of the floor's ring: emulated, the kernel
  // clears each that is touched first.
  driver.is_warm = [pool, pmem] { return !pmem || pool->stats().bytes_appended > 2 * kRing; };
  driver.counts = [pool] {
    const PoolStats stats = pool->stats();
    return "{\"barriers\":" + std::to_string(stats.barriers) +
           ",\"writes\":" + std::to_string(stats.writes) +
           ",\"bytes\":" + std::to_string(stats.bytes_appended) +
           ",\"commits\":" + std::to_string(stats.commits) + "}";
  };
  return driver;
}

uint64_t clock_cost() {
  uint64_t least = UINT64_MAX;
  for (int i = 0; i < 1000; i++) {
    const uint64_t begun = now_ns();
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    least = std::min(least, now_ns() - begun);
  }
  return least;
}

// As ProcessorProbe (lib/bench/processor.ts): no memory, and as much at once as the core can. What
// varies is the processor, half of whose core may work for somebody else.
uint64_t time_of_additions() {
  uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6;
  const uint64_t begun = now_ns();
  for (uint64_t i = 0; i < 2000; i++) {
    const auto add = [i](uint64_t& lane) { lane = (lane + (lane << 3)) ^ i; };
    add(a), add(b), add(c), add(d), add(e), add(f);
    asm volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
  }
  return now_ns() - begun;
}

void print_list(const char* name, const std::vector<uint64_t>& numbers) {
  std::printf(",\"%s\":[", name);
  for (size_t i = 0; i < numbers.size(); i++)
    std::printf("%s%llu", i == 0 ? "" : ",", static_cast<unsigned long long>(numbers[i]));
  std::printf("]");
}

void print_samples(const Driver& driver, uint64_t commits) {
  const std::string before = driver.counts();
  const uint64_t overhead = clock_cost();
  const uint64_t b2b_begun = now_ns();
  for (uint64_t i = 0; i < commits; i++) driver.commit(i);
  const double b2b = static_cast<double>(now_ns() - b2b_begun) / static_cast<double>(commits);
  std::vector<uint64_t> samples(commits), looks;
  for (uint64_t i = 0; i < commits; i++) {
    const uint64_t begun = now_ns();
    driver.commit(i);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    const uint64_t took = now_ns() - begun;
    samples[i] = took > overhead ? took - overhead : 0;
    if (i % 64 == 0) looks.push_back(time_of_additions());
  }
  std::printf("{\"commits\":%llu,\"backToBackNs\":%.1f,\"before\":%s,\"after\":%s",
              static_cast<unsigned long long>(commits), b2b, before.c_str(),
              driver.counts().c_str());
  print_list("processorNs", looks);
  print_list("samplesNs", samples);
  std::printf("}\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5)
    die("usage: floor_bench <driver> <folder> <value bytes> <commits> [keys per batch]");
  const std::string name = argv[1];
  const std::string path = std::string(argv[2]) + "/floor-" + name + "-" + std::to_string(getpid());
  std::vector<char> value(std::strtoull(argv[3], nullptr, 10));
  for (size_t i = 0; i < value.size(); i++) value[i] = static_cast<char>(i * 31 + 7);
  const uint64_t commits = std::strtoull(argv[4], nullptr, 10);
  const uint64_t batch = argc > 5 ? std::strtoull(argv[5], nullptr, 10) : 1;
  Driver driver = name == "pmem-raw"        ? pmem_raw(path, value)
                  : name == "pmem-tx"       ? pmem_tx(path, value)
                  : name == "file-raw"      ? file_raw(path, value)
                  : name == "pmem-holdfast" ? engine(path, value, true, batch)
                  : name == "file-holdfast" ? engine(path, value, false, batch)
                                            : Driver{};
  if (!driver.commit) die("no driver " + name);
  if (std::getenv("HOLDFAST_BENCH_UNTIMED") != nullptr) {
    for (uint64_t i = 0; i < 20; i++) driver.commit(i);
    mark();
    for (uint64_t i = 0; i < commits; i++) driver.commit(i);
    mark();
  } else {
    for (uint64_t i = 0; i < 2000 || !driver.is_warm(); i++)
      driver.commit(i);  // index, allocator, code, pages
    print_samples(driver, commits);
  }
  driver = Driver{};
  unlink(path.c_str());
  return 0;
}
