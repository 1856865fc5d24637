// How quickly commits may go in a nearly full pool. Times only from below: a busy machine makes any
// wait longer.
#include "engine/space/pace.h"

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <thread>

#include "native/pool_fixture.h"

using namespace holdfast;

namespace {

double ms_of(const std::function<void()>& what) {
  const auto begun = std::chrono::steady_clock::now();
  what();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun)
      .count();
}

// A rate of at most 100 MiB a second, a little less than half of enough left.
void teach(Pace* pace, uint64_t enough) {
  pace->set(enough / 2 - 1, enough);
  pace->learn(0);
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  pace->learn(1 << 20);
}

}  // namespace

TEST_CASE("pace: nobody waits where there is enough, or while no rate is known") {
  Pace pace;
  pace.set(100 << 20, 1 << 20);
  CHECK(!pace.is_on());
  pace.set(1 << 20, 2 << 20);
  CHECK(pace.is_on());
  // At one byte a second these would take twelve days.
  CHECK(ms_of([&] { pace.wait(1 << 20); }) < 1000);
  teach(&pace, 1 << 20);
  pace.set(1 << 20, 1 << 20);
  CHECK(!pace.is_on());
}

TEST_CASE("pace: at the rate that rounds allowed, the slower the less is left") {
  Pace pace;
  teach(&pace, 1 << 20);
  const auto hundred = [&] {
    for (int i = 0; i < 100; i++) pace.wait(1024);
  };
  // 100 KiB at 100 MiB a second take 1 ms; what is made up for is 0.02 ms.
  CHECK(ms_of(hundred) >= 0.9);
  // With 200 KiB of 1 MiB left, and less behind each, twice as long at least.
  pace.set(200 << 10, 1 << 20);
  CHECK(ms_of(hundred) >= 1.9);
}

TEST_CASE("pace: one commit waits for a few milliseconds at most, however long it is") {
  Pace pace;
  teach(&pace, 1 << 20);
  pace.set(0, 1 << 20);
  const double took =
      ms_of([&] { pace.wait(1 << 30); });  // at the rate: ten seconds, and more with nothing left
  CHECK(took >= 4.9);
  CHECK(took < 5000);
}

TEST_CASE("pace: who commits at leisure does not make it slower") {
  Pace pace;
  teach(&pace, 1 << 20);
  pace.set(900 << 10, 1 << 20);
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  pace.learn((1 << 20) + 10);  // ten bytes in ten milliseconds
  // At that rate each of these would wait for as long as one may: four seconds in all.
  CHECK(ms_of([&] {
          for (int i = 0; i < 800; i++) pace.wait(1000);
        }) < 2000);
  pace.set(100 << 10, 1 << 20);
  for (int i = 1; i < 40; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    pace.learn((1 << 20) + 10 + i);
  }
  // With little left it counts.
  CHECK(ms_of([&] {
          for (int i = 0; i < 10; i++) pace.wait(1000);
        }) >= 45);
}

// The file of such a pool begins short, and what it may still become is free: what was learned of
// somebody at leisure held every later commit for 5 ms.
TEST_CASE(
    "pace: a pool of fixed size that is nearly empty holds nobody up, however slowly it was used "
    "before") {
  test::Scratch scratch = test::Scratch::on_disk();
  PoolOptions options;
  options.medium.choice = MediumChoice::kFile;
  options.medium.size = 64 * kMiB;
  auto pool = Pool::open(scratch.path("pool"), options);
  REQUIRE(pool.is_ok());
  for (int i = 0; i < 8; i++) {
    test::put(**pool, "slowly", std::to_string(i), CommitMode::kEventual);
    std::this_thread::sleep_for(
        std::chrono::milliseconds(150));  // the maintenance thread looks round
  }
  CHECK(ms_of([&] {
          for (int i = 0; i < 1000; i++)
            test::put(**pool, "at once", std::to_string(i), CommitMode::kEventual);
        }) < 2500);
  CHECK((*pool)->close().is_ok());
}
