// Pools on persistent memory that take their file's space as they need it: what they take, give
// back, refuse and survive. On /dev/shm with PMEM_IS_PMEM_FORCE=1.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "engine/copies/resize.h"
#include "format/pmem_layout.h"
#include "native/killed_child.h"
#include "native/pool_fixture.h"
#include "native/system_faults.h"

namespace holdfast::test {
namespace {

constexpr uint64_t kMost = 40 * kGiB;  // three of libpmemobj's zones
constexpr uint64_t kValueBytes = 100000;

PoolOptions growing(uint64_t most = kMost) {
  PoolOptions options;
  options.medium.choice = MediumChoice::kPmem;
  options.medium.size = most;
  options.medium.grow = true;
  return options;
}

std::shared_ptr<Pool> must(Result<std::shared_ptr<Pool>> opened) {
  INFO(opened.status().message());
  REQUIRE(opened.is_ok());
  return *opened;
}

std::string value_of(uint64_t number) {
  return std::string(kValueBytes, static_cast<char>('a' + number % 26));
}

Status put(Pool& pool, uint64_t number) {
  Batch batch;
  HOLDFAST_TRY(batch.put(key_in(1, "k" + std::to_string(number)), value_of(number)));
  auto receipt = pool.commit(batch, CommitMode::kDurable);
  return std::move(receipt.status());
}

Status drop(Pool& pool, uint64_t from, uint64_t to) {
  Batch batch;
  for (uint64_t i = from; i < to; i++)
    HOLDFAST_TRY(batch.remove(key_in(1, "k" + std::to_string(i))));
  auto receipt = pool.commit(batch, CommitMode::kDurable);
  return std::move(receipt.status());
}

void fill(Pool& pool, uint64_t from, uint64_t to) {
  for (uint64_t i = from; i < to; i++) {
    const Status done = put(pool, i);
    REQUIRE_MESSAGE(done.is_ok(), done.message());
  }
}

void check_values(Pool& pool, uint64_t from, uint64_t to) {
  for (uint64_t i = from; i < to; i++)
    CHECK(get(pool, key_in(1, "k" + std::to_string(i))) == value_of(i));
}

struct FileSize {
  uint64_t length = 0, taken = 0;
};

FileSize size_of(const std::string& path) {
  struct stat found;
  REQUIRE(::stat(path.c_str(), &found) == 0);
  return {static_cast<uint64_t>(found.st_size), static_cast<uint64_t>(found.st_blocks) * 512};
}

}  // namespace

// What is killed: it opens the pool, overwrites, deletes and compacts, so that segments come and
// go. Run by itself (main.cc).
int growth_child(const char* path) {
  auto opened = Pool::open(path, growing());
  if (!opened.is_ok()) return 8;
  for (int round = 0; round < 3; round++) {
    for (uint64_t i = 0; i < 300; i++) {
      if (!put(**opened, i).is_ok()) return 9;
    }
    if (!(*opened)->compact().is_ok()) return 10;
  }
  return 7;  // the point was not met
}

TEST_CASE(
    "pmem growth: a pool begins small, takes what it needs, gives it back, and is opened as any "
    "other") {
  Scratch scratch = Scratch::in_memory();
  const std::string path = scratch.path("pool");
  auto pool = must(Pool::open(path, growing()));
  CHECK(size_of(path).length == kMost);
  CHECK(size_of(path).taken < 24 * kMiB);
  const uint64_t empty = size_of(path).taken;
  fill(*pool, 0, 1500);  // 150 MB
  CHECK(size_of(path).taken > 150 * kMiB / 2 + empty);
  CHECK(size_of(path).taken < 260 * kMiB);
  CHECK(pool->stats().taken_bytes < 260 * kMiB);
  check_values(*pool, 0, 1500);
  REQUIRE(drop(*pool, 100, 1500).is_ok());
  REQUIRE(pool->compact().is_ok());
  CHECK(size_of(path).taken < 100 * kMiB);
  check_values(*pool, 0, 100);
  REQUIRE(pool->close().is_ok());
  pool = nullptr;
  PoolOptions plain;  // how it was made is known to the pool
  plain.medium.create = CreateMode::kNever;
  pool = must(Pool::open(path, plain));
  CHECK(pool->stats().grows);
  check_values(*pool, 0, 100);
  fill(*pool, 100, 600);
  check_values(*pool, 0, 600);
  CHECK(damages(*pool) == std::vector<std::string>());
  REQUIRE(pool->close().is_ok());
}

TEST_CASE("pmem growth: a full file system is an error that loses nothing, and passes") {
  Scratch scratch = Scratch::in_memory();
  const std::string path = scratch.path("pool");
  PoolOptions options = growing();
  options.background = false;
  auto pool = must(Pool::open(path, options));
  fill(*pool, 0, 50);
  SystemFaults::fail(SystemCall::kFallocate, 1, ENOSPC, UINT64_MAX);
  uint64_t put_before = 50;
  Status refused;
  while (put_before < 2000 && (refused = put(*pool, put_before)).is_ok()) put_before++;
  CHECK(refused.code() == Code::kDiskFull);
  check_values(*pool, 0, put_before);
  SystemFaults::disarm();
  fill(*pool, put_before, put_before + 200);
  check_values(*pool, 0, put_before + 200);
  REQUIRE(pool->close().is_ok());
  pool = must(Pool::open(path, options));
  check_values(*pool, 0, put_before + 200);
  CHECK(damages(*pool) == std::vector<std::string>());
}

TEST_CASE("pmem growth: chosen when a pool is made; a resize by copying chooses anew") {
  Scratch scratch = Scratch::in_memory();
  const std::string path = scratch.path("pool");
  PoolOptions fixed = growing(64 * kMiB);
  fixed.medium.grow = false;
  auto pool = must(Pool::open(path, fixed));
  fill(*pool, 0, 20);
  REQUIRE(pool->close().is_ok());
  pool = nullptr;
  CHECK(Pool::open(path, growing(64 * kMiB)).status().code() == Code::kInvalidArgument);
  REQUIRE(resize_by_copy(path, 0, nullptr, nullptr).is_ok());
  CHECK(size_of(path).length == 64 * kGiB);
  CHECK(size_of(path).taken < 32 * kMiB);
  REQUIRE(resize_by_copy(path, kMost, nullptr, nullptr).is_ok());
  CHECK(size_of(path).length == kMost);
  CHECK(Pool::open(path, growing(64 * kMiB)).status().code() == Code::kOutOfRange);
  pool = must(Pool::open(path, growing()));
  check_values(*pool, 0, 20);
}

TEST_CASE("pmem growth: a reader in another process, and a file that was cut off") {
  Scratch scratch = Scratch::in_memory();
  const std::string path = scratch.path("pool");
  auto pool = must(Pool::open(path, growing()));
  fill(*pool, 0, 30);
  PoolOptions reading;
  reading.read_only = true;
  auto reader = must(Pool::open(path, reading));
  check_values(*reader, 0, 30);
  fill(*pool, 30, 300);
  REQUIRE(reader->refresh().is_ok());
  check_values(*reader, 0, 300);
  REQUIRE(reader->close().is_ok());
  REQUIRE(pool->close().is_ok());
  reader = pool = nullptr;
  REQUIRE(::truncate(path.c_str(), static_cast<off_t>(kMost / 2)) == 0);
  auto reopened = Pool::open(path, growing(0));
  const Status& cut = reopened.status();
  CHECK(cut.code() == Code::kCorrupt);
  CHECK(cut.message().find("truncated") != std::string::npos);
}

#ifdef HOLDFAST_TEST_POINTS
TEST_CASE(
    "pmem growth: a kill while space is taken or given back leaves a whole pool, and nothing "
    "leaks") {
  for (const char* point :
       {"pmem.before_blocks:1", "pmem.before_blocks:4", "pmem.before_publish:3",
        "pmem.before_give_back:1", "pmem.before_give_back:3", "fold.before_root:2"}) {
    CAPTURE(point);
    Scratch scratch = Scratch::in_memory();
    const std::string path = scratch.path("pool");
    auto pool = must(Pool::open(path, growing()));
    fill(*pool, 0, 200);
    REQUIRE(pool->close().is_ok());
    pool = nullptr;
    REQUIRE(killed_at(point, "HOLDFAST_GROWTH_CHILD", path));
    pool = must(Pool::open(path, growing()));
    check_values(*pool, 0, 200);
    CHECK(damages(*pool) == std::vector<std::string>());
    REQUIRE(drop(*pool, 0, 300).is_ok());
    REQUIRE(pool->compact().is_ok());
    const PoolStats stats = pool->stats();
    CHECK(stats.free_bytes > stats.capacity_bytes - 24 * kMiB);
    REQUIRE(pool->close().is_ok());
  }
}
#endif

}  // namespace holdfast::test
