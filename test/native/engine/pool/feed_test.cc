// The change feed: every commit once, whole and in order, through folds, cleaning and reopening;
// who waits for the next one, and what a pool that closes does about it.
#include <doctest/doctest.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <random>
#include <thread>

#include "engine/state/feed_tail.h"
#include "native/at_point.h"
#include "native/engine/pool/feed_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

Changes some_changes(std::mt19937_64& random, bool large) {
  Changes changes;
  for (uint64_t n = random() % 5 + 1; n > 0; n--) {
    const std::string key = key_in(1 + random() % 2, "key" + std::to_string(random() % 20));
    if (random() % 5 == 0) {
      changes.emplace_back(key, std::nullopt);
    } else {
      changes.emplace_back(key,
                           std::string(random() % 4000, static_cast<char>('a' + random() % 26)));
    }
  }
  if (large)
    changes.emplace_back(key_in(1, "large" + std::to_string(random() % 2)),
                         std::string(300000 + random() % 2000000, 'L'));
  return changes;
}

}  // namespace

TEST_CASE("the feed gives every commit once, in order, through folds, cleaning and reopening") {
  Scratch scratch;
  const std::string path = scratch.path("p");
  std::map<uint64_t, Changes> made, seen;
  std::mt19937_64 random(7);
  uint64_t reached = 0;
  for (int life = 0; life < 3; life++) {
    auto pool = open_pool(path, options_with(RetainWish{0, uint64_t{1} << 40}));
    auto cursor = feed_from(*pool, reached);
    for (int i = 0; i < 400; i++) {
      Changes changes = some_changes(random, i % 50 == 0);
      if (i % 97 == 0) {
        for (int more = 0; more < 60; more++)
          changes.emplace_back(key_in(3, "wide" + std::to_string(more)), std::string(5000, 'w'));
      }
      const uint64_t epoch =
          commit(*pool, changes, i % 3 ? CommitMode::kDurable : CommitMode::kEventual);
      made[epoch] = changes;
      if (random() % 10 == 0) {
        const Status read = read_all(*cursor, &seen);
        REQUIRE_MESSAGE(read.is_ok(), read.message());
      }
      if (i % 120 == 60) REQUIRE(pool->compact().is_ok());
    }
    REQUIRE(pool->settle().is_ok());
    if (life == 1) REQUIRE(read_all(*cursor, &seen).is_ok());
    reached = cursor->reached();
    REQUIRE(pool->close().is_ok());
    CHECK(cursor->next(kMiB, [](const FeedCommit&) { return Status(); }).status().code() ==
          Code::kClosed);
  }
  // What is kept is remembered: opened without a wish, everything is still there.
  auto pool = open_pool(path, options_with(std::nullopt));
  auto cursor = feed_from(*pool, reached);
  REQUIRE(read_all(*cursor, &seen).is_ok());
  CHECK(seen == made);
  CHECK(pool->stats().oldest_change == 1);
  std::map<uint64_t, Changes> again;
  for (const uint64_t after :
       {uint64_t{0}, uint64_t{1}, uint64_t{17}, uint64_t{401}, made.rbegin()->first}) {
    again.clear();
    auto from = feed_from(*pool, after);
    const Status read = read_all(*from, &again);
    REQUIRE_MESSAGE(read.is_ok(), read.message());
    CHECK(again == std::map<uint64_t, Changes>(made.upper_bound(after), made.end()));
  }
  CHECK(pool->check(nullptr, nullptr)->damages.empty());
}

TEST_CASE("only the changes of the keys asked for are given") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), options_with(std::nullopt));
  FeedOptions options;
  options.low = key_in(1, "b");
  options.high = key_in(1, "c");
  auto cursor = pool->feed(options);
  REQUIRE(cursor.is_ok());
  commit(*pool, {{key_in(1, "a"), "1"}});
  const uint64_t second = commit(
      *pool, {{key_in(1, "b1"), "2"}, {key_in(1, "c"), "3"}, {key_in(1, "b2"), std::nullopt}});
  commit(*pool, {{key_in(2, "b"), "4"}});
  std::map<uint64_t, Changes> seen;
  REQUIRE(read_all(**cursor, &seen).is_ok());
  CHECK(seen == std::map<uint64_t, Changes>{
                    {second, {{key_in(1, "b1"), "2"}, {key_in(1, "b2"), std::nullopt}}}});
  CHECK_FALSE((*cursor)->behind());
}

