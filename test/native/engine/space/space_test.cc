// Space comes back: what a pool of fixed size can take for ever, and what it says when it really is
// full.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <optional>
#include <random>

#include "native/pool_fixture.h"
#include "native/system_faults.h"

using namespace holdfast;
using namespace holdfast::test;

TEST_CASE("100,000 keys of 1 KiB overwritten 50 times in a pool of 256 MiB") {
  Scratch scratch;
  const std::string path = scratch.path("p");
  std::string value(1024, 'v');
  {
    auto pool = open_pool(path, file_options(256 * kMiB));
    Batch batch;
    for (int round = 0; round < 50; round++) {
      value[0] = static_cast<char>(round);
      for (uint64_t i = 0; i < 100000; i += 100) {
        batch.clear();
        for (uint64_t j = i; j < i + 100; j++) REQUIRE(batch.put(numbered_key(j), value).is_ok());
        auto receipt = pool->commit(batch, CommitMode::kEventual);
        REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message());
      }
    }
    REQUIRE(pool->close().is_ok());
  }
  auto pool = open_pool(path, file_options(256 * kMiB));
  CHECK(pool->stats().replayed_operations == 0);  // so opening does not depend on how much there is
  for (uint64_t i = 0; i < 100000; i += 997) CHECK(get(*pool, numbered_key(i)) == value);
  CHECK(contents(*pool).size() == 100000);
}

TEST_CASE("a pool at 70 % live never fills up under random overwriting, one key a commit") {
  const Scratch scratch = Scratch::quick();
  auto pool = open_pool(scratch.path("p"), file_options(32 * kMiB));
  const uint64_t keys =
      32 * kMiB * 7 / 10 / 1056;  // an operation of 1,024 bytes and its key takes 1,056
  std::mt19937_64 random(7);
  std::string value(1024, 'v');
  Batch batch;
  for (uint64_t i = 0; i < keys * 8; i++) {
    const uint64_t n = i < keys ? i : random() % keys;
    batch.clear();
    REQUIRE(batch.put(numbered_key(n), value).is_ok());
    auto receipt = pool->commit(batch, CommitMode::kEventual);
    REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message() << " at " << i);
  }
  CHECK(pool->stats().segments_cleaned > 0);
  auto report = pool->check(nullptr, nullptr);
  REQUIRE(report.is_ok());
  CHECK(report->damages.empty());
  CHECK(report->entries == keys);
}

TEST_CASE(
    "what is live is counted to the byte, whatever was carried, and whether it was replayed") {
  const Scratch scratch = Scratch::quick();
  const std::string path = scratch.path("p");
  PoolOptions options = file_options(16 * kMiB);
  options.background = false;
  options.fold_operations = 700;
  const uint64_t keys = 7000, each = operation_bytes(numbered_key(0).size(), 1000);
  std::mt19937_64 random(3);
  Batch batch;
  const auto overwrite = [&](Pool& pool, uint64_t times) {
    for (uint64_t i = 0; i < times; i++) {
      batch.clear();
      REQUIRE(batch.put(numbered_key(random() % keys), std::string(1000, 'v')).is_ok());
      auto receipt = pool.commit(batch, CommitMode::kDurable);
      REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message());
    }
  };
  const auto counted_right = [&](Pool& pool) {
    REQUIRE(pool.fold().is_ok());
    CHECK(pool.stats().live_bytes == contents(pool).size() * each);
  };
  auto pool = open_pool(path, options);
  for (int round = 0; round < 6; round++) {
    overwrite(*pool, 5000);
    if (round % 2 == 1) REQUIRE(pool->compact().is_ok());
    counted_right(*pool);
  }
  CHECK(pool->stats().bytes_moved > kMiB);
  overwrite(*pool, 300);
  for (int i = 0; i < 10; i++) {  // as a crash leaves it
    overwrite(*pool, 150);
    pool->maintain(i % 2 == 1);
    overwrite(*pool, 20);
    const std::string copy = scratch.path("copy");
    std::filesystem::copy_file(path, copy, std::filesystem::copy_options::overwrite_existing);
    counted_right(*open_pool(copy, options));
  }
}

