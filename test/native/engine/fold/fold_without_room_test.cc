// A fold that has come far and then finds no room for its block: nothing that the fold before it
// needs is given away meanwhile.
#include <doctest/doctest.h>

#include "medium/simulated_medium.h"
#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

TEST_CASE(
    "a fold without room for its block gives no log segment back, be all in it dead: the fold "
    "before it begins there") {
  PoolOptions options;
  options.background = false;
  options.log_segment_bytes = 64 * kKiB;
  auto disk = SimulatedDisk::create(SimulatedOptions(), 1);
  auto opened = disk->open();
  REQUIRE(opened.is_ok());
  auto pool = *Pool::open_on(std::move(*opened), "p", options);
  const auto written = [&](char c) {
    for (int i = 0; i < 100; i++) put(*pool, "a", std::string(4000, c));
  };
  written('a');  // some seven segments, dead but for the last
  const uint64_t segments = pool->stats().log_segments;
  REQUIRE(segments > 5);
  for (const uint64_t block : {2, 4})
    disk->fail(SimulatedCall::kAllocate, block, SimulatedFault::kDiskFull);  // behind a run, twice
  CHECK(pool->fold().is_full());
  CHECK(pool->stats().folded_epoch == 0);
  for (uint64_t n = 1; n < 100; n++)
    disk->fail(SimulatedCall::kAllocate, n, SimulatedFault::kDiskFull);
  pool->maintain(false);
  disk->disarm();
  CHECK(pool->stats().folded_epoch == 0);
  CHECK(pool->stats().log_segments == segments);
  written('b');
  auto crashed = disk->crash(1);
  auto left = crashed->open();
  REQUIRE(left.is_ok());
  auto again = Pool::open_on(std::move(*left), "p", options);
  REQUIRE_MESSAGE(again.is_ok(), again.status().message());
  CHECK((*again)->stats().epoch == 200);
  CHECK(get(**again, key_in(1, "a")) == std::string(4000, 'b'));
  CHECK(pool->fold().is_ok());
  CHECK(pool->stats().folded_epoch == 200);
}
