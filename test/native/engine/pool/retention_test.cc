// How much of the log is kept for the feed: none without a wish, by time and by bytes, for who
// reads as far as its lag allows, and never at the price of a commit.
#include <doctest/doctest.h>

#include "native/engine/pool/feed_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

TEST_CASE(
    "without a wish the log is given back, and a feed from there says from where it is held") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), options_with(std::nullopt));
  for (int i = 0; i < 400; i++) commit(*pool, {{key_in(1, "hot"), std::string(4000, 'x')}});
  REQUIRE(pool->compact().is_ok());
  const uint64_t oldest = pool->stats().oldest_change;
  CHECK(oldest > 100);
  FeedOptions options;
  options.after = 5;
  auto forgotten = pool->feed(options);
  REQUIRE(!forgotten.is_ok());
  CHECK(forgotten.status().code() == Code::kForgotten);
  CHECK(forgotten.status().message().find("from epoch " + std::to_string(oldest)) !=
        std::string::npos);
  options.after = oldest - 1;
  CHECK(pool->feed(options).is_ok());
  options.after = pool->stats().epoch + 1;
  CHECK(pool->feed(options).status().code() == Code::kOutOfRange);
}

TEST_CASE("a reader that falls behind its lag is told, and holds no more space than that") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), options_with(std::nullopt));
  auto slow = feed_from(*pool, FeedOptions::kNow, 512 * kKiB);
  auto patient = feed_from(*pool, FeedOptions::kNow, 64 * kMiB);
  const uint64_t first = pool->stats().epoch + 1;
  for (int i = 0; i < 100; i++) commit(*pool, {{key_in(1, "hot"), std::string(4000, 'x')}});
  REQUIRE(pool->compact().is_ok());
  std::map<uint64_t, Changes> seen;
  REQUIRE(read_all(*slow, &seen).is_ok());  // 400 KiB behind: still there
  CHECK(seen.size() == 100);
  for (int i = 0; i < 1000; i++) commit(*pool, {{key_in(1, "hot"), std::string(4000, 'x')}});
  REQUIRE(pool->compact().is_ok());
  CHECK(pool->stats().oldest_change <= first);  // the patient one holds
  seen.clear();
  REQUIRE(read_all(*patient, &seen).is_ok());
  CHECK(seen.size() == 1100);
  patient.reset();
  REQUIRE(pool->compact().is_ok());
  CHECK(pool->stats().log_bytes < 2 * kMiB);
  seen.clear();
  const Status told = read_all(*slow, &seen);
  CHECK(told.code() == Code::kForgotten);
  CHECK(told.message().find("behind epoch " + std::to_string(slow->reached())) !=
        std::string::npos);
}

TEST_CASE("a reader of the log that has read all holds nothing back") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), options_with(std::nullopt));
  auto cursor = feed_from(*pool, FeedOptions::kNow, 64 * kMiB);
  for (int i = 0; i < 1000; i++)
    commit(*pool, {{key_in(1, "hot"), std::string(4000, 'x')}}, CommitMode::kEventual);
  REQUIRE(pool->settle().is_ok());
  auto given = cursor->next(64 * kMiB, [](const FeedCommit&) { return Status(); });
  REQUIRE(given.is_ok());
  CHECK(*given == 1000);
  REQUIRE(pool->compact().is_ok());
  CHECK(pool->stats().log_bytes < kMiB);
}

// Further behind than its lag allows, while it is at it: what it was told there is stays until it
// has ended.
TEST_CASE(
    "what a reader of the log is reading is not given back meanwhile, however far it is behind") {
  Scratch scratch;
  PoolOptions options = options_with(std::nullopt);
  options.background = false;
  auto pool = open_pool(scratch.path("p"), options);
  auto cursor = feed_from(*pool, FeedOptions::kNow, 256 * kKiB);
  for (int i = 0; i < 50; i++)
    commit(*pool, {{key_in(1, "hot"), std::string(4000, static_cast<char>('A' + i))}});
  std::string seen;
  auto given = cursor->next(64 * kMiB, [&](const FeedCommit& one) {
    seen += one.changes.at(0).value[0];
    for (int i = 0; seen.size() == 1 && i < 200; i++) {
      commit(*pool, {{key_in(1, "hot"), std::string(4000, '-')}});
      if (i % 20 == 0) REQUIRE(pool->compact().is_ok());
    }
    return Status();
  });
  REQUIRE_MESSAGE(given.is_ok(), given.status().message());
  CHECK(*given == 50);
  CHECK(seen.front() == 'A');
  CHECK(seen.back() == 'A' + 49);
  REQUIRE(pool->compact().is_ok());
  CHECK(cursor->next(64 * kMiB, [](const FeedCommit&) { return Status(); }).status().code() ==
        Code::kForgotten);
}

