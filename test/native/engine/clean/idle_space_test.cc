// What a pool takes when nothing is going on: it tidies up to a fixed point, and keeps of what is
// free only what a full disk must not cost it, idle or closed.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "native/killed_child.h"
#include "native/pool_fixture.h"
#include "native/system_faults.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

// Keys from `first` on, `step` apart, `many` of them in a record.
void put_some(Pool& pool, uint64_t first, uint64_t end, uint64_t step, uint64_t many, char fill,
              size_t bytes = 256) {
  Batch batch;
  for (uint64_t key = first; key < end; key += step) {
    REQUIRE(batch.put(numbered_key(key), std::string(bytes, fill)).is_ok());
    if (batch.operations() < many && key + step < end) continue;
    auto receipt = pool.commit(batch, CommitMode::kEventual);
    REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message());
    batch.clear();
  }
}

PoolOptions turn_by_turn(uint64_t size = 0) {
  PoolOptions options = file_options(size);
  options.background = false;
  return options;
}

// Until a turn does nothing any more.
void idle(Pool& pool) {
  for (uint64_t turn = 0, before = UINT64_MAX; pool.stats().bytes_appended != before; turn++) {
    REQUIRE(turn < 500);
    before = pool.stats().bytes_appended;
    for (int i = 0; i < 3; i++) pool.maintain(true);
  }
}

void skipped() { MESSAGE("skipped: the disk does not tell what has blocks"); }

Status remove_one(Pool& pool, uint64_t key) {
  Batch batch;
  HOLDFAST_TRY(batch.remove(numbered_key(key)));
  return std::move(pool.commit(batch, CommitMode::kEventual).status());
}

void remove_all(Pool& pool, uint64_t keys) {
  for (uint64_t key = 0; key < keys; key++) {
    const Status gone = remove_one(pool, key);
    REQUIRE_MESSAGE(gone.is_ok(), gone.message() << " at " << key << " of " << keys);
  }
  CHECK(contents(pool).empty());
}

void check_sound(Pool& pool) {
  auto report = pool.check(nullptr, nullptr);
  REQUIRE(report.is_ok());
  CHECK(report->damages == std::vector<std::string>());
}

}  // namespace

TEST_CASE(
    "what has died in an idle pool is tidied up, also where commits had left nothing to gain, and "
    "then nothing is done any more") {
  for (const uint64_t size : {uint64_t{0}, 64 * kMiB}) {
    CAPTURE(size);
    const Scratch scratch = Scratch::quick();
    auto pool = open_pool(scratch.path("p"), turn_by_turn(size));
    constexpr uint64_t kKeys = 40'000;
    put_some(*pool, 0, kKeys, 1, 20, 'a');
    for (int round = 0; round < 3; round++)
      put_some(*pool, 0, kKeys, 10, 20,
               static_cast<char>('b' + round));  // a tenth of each segment dies
    REQUIRE(pool->fold().is_ok());
    pool->maintain(false);
    CHECK(pool->stats().live_bytes * 12 < pool->stats().log_bytes * 11);
    const uint64_t before = pool->stats().bytes_appended;
    idle(*pool);
    const PoolStats tidy = pool->stats();
    CHECK(tidy.live_bytes * 20 >=
          (tidy.log_bytes - 2 * kMiB) * 19);  // but for the segment that is being filled
    CHECK(tidy.runs == 1);
    CHECK(tidy.bytes_appended - before < 2 * tidy.log_bytes);
    for (int turn = 0; turn < 50; turn++) pool->maintain(turn % 5 != 0);
    CHECK(pool->stats().bytes_appended == tidy.bytes_appended);
    // A little more that dies does not begin it anew.
    put_some(*pool, 0, kKeys, 200, 20, 'z');
    REQUIRE(pool->fold().is_ok());
    idle(*pool);
    CHECK(pool->stats().bytes_moved == tidy.bytes_moved);
    for (uint64_t key = 0; key < kKeys; key++) {
      const char fill = key % 200 == 0 ? 'z' : key % 10 == 0 ? 'd' : 'a';
      REQUIRE(get(*pool, numbered_key(key)) == std::string(256, fill));
    }
    check_sound(*pool);
  }
}

