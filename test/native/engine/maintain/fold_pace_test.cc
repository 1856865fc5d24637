// How quickly commits may go while folds are behind them. Times that are waited for only from
// below: a busy machine makes any wait longer.
#include "engine/maintain/fold_pace.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/test_hooks.h"
#include "native/pool_fixture.h"

using namespace holdfast;

namespace {

using Time = FoldPace::Nanoseconds;
constexpr uint64_t kDue = 1000, kMost = 2000;
constexpr auto always = [] { return true; };

Time ms(int64_t count) { return std::chrono::milliseconds(count); }

// A fold of 2,000 operations each second: half a millisecond each.
void teach(FoldPace* pace) {
  pace->fold_begins(kMost, ms(10'000));
  pace->fold_begins(kMost, ms(11'000));
}

Time time_for(const FoldPace& pace, uint64_t tail) { return pace.time_for(100, tail); }

}  // namespace

TEST_CASE("fold pace: nobody waits while folds begin in time") {
  FoldPace pace(kDue, kMost, true);
  CHECK(!pace.is_on());
  CHECK(pace.fold_begins(kDue, ms(1'000)) == ms(1'000));
  CHECK(pace.fold_begins(kDue * 7 / 4, ms(5'000)) == ms(4'000));
  CHECK(!pace.is_on());
  CHECK(time_for(pace, kMost - 1) == ms(0));
}

TEST_CASE("fold pace: a commit takes as long as its operations took the last folds") {
  FoldPace pace(kDue, kMost, true);
  // The first that begins late says nothing: nobody may have committed before.
  pace.fold_begins(kMost, ms(10'000));
  CHECK(pace.is_on());
  CHECK(time_for(pace, 0) == ms(0));
  pace.fold_begins(kMost, ms(11'000));
  CHECK(time_for(pace, 0) == ms(45));  // a tenth less
  CHECK(time_for(pace, kDue) == ms(45));
  // Nor does one before which all had been done.
  pace.caught_up();
  pace.fold_begins(kMost, ms(99'000));
  CHECK(time_for(pace, 0) == ms(45));
  // Half of what was thought, half of what was seen.
  pace.fold_begins(kMost, ms(102'000));
  CHECK(time_for(pace, 0) == ms(90));
}

TEST_CASE("fold pace: where commits wait for folds, each takes more") {
  FoldPace pace(kDue, kMost, true);
  CHECK(pace.worth_folding() == kDue);
  teach(&pace);
  CHECK(pace.worth_folding() == kDue * 3 / 2);
}

TEST_CASE("fold pace: where commits are not paced it is never on") {
  FoldPace pace(kDue, kMost, false);
  teach(&pace);
  CHECK(!pace.is_on());
  CHECK(pace.worth_folding() == kDue);
}

TEST_CASE("fold pace: the longer the less of the tail is left, and never very long") {
  FoldPace pace(kDue, kMost, true);
  teach(&pace);
  CHECK(time_for(pace, kDue * 7 / 4) == ms(45));
  CHECK(time_for(pace, kDue * 15 / 8) == ms(45 * 5));
  CHECK(time_for(pace, kDue * 31 / 16) == ms(250));
  CHECK(time_for(pace, kMost) == ms(250));
  CHECK(pace.time_for(1'000'000, 0) == ms(250));
}

TEST_CASE("fold pace: folds that begin in time again let commits go quicker, and then at will") {
  FoldPace pace(kDue, kMost, true);
  teach(&pace);
  const uint64_t now = 12'000;
  pace.wait(ms(60), always);  // 30 ms of it are made up for
  pace.fold_begins(kDue, ms(now));
  CHECK(pace.is_on());
  CHECK(time_for(pace, 0) < ms(40));
  CHECK(time_for(pace, 0) > ms(39));
  // Nobody has waited since.
  pace.fold_begins(kDue, ms(now + 1'000));
  CHECK(!pace.is_on());
}

TEST_CASE("fold pace: who waits has its turn behind those before it, or when the tail is folded") {
  using Clock = std::chrono::steady_clock;
  FoldPace pace(kDue, kMost, true);
  const auto begun = Clock::now();
  for (int i = 0; i < 10; i++) pace.wait(ms(10), always);
  CHECK(Clock::now() - begun >= ms(70));
  int looks = 0;
  pace.wait(ms(250), [&] { return ++looks < 3; });
  CHECK(looks == 3);
  // What is short is added up before anybody sleeps.
  FoldPace other(kDue, kMost, true);
  looks = 0;
  other.wait(ms(29), [&] { return ++looks < 3; });
  CHECK(looks == 0);
}

#ifdef HOLDFAST_PLANTED_BUGS

TEST_CASE("fold pace: commits of a pool whose folds are late wait for their turns") {
  using namespace holdfast::test;
  using Clock = std::chrono::steady_clock;
  const Scratch scratch = Scratch::quick();
  std::atomic<int> begun{0}, allowed{0};
  at_test_point = [&](TestPoint here) {
    if (here != TestPoint::kFoldFrozen) return;
    const int mine = ++begun;
    while (allowed < mine) std::this_thread::sleep_for(ms(1));
  };
  PoolOptions options = file_options();
  options.fold_operations = kDue;
  auto pool = open_pool(scratch.path("p"), options);
  uint64_t key = 0;
  const auto put_many = [&](uint64_t operations) {
    Batch batch;
    for (uint64_t i = 0; i < operations; i++) REQUIRE(batch.put(numbered_key(key++), "v").is_ok());
    REQUIRE(pool->commit(batch, CommitMode::kEventual).is_ok());
  };
  const auto wait_for_fold = [&](int number) {
    while (begun < number) std::this_thread::sleep_for(ms(1));
  };
  put_many(kDue);
  for (int fold = 1; fold <= 3; fold++) {
    wait_for_fold(fold);
    if (fold == 3) break;
    put_many(kMost - 100);
    std::this_thread::sleep_for(ms(200));
    allowed = fold;
  }
  // The second took 200 ms of 1,900 operations; 30 ms are made up for.
  const auto start = Clock::now();
  for (int i = 0; i < 10; i++) put_many(100);
  CHECK(Clock::now() - start >= ms(60));
  allowed = 1000;
  CHECK(pool->close().is_ok());
  at_test_point = nullptr;
}

#endif