TEST_CASE(
    "a full pool says so, loses nothing, still reads and deletes, and takes new work afterwards") {
  const Scratch scratch = Scratch::quick();
  const std::string path = scratch.path("p");
  auto pool = open_pool(path, file_options(16 * kMiB));
  const std::string value(2000, 'v');
  uint64_t written = 0;
  Status full;
  while (full.is_ok()) {
    Batch batch;
    REQUIRE(batch.put(numbered_key(written), value).is_ok());
    auto receipt = pool->commit(batch, CommitMode::kEventual);
    if (receipt.is_ok()) written++;
    full = std::move(receipt.status());
    REQUIRE(written < 20000);
  }
  CHECK(full.code() == Code::kPoolFull);
  CHECK(written > 4000);  // at least half of the pool held data
  for (uint64_t i = 0; i < written; i++) REQUIRE(get(*pool, numbered_key(i)) == value);
  Batch large;
  REQUIRE(large.put(key_in(2, "large"), std::string(8 * kMiB, 'l')).is_ok());
  CHECK(pool->commit(large, CommitMode::kDurable).status().code() == Code::kPoolFull);
  for (uint64_t i = 0; i < written / 2; i++) {
    Batch batch;
    REQUIRE(batch.remove(numbered_key(i)).is_ok());
    auto receipt = pool->commit(batch, CommitMode::kDurable);
    REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message());
  }
  for (uint64_t i = 0; i < written / 4; i++) {
    Batch batch;
    REQUIRE(batch.put(numbered_key(100000 + i), value).is_ok());
    auto receipt = pool->commit(batch, CommitMode::kDurable);
    REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message());
  }
  REQUIRE(pool->close().is_ok());
  pool = open_pool(path, file_options(16 * kMiB));
  CHECK(contents(*pool).size() == written - written / 2 + written / 4);
}

TEST_CASE("half of a full pool of 64 KiB values is deleted, on each medium") {
  for (const bool pmem : {false, true}) {
    CAPTURE(pmem);
#ifndef HOLDFAST_WITH_PMEM
    if (pmem) {
      MESSAGE("skipped: built without libpmemobj");
      continue;
    }
#endif
    const Scratch scratch = pmem ? Scratch::in_memory() : Scratch();
    PoolOptions options;
    options.medium.choice = pmem ? MediumChoice::kPmem : MediumChoice::kFile;
    options.medium.size = 32 * kMiB;
    auto opened = Pool::open(scratch.path("p"), options);
    REQUIRE_MESSAGE(opened.is_ok(), opened.status().message());
    auto& pool = *opened;
    const auto put = [&](uint64_t n) {
      Batch batch;
      REQUIRE(batch.put(numbered_key(n), std::string(64 * kKiB, static_cast<char>(n))).is_ok());
      return pool->commit(batch, CommitMode::kEventual);
    };
    uint64_t written = 0;
    Status full;
    while (full.is_ok()) {
      auto receipt = put(written);
      full = std::move(receipt.status());
      if (full.is_ok()) written++;
    }
    CHECK(full.code() == Code::kPoolFull);
    CHECK(written > 250);  // 16 MiB and more
    for (uint64_t n = 0; n < written; n += 2) {
      Batch batch;
      REQUIRE(batch.remove(numbered_key(n)).is_ok());
      auto receipt = pool->commit(batch, CommitMode::kDurable);
      REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message());
    }
    Status compacted = pool->compact();
    CHECK_MESSAGE(compacted.is_ok(), compacted.message());
    for (uint64_t n = 0; n < written / 4; n++) {
      auto receipt = put(2 * n);
      REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message());
    }
    CHECK(contents(*pool).size() == written - (written + 1) / 2 + written / 4);
  }
}

TEST_CASE("a batch that never fits is refused, and the pool goes on") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), file_options(16 * kMiB));
  Batch batch;
  for (uint64_t i = 0; i < 20; i++)
    REQUIRE(batch.put(numbered_key(i), std::string(kMiB, 'b')).is_ok());
  CHECK(pool->commit(batch, CommitMode::kDurable).status().code() == Code::kBatchTooLarge);
  batch.clear();
  for (uint64_t i = 0; i < 20000; i++)
    REQUIRE(batch.put(numbered_key(i), std::string(1000, 'b')).is_ok());
  CHECK(pool->commit(batch, CommitMode::kDurable).status().code() == Code::kBatchTooLarge);
  CHECK(contents(*pool).empty());
  batch.clear();  // fits into the pool, but not twice
  for (uint64_t i = 0; i < 9000; i++)
    REQUIRE(batch.put(numbered_key(i), std::string(1000, 'b')).is_ok());
  REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
  batch.clear();
  for (uint64_t i = 0; i < 9000; i++)
    REQUIRE(batch.put(numbered_key(20000 + i), std::string(1000, 'c')).is_ok());
  CHECK(pool->commit(batch, CommitMode::kDurable).status().code() == Code::kPoolFull);
  CHECK(contents(*pool).size() == 9000);
  batch.clear();
  REQUIRE(batch.put(numbered_key(1), "small").is_ok());
  CHECK(pool->commit(batch, CommitMode::kDurable).is_ok());
}

