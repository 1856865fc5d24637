// The engine through its one door, on a real file: what commits leave, in every order, across
// reopening.
#include <doctest/doctest.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>

#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

TEST_CASE("a pool keeps what was committed, across reopening") {
  Scratch scratch;
  const std::string path = scratch.path("p");
  {
    auto pool = open_pool(path);
    put(*pool, "a", "one");
    put(*pool, "b", "");
    Batch other;
    REQUIRE(other.put(key_in(2, "a"), std::string(300000, 'x')).is_ok());
    REQUIRE(pool->commit(other, CommitMode::kDurable).is_ok());
    Batch batch;
    REQUIRE(batch.remove(key_in(1, "a")).is_ok());
    REQUIRE(batch.put(key_in(1, "c"), "three").is_ok());
    REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
    CHECK(get(*pool, key_in(1, "a")) == std::nullopt);
    CHECK(pool->close().is_ok());
  }
  auto pool = open_pool(path);
  CHECK(pool->stats().replayed_operations == 0);
  CHECK(get(*pool, key_in(1, "a")) == std::nullopt);
  CHECK(get(*pool, key_in(1, "b")) == "");
  CHECK(get(*pool, key_in(1, "c")) == "three");
  CHECK(get(*pool, key_in(2, "a")) == std::string(300000, 'x'));
  CHECK(contents(*pool).size() == 3);
  auto report = pool->check(nullptr, nullptr);
  REQUIRE(report.is_ok());
  CHECK(report->damages.empty());
}

TEST_CASE("conditions: a commit is refused whole") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"));
  const std::string key = key_in(1, "k");
  Batch batch;
  REQUIRE(batch.require_absent(key).is_ok());
  REQUIRE(batch.put(key, "1").is_ok());
  CHECK(pool->commit(batch, CommitMode::kDurable).is_ok());
  CHECK(pool->commit(batch, CommitMode::kDurable).status().code() == Code::kConflict);
  batch.clear();
  REQUIRE(batch.require_equal(key, "0").is_ok());
  REQUIRE(batch.put(key, "2").is_ok());
  CHECK(pool->commit(batch, CommitMode::kDurable).status().code() == Code::kConflict);
  CHECK(get(*pool, key) == "1");
}

TEST_CASE("a commit of up to 8 KiB is one write and one barrier, whatever the number of keys") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"));
  put(*pool, "warm", "up");
  for (int keys : {1, 10, 60}) {
    Batch batch;
    for (int i = 0; i < keys; i++)
      REQUIRE(batch.put(key_in(1, std::to_string(i)), std::string(100, 'v')).is_ok());
    const PoolStats before = pool->stats();
    REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
    const PoolStats after = pool->stats();
    CHECK(after.writes - before.writes == 1);
    CHECK(after.barriers - before.barriers == 1);
  }
}

TEST_CASE("commits that wait together share one barrier") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"));
  put(*pool, "warm", "up");
  std::mutex mutex;
  std::condition_variable done;
  std::vector<Completion> completions;
  auto client = pool->attach([&](std::vector<Completion>&& some) {
    std::lock_guard guard(mutex);
    for (auto& one : some) completions.push_back(std::move(one));
    done.notify_all();
  });
  const PoolStats before = pool->stats();
  for (int i = 0; i < 64; i++) {
    Batch batch;
    REQUIRE(batch.put(key_in(1, std::to_string(i)), "value").is_ok());
    CHECK(pool->submit(client, std::move(batch), CommitMode::kDurable) ==
          static_cast<uint64_t>(i + 1));
  }
  pool->flush(client);
  std::unique_lock guard(mutex);
  REQUIRE(done.wait_for(guard, std::chrono::seconds(30), [&] { return completions.size() == 64; }));
  const PoolStats after = pool->stats();
  CHECK(after.barriers - before.barriers == 1);
  CHECK(after.writes - before.writes == 1);
  for (size_t i = 0; i < 64; i++) {
    CHECK(completions[i].status.is_ok());
    CHECK(completions[i].ticket == i + 1);
  }
}

TEST_CASE("random work against a model, with folds, merges, snapshots and reopening") {
  for (const uint64_t seed : {1, 2, 3, 4}) {
    CAPTURE(seed);
    const Scratch scratch = Scratch::quick();
    const std::string path = scratch.path("p");
    std::mt19937_64 random(seed);
    PoolOptions options = file_options(seed % 2 ? 16 * kMiB : 0);
    options.fold_operations = 500;
    auto pool = open_pool(path, options);
    std::map<std::string, std::string> model;
    std::vector<std::pair<SnapshotPtr, std::map<std::string, std::string>>> snapshots;
    for (int step = 0; step < 6000; step++) {
      const uint64_t dice = random() % 1000;
      if (dice < 900) {
        Batch batch;
        for (uint64_t n = 1 + random() % 4; n > 0; n--) {
          const std::string key = key_in(1 + random() % 3, "key-" + std::to_string(random() % 700));
          if (random() % 5 == 0) {
            REQUIRE(batch.remove(key).is_ok());
            model.erase(key);
          } else {
            const uint64_t size = random() % 200 == 0 ? 280000 : random() % 2000;
            std::string value(size, static_cast<char>('a' + random() % 26));
            REQUIRE(batch.put(key, value).is_ok());
            model[key] = value;
          }
        }
        auto receipt =
            pool->commit(batch, random() % 2 ? CommitMode::kDurable : CommitMode::kEventual);
        REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message());
      } else if (dice < 930 && snapshots.size() < 3) {
        auto snapshot = pool->snapshot();
        REQUIRE(snapshot.is_ok());
        snapshots.emplace_back(*snapshot, model);
      } else if (dice < 960 && !snapshots.empty()) {
        CHECK(contents(*pool, snapshots.front().first) == snapshots.front().second);
        snapshots.erase(snapshots.begin());
      } else if (dice < 970) {
        CHECK(contents(*pool) == model);
      } else if (dice < 980) {
        REQUIRE(pool->fold().is_ok());
      } else if (dice < 985) {
        REQUIRE(pool->compact().is_ok());
      } else if (dice < 990) {
        snapshots.clear();
        REQUIRE(pool->close().is_ok());
        pool = open_pool(path, options);
        CHECK(contents(*pool) == model);
      }
    }
    for (auto& [snapshot, then] : snapshots) CHECK(contents(*pool, snapshot) == then);
    CHECK(contents(*pool) == model);
    auto report = pool->check(nullptr, nullptr);
    REQUIRE(report.is_ok());
    CHECK(report->damages.empty());
  }
}