// At a segment's end there may be no room for one more long operation; where it is carried to there
// is none either.
TEST_CASE(
    "what no round gains is not carried round for ever, and segments of long values lose little") {
  for (const size_t bytes : {60'000, 87'500, 131'000, 200'000}) {
    CAPTURE(bytes);
    const Scratch scratch = Scratch::quick();
    auto pool = open_pool(scratch.path("p"), turn_by_turn());
    const uint64_t keys = 24'000'000 / bytes;
    put_some(*pool, 0, keys, 1, 1, 'a', bytes);
    REQUIRE(pool->fold().is_ok());
    idle(*pool);
    const PoolStats loaded = pool->stats();
    CHECK(loaded.log_bytes < loaded.live_bytes * 11 / 10 + 2 * kMiB);
    for (int i = 0; i < 20; i++) {  // as a lease that is renewed
      put_some(*pool, 1'000'000, 1'000'001, 1, 1, static_cast<char>('b' + i), 100);
      idle(*pool);
    }
    CHECK(pool->stats().bytes_moved - loaded.bytes_moved < loaded.live_bytes / 4);
    // What dies later is tidied up all the same.
    put_some(*pool, 0, keys, 2, 1, 'z', bytes);
    REQUIRE(pool->fold().is_ok());
    idle(*pool);
    CHECK(pool->stats().log_bytes < pool->stats().live_bytes * 5 / 4 + 2 * kMiB);
    check_sound(*pool);
  }
}

