// Little room: who may use it for what, and what is given back first.
// test/native/engine/space/space_test.cc fills pools; here each step is looked at.
#include <doctest/doctest.h>

#include "format/region.h"
#include "medium/simulated_medium.h"
#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

constexpr uint64_t kUnit = 64 * kKiB;

struct Simulated {
  explicit Simulated(uint64_t capacity, uint64_t log_segment_bytes = 256 * kKiB,
                     std::optional<RetainWish> retain = std::nullopt) {
    SimulatedOptions of_disk;
    of_disk.capacity = capacity;
    disk = SimulatedDisk::create(of_disk, 1);
    auto opened = disk->open();
    REQUIRE(opened.is_ok());
    PoolOptions options;
    options.background = false;
    options.fold_operations = 1'000'000;
    options.log_segment_bytes = log_segment_bytes;
    options.retain = retain;
    pool = *Pool::open_on(std::move(*opened), "p", options);
  }
  // What is free, spares apart, lies behind what is taken: the disk has so much of it.
  void leave_free(uint64_t bytes) {
    const PoolStats stats = pool->stats();
    disk->set_disk_bytes(kUnit + stats.capacity_bytes - stats.free_bytes + bytes);
  }
  void put_many(int from, int to, const std::string& value = "v") const {
    Batch batch;
    for (int i = from; i < to; i++) {
      REQUIRE(batch.put(numbered_key(static_cast<uint64_t>(i)), value).is_ok());
      if (i % 100 != 99 && i + 1 < to) continue;
      auto receipt = pool->commit(batch, CommitMode::kEventual);
      REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message());
      batch.clear();
    }
  }

  std::shared_ptr<SimulatedDisk> disk;
  std::shared_ptr<Pool> pool;
};

}  // namespace

TEST_CASE("a fold that finds no room takes the segment that was kept ready for the log") {
  Simulated on(32 * kMiB);
  on.put_many(0, 100, std::string(1500, 'v'));
  on.pool->maintain(false);
  REQUIRE(on.pool->stats().spare_bytes == 4 * kUnit);
  on.leave_free(0);
  CHECK(on.pool->fold().is_ok());
  CHECK(on.pool->stats().spare_bytes == 0);
  CHECK(on.pool->stats().overlay_entries == 0);
}

TEST_CASE("a fold that finds no room for its run merges those there are, and then has it") {
  Simulated on(32 * kMiB, kMiB);
  for (int round = 0; round < 9; round++) {
    on.put_many(100 * round, 100 * (round + 1));
    REQUIRE(on.pool->fold().is_ok());
  }
  REQUIRE(on.pool->stats().runs == 9);
  on.put_many(
      1000,
      70'000);  // a run that is longer than what is free now, and shorter than what the nine take
  on.leave_free(4 * kUnit);
  CHECK(on.pool->fold().is_ok());
  CHECK(on.pool->stats().overlay_entries == 0);
  CHECK(on.pool->stats().runs == 2);
}

TEST_CASE("a merge for which there is no room is not begun") {
  Simulated on(32 * kMiB, kMiB);
  for (int round = 0; round < 4; round++) {
    on.put_many(2000 * round, 2000 * (round + 1));
    REQUIRE(on.pool->fold().is_ok());
  }
  on.leave_free(kUnit);
  const uint64_t before = on.disk->calls();
  REQUIRE(on.pool->fold().is_ok());
  const uint64_t of_fold = on.disk->calls() - before;
  REQUIRE(on.pool->compact().is_ok());
  CHECK(on.disk->calls() == before + 2 * of_fold);
  CHECK(on.pool->stats().runs == 4);
  on.leave_free(8 * kMiB);
  REQUIRE(on.pool->compact().is_ok());
  CHECK(on.pool->stats().runs == 1);
}

TEST_CASE("free space in pieces that are too short for a usual log segment is used all the same") {
  Simulated on(8 * kMiB);
  const auto set_size = [&](uint32_t region, uint64_t size) {
    Batch batch;
    REQUIRE(batch.region_size(region, size, "r").is_ok());
    for (uint64_t at = 0; at < size; at += kExtentDataBytes)
      REQUIRE(batch.region_write(region, at, "r").is_ok());
    auto receipt = on.pool->commit(batch, CommitMode::kDurable);
    REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message());
  };
  for (uint32_t region = 1; region <= 60; region++) set_size(region, 50'000);  // a unit each
  REQUIRE(on.pool->fold().is_ok());
  SUBCASE("the disk is full") { on.leave_free(4 * kUnit); }
  SUBCASE("the pool is") {
    set_size(100, (on.pool->stats().free_bytes / kUnit - 20) / 4 * kExtentDataBytes);
    REQUIRE(on.pool->fold().is_ok());
    REQUIRE(on.pool->stats().free_bytes < 24 * kUnit);
  }
  for (uint32_t region = 1; region <= 60; region += 2) set_size(region, 0);
  REQUIRE(on.pool->fold().is_ok());
  on.put_many(0, 150, std::string(5000, 'v'));
  CHECK(contents(*on.pool).size() == 150);
}

TEST_CASE("a large value leaves what deletions and folds need") {
  Simulated on(8 * kMiB);
  Batch batch;
  int kept = 0;
  for (Status taken; taken.is_ok(); kept++) {
    batch.clear();
    REQUIRE(batch.put(key_in(2, std::to_string(kept)), std::string(300'000, 'L')).is_ok());
    taken = std::move(on.pool->commit(batch, CommitMode::kEventual).status());
    if (!taken.is_ok()) CHECK(taken.code() == Code::kPoolFull);
  }
  CHECK(kept > 15);
  CHECK(on.pool->stats().free_bytes + on.pool->stats().spare_bytes >= 8 * kUnit);
}

// What the snapshot has held is free at once; history would have to be given up for as much.
TEST_CASE("what closed snapshots held is given back before a commit costs the feed its history") {
  Simulated on(12 * kMiB, 256 * kKiB, RetainWish{1000 * 3600, kMiB});
  const auto write_region = [&](char with) {
    Batch batch;
    if (with == 'a') REQUIRE(batch.region_size(1, 2 * kMiB, "r").is_ok());
    for (uint64_t at = 0; at < 2 * kMiB; at += kUnit)
      REQUIRE(batch.region_write(1, at, std::string(kUnit, with)).is_ok());
    auto receipt = on.pool->commit(batch, CommitMode::kDurable);
    REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message());
    REQUIRE(on.pool->fold().is_ok());
  };
  write_region('a');
  auto snapshot = on.pool->snapshot();
  REQUIRE(snapshot.is_ok());
  write_region('b');
  REQUIRE(on.pool->fold().is_ok());
  *snapshot = nullptr;
  const uint64_t folds = on.pool->stats().folds;
  Batch large;
  REQUIRE(large.put(key_in(2, "large"), std::string(on.pool->stats().free_bytes, 'L')).is_ok());
  auto receipt = on.pool->commit(large, CommitMode::kDurable);
  CHECK_MESSAGE(receipt.is_ok(), receipt.status().message());
  CHECK(on.pool->stats().retained_given_way == 0);
  CHECK(on.pool->stats().compactions == 0);
  CHECK(on.pool->stats().folds == folds);
}