TEST_CASE("after SIGKILL the tail to replay is bounded, however much the pool holds") {
  Scratch scratch;
  const std::string path = scratch.path("p");
  const uint64_t keys = 1000000;
  const pid_t child = fork();
  if (child == 0) {
    auto pool = Pool::open(path, PoolOptions());
    if (!pool.is_ok()) _exit(1);
    const std::string value(256, 'v');
    for (uint64_t i = 0; i < keys; i += 100) {
      Batch batch;
      for (uint64_t j = i; j < i + 100; j++) {
        if (!batch.put(numbered_key(j), value).is_ok()) _exit(2);
      }
      if (!(*pool)->commit(batch, CommitMode::kEventual).is_ok()) _exit(3);
    }
    if (!(*pool)->settle().is_ok()) _exit(4);
    raise(SIGKILL);
  }
  int how = 0;
  REQUIRE(waitpid(child, &how, 0) == child);
  REQUIRE(WIFSIGNALED(how));
  auto pool = Pool::open(path, PoolOptions());
  REQUIRE_MESSAGE(pool.is_ok(), pool.status().message());
  CHECK(get(**pool, numbered_key(keys - 1)) == std::string(256, 'v'));
  CHECK((*pool)->stats().replayed_operations <= 4 * PoolOptions().fold_operations);
  RangeOptions all;
  all.high = std::string(4, '\xff');
  auto counted = (*pool)->count(all, nullptr, nullptr);
  REQUIRE(counted.is_ok());
  CHECK(*counted == keys);
}