TEST_CASE(
    "an idle or closed pool takes little more than what it holds, and deletes all of it when the "
    "disk is full meanwhile") {
  for (const bool closed : {false, true}) {
    for (const size_t bytes : {200, 3000, 40'000}) {
      CAPTURE(closed);
      CAPTURE(bytes);
      const Scratch scratch = Scratch::on_disk();
      const std::string path = scratch.path("p");
      const uint64_t keys = 24'000'000 / (bytes + 64), data = keys * (bytes + 48);
      auto pool = open_pool(path, turn_by_turn());
      put_some(*pool, 0, keys, 1, 5, 'a', bytes);
      for (int round = 0; round < 3; round++) put_some(*pool, 0, keys, 4, 5, 'b', bytes);
      REQUIRE(pool->fold().is_ok());
      idle(*pool);
      const uint64_t held = pool->stats().log_bytes + pool->stats().index_bytes;
      CHECK(held < data + data / 6 + kMiB);
      if (closed) {
        put_some(*pool, 0, keys, 2, 50, 'c', bytes);  // not tidied up any more
        REQUIRE(pool->close().is_ok());
        pool = open_pool(path, turn_by_turn());
      }
      CHECK(blocks_of(path) < pool->stats().log_bytes + pool->stats().index_bytes + 5 * kMiB / 2);
      const auto all = contents(*pool);
      const SystemFaults::Disarm disarm;
      if (!SystemFaults::fill_disk(path)) return skipped();
      Batch long_one;  // more than is kept for deletions: refused
      REQUIRE(long_one.put(key_in(2, "long"), std::string(8 * kMiB, 'l')).is_ok());
      CHECK(pool->commit(long_one, CommitMode::kEventual).status().code() == Code::kDiskFull);
      CHECK(contents(*pool) == all);
      remove_all(*pool, keys);
      put_some(*pool, 0, keys / 2, 1, 1, 'd', bytes);  // what was deleted has made room
      CHECK(contents(*pool).size() == keys / 2);
      check_sound(*pool);
    }
  }
}

TEST_CASE("a pool is closed on a full disk, and opened, and deletes") {
  const Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("p");
  auto pool = open_pool(path, turn_by_turn());
  put_some(*pool, 0, 5000, 1, 1, 'a', 1000);
  const SystemFaults::Disarm disarm;
  if (!SystemFaults::fill_disk(path)) return skipped();
  uint64_t keys = 5000;
  Status status;
  while (status.is_ok()) {
    Batch batch;
    REQUIRE(batch.put(numbered_key(keys), std::string(1000, 'b')).is_ok());
    status = std::move(pool->commit(batch, CommitMode::kEventual).status());
    if (status.is_ok()) keys++;
  }
  CHECK_MESSAGE(status.code() == Code::kDiskFull, status.message());
  for (int round = 0; round < 3; round++) {
    const auto all = contents(*pool);
    CHECK(all.size() == keys);
    REQUIRE(pool->close().is_ok());
    pool = open_pool(path, turn_by_turn());
    CHECK(contents(*pool) == all);
    pool->maintain(true);
  }
  remove_all(*pool, keys);
}

TEST_CASE(
    "a reader in another process reads what it has pinned while the writer gives back all around "
    "it") {
  const Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("p");
  auto pool = open_pool(path, turn_by_turn());
  constexpr uint64_t kKeys = 20'000;
  put_some(*pool, 0, kKeys, 1, 50, 'a');
  REQUIRE(pool->fold().is_ok());
  PoolOptions reading;
  reading.read_only = true;
  std::shared_ptr<Pool> reader;
  std::thread opening([&] { reader = open_pool(path, reading); });
  while (pool->stats().readers == 0) pool->maintain(false);  // so it takes notice
  opening.join();
  auto before = reader->snapshot();
  REQUIRE(before.is_ok());
  for (char fill = 'b'; fill < 'f'; fill++) {
    put_some(*pool, 0, kKeys, fill == 'd' ? 7 : 1, 50, fill);
    idle(*pool);
    refresh(*reader);
    CHECK(get(*reader, numbered_key(7)) == std::string(256, fill));
    CHECK(get(*reader, numbered_key(1), *before) == std::string(256, 'a'));
  }
  for (int opened = 0; opened < 2; opened++) {
    REQUIRE(pool->close().is_ok());
    const auto old = contents(*reader, *before);
    REQUIRE(old.size() == kKeys);
    for (const auto& [key, value] : old) REQUIRE(value == std::string(256, 'a'));
    CHECK(contents(*reader).size() == kKeys);
    pool = open_pool(path, turn_by_turn());
    put_some(*pool, 0, kKeys, 3, 50, 'x');
    idle(*pool);
  }
  *before = nullptr;
  refresh(*reader);
  idle(*pool);
  CHECK(contents(*reader) == contents(*pool));
  CHECK(blocks_of(path) < 12 * kMiB);
}

TEST_CASE(
    "a record that does not fit into what is left of a segment goes on in the next, so that little "
    "of the log is lost") {
  for (const uint64_t size : {uint64_t{0}, 64 * kMiB}) {
    CAPTURE(size);
    const Scratch scratch = Scratch::quick();
    const std::string path = scratch.path("p"), copy = scratch.path("copy");
    auto pool = open_pool(path, turn_by_turn(size));
    put_some(*pool, 0, 40'000, 1, 300, 'a');  // records of 85 KiB, three to a segment
    REQUIRE(pool->settle().is_ok());
    std::filesystem::copy_file(path, copy);
    REQUIRE(pool->fold().is_ok());
    const PoolStats stats = pool->stats();
    CHECK(stats.live_bytes * 100 > (stats.log_bytes - kMiB) * 98);
    check_sound(*pool);
    CHECK(contents(*open_pool(copy, turn_by_turn(size))) == contents(*pool));
  }
}

#ifdef HOLDFAST_TEST_POINTS
namespace holdfast::test {
// Empties much of the pool and lets it give back, idle or closing, until it is killed.
int giving_back_child(const char* path) {
  auto pool = *Pool::open(path, turn_by_turn());
  for (uint64_t key = 0; key < 20'000; key++) {
    if (key % 10 != 0 && !remove_one(*pool, key).is_ok()) return 7;
  }
  if (!pool->settle().is_ok()) return 7;
  for (int turn = 0; turn < 100 && std::getenv("HOLDFAST_GIVING_BACK_IDLE") != nullptr; turn++)
    pool->maintain(true);
  return pool->close().is_ok() ? 0 : 7;
}
}  // namespace holdfast::test

TEST_CASE("a kill while free space is given back loses nothing") {
  for (const bool idly : {false, true}) {
    for (const char* point :
         {"file.before_give_back:1", "file.before_give_back:2", "file.before_give_back:3"}) {
      CAPTURE(idly);
      CAPTURE(point);
      const Scratch scratch = Scratch::on_disk();
      const std::string path = scratch.path("p");
      auto pool = open_pool(path, turn_by_turn());
      put_some(*pool, 0, 20'000, 1, 50, 'a', 1000);
      REQUIRE(pool->close().is_ok());
      REQUIRE(killed_at(point, "HOLDFAST_GIVING_BACK_CHILD", path,
                        idly ? "HOLDFAST_GIVING_BACK_IDLE" : nullptr));
      pool = open_pool(path, turn_by_turn());
      const auto all = contents(*pool);
      CHECK(all.size() == 2000);
      for (uint64_t key = 0; key < 20'000; key += 10)
        REQUIRE(get(*pool, numbered_key(key)) == std::string(1000, 'a'));
      check_sound(*pool);
      idle(*pool);
      CHECK(blocks_of(path) < 5 * kMiB);
      put_some(*pool, 0, 20'000, 1, 50, 'b', 1000);
      CHECK(contents(*pool).size() == 20'000);
    }
  }
}
#endif
