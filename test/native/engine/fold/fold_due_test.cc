// When a fold, a merge and a round of cleaning are due, how far each goes, and when an idle pool
// has done enough.
#include <doctest/doctest.h>

#include "base/test_hooks.h"
#include "medium/simulated_medium.h"
#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

PoolOptions quiet(uint64_t fold_operations) {
  PoolOptions options = file_options();
  options.background = false;
  options.fold_operations = fold_operations;
  return options;
}

void put_many(Pool& pool, int from, int to, size_t bytes = 10) {
  for (int i = from; i < to; i++)
    put(pool, "k" + std::to_string(i), std::string(bytes, 'v'), CommitMode::kEventual);
}

}  // namespace

TEST_CASE("a fold is due at so many operations, and those that were replayed count") {
  const Scratch scratch = Scratch::quick();
  const std::string path = scratch.path("p");
  auto pool = open_pool(path, quiet(100));
  put_many(*pool, 0, 99);
  pool->maintain(false);
  CHECK(pool->stats().folds == 0);
  copy_over(path, path + ".killed");
  for (const bool killed : {false, true}) {
    CAPTURE(killed);
    if (killed) pool = open_pool(path + ".killed", quiet(100));
    pool->maintain(false);
    CHECK(pool->stats().folds == 0);
    put(*pool, "the hundredth", "v");
    pool->maintain(false);
    CHECK(pool->stats().folds == 1);
    CHECK(pool->stats().overlay_entries == 0);
  }
}