TEST_CASE(
    "what a pool has freed goes back to the file system, by itself when it is idle, and is taken "
    "again") {
  for (const bool idle : {false, true}) {
    const Scratch scratch = Scratch::on_disk();
    const std::string path = scratch.path("p");
    PoolOptions options;
    options.medium.choice = MediumChoice::kFile;
    options.background = false;
    auto opened = Pool::open(path, options);
    REQUIRE_MESSAGE(opened.is_ok(), opened.status().message());
    const auto blocks = [&] { return blocks_of(path); };
    const auto commit = [&](uint64_t key, bool put) {
      Batch batch;
      REQUIRE((put ? batch.put(numbered_key(key),
                               std::string(100'000, static_cast<char>('a' + key % 26)))
                   : batch.remove(numbered_key(key)))
                  .is_ok());
      auto receipt = (*opened)->commit(batch, CommitMode::kEventual);
      REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message());
    };
    for (uint64_t key = 0; key < 600; key++) commit(key, true);
    REQUIRE((*opened)->fold().is_ok());
    const uint64_t full = blocks();
    CHECK(full > 60'000'000);
    for (uint64_t key = 0; key < 600; key++) {
      if (key % 100 != 0) commit(key, false);
    }
    if (idle) {
      REQUIRE((*opened)->fold().is_ok());
      for (int turn = 0; turn < 20; turn++) (*opened)->maintain(true);
    } else {
      REQUIRE((*opened)->compact().is_ok());
    }
    CAPTURE(idle);
    CHECK(blocks() < 20'000'000);
    CHECK((*opened)->stats().taken_bytes <= blocks());
    CHECK((*opened)->stats().taken_bytes + kMiB > blocks());
    CHECK(contents(**opened).size() == 6);
    for (uint64_t key = 1; key < 300; key++) commit(key, true);
    CHECK(blocks() > 28'000'000);
    const auto all = contents(**opened);
    REQUIRE((*opened)->close().is_ok());
    opened = Pool::open(path, options);
    REQUIRE_MESSAGE(opened.is_ok(), opened.status().message());
    CHECK(contents(**opened) == all);
    auto report = (*opened)->check(nullptr, nullptr);
    REQUIRE(report.is_ok());
    CHECK(report->damages.empty());
  }
}

namespace {
// All that the medium asks its file system for is refused from the `n`th time on: the disk is full.
struct FullDisk {
  explicit FullDisk(uint64_t n) {
    SystemFaults::fail(SystemCall::kFallocate, n, ENOSPC, UINT64_MAX);
  }
  ~FullDisk() { SystemFaults::disarm(); }
};

Status commit_one(Pool& pool, uint64_t key, std::optional<size_t> bytes) {
  Batch batch;
  HOLDFAST_TRY(bytes ? batch.put(numbered_key(key), std::string(*bytes, 'v'))
                     : batch.remove(numbered_key(key)));
  auto receipt = pool.commit(batch, CommitMode::kEventual);
  return std::move(receipt.status());
}

std::shared_ptr<Pool> open_growing(const std::string& path, uint64_t most = 0) {
  PoolOptions options = file_options(most);
  options.background = false;
  return open_pool(path, options);
}
}  // namespace

TEST_CASE("a pool that has filled its disk deletes, all of it, and takes new things in its place") {
  for (const size_t bytes : {100, 1000, 30'000, 300'000}) {
    CAPTURE(bytes);
    const Scratch scratch = Scratch::on_disk();
    const auto opened = open_growing(scratch.path("p"));
    Pool& pool = *opened;
    const FullDisk full(12);
    uint64_t keys = 0;
    Status status;
    while ((status = commit_one(pool, keys, bytes)).is_ok()) keys++;
    CHECK_MESSAGE(status.code() == Code::kDiskFull, status.message());
    REQUIRE(keys * bytes > 4 * kMiB);
    CHECK(contents(pool).size() == keys);
    for (uint64_t key = 0; key < keys; key++) {
      const Status gone = commit_one(pool, key, std::nullopt);
      REQUIRE_MESSAGE(gone.is_ok(), gone.message() << " at " << key << " of " << keys);
    }
    CHECK(contents(pool).empty());
    for (uint64_t key = 0; key < keys / 2; key++) {
      const Status again = commit_one(pool, key, bytes);
      REQUIRE_MESSAGE(again.is_ok(), again.message() << " at " << key << " of " << keys);
    }
  }
}

TEST_CASE("a pool that may become large takes little of its disk while it is small") {
  for (const uint64_t size : {uint64_t{0}, 64 * kGiB}) {
    CAPTURE(size);
    const Scratch scratch = Scratch::on_disk();
    const auto pool = open_growing(scratch.path("p"), size);
    for (uint64_t key = 0; key < 100; key++) REQUIRE(commit_one(*pool, key, 100).is_ok());
    pool->maintain(true);
    CHECK(pool->stats().taken_bytes < (size == 0 ? 8 : 64) * kMiB);
  }
}

TEST_CASE("a very small pool that is full deletes, all of it, and takes new things in its place") {
  for (const uint64_t size : {1, 2, 3, 4, 6}) {
    for (const size_t bytes : {100, 1000, 10'000, 0}) {
      CAPTURE(size);
      CAPTURE(bytes);
      const Scratch scratch;
      const auto pool = open_pool(scratch.path("p"), file_options(size * kMiB));
      std::mt19937_64 random(size);
      uint64_t next = 0, most = 0;
      for (int round = 0; round < 3; round++) {
        std::vector<uint64_t> keys;
        Status status;
        while (true) {
          const size_t mixed = random() % 10 < 8 ? random() % 3000 : random() % 60'000;
          status = commit_one(*pool, next, bytes > 0 ? bytes : mixed);
          if (!status.is_ok()) break;
          keys.push_back(next++);
        }
        CHECK_MESSAGE(status.code() == Code::kPoolFull, status.message());
        most = std::max<uint64_t>(most, keys.size());
        if (bytes > 0) CHECK(keys.size() * (bytes + 70) >= size * kMiB / 8);
        std::shuffle(keys.begin(), keys.end(), random);
        for (size_t i = 0; i < keys.size(); i++) {
          const Status gone = commit_one(*pool, keys[i], std::nullopt);
          REQUIRE_MESSAGE(gone.is_ok(), gone.message() << " at " << i << " of " << keys.size()
                                                       << ", round " << round);
        }
        CHECK(contents(*pool).empty());
      }
      CHECK(most > 0);
    }
  }
}

TEST_CASE(
    "a pool that has given its free space back still deletes when the disk is full meanwhile") {
  const Scratch scratch = Scratch::on_disk();
  const auto opened = open_growing(scratch.path("p"));
  Pool& pool = *opened;
  constexpr uint64_t kKeys = 20'000;
  for (uint64_t key = 0; key < kKeys; key++)
    REQUIRE(commit_one(pool, key, key % 100 == 0 ? 100'000 : 200).is_ok());
  for (uint64_t key = 0; key < kKeys; key += 100)
    REQUIRE(commit_one(pool, key, std::nullopt).is_ok());
  REQUIRE(pool.compact().is_ok());
  const FullDisk full(1);
  for (uint64_t key = 1; key < kKeys; key++) {
    if (key % 100 == 0) continue;
    const Status gone = commit_one(pool, key, std::nullopt);
    REQUIRE_MESSAGE(gone.is_ok(), gone.message() << " at " << key);
  }
  CHECK(contents(pool).empty());
}
