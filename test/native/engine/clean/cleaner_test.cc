// Cleaning that cannot be done: for want of room in the middle of a segment, or because a damaged
// node cannot say what lives. What was not carried stays where it is.
#include <doctest/doctest.h>

#include <cerrno>
#include <random>
#include <thread>

#include "engine/damage/salvage.h"
#include "index/node.h"
#include "index/table_reader.h"
#include "native/pool_fixture.h"
#include "native/system_faults.h"

namespace holdfast::test {
namespace {

using Model = std::map<std::string, std::string>;

PoolOptions quiet_options() {
  PoolOptions options = file_options();
  options.background = false;
  options.fold_operations = 1'000'000;
  return options;
}

// Segments of which about half is dead.
void fill(Pool& pool, uint64_t keys, Model* model) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 2; round++) {
    for (uint64_t i = 0; i < keys; i++) {
      if (round > 0 && random() % 2 == 0) continue;
      const std::string key = numbered_key(i), value = std::to_string(round) + "." +
                                                       std::to_string(i) + std::string(1000, 'v');
      Batch batch;
      REQUIRE(batch.put(key, value).is_ok());
      REQUIRE(pool.commit(batch, CommitMode::kEventual).is_ok());
      (*model)[key] = value;
    }
  }
  REQUIRE(pool.fold().is_ok());
}

}  // namespace