TEST_CASE("a commit that its reader refuses is given again") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), options_with(std::nullopt));
  auto cursor = feed_from(*pool, FeedOptions::kNow);
  commit(*pool, {{key_in(1, "a"), "1"}});
  auto refused =
      cursor->next(kMiB, [](const FeedCommit&) { return Status(Code::kAborted, "not now"); });
  CHECK(refused.status().code() == Code::kAborted);
  std::map<uint64_t, Changes> seen;
  REQUIRE(read_all(*cursor, &seen).is_ok());
  CHECK(seen.size() == 1);
}

TEST_CASE("a commit that becomes durable just behind the last look of one that waits wakes it") {
  struct Waiter final : FeedWaiter {
    FeedTail* tail = nullptr;
    std::mutex mutex;
    std::condition_variable changed;
    int looks = 0;
    bool wake(bool closing) override {
      const std::lock_guard guard(mutex);
      if (++looks == 2 && !closing) tail->durable_moved();
      changed.notify_all();
      return true;
    }
  };
  const auto waiter = std::make_shared<Waiter>();
  FeedTail tail;
  waiter->tail = &tail;
  REQUIRE(tail.add(waiter).is_ok());
  std::unique_lock guard(waiter->mutex);
  CHECK(waiter->changed.wait_for(guard, std::chrono::seconds(20),
                                 [&] { return waiter->looks >= 3; }));
}

TEST_CASE("one that waits is woken by the next durable commit, and by the pool's closing") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), options_with(std::nullopt));
  struct Waiter final : FeedWaiter {
    std::unique_ptr<FeedCursor> cursor;
    std::mutex mutex;
    std::condition_variable changed;
    uint64_t seen = 0;
    bool closed = false;
    bool wake(bool closing) override {
      std::lock_guard guard(mutex);
      closed = closing;
      if (!closing) {
        auto given = cursor->next(kMiB, [&](const FeedCommit& commit) {
          seen = commit.epoch;
          return Status();
        });
        CHECK(given.is_ok());
      }
      changed.notify_all();
      return true;
    }
  };
  auto waiter = std::make_shared<Waiter>();
  waiter->cursor = feed_from(*pool, FeedOptions::kNow);
  CHECK(pool->watch(waiter).is_ok());
  for (int i = 0; i < 50; i++) {
    const uint64_t epoch = commit(*pool, {{key_in(1, "k"), std::to_string(i)}},
                                  i % 2 ? CommitMode::kDurable : CommitMode::kEventual);
    if (i % 7) continue;
    std::unique_lock guard(waiter->mutex);
    CHECK(waiter->changed.wait_for(guard, std::chrono::seconds(20),
                                   [&] { return waiter->seen >= epoch; }));
  }
  REQUIRE(pool->close().is_ok());
  CHECK(waiter->closed);
  waiter->closed = false;
  CHECK(pool->watch(waiter).is_ok());
  CHECK(waiter->closed);
}

TEST_CASE("cursors read while others commit, fold, clean and close") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), options_with(std::nullopt));
  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  std::atomic<uint64_t> read{0};
  for (int i = 0; i < 2; i++) {
    readers.emplace_back([&] {
      while (!stop.load()) {
        auto cursor = pool->feed({});
        if (!cursor.is_ok()) return;
        uint64_t last = 0;
        while (!stop.load()) {
          auto given = (*cursor)->next(64 * kKiB, [&](const FeedCommit& commit) {
            CHECK(commit.epoch > last);
            CHECK(commit.changes.size() == 2);
            last = commit.epoch;
            read++;
            return Status();
          });
          if (!given.is_ok()) {
            CHECK((given.status().code() == Code::kClosed ||
                   given.status().code() == Code::kForgotten));
            break;
          }
          if (*given == 0) std::this_thread::yield();
        }
      }
    });
  }
  for (int i = 0; i < 3000; i++) {
    commit(*pool,
           {{key_in(1, "a" + std::to_string(i % 10)), std::string(3000, 'x')},
            {key_in(2, "b"), std::to_string(i)}},
           CommitMode::kEventual);
    if (i % 500 == 0) REQUIRE(pool->compact().is_ok());
  }
  REQUIRE(pool->close().is_ok());
  stop = true;
  for (std::thread& reader : readers) reader.join();
  CHECK(read.load() > 0);
}

TEST_CASE("feed: a pool that closes waits for who is reading its log") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"));
  commit(*pool, {{key_in(1, "a"), std::string(1000, 'v')}});
  auto cursor = feed_from(*pool, 0);
  std::atomic<bool> closed{false};
  std::thread closes;
  std::string value;
  auto given = cursor->next(kMiB, [&](const FeedCommit& one) {
    closes = std::thread([&] {
      (void)pool->close().is_ok();
      closed = true;
    });
    for (int i = 0; i < 500 && !closed; i++)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));  // it does not come
    if (!closed) value = std::string(one.changes.front().value);
    return Status();
  });
  closes.join();
  CHECK(given.is_ok());
  CHECK(value == std::string(1000, 'v'));
}