TEST_CASE("a wish as to time and as to bytes, and none at all") {
  Scratch scratch;
  const std::string path = scratch.path("p");
  const auto write = [](Pool& pool, int times) {
    for (int i = 0; i < times; i++)
      commit(pool, {{key_in(1, "hot"), std::string(4000, 'x')},
                    {key_in(1, "big"), std::string(i % 50 ? 1 : 400000, 'y')}});
  };
  {
    auto pool = open_pool(path, options_with(RetainWish{0, kMiB}));
    write(*pool, 1000);
    REQUIRE(pool->compact().is_ok());
    const PoolStats stats = pool->stats();
    CHECK(stats.log_bytes >= kMiB);
    CHECK(stats.log_bytes < 2 * kMiB);
    CHECK(stats.oldest_change > 500);
    REQUIRE(pool->close().is_ok());
  }
  {
    auto pool = open_pool(path, options_with(RetainWish{3600 * 1000, 0}));
    const uint64_t oldest = pool->stats().oldest_change;
    write(*pool, 1000);
    REQUIRE(pool->compact().is_ok());
    CHECK(pool->stats().oldest_change == oldest);
    CHECK(pool->stats().log_bytes > 4 * kMiB);
    REQUIRE(pool->close().is_ok());
  }
  {
    auto pool = open_pool(path, options_with(std::nullopt));
    CHECK(pool->stats().retain_ms == 3600 * 1000);
    std::map<uint64_t, Changes> seen;
    auto cursor = feed_from(*pool, pool->stats().oldest_change - 1);
    REQUIRE(read_all(*cursor, &seen).is_ok());  // the large values that were replaced too
    CHECK(seen.size() > 1000);
  }
  // As to bytes: it is known to who opens the pool next, and kept.
  REQUIRE(open_pool(path, options_with(RetainWish{0, 3 * kMiB}))->close().is_ok());
  {
    auto pool = open_pool(path, options_with(std::nullopt));
    CHECK(pool->stats().retain_ms == 0);
    CHECK(pool->stats().retain_bytes == 3 * kMiB);
    write(*pool, 1000);
    REQUIRE(pool->compact().is_ok());
    CHECK(pool->stats().log_bytes >= 3 * kMiB);
    REQUIRE(pool->close().is_ok());
  }
  auto pool = open_pool(path, options_with(RetainWish{}));
  REQUIRE(pool->compact().is_ok());
  REQUIRE(pool->compact().is_ok());
  CHECK(pool->stats().retain_ms == 0);
  CHECK(pool->stats().log_bytes < kMiB);
  CHECK(pool->stats().waiting_bytes == 0);
  CHECK(pool->check(nullptr, nullptr)->damages.empty());
}

// What its key had later is held, for whoever reads the log from here on; this one died before.
TEST_CASE("a large value that was given back before its change is read is forgotten, not damaged") {
  Scratch scratch;
  PoolOptions options = options_with(std::nullopt);
  options.background = false;
  auto pool = open_pool(scratch.path("p"), options);
  const auto large = [&](const std::string& key, char with) {
    commit(*pool, {{key_in(1, key), std::string(300'000, with)}, {key_in(1, key + with), "lives"}});
  };
  large("large", 'a');
  large("large", 'b');
  for (int i = 0; i < 2; i++) REQUIRE(pool->fold().is_ok());
  auto cursor = feed_from(*pool, 0);
  REQUIRE(pool->fold().is_ok());
  large("large", 'c');
  REQUIRE(pool->fold().is_ok());
  for (char with = 'd'; with < 'h'; with++) large(std::string(1, with), with);
  std::map<uint64_t, Changes> seen;
  const Status told = read_all(*cursor, &seen);
  CHECK(told.code() == Code::kForgotten);
  CHECK(told.message().find("the value of 300000") == 0);
}

TEST_CASE("what is kept for the feed goes before a commit is refused") {
  Scratch scratch;
  auto pool =
      open_pool(scratch.path("p"), options_with(RetainWish{0, uint64_t{1} << 40}, 8 * kMiB));
  auto cursor = feed_from(*pool, FeedOptions::kNow);
  for (int i = 0; i < 5000; i++)
    commit(*pool, {{key_in(1, "hot" + std::to_string(i % 100)), std::string(4000, 'x')}});
  CHECK(pool->stats().oldest_change > 1000);
  std::map<uint64_t, Changes> seen;
  CHECK(read_all(*cursor, &seen).code() == Code::kForgotten);
}
