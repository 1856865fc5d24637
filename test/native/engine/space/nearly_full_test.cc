// A pool of fixed size whose live data, operations and index, is 85 % of its capacity, under random
// overwriting, one key a commit. Without threads of its own all its work is done inside the commits
// that wait for it, so what is counted depends on the calls alone.
#include <doctest/doctest.h>

#include <random>

#include "format/record.h"
#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

constexpr uint64_t kIndexEntry = 8;  // of keys like these, at most

struct Overwriting {
  Overwriting(uint64_t pool_bytes, double live, uint64_t value_bytes) : value(value_bytes, 'v') {
    PoolOptions options;
    options.medium.choice = MediumChoice::kFile;
    options.medium.size = pool_bytes;
    options.background = false;
    auto opened = Pool::open(scratch.path("p"), options);
    REQUIRE_MESSAGE(opened.is_ok(), opened.status().message());
    pool = *opened;
    const double each =
        static_cast<double>(operation_bytes(numbered_key(0).size(), value_bytes) + kIndexEntry);
    keys = static_cast<uint64_t>(live * static_cast<double>(pool->stats().capacity_bytes) / each);
    Batch batch;
    for (uint64_t i = 0; i < keys;) {
      batch.clear();
      for (int n = 0; n < 50 && i < keys; n++, i++)
        REQUIRE(batch.put(numbered_key(i), value).is_ok());
      auto receipt = pool->commit(batch, CommitMode::kEventual);
      REQUIRE_MESSAGE(receipt.is_ok(), "filling: " << receipt.status().message());
    }
  }

  // The most bytes that were appended while one commit waited.
  uint64_t overwrite(uint64_t commits) {
    Batch batch;
    uint64_t most = 0, before = pool->stats().bytes_appended;
    for (uint64_t i = 0; i < commits; i++) {
      batch.clear();
      REQUIRE(batch.put(numbered_key(random() % keys), value).is_ok());
      auto receipt = pool->commit(batch, CommitMode::kEventual);
      REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message() << " after " << i << " commits");
      const uint64_t now = pool->stats().bytes_appended;
      most = std::max(most, now - before);
      before = now;
    }
    return most;
  }

  const Scratch scratch = Scratch::in_memory();
  std::string value;
  std::shared_ptr<Pool> pool;
  uint64_t keys = 0;
  std::mt19937_64 random{85};
};

}  // namespace

TEST_CASE(
    "85 % live, 1 KiB: overwriting goes on for ever, at a bounded price in bytes and in what one "
    "commit waits for") {
  constexpr uint64_t kPool = 64 * kMiB;
  Overwriting o(kPool, 0.85, 1024);
  o.overwrite(o.keys);  // until the state is steady
  const PoolStats before = o.pool->stats();
  const uint64_t commits = 4 * o.keys;
  const uint64_t most = o.overwrite(commits);
  const PoolStats after = o.pool->stats();
  const double committed = static_cast<double>(
      commits *
      round_up(sizeof(FrameHeader) + operation_bytes(numbered_key(0).size(), 1024), kFrameAlign));
  const double amplification =
      static_cast<double>(after.bytes_appended - before.bytes_appended) / committed;
  MESSAGE("bytes appended for each of the users' records' "
          << amplification << ", at most " << most / kKiB << " KiB for one commit; "
          << after.segments_cleaned - before.segments_cleaned << " segments cleaned, "
          << after.folds - before.folds << " folds, " << after.compactions - before.compactions
          << " merges");
  CHECK(amplification <= 5.5);
  CHECK(most <= kPool / 8);
  auto report = o.pool->check(nullptr, nullptr);
  REQUIRE(report.is_ok());
  CHECK(report->damages.empty());
  CHECK(report->entries == o.keys);
}

TEST_CASE("85 % live, 100 bytes: a third of it index, and it still goes on") {
  Overwriting o(32 * kMiB, 0.85, 100);
  const uint64_t most = o.overwrite(3 * o.keys);
  CHECK(most <= 32 * kMiB);  // 17 MiB when this was written: rounds of cleaning and a merge of a
                             // third of the pool, for one commit
  auto report = o.pool->check(nullptr, nullptr);
  REQUIRE(report.is_ok());
  CHECK(report->damages.empty());
  CHECK(report->entries == o.keys);
}

TEST_CASE(
    "really full: an overwriting commit is refused, all is there, and deletions go through until "
    "nothing is left") {
  Overwriting o(16 * kMiB, 0.5, 1024);
  Batch batch;
  uint64_t written = o.keys;
  Status full;
  while (full.is_ok()) {
    batch.clear();
    REQUIRE(batch.put(numbered_key(written), o.value).is_ok());
    full = std::move(o.pool->commit(batch, CommitMode::kEventual).status());
    written += full.is_ok();
  }
  CHECK(full.code() == Code::kPoolFull);
  const PoolStats stats = o.pool->stats();
  MESSAGE("refused with " << 100 * stats.live_bytes / stats.capacity_bytes << " % live");
  CHECK(stats.live_bytes * 100 >= stats.capacity_bytes * 75);
  CHECK(contents(*o.pool).size() == written);
  for (uint64_t i = 0; i < written; i++) {
    batch.clear();
    REQUIRE(batch.remove(numbered_key(i)).is_ok());
    auto receipt = o.pool->commit(batch, CommitMode::kDurable);
    REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message() << " after " << i << " deletions");
  }
  CHECK(contents(*o.pool).empty());
}

// The segments hold seven such values each, and free space is in pieces of one or two units: the
// cleaner has the least room to move in.
TEST_CASE(
    "a small full pool of large records takes as much again as was deleted, whatever refused "
    "commits stirred up") {
  for (int round = 0; round < 24; round++) {
    const Scratch scratch = Scratch::in_memory();
    PoolOptions options;
    options.medium.choice = MediumChoice::kFile;
    options.medium.size = 32 * kMiB;
    options.background = round % 2 == 0;
    auto opened = Pool::open(scratch.path("p"), options);
    REQUIRE_MESSAGE(opened.is_ok(), opened.status().message());
    const auto commit = [&](uint64_t key, bool put) {
      Batch batch;
      REQUIRE((put ? batch.put(numbered_key(key),
                               std::string(64 * kKiB, static_cast<char>('a' + key % 26)))
                   : batch.remove(numbered_key(key)))
                  .is_ok());
      return std::move(
          (*opened)
              ->commit(batch, round % 3 == 0 ? CommitMode::kDurable : CommitMode::kEventual)
              .status());
    };
    uint64_t written = 0;
    for (int refused = 0; refused < 3 + round % 4;) {
      const Status status = commit(written, true);
      written += status.is_ok();
      refused += !status.is_ok();
      CHECK((status.is_ok() || status.code() == Code::kPoolFull));
    }
    CHECK(written * 64 * kKiB >= 24 * kMiB);
    for (uint64_t key = 0; key < written; key += 2) REQUIRE(commit(key, false).is_ok());
    REQUIRE((*opened)->compact().is_ok());
    for (uint64_t i = 0; i < written / 4; i++) {
      const Status status = commit(2 * i, true);
      REQUIRE_MESSAGE(status.is_ok(), status.message() << " after " << i << " of " << written / 4
                                                       << " in round " << round);
    }
    CHECK(contents(**opened).size() == written / 2 + written / 4);
  }
}
