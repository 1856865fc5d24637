// Groups committed by the thread that flushes (native/engine/pool/group_commit.cc): one barrier,
// completed before flush() returns, and never behind the last fold of a pool that closes: a tail
// behind the mark of a clean end would not be replayed.
#include <doctest/doctest.h>

#include <thread>

#include "base/test_hooks.h"
#include "medium/simulated_medium.h"
#include "native/at_point.h"
#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

PoolOptions without_threads() {
  PoolOptions options;
  options.background = false;
  return options;
}

void submit_two(Pool& pool, const std::shared_ptr<void>& client, const std::string& name) {
  for (const char* key : {"-a", "-b"}) {
    Batch batch;
    REQUIRE(batch.put(key_in(1, name + key), "value").is_ok());
    pool.submit(client, std::move(batch), CommitMode::kDurable);
  }
  pool.flush(client);
}

}  // namespace

TEST_CASE("a group is fenced once, by the thread that flushes") {
  SimulatedOptions medium;
  medium.barrier_is_per_thread = true;
  auto pool =
      *Pool::open_on(std::move(*SimulatedDisk::create(medium, 1)->open()), "p", without_threads());
  std::vector<Completion> completed;
  auto client = pool->attach([&](std::vector<Completion>&& done) {
    for (Completion& one : done) completed.push_back(std::move(one));
  });
  const uint64_t before = pool->stats().barriers;
  submit_two(*pool, client, "k");
  REQUIRE(completed.size() == 2);
  CHECK(completed[0].status.is_ok());
  CHECK(completed[1].epoch == completed[0].epoch + 1);
  CHECK(pool->stats().barriers == before + 1);
  CHECK(pool->stats().durable_epoch == completed[1].epoch);
}

TEST_CASE(
    "a group of a disk is committed by the thread that flushes while barriers are quick, by "
    "another when they are not") {
  PoolOptions options;
  options.background = true;
  auto pool = *Pool::open_on(std::move(*SimulatedDisk::create(SimulatedOptions(), 1)->open()), "p",
                             options);
  std::atomic<int> completed{0}, here{0};
  const auto me = std::this_thread::get_id();
  auto client = pool->attach([&](std::vector<Completion>&& done) {
    for (const Completion& one : done) CHECK(one.status.is_ok());
    here += std::this_thread::get_id() == me;
    completed += static_cast<int>(done.size());
  });
  submit_two(*pool, client, "quick");
  CHECK(completed == 2);
  CHECK(here == 1);
  {
    const AtPoint slow(TestPoint::kBarrierRaised,
                       [] { std::this_thread::sleep_for(std::chrono::milliseconds(5)); });
    REQUIRE(try_put(*pool, key_in(1, "slow"), "value").is_ok());
  }
  submit_two(*pool, client, "behind");
  while (completed < 4) std::this_thread::yield();
  CHECK(here == 1);
  CHECK(pool->close().is_ok());
}

// Nobody waits for it, and no other thread could raise it.
TEST_CASE("a group of eventual commits is fenced by the thread that flushes") {
  SimulatedOptions medium;
  medium.barrier_is_per_thread = true;
  auto disk = SimulatedDisk::create(medium, 1);
  auto pool = *Pool::open_on(std::move(*disk->open()), "p", without_threads());
  auto client = pool->attach([](std::vector<Completion>&&) {});
  for (int i = 0; i < 3; i++) {
    Batch batch;
    REQUIRE(batch.put(key_in(1, "k" + std::to_string(i)), "value").is_ok());
    pool->submit(client, std::move(batch), CommitMode::kEventual);
  }
  pool->flush(client);
  CHECK(pool->stats().durable_epoch == 3);
  CHECK(disk->pending_atoms() == 0);
}

TEST_CASE("a group that is flushed while its pool closes is refused whole") {
  SimulatedOptions medium;
  medium.barrier_is_per_thread = true;
  auto disk = SimulatedDisk::create(medium, 1);
  auto pool = *Pool::open_on(std::move(*disk->open()), "p", without_threads());
  std::vector<Completion> completed;
  auto client = pool->attach([&](std::vector<Completion>&& done) {
    for (Completion& one : done) completed.push_back(std::move(one));
  });
  submit_two(*pool, client, "before");
  REQUIRE(completed.size() == 2);
  at_test_point = [&](TestPoint point) {
    if (point == TestPoint::kFoldDone && completed.size() == 2) submit_two(*pool, client, "late");
  };
  CHECK(pool->close().is_ok());
  at_test_point = nullptr;
  REQUIRE(completed.size() == 4);
  CHECK(completed[2].status.code() == Code::kClosed);
  CHECK(completed[3].status.code() == Code::kClosed);
  pool = *Pool::open_on(std::move(*disk->open()), "p", without_threads());
  CHECK(get(*pool, key_in(1, "before-a")) == "value");
  CHECK(get(*pool, key_in(1, "late-a")) == std::nullopt);
}
