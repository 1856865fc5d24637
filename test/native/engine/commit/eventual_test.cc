// The bound of eventual commits: durable within so many milliseconds though nobody settles,
// whichever way they were committed; and once they are, nobody goes on looking.
#include <doctest/doctest.h>

#include <chrono>
#include <ctime>
#include <functional>
#include <thread>

#include "medium/simulated_medium.h"
#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

using Clock = std::chrono::steady_clock;

Batch one(const std::string& key) {
  Batch batch;
  REQUIRE(batch.put(key_in(1, key), "value").is_ok());
  return batch;
}

// What the pool says is durable, once it is `epoch` or a minute has passed: a disk may be busy.
uint64_t durable_soon(Pool& pool, uint64_t epoch) {
  const auto until = Clock::now() + std::chrono::minutes(1);
  while (pool.stats().durable_epoch < epoch && Clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return pool.stats().durable_epoch;
}

double processor_ms() {
  timespec used;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) * 1e3 + static_cast<double>(used.tv_nsec) / 1e6;
}

}  // namespace

TEST_CASE(
    "eventual commits are durable within their bound, one by one and in groups, and then there is "
    "rest") {
  Scratch scratch = Scratch::on_disk();
  PoolOptions options;
  options.medium.choice = MediumChoice::kFile;
  options.eventual_within_ms = 40;
  auto opened = Pool::open(scratch.path("p"), options);
  REQUIRE_MESSAGE(opened.is_ok(), opened.status().message());
  Pool& pool = **opened;
  auto client = pool.attach([](std::vector<Completion>&& done) {
    for (const Completion& each : done) CHECK(each.status.is_ok());
  });
  const std::function<void(const std::string&)> ways[] = {
      [&](const std::string& key) {
        Batch batch = one(key);
        REQUIRE(pool.commit(batch, CommitMode::kEventual).is_ok());
      },
      [&](const std::string& key) {
        for (const char* which : {"-a", "-b", "-c"})
          pool.submit(client, one(key + which), CommitMode::kEventual);
        pool.flush(client);
      },
  };
  for (int round = 0; round < 2; round++) {  // the second time it is armed anew
    for (size_t way = 0; way < 2; way++) {
      CAPTURE(round);
      CAPTURE(way);
      const uint64_t wanted = pool.stats().epoch + (way == 0 ? 1 : 3);
      ways[way]("k" + std::to_string(round));
      CHECK(durable_soon(pool, wanted) == wanted);
    }
  }
  const double used = processor_ms();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  CHECK(processor_ms() - used < 100);
  CHECK(pool.close().is_ok());
}

TEST_CASE("closing makes eventual commits durable, also where there is no room for its fold") {
  auto disk = SimulatedDisk::create({}, 1);
  PoolOptions options;
  options.background = false;
  const auto open = [&](const std::shared_ptr<SimulatedDisk>& on) {
    auto medium = on->open();
    REQUIRE(medium.is_ok());
    auto pool = Pool::open_on(std::move(*medium), "simulated", options);
    REQUIRE_MESSAGE(pool.is_ok(), pool.status().message());
    return *pool;
  };
  auto pool = open(disk);
  Batch batch = one("a");
  REQUIRE(pool->commit(batch, CommitMode::kEventual).is_ok());
  const uint64_t folded = pool->stats().folded_epoch;
  for (uint64_t n = 1; n <= 20; n++)
    disk->fail(SimulatedCall::kAllocate, n, SimulatedFault::kDiskFull);
  REQUIRE(pool->close().is_ok());
  disk->disarm();
  auto again = open(
      disk->crash_landing(0));  // a power cut that spares nothing which was not behind a barrier
  CHECK(again->stats().folded_epoch == folded);
  CHECK(get(*again, key_in(1, "a")) == "value");
}

TEST_CASE("what a fold has made durable is said to be durable, though nobody settled") {
  Scratch scratch = Scratch::on_disk();
  PoolOptions options;
  options.medium.choice = MediumChoice::kFile;
  options.eventual_within_ms = 60'000;
  auto opened = Pool::open(scratch.path("p"), options);
  REQUIRE_MESSAGE(opened.is_ok(), opened.status().message());
  Pool& pool = **opened;
  Batch batch = one("a");
  REQUIRE(pool.commit(batch, CommitMode::kEventual).is_ok());
  REQUIRE(pool.fold().is_ok());
  const PoolStats stats = pool.stats();
  CHECK(stats.folded_epoch == stats.epoch);
  CHECK(stats.durable_epoch == stats.epoch);
}