// By stop() or by the thread that ends, whoever has it then.
TEST_CASE(
    "who begins to wait while those who wait are called, or when nobody is called any more, is "
    "told that the pool closes") {
  struct Waiter final : FeedWaiter {
    std::function<void()> once;
    std::atomic<bool> closed{false};
    bool wake(bool closing) override {
      if (once) std::exchange(once, nullptr)();
      if (closing) closed = true;
      return true;
    }
  };
  const auto first = std::make_shared<Waiter>(), meanwhile = std::make_shared<Waiter>(),
             late = std::make_shared<Waiter>();
  FeedTail tail;
  std::thread stops;
  first->once = [&] {
    CHECK(tail.add(meanwhile).is_ok());
    stops = std::thread([&] { tail.stop(); });
    while (!late->closed) {  // told at once when the end has begun
      CHECK(tail.add(late).is_ok());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  };
  CHECK(tail.add(first).is_ok());
  while (!first->closed) std::this_thread::yield();
  stops.join();
  CHECK(first->closed);
  CHECK(meanwhile->closed);
  const auto last = std::make_shared<Waiter>();
  CHECK(tail.add(last).is_ok());
  CHECK(last->closed);
}

#ifdef HOLDFAST_PLANTED_BUGS

// Its segments were chosen to be cleaned before it came, and what lives in them has been carried by
// then.
TEST_CASE(
    "a reader of the log that comes while segments are cleaned reads all that it was promised") {
  Scratch scratch;
  PoolOptions options = options_with(std::nullopt);
  options.background = false;
  options.fold_operations = 100'000;
  std::shared_ptr<Pool> pool;
  std::unique_ptr<FeedCursor> cursor;
  uint64_t oldest = 0;
  const AtPoint point(TestPoint::kCleaned, [&] {
    oldest = pool->stats().oldest_change;
    cursor = feed_from(*pool, oldest - 1);
  });
  pool = open_pool(scratch.path("p"), options);
  uint64_t last = 0;
  for (int i = 0; i < 200; i++)
    commit(*pool, {{key_in(1, "k" + std::to_string(i)), std::string(1500, 'a')}});
  for (int i = 0; i < 200; i++) {
    if (i % 8 != 0)
      last = commit(*pool, {{key_in(1, "k" + std::to_string(i)), std::string(1500, 'b')}});
  }
  REQUIRE(pool->compact().is_ok());
  REQUIRE(cursor != nullptr);
  for (int i = 0; i < 200; i++)
    commit(*pool, {{key_in(1, "k" + std::to_string(i)), std::string(1500, 'c')}});
  REQUIRE(pool->compact().is_ok());
  std::map<uint64_t, Changes> seen;
  const Status read = read_all(*cursor, &seen);
  CHECK_MESSAGE(read.is_ok(), read.message());
  REQUIRE(!seen.empty());
  CHECK(seen.begin()->first == oldest);
  CHECK(seen.size() == last + 200 - oldest + 1);
}

// Its birth and its death are behind the fold: replay finds both, and the fold must not name it
// too.
TEST_CASE(
    "a large value that comes and goes while a fold is made is kept once for the feed, and the "
    "pool opens") {
  Scratch scratch;
  const std::string path = scratch.path("p"), copy = scratch.path("copy");
  PoolOptions options = options_with(RetainWish{0, uint64_t{1} << 40});
  options.background = false;
  std::shared_ptr<Pool> pool;
  uint64_t born = 0;
  const AtPoint point(TestPoint::kFoldFrozen, [&] {
    born = commit(*pool, {{key_in(1, "large"), std::string(400'000, 'L')}});
    commit(*pool, {{key_in(1, "large"), std::string(400'000, 'M')}});
  });
  pool = open_pool(path, options);
  commit(*pool, {{key_in(1, "a"), "1"}});
  REQUIRE(pool->fold().is_ok());
  std::filesystem::copy_file(path, copy);  // as a crash leaves it
  for (const std::string& which : {copy, path}) {
    if (which == path) REQUIRE(pool->close().is_ok());
    auto opened = open_pool(which, options);
    CHECK(get(*opened, key_in(1, "large")) == std::string(400'000, 'M'));
    std::map<uint64_t, Changes> seen;
    auto cursor = feed_from(*opened, 0);
    const Status read = read_all(*cursor, &seen);
    CHECK_MESSAGE(read.is_ok(), read.message());
    CHECK(seen[born] == Changes{{key_in(1, "large"), std::string(400'000, 'L')}});
    CHECK(damages(*opened) == std::vector<std::string>());
  }
}

#endif
