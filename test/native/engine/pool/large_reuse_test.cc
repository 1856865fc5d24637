// Large values that are replaced again and again: they come to lie where earlier ones lay, busy or
// idle, and no earlier than a fold allows.
#include <doctest/doctest.h>

#include "medium/simulated_medium.h"
#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

PoolOptions turn_by_turn(uint64_t size = 0) {
  PoolOptions options = file_options(size);
  options.background = false;
  return options;
}

std::string value_of(uint64_t round, size_t bytes) {
  return std::string(bytes, static_cast<char>('a' + round % 26));
}

// Keys in turn, each commit followed by a turn of the maintenance.
void replace(Pool& pool, uint64_t rounds, uint64_t keys, size_t bytes) {
  for (uint64_t round = 0; round < rounds; round++) {
    put(pool, "large" + std::to_string(round % keys), value_of(round, bytes),
        CommitMode::kEventual);
    pool.maintain(false);
  }
}

}  // namespace

TEST_CASE(
    "a pool whose large values are replaced grows by what one fold waits for, and then no more") {
  for (const auto& [keys, bytes] :
       {std::pair<uint64_t, size_t>{1, 300'000}, {20, 300'000}, {6, kMiB}, {3, 4 * kMiB}}) {
    CAPTURE(keys);
    CAPTURE(bytes);
    const Scratch scratch = Scratch::quick();
    const std::string path = scratch.path("p");
    auto pool = open_pool(path, turn_by_turn());
    replace(*pool, 2 * keys + 100 * kMiB / bytes, keys, bytes);
    const PoolStats before = pool->stats();
    CHECK(before.taken_bytes < keys * bytes + 44 * kMiB);
    const uint64_t rounds = 120 * kMiB / bytes / keys * keys;
    replace(*pool, rounds, keys, bytes);
    const PoolStats after = pool->stats();
    CHECK(after.bytes_grown == before.bytes_grown);
    CHECK(after.folds - before.folds <= 120 / 31 + 1);
    REQUIRE(pool->settle().is_ok());
    for (int life = 0; life < 2; life++) {
      for (uint64_t key = 0; key < keys; key++) {
        CHECK(get(*pool, key_in(1, "large" + std::to_string(key))) ==
              value_of(rounds - keys + key, bytes));
      }
      CHECK(damages(*pool).empty());
      pool = nullptr;
      pool = open_pool(path, turn_by_turn());
    }
  }
}

TEST_CASE(
    "an idle pool gives back what large values left, but for what a few new ones will take, and "
    "closed all of it") {
  const Scratch scratch = Scratch::quick();
  const std::string path = scratch.path("p");
  auto pool = open_pool(path, turn_by_turn());
  const auto idle = [&] {
    for (int turn = 0; turn < 5; turn++) pool->maintain(true);
  };
  replace(*pool, 50, 6, kMiB);
  idle();
  const uint64_t kept = blocks_of(path);
  CHECK(kept > (6 + 4) * kMiB);
  CHECK(kept < (6 + 4 + 2) * kMiB);
  // One now and then: each finds a place, and after four the fold of an idle pool gives the next
  // four one.
  const uint64_t grown = pool->stats().bytes_grown;
  for (int round = 0; round < 24; round++) {
    put(*pool, "large0", value_of(static_cast<uint64_t>(round), kMiB));
    idle();
    CHECK(blocks_of(path) < kept + 4 * kMiB);
    CHECK(pool->stats().waiting_bytes < 4 * kMiB);
  }
  CHECK(pool->stats().bytes_grown == grown);
  CHECK(pool->stats().folds <= 50 / 31 + 1 + 24 / 4 + 1);
  CHECK(get(*pool, key_in(1, "large0")) == value_of(23, kMiB));
  REQUIRE(pool->close().is_ok());
  CHECK(blocks_of(path) < (6 + 2) * kMiB);
}

TEST_CASE("an idle pool with one large value keeps no more than it has") {
  const Scratch scratch = Scratch::quick();
  const std::string path = scratch.path("p");
  auto pool = open_pool(path, turn_by_turn());
  replace(*pool, 20, 1, 300'000);
  for (int turn = 0; turn < 5; turn++) pool->maintain(true);
  CHECK(blocks_of(path) < 2 * kMiB + kMiB / 2);
}

TEST_CASE("a small pool of fixed size is never full for large values that died") {
  const Scratch scratch = Scratch::quick();
  auto pool = open_pool(scratch.path("p"), turn_by_turn(16 * kMiB));
  replace(*pool, 100, 4, kMiB);
  CHECK(pool->stats().waiting_bytes <= 2 * kMiB);
  CHECK(get(*pool, key_in(1, "large3")) == value_of(99, kMiB));
}

TEST_CASE("what a fold finds dead waits for the root of that very fold") {
  PoolOptions options;
  options.background = false;
  auto disk = SimulatedDisk::create(SimulatedOptions(), 1);
  auto opened = disk->open();
  REQUIRE(opened.is_ok());
  auto pool = *Pool::open_on(std::move(*opened), "p", options);
  put(*pool, "a", value_of(0, 300'000));
  REQUIRE(pool->fold().is_ok());
  put(*pool, "a", value_of(1, 300'000));
  disk->fail(SimulatedCall::kAllocate, 2,
             SimulatedFault::kDiskFull);  // the block, behind a run: the dead are known by then
  disk->fail(SimulatedCall::kAllocate, 4, SimulatedFault::kDiskFull);
  CHECK(pool->fold().is_full());
  for (uint64_t n = 1; n < 100; n++)
    disk->fail(SimulatedCall::kAllocate, n, SimulatedFault::kDiskFull);
  pool->maintain(false);
  disk->disarm();
  CHECK(pool->stats().waiting_bytes >= 300'000);
  put(*pool, "b", value_of(2, 300'000));
  auto left = disk->crash(1)->open();
  REQUIRE(left.is_ok());
  auto again = Pool::open_on(std::move(*left), "p", options);
  REQUIRE_MESSAGE(again.is_ok(), again.status().message());
  CHECK(get(**again, key_in(1, "a")) == value_of(1, 300'000));
  CHECK(get(**again, key_in(1, "b")) == value_of(2, 300'000));
  REQUIRE(pool->fold().is_ok());
  CHECK(pool->stats().waiting_bytes == 0);
}
