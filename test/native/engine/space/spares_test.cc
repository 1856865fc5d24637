// Log segments that are ready before a commit needs one: it would have to zero it, and sync that.
#include <doctest/doctest.h>

#include <chrono>
#include <thread>

#include "base/test_hooks.h"
#include "native/at_point.h"
#include "native/pool_fixture.h"
#include "native/system_faults.h"

#ifdef HOLDFAST_PLANTED_BUGS

namespace holdfast::test {
namespace {

using Clock = std::chrono::steady_clock;
constexpr uint64_t kOperations = 2000, kSegment = 256 * kKiB;  // of so small a pool

PoolOptions quiet(uint64_t fold_operations) {
  PoolOptions options = file_options();
  options.background = false;
  options.fold_operations = fold_operations;
  return options;
}

void put_many(Pool& pool, uint64_t from, uint64_t to, size_t bytes, uint64_t step = 1) {
  const std::string value(bytes, 'v');
  Batch batch;
  for (uint64_t i = from; i < to; i++) {
    REQUIRE(batch.put(numbered_key(i * step), value).is_ok());
    if (batch.operations() < 50 && i + 1 < to) continue;
    REQUIRE(pool.commit(batch, CommitMode::kEventual).is_ok());
    batch.clear();
  }
}

uint64_t spare_bytes(Pool& pool) { return pool.stats().spare_bytes; }

}  // namespace

TEST_CASE("spares: what commits fill during a fold is ready when it begins") {
  const Scratch scratch = Scratch::on_disk();
  constexpr uint64_t kMany = 6 * kOperations;  // so that it tells on a busy machine too
  auto pool = open_pool(scratch.path("p"), quiet(kMany));
  put_many(*pool, 0, kMany, 1000);
  const auto begun = Clock::now();
  pool->maintain(false);
  CHECK(pool->stats().folds == 1);
  CHECK(spare_bytes(*pool) <= kMiB);  // nothing says yet how quickly they come
  put_many(*pool, kMany, 2 * kMany, 1000);
  uint64_t spares = 0, syncs = 0, due = 0;
  {
    const AtPoint at(TestPoint::kFoldFrozen, [&] {
      spares = spare_bytes(*pool);
      // On a busy machine it has been longer, and less is expected.
      const double seconds = std::chrono::duration<double>(Clock::now() - begun).count();
      due = static_cast<uint64_t>(kMany * 1000 * std::min(1.0, 0.3 / seconds));
      const uint64_t before = SystemFaults::count(SystemCall::kFdatasync);
      put_many(*pool, 0, std::min(spares, due) / 1100, 1000);
      syncs = SystemFaults::count(SystemCall::kFdatasync) - before;
    });
    pool->maintain(false);
  }
  CHECK(spares + 2 * kSegment > due);
  CHECK(syncs == 0);
  CHECK(pool->stats().folds == 2);
  // At rest the usual is kept.
  pool->maintain(true);
  CHECK(spare_bytes(*pool) <= kMiB);
  CHECK(spare_bytes(*pool) > 0);
}

TEST_CASE(
    "spares: nothing is kept for a fold of what came at leisure, nor in a pool of fixed size") {
  for (const uint64_t size : {uint64_t{0}, 64 * kMiB}) {
    CAPTURE(size);
    const Scratch scratch = Scratch::quick();
    PoolOptions options = quiet(kOperations);
    options.medium.size = size;
    auto pool = open_pool(scratch.path("p"), options);
    for (uint64_t fold = 0; fold < 3; fold++) {
      put_many(*pool, 0, kOperations, 1000);
      if (size == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1500));
      pool->maintain(false);
      CHECK(spare_bytes(*pool) <= kMiB);
    }
  }
}

TEST_CASE("spares: one is made ready between the steps of a long merge") {
  const Scratch scratch = Scratch::on_disk();
  auto pool = open_pool(scratch.path("p"), quiet(1'000'000));
  for (uint64_t run = 0; run < 5;
       run++) {  // the oldest in many tables: merges switch at their ends
    put_many(*pool, 0, run == 0 ? 400'000 : 60'000, 1, 2 * run + 1);
    REQUIRE(pool->fold().is_ok());
  }
  uint64_t switches = 0, left = 0, made = 0;
  at_test_point = [&](TestPoint here) {
    if (here != TestPoint::kMergeDone) return;
    if (switches++ > 0) {
      made = std::max(made, spare_bytes(*pool));
      return;
    }
    for (int i = 0; i < 1000 && spare_bytes(*pool) > 0; i++) put_many(*pool, 0, 20, 1000);
    put_many(*pool, 0, 3 * kSegment / 4 / 1000, 1000);  // so much of a segment, and one is due
    left = spare_bytes(*pool);
  };
  pool->maintain(false);
  at_test_point = nullptr;
  REQUIRE(switches > 1);
  CHECK(left == 0);
  CHECK(made > 0);
}

}  // namespace holdfast::test

#endif