TEST_CASE("a fold is due at so many bytes, and those that were replayed count") {
  const Scratch scratch = Scratch::quick();
  const std::string path = scratch.path("p");
  PoolOptions options = quiet(1'000'000);
  options.fold_bytes = 64 * kKiB;
  auto pool = open_pool(path, options);
  put_many(*pool, 0, 6, 10'000);
  pool->maintain(false);
  CHECK(pool->stats().folds == 0);
  copy_over(path, path + ".killed");
  for (const bool killed : {false, true}) {
    CAPTURE(killed);
    if (killed) pool = open_pool(path + ".killed", options);
    put_many(*pool, 6, 7, 10'000);
    pool->maintain(false);
    CHECK(pool->stats().folds == 1);
  }
}

TEST_CASE("commits wait for a fold that is far behind") {
  const Scratch scratch = Scratch::quick();
  auto pool = open_pool(scratch.path("p"), quiet(10));
  put_many(*pool, 0, 20);
  CHECK(pool->stats().folds == 0);
  put_many(*pool, 20, 22);
  CHECK(pool->stats().folds == 1);
  put_many(*pool, 22, 300);
  CHECK(pool->stats().overlay_entries <= 21);
}

TEST_CASE("runs that pile up are merged while commits go on") {
  const Scratch scratch = Scratch::quick();
  auto pool = open_pool(scratch.path("p"), quiet(50));
  for (int round = 0; round < 40; round++) {
    put_many(*pool, 50 * round, 50 * (round + 1));
    pool->maintain(false);
    CHECK(pool->stats().runs <= 9);
  }
  CHECK(pool->stats().folds == 40);
  CHECK(contents(*pool).size() == 2000);
}

// So many keys, of which the numbers are `step` apart, in commits of 500.
static void put_in_batches(Pool& pool, uint64_t from, uint64_t count, uint64_t step,
                           size_t bytes = 1) {
  const std::string value(bytes, 'v');
  Batch batch;
  for (uint64_t i = 0; i < count; i++) {
    REQUIRE(batch.put(numbered_key(from + i * step), value).is_ok());
    if (batch.operations() < 500 && i + 1 < count) continue;
    REQUIRE(pool.commit(batch, CommitMode::kEventual).is_ok());
    batch.clear();
  }
}

constexpr uint64_t kLongRuns = 500'000;  // keys, in two runs

static void make_two_long_runs(const std::string& path) {
  auto pool = open_pool(path, quiet(1'000'000));
  for (const uint64_t first : {0, 1}) {
    put_in_batches(*pool, first, kLongRuns / 2, 2);
    REQUIRE(pool->fold().is_ok());
  }
  REQUIRE(pool->stats().runs == 2);
  REQUIRE(pool->close().is_ok());
}

TEST_CASE("while a long merge goes on those runs are merged that came since") {
  const Scratch scratch = Scratch::quick();
  make_two_long_runs(scratch.path("p"));
  auto pool = open_pool(scratch.path("p"), quiet(1000));
  uint64_t most = 0;
  for (uint64_t round = 0; round < 60; round++) {
    put_in_batches(*pool, round, 1000, 499);
    pool->maintain(false);
    most = std::max(most, pool->stats().runs);
  }
  CHECK(most <= 12);
  CHECK(pool->stats().compactions > 10);
  CHECK(damages(*pool) == std::vector<std::string>());
}

TEST_CASE("an idle pool does not write its whole index anew for a little that came") {
  const Scratch scratch = Scratch::quick();
  auto pool = open_pool(scratch.path("p"), quiet(1'000'000));
  constexpr uint64_t kKeys = 800'000;
  put_in_batches(*pool, 0, kKeys, 1);
  REQUIRE(pool->compact().is_ok());
  const auto idle = [&] {
    for (int turn = 0; turn < 40; turn++) pool->maintain(true);
  };
  idle();
  const PoolStats before = pool->stats();
  REQUIRE(before.runs == 1);
  REQUIRE(before.index_bytes > 5'000'000);
  constexpr uint64_t kBursts = 8, kEach = 1200, kBytes = 1000;
  for (uint64_t burst = 0; burst < kBursts; burst++) {
    put_in_batches(*pool, burst, kEach, 331, kBytes);
    idle();
  }
  const PoolStats after = pool->stats();
  CHECK(after.folds == before.folds + kBursts);
  CHECK(after.bytes_appended - before.bytes_appended < 2 * kBursts * kEach * kBytes);
  CHECK(after.runs == 2);                    // what came, as one
  put_in_batches(*pool, 0, kKeys / 16, 16);  // a good part
  REQUIRE(pool->fold().is_ok());
  idle();
  CHECK(pool->stats().runs == 1);
}

#ifdef HOLDFAST_PLANTED_BUGS

TEST_CASE("a fold waits for merges where it would have to look through many runs") {
  const Scratch scratch = Scratch::quick();
  make_two_long_runs(scratch.path("p"));
  std::shared_ptr<Pool> pool;
  uint64_t at_fold = 0;
  struct Hook {
    explicit Hook(std::function<void(TestPoint)> look) { at_test_point = std::move(look); }
    ~Hook() { at_test_point = nullptr; }
  } const hook([&](TestPoint here) {
    if (here == TestPoint::kFoldFrozen && pool) at_fold = pool->stats().runs;
  });
  pool = open_pool(scratch.path("p"), quiet(1000));
  const auto fold_some = [&](uint64_t times) {
    for (uint64_t round = 0; round < times; round++) {
      put_in_batches(*pool, round, 1000, 499);
      REQUIRE(pool->fold().is_ok());
    }
  };
  fold_some(20);
  pool->maintain(false);  // a merge is begun, and goes on for as much as those folds made due
  fold_some(5);
  REQUIRE(pool->stats().runs == 27);
  put_in_batches(*pool, 0, 1000, 499);
  const uint64_t folds = pool->stats().folds;
  pool->maintain(false);
  CHECK(pool->stats().folds == folds + 1);
  CHECK(at_fold <= 24);
  pool = nullptr;
}

TEST_CASE("a fold waits where there is much to merge, before there are many runs") {
  const Scratch scratch = Scratch::quick();
  make_two_long_runs(scratch.path("p"));
  constexpr uint64_t kOperations = 50'000;
  auto pool = open_pool(scratch.path("p"), quiet(kOperations));
  for (uint64_t round = 0; round < 8; round++) {
    put_in_batches(*pool, round, kOperations - 5'000, 11);
    REQUIRE(pool->fold().is_ok());
  }
  uint64_t switches = 0, at_fold = 0;  // the first fold: cleaning asks for others
  at_test_point = [&](TestPoint here) {
    if (here == TestPoint::kFoldFrozen && at_fold == 0) at_fold = switches;
    if (here != TestPoint::kMergeDone || switches++ > 0) return;
    put_in_batches(*pool, 0, kOperations, 11);
  };
  pool->maintain(false);
  at_test_point = nullptr;
  CHECK(at_fold > 1);  // the first is when it became due
}

#endif

TEST_CASE("deleted keys that ranges walk over again and again are merged away") {
  const Scratch scratch = Scratch::quick();
  auto pool = open_pool(scratch.path("p"), quiet(1'000'000));
  constexpr uint64_t kKeys = 20'000, kDeleted = 4000;
  put_in_batches(*pool, 0, kKeys, 1);
  REQUIRE(pool->compact().is_ok());
  const uint64_t compactions = pool->stats().compactions;
  Batch front;
  for (uint64_t i = 1; i <= kDeleted; i++) REQUIRE(front.remove(numbered_key(i)).is_ok());
  REQUIRE(pool->commit(front, CommitMode::kEventual).is_ok());
  // Where a range begins with deleted keys the next one passes them over (known_gaps.h). Here one
  // that lives comes first.
  const auto first = [&] {
    RangeOptions options;
    options.high = std::string(8, '\xff');
    options.limit = 2;
    auto range = pool->range(options, nullptr);
    REQUIRE(range.is_ok());
    std::string last;
    auto given = (*range)->next(2, [&](Bytes key, const FoundValue&, Reader&) {
      last.assign(key.data(), key.size());
      return true;
    });
    REQUIRE(given.is_ok());
    CHECK(*given == 2);
    CHECK(last == numbered_key(kDeleted + 1));
  };
  for (int times = 0; times < 50; times++) first();
  pool->maintain(false);
  CHECK(pool->stats().overlay_entries == kDeleted);  // not worth it yet
  for (int times = 0; times < 60; times++) first();
  pool->maintain(false);
  CHECK(pool->stats().overlay_entries == 0);
  CHECK(pool->stats().compactions == compactions + 1);
  CHECK(pool->stats().runs == 1);
  for (int times = 0; times < 100; times++) first();
  pool->maintain(false);
  CHECK(pool->stats().compactions == compactions + 1);
}

TEST_CASE("fold() behind a fold that found no room takes what came since too") {
  PoolOptions options = quiet(1'000'000);
  options.log_segment_bytes = 256 * kKiB;
  auto disk = SimulatedDisk::create(SimulatedOptions(), 1);
  auto opened = disk->open();
  REQUIRE(opened.is_ok());
  auto pool = *Pool::open_on(std::move(*opened), "p", options);
  put_many(*pool, 0, 100);
  for (uint64_t n = 1; n < 20; n++)
    disk->fail(SimulatedCall::kAllocate, n, SimulatedFault::kDiskFull);
  CHECK(pool->fold().is_full());
  disk->disarm();
  put_many(*pool, 100, 200);
  REQUIRE(pool->stats().folded_epoch == 0);
  REQUIRE(pool->fold().is_ok());
  CHECK(pool->stats().folded_epoch == 200);
  CHECK(pool->stats().overlay_entries == 0);
}

TEST_CASE("compact() cleans on until little is dead, not for one round") {
  const Scratch scratch = Scratch::quick();
  auto pool = open_pool(scratch.path("p"), quiet(1'000'000));
  const std::string value(100'000, 'v');
  for (int i = 0; i < 600; i++) put(*pool, "k" + std::to_string(i), value, CommitMode::kEventual);
  for (int i = 0; i < 600; i += 2)
    put(*pool, "k" + std::to_string(i), "short", CommitMode::kEventual);
  REQUIRE(pool->compact().is_ok());
  CHECK(pool->stats().bytes_moved > 20'000'000);
  CHECK(pool->stats().log_bytes < 35'000'000);
  CHECK(pool->stats().live_bytes > 30'000'000);
}

// Three values leave a seventh of their segment free: however it is carried round, as much is dead
// again.
TEST_CASE("an idle pool stops carrying round what cannot lie closer together") {
  const Scratch scratch = Scratch::quick();
  PoolOptions options = quiet(1'000'000);
  options.log_segment_bytes = 256 * kKiB;
  auto pool = open_pool(scratch.path("p"), options);
  for (int i = 0; i < 120; i++)
    put(*pool, "k" + std::to_string(i), std::string(73'000, 'v'), CommitMode::kEventual);
  REQUIRE(pool->fold().is_ok());
  for (int turn = 0; turn < 40; turn++) pool->maintain(true);
  const uint64_t moved = pool->stats().bytes_moved;
  for (int turn = 0; turn < 20; turn++) pool->maintain(true);
  CHECK(pool->stats().bytes_moved == moved);
  CHECK(moved < 60'000'000);
}