// The disk refuses blocks though it says that it has some: a round of cleaning begins that there is
// no room to end.
TEST_CASE(
    "cleaner: a segment for which there is no room in the middle stays, and all that lives in it") {
  const Scratch scratch = Scratch::on_disk();
  const SystemFaults::Disarm disarm;
  const std::string path = scratch.path("p");
  Model model;
  auto pool = open_pool(path, quiet_options());
  SystemFaults::fail(SystemCall::kFallocate, 12, ENOSPC, UINT64_MAX);
  const std::string value(1000, 'v');
  uint64_t keys = 0;
  Status full;
  for (; (full = std::move(
              try_put(*pool, std::to_string(keys), value, CommitMode::kEventual).status()))
             .is_ok();
       keys++) {
    model[key_in(1, std::to_string(keys))] = value;
  }
  CHECK(full.code() == Code::kDiskFull);
  REQUIRE(keys > 10'000);
  for (uint64_t key = 0; key < keys; key++) {
    if (key % 5 < 3) continue;
    Batch batch;
    REQUIRE(batch.remove(key_in(1, std::to_string(key))).is_ok());
    REQUIRE(pool->commit(batch, CommitMode::kEventual).is_ok());
    model.erase(key_in(1, std::to_string(key)));
  }
  const uint64_t before = pool->stats().bytes_moved;
  for (int i = 0; i < 3; i++) {
    (void)pool->compact().is_ok();
    pool->maintain(true);
    CHECK((contents(*pool) == model));
  }
  CHECK(pool->stats().bytes_moved > before);
  CHECK(damages(*pool) == std::vector<std::string>());
  copy_over(path, path + ".killed");
  CHECK((contents(*open_pool(path + ".killed", quiet_options())) == model));
  SystemFaults::disarm();
  REQUIRE(pool->compact().is_ok());
  CHECK((contents(*pool) == model));
  CHECK(damages(*pool) == std::vector<std::string>());
}

TEST_CASE("cleaner: what a damaged node of the index cannot say is not taken for dead") {
  const Scratch scratch = Scratch::quick();
  const std::string path = scratch.path("p"), copy = scratch.path("damaged");
  Model model;
  {
    auto pool = open_pool(path, quiet_options());
    fill(*pool, 8'000, &model);
    REQUIRE(pool->close().is_ok());
  }
  copy_over(path, copy);
  const std::string bytes = bytes_of_file(copy);
  int damaged = 0;
  for (uint64_t at = 0; at + 3 * kNodeBytes <= bytes.size(); at += 4096) {
    if (load<uint64_t>(reinterpret_cast<const uint8_t*>(bytes.data()) + at +
                       offsetof(TableHeader, magic)) != TableHeader::kMagic)
      continue;
    write_at(copy, at + 2 * kNodeBytes + 100, "damage");
    damaged++;
  }
  REQUIRE(damaged > 0);
  {
    auto pool = open_pool(copy, quiet_options());
    REQUIRE(!damages(*pool).empty());
    for (int i = 0; i < 3; i++) {
      (void)pool->compact().is_ok();
      pool->maintain(true);
    }
    for (int i = 0; i < 2000; i++)
      put(*pool, "more" + std::to_string(i), std::string(1000, 'm'), CommitMode::kEventual);
    (void)pool->compact().is_ok();
    (void)pool->close().is_ok();
  }
  auto report = salvage(copy, scratch.path("saved"), PoolOptions(), nullptr, nullptr);
  REQUIRE_MESSAGE(report.is_ok(), report.status().message());
  auto saved = open_pool(scratch.path("saved"), quiet_options());
  const Model found = contents(*saved);
  for (const auto& [key, value] : model) {
    const auto one = found.find(key);
    REQUIRE(one != found.end());
    REQUIRE(one->second == value);
  }
}

// Else the barrier of the next commit has all of a round to write: megabytes.
TEST_CASE(
    "cleaner: what a round appends leaves memory as it goes on, and its failing fails the pool") {
  const SystemFaults::Disarm disarm;
  for (const bool fails : {false, true}) {
    CAPTURE(fails);
    const Scratch scratch = Scratch::on_disk();
    Model model;
    auto pool = open_pool(scratch.path("p"), quiet_options());
    fill(*pool, 4000, &model);
    const uint64_t begun = SystemFaults::count(SystemCall::kSyncRange),
                   moved = pool->stats().bytes_moved;
    if (fails) SystemFaults::fail(SystemCall::kSyncRange, 3, EIO);  // the first that waits
    const Status compacted = pool->compact();
    if (fails) {
      CHECK_FALSE(compacted.is_ok());
      const auto refused = try_put(*pool, "k", "v");
      CHECK(refused.status().code() == Code::kFailed);
      continue;
    }
    REQUIRE(compacted.is_ok());
    const uint64_t stretches = (pool->stats().bytes_moved - moved) / (128 * kKiB);
    REQUIRE(stretches > 8);
    // Of each it is begun, and the one before is waited for.
    CHECK(SystemFaults::count(SystemCall::kSyncRange) - begun >= stretches);
    CHECK(contents(*pool).size() == model.size());
  }
}

#ifdef HOLDFAST_PLANTED_BUGS
TEST_CASE(
    "cleaner: beside commits that do not wait for their barriers it seldom waits for the device") {
  uint64_t asked[2] = {}, stretches = 0;  // segments are zeroed ahead in both
  for (const CommitMode mode : {CommitMode::kDurable, CommitMode::kEventual}) {
    const Scratch scratch = Scratch::on_disk();
    Model model;
    auto pool = open_pool(scratch.path("p"), quiet_options());
    fill(*pool, 4000, &model);
    const uint64_t begun = SystemFaults::count(SystemCall::kSyncRange),
                   moved = pool->stats().bytes_moved;
    uint64_t beside = 0;
    at_test_point = [&](TestPoint here) {
      if (here == TestPoint::kMovesGathered && try_put(*pool, "beside", "v", mode).is_ok())
        beside++;
    };
    const Status compacted = pool->compact();
    at_test_point = nullptr;
    REQUIRE(compacted.is_ok());
    stretches = (pool->stats().bytes_moved - moved) / (128 * kKiB);
    REQUIRE(stretches > 8);
    REQUIRE(beside > stretches);
    asked[mode == CommitMode::kDurable] = SystemFaults::count(SystemCall::kSyncRange) - begun;
    CHECK(contents(*pool).size() == model.size() + 1);
  }
  CHECK(asked[true] >= asked[false] + stretches);
}
#endif

// A worker thread that ends, and a close, wait for what is under way.
TEST_CASE("compacting ends at its next step when nobody waits for it, and is gone on with later") {
  const Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("p");
  Model model;
  auto pool = open_pool(path, quiet_options());
  fill(*pool, 60'000, &model);
  uint64_t moved = 0;
  int ended = 0;
  for (int most = 0; most < 100; most += 1 + most / 4) {
    int asked = 0;
    const Status compacted = pool->compact([&] { return ++asked > most; });
    CHECK(asked <= most + 1);
    CHECK(pool->stats().bytes_moved >= moved);
    if (compacted.is_ok()) break;
    REQUIRE(compacted.code() == Code::kAborted);
    moved = pool->stats().bytes_moved;
    ended++;
  }
  CHECK(ended >= 4);
  CHECK(moved > 0);
  CHECK((contents(*pool) == model));
  CHECK(damages(*pool).empty());
}

TEST_CASE("a close does not wait until all is compacted") {
  const Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("p");
  Model model;
  auto pool = open_pool(path, quiet_options());
  fill(*pool, 20'000, &model);
  std::thread closer;
  const Status compacted = pool->compact([&] {
    if (closer.joinable()) return false;
    closer = std::thread([&] { CHECK(pool->close().is_ok()); });
    // Until it is refused the close has not come yet.
    for (Status put; put.code() != Code::kClosed;) put = try_put(*pool, "a", "1").status().clone();
    return false;
  });
  CHECK(compacted.code() == Code::kClosed);
  closer.join();
  pool = open_pool(path, quiet_options());
  std::map<std::string, std::string> now = contents(*pool);
  now.erase(key_in(1, "a"));
  CHECK((now == model));
}

}  // namespace holdfast::test
