// How quickly commits may go while folds are behind them. Times that are waited for only from
// below: a busy machine makes any wait longer.
#include "engine/maintain/fold_pace.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

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

TEST_CASE("fold pace: behind many that wait nobody waits for very long") {
  FoldPace pace(kDue, kMost, true);
  for (int i = 0; i < 100; i++) pace.wait(ms(250), [] { return false; });
  int looks = 0;  // every 5 ms
  pace.wait(ms(250), [&] { return ++looks < 1000; });
  CHECK(looks < 1000);
}

#ifdef HOLDFAST_PLANTED_BUGS

namespace {

using namespace holdfast::test;
using Clock = std::chrono::steady_clock;

// A pool of which each fold is held, when it has begun, until it is let go.
class HeldFolds {
 public:
  HeldFolds(const std::string& path, PoolOptions options) {
    at_test_point = [this](TestPoint here) {
      if (here != TestPoint::kFoldFrozen) return;
      const uint64_t mine = ++begun_;
      while (let_go_ < mine) std::this_thread::sleep_for(ms(1));
    };
    options.fold_operations = kDue;
    pool = open_pool(path, options);
  }
  ~HeldFolds() {
    let_go(UINT64_MAX);
    CHECK(pool->close().is_ok());
    at_test_point = nullptr;
  }

  void wait_for_fold(uint64_t number) {
    while (begun_ < number) std::this_thread::sleep_for(ms(1));
  }
  void let_go(uint64_t number) { let_go_ = number; }

  std::shared_ptr<Pool> pool;

 private:
  std::atomic<uint64_t> begun_{0}, let_go_{0};
};

void put_many(Pool& pool, uint64_t operations, uint64_t* key) {
  Batch batch;
  for (uint64_t i = 0; i < operations; i++) REQUIRE(batch.put(numbered_key((*key)++), "v").is_ok());
  REQUIRE(pool.commit(batch, CommitMode::kEventual).is_ok());
}

constexpr uint64_t kLate = kMost - 100, kFolds = 12;

// How many runs each of `kFolds` folds finds. It is held until what makes the next one late has
// been committed: so none begins in time, and the pool never rests.
std::vector<uint64_t> runs_at_late_folds(const Scratch& scratch, PoolOptions options) {
  uint64_t key = 0;
  options.background = false;
  {
    // All newer runs together are not half of this one: it takes no part.
    auto pool = open_pool(scratch.path("p"), options);
    for (uint64_t i = 0; i < 3 * kFolds; i++) put_many(*pool, kLate, &key);
    REQUIRE(pool->compact().is_ok());
    REQUIRE(pool->stats().runs == 1);
    REQUIRE(pool->close().is_ok());
  }
  options.background = true;
  HeldFolds folds(scratch.path("p"), options);
  put_many(*folds.pool, kLate, &key);
  std::vector<uint64_t> runs;
  for (uint64_t fold = 1; fold <= kFolds; fold++) {
    folds.wait_for_fold(fold);
    runs.push_back(folds.pool->stats().runs);
    put_many(*folds.pool, kLate, &key);
    folds.let_go(fold);
  }
  return runs;
}

}  // namespace

TEST_CASE("fold pace: commits of a pool whose folds are late wait for their turns") {
  const Scratch scratch = Scratch::quick();
  HeldFolds folds(scratch.path("p"), file_options());
  uint64_t key = 0;
  put_many(*folds.pool, kDue, &key);
  for (uint64_t fold = 1; fold <= 2; fold++) {
    folds.wait_for_fold(fold);
    put_many(*folds.pool, kLate, &key);
    std::this_thread::sleep_for(ms(200));
    folds.let_go(fold);
  }
  folds.wait_for_fold(3);
  // The second took 200 ms of 1,900 operations; 30 ms are made up for.
  const auto start = Clock::now();
  for (int i = 0; i < 10; i++) put_many(*folds.pool, 100, &key);
  CHECK(Clock::now() - start >= ms(60));
}

TEST_CASE("fold pace: how long a pool has rested is not how long its folds take") {
  const Scratch scratch = Scratch::quick();
  HeldFolds folds(scratch.path("p"), file_options());
  uint64_t key = 0;
  put_many(*folds.pool, kLate, &key);
  folds.wait_for_fold(1);
  folds.let_go(1);
  folds.pool->maintain(false);  // behind the turn that folded
  std::this_thread::sleep_for(ms(1000));
  put_many(*folds.pool, kLate, &key);
  folds.wait_for_fold(2);
  const auto sleeps = [] {
    rusage used{};
    ::getrusage(RUSAGE_THREAD, &used);
    return used.ru_nvcsw;
  };
  const long before = sleeps();
  for (int i = 0; i < 10; i++) put_many(*folds.pool, 100, &key);
  CHECK(sleeps() - before < 30);  // each would take 47 ms, looking up every 5
}

TEST_CASE("fold pace: where commits wait for folds twice as many runs become one, half as often") {
  const Scratch scratch = Scratch::quick();
  CHECK(runs_at_late_folds(scratch, file_options()) ==
        std::vector<uint64_t>{1, 2, 3, 4, 5, 6, 7, 8, 2, 3, 4, 5});
}

#ifdef HOLDFAST_WITH_PMEM
TEST_CASE("fold pace: on persistent memory commits do not wait for folds, nor merges for more") {
  if (!Scratch::memory_is_there()) {
    MESSAGE("skipped: no /dev/shm");
    return;
  }
  const Scratch scratch = Scratch::in_memory();
  PoolOptions options;
  options.medium.choice = MediumChoice::kPmem;
  options.medium.size = 64 * kMiB;
  CHECK(runs_at_late_folds(scratch, options) ==
        std::vector<uint64_t>{1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6});
}
#endif

#endif
