// What a commit may be told of, what its barrier covers, and what stands behind a large value.
#include <doctest/doctest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <thread>

#include "engine/damage/salvage.h"
#include "native/at_point.h"
#include "native/engine/copies/backup_fixture.h"
#include "native/system_faults.h"

namespace holdfast::test {
namespace {

// Nothing is made durable but by who asks for it.
PoolOptions quiet() {
  PoolOptions options = file_options();
  options.background = false;
  options.eventual_within_ms = 60000;
  return options;
}

}  // namespace

TEST_CASE("commit: a condition of equality compares all of a value, small or large") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"));
  for (const std::string& value : {std::string("abc"), std::string(700000, 'L'),
                                   std::string(kMiB, 'L') + std::string(kMiB, 'M') + "N"}) {
    put(*pool, "k", value);
    std::string other = value;
    other.back() = '!';
    for (const std::string& wrong : {value.substr(0, value.size() - 1), value + "c", other}) {
      Batch batch;
      REQUIRE(batch.require_equal(key_in(1, "k"), wrong).is_ok());
      REQUIRE(batch.put(key_in(1, "done"), "1").is_ok());
      CHECK(pool->commit(batch, CommitMode::kDurable).status().code() == Code::kConflict);
    }
    Batch batch;
    REQUIRE(batch.require_equal(key_in(1, "k"), value).is_ok());
    CHECK(pool->commit(batch, CommitMode::kDurable).is_ok());
  }
  CHECK(get(*pool, key_in(1, "done")) == std::nullopt);
}

TEST_CASE(
    "commit: one whose record could not be written is an error, also when nobody waits for its "
    "barrier") {
  const SystemFaults::Disarm disarm;
  Scratch scratch;
  SUBCASE("alone") {
    auto pool = open_pool(scratch.path("p"), quiet());
    put(*pool, "a", "1");
    SystemFaults::fail(SystemCall::kPwrite, 1, EIO);
    CHECK(!try_put(*pool, "a", "2", CommitMode::kEventual).is_ok());
  }
  SUBCASE("in a group") {
    auto pool = open_pool(scratch.path("p"), quiet());
    put(*pool, "a", "1");
    std::vector<Completion> completed;
    auto client = pool->attach([&](std::vector<Completion>&& done) {
      std::move(done.begin(), done.end(), std::back_inserter(completed));
    });
    SystemFaults::fail(SystemCall::kPwrite, 1, EIO);
    for (int i = 0; i < 3; i++) {
      Batch batch;
      REQUIRE(batch.put(key_in(1, "b"), std::to_string(i)).is_ok());
      pool->submit(client, std::move(batch), CommitMode::kEventual);
    }
    pool->flush(client);
    for (int i = 0; i < 5 && completed.size() < 3; i++) pool->maintain(false);
    REQUIRE(completed.size() == 3);
    for (const Completion& one : completed) CHECK(!one.status.is_ok());
  }
}

TEST_CASE(
    "commit: what the conditions of a durable commit saw is durable, also where it changes "
    "nothing") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), quiet());
  const auto syncs = [] { return SystemFaults::count(SystemCall::kFdatasync); };
  const uint64_t epoch = put(*pool, "k", "1", CommitMode::kEventual);
  REQUIRE(pool->stats().durable_epoch < epoch);
  Batch batch;
  REQUIRE(batch.require_present(key_in(1, "k")).is_ok());
  const uint64_t before = syncs();
  auto receipt = pool->commit(batch, CommitMode::kEventual);
  REQUIRE(receipt.is_ok());
  CHECK(receipt->epoch == epoch);
  CHECK(syncs() == before);
  receipt = pool->commit(batch, CommitMode::kDurable);
  REQUIRE(receipt.is_ok());
  CHECK(receipt->epoch == epoch);
  CHECK(syncs() == before + 1);
  CHECK(pool->stats().durable_epoch == epoch);
  REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
  CHECK(syncs() == before + 1);
}

TEST_CASE(
    "commit: in a group too a write that finds the disk full waits until it was looked for room") {
  const SystemFaults::Disarm disarm;
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), quiet());
  Batch made;
  REQUIRE(made.region_size(1, 256 * kMiB, "r").is_ok());
  REQUIRE(pool->commit(made, CommitMode::kDurable).is_ok());
  const auto wide = [](uint64_t from) {  // 25 MiB of extents
    Batch batch;
    for (uint64_t i = 0; i < 100; i++)
      REQUIRE(batch.region_write(1, (from + i) * 248 * kKiB, "x").is_ok());
    return batch;
  };
  SystemFaults::fail(SystemCall::kFallocate, 1, ENOSPC, 2);
  Batch alone = wide(0);
  CHECK(pool->commit(alone, CommitMode::kDurable).is_ok());
  std::vector<Completion> completed;
  auto client = pool->attach([&](std::vector<Completion>&& done) {
    std::move(done.begin(), done.end(), std::back_inserter(completed));
  });
  SystemFaults::fail(SystemCall::kFallocate, 1, ENOSPC, 2);
  for (const uint64_t from : {200, 400}) pool->submit(client, wide(from), CommitMode::kDurable);
  pool->flush(client);
  REQUIRE(completed.size() == 2);
  for (const Completion& one : completed) CHECK_MESSAGE(one.status.is_ok(), one.status.message());
}

TEST_CASE(
    "a large value is behind its record's barrier, a long one behind one of its own before a "
    "record names it") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), quiet());
  put(*pool, "a", "1");
  const auto syncs = [] { return SystemFaults::count(SystemCall::kFdatasync); };
  uint64_t before = syncs();
  put(*pool, "large", std::string(700000, 'L'), CommitMode::kEventual);
  CHECK(syncs() == before);
  put(*pool, "large", std::string(4 * kMiB, 'M'));
  CHECK(syncs() == before + 1);
  before = syncs();
  put(*pool, "long", std::string(4 * kMiB + 1, 'L'), CommitMode::kEventual);
  CHECK(syncs() == before + 1);
  Batch two;
  for (const char* key : {"a", "b"})
    REQUIRE(two.put(key_in(1, key), std::string(3 * kMiB, 'B')).is_ok());
  REQUIRE(pool->commit(two, CommitMode::kDurable).is_ok());
  CHECK(syncs() == before + 3);

  // Restored ones too.
  PoolOptions retaining = quiet();
  retaining.retain = kAll;
  auto source = open_pool(scratch.path("q"), retaining);
  for (int i = 0; i < 20; i++) put(*source, "large" + std::to_string(i), std::string(300000, 'L'));
  const std::string backup = joined(take(source));
  before = syncs();
  auto begun = Restore::begin(scratch.path("r"), quiet(), {});
  REQUIRE(begun.is_ok());
  (*begun)->part("part");
  REQUIRE((*begun)->write(backup).is_ok());
  CHECK(syncs() >= before + 20);
}

// What a power cut leaves of a commit with a large value: its record, but not all of the value's
// bytes.
TEST_CASE(
    "a record whose large value is torn is not there, unless it had been durable: then the value "
    "is damaged") {
  Scratch scratch;
  const std::string path = scratch.path("p"), cut = scratch.path("cut");
  const std::string old(300000, 'O'), torn(300000, 'T');
  auto pool = open_pool(path, quiet());
  put(*pool, "large", old);
  const uint64_t epoch = put(*pool, "small", "1");
  Batch batch;
  REQUIRE(batch.put(key_in(1, "small"), "2").is_ok());
  REQUIRE(batch.put(key_in(1, "large"), torn).is_ok());
  REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());

  const auto cut_off = [&] {
    copy_over(path, cut);
    const size_t at = bytes_of_file(cut).find(torn.substr(0, 4096));
    REQUIRE(at != std::string::npos);
    write_at(cut, at + 512, std::string(512, '\0'));
  };
  cut_off();
  {
    PoolOptions reading;
    reading.read_only = true;
    auto reader = open_pool(cut, reading);
    CHECK(get(*reader, key_in(1, "large")) == old);
    CHECK(reader->stats().epoch == epoch);
  }
  auto report = salvage(cut, scratch.path("saved"), PoolOptions(), nullptr, nullptr);
  REQUIRE(report.is_ok());
  CHECK(report->lost == 0);
  CHECK(get(*open_pool(scratch.path("saved"), quiet()), key_in(1, "large")) == old);
  {
    auto reopened = open_pool(cut, quiet());
    CHECK(get(*reopened, key_in(1, "large")) == old);
    CHECK(get(*reopened, key_in(1, "small")) == "1");
    CHECK(put(*reopened, "small", "3") == epoch + 1);
    CHECK(reopened->check(nullptr, nullptr)->damages.empty());
  }

  put(*pool, "behind", "it");  // says that what came before was durable
  cut_off();
  auto damaged = open_pool(cut, quiet());
  CHECK(get(*damaged, key_in(1, "behind")) == "it");
  CHECK(get(*damaged, key_in(1, "small")) == "2");
  CHECK(get(*damaged, key_in(1, "large")) == std::nullopt);
  CHECK(damaged->check(nullptr, nullptr)->damages.size() == 1);
}

// A power cut may take the tail back to the record that names it.
TEST_CASE("a large value that was replaced stays until a fold says so durably") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), quiet());
  put(*pool, "large", std::string(700000, 'L'));
  put(*pool, "large", std::string(700000, 'M'));
  pool->maintain(false);
  CHECK(pool->stats().waiting_bytes >= 700000);
  REQUIRE(pool->fold().is_ok());
  pool->maintain(false);
  CHECK(pool->stats().waiting_bytes < 700000);
}

TEST_CASE("a damaged byte of a large value is an error to who reads it, wherever it is") {
  Scratch scratch;
  const std::string path = scratch.path("p");
  const std::string value =
      "begins" + std::string(3000000, 'L') + "in between" + std::string(600000, 'M') + "ends";
  auto pool = open_pool(path, quiet());
  put(*pool, "large", value);
  REQUIRE(pool->close().is_ok());
  const std::string bytes = bytes_of_file(path), copy = path + ".copy";
  for (const std::string piece : {"begins", "in between", "MMends"}) {
    CAPTURE(piece);
    const size_t at = bytes.find(piece);
    REQUIRE(at != std::string::npos);
    copy_over(path, copy);
    write_at(copy, at + piece.size() - 1, "?");
    auto damaged = open_pool(copy, quiet());
    CHECK(get(*damaged, key_in(1, "large")) == std::nullopt);
    CHECK(damaged->check(nullptr, nullptr)->damages.size() == 1);
    Batch batch;
    REQUIRE(batch.require_equal(key_in(1, "large"), value).is_ok());
    CHECK(!damaged->commit(batch, CommitMode::kDurable).is_ok());
  }
}

#ifdef HOLDFAST_PLANTED_BUGS

TEST_CASE(
    "a barrier covers what was appended before it, and who comes later waits for the next one") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), quiet());
  uint64_t eventual = 0, durable = 0, covered = 0;
  const auto append_beside = [&] {
    std::thread([&] { eventual = put(*pool, "b", "eventual", CommitMode::kEventual); }).join();
  };
  SUBCASE("what is appended under it") {
    const AtPoint point(TestPoint::kBarrierRaised, append_beside);
    covered = put(*pool, "a", "1");
    CHECK(eventual == covered + 1);
    CHECK(pool->stats().durable_epoch == covered);
  }
  SUBCASE("who waits") {
    std::atomic<bool> told{false}, early{false};
    std::thread waits;
    const AtPoint point(TestPoint::kBarrierRaised, [&] {
      append_beside();
      waits = std::thread([&] {
        durable = put(*pool, "c", "durable");
        told = true;
      });
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      early = told.load();
    });
    covered = put(*pool, "a", "1");
    REQUIRE(waits.joinable());
    waits.join();
    CHECK(!early);
    CHECK(durable > covered);
    CHECK(pool->stats().durable_epoch >= durable);
  }
}

TEST_CASE(
    "commit: a group is durable to its last commit, also where somebody has made its first ones "
    "durable meanwhile") {
  Scratch scratch;
  std::shared_ptr<Pool> pool;
  const AtPoint point(TestPoint::kLargePlaced, [&] { CHECK(pool->settle().is_ok()); });
  pool = open_pool(scratch.path("p"), quiet());
  uint64_t last = 0, durable = 0;
  auto client = pool->attach([&](std::vector<Completion>&& done) {
    REQUIRE(done.size() == 2);
    for (const Completion& one : done) CHECK(one.status.is_ok());
    last = done.back().epoch;
    durable = pool->stats().durable_epoch;
  });
  for (const size_t bytes : {size_t{10}, size_t{400'000}}) {
    Batch batch;
    REQUIRE(batch.put(key_in(1, "k" + std::to_string(bytes)), std::string(bytes, 'v')).is_ok());
    pool->submit(client, std::move(batch), CommitMode::kDurable);
  }
  pool->flush(client);
  REQUIRE(last > 0);
  CHECK(durable >= last);
}

TEST_CASE(
    "commit: what was handed over before the pool began to close is done, be it small, long, large "
    "or a region's size") {
  Scratch scratch;
  const std::string path = scratch.path("p");
  std::shared_ptr<Pool> pool;
  std::atomic<int> failed{0}, completed{0};
  std::thread closing;
  std::shared_ptr<void> client;
  const auto submit = [&](const std::function<Status(Batch&)>& fill) {
    Batch batch;
    REQUIRE(fill(batch).is_ok());
    pool->submit(client, std::move(batch), CommitMode::kDurable);
  };
  const auto put_of = [](const std::string& key, size_t bytes) {
    return
        [key, bytes](Batch& batch) { return batch.put(key_in(1, key), std::string(bytes, 'v')); };
  };
  // While the committer thread is at the first group's barrier the others come, and then the pool
  // begins to close.
  const AtPoint point(TestPoint::kBarrierRaised, [&] {
    submit(put_of("small", 10));
    submit([](Batch& batch) {
      for (int i = 0; i < 9; i++)
        HOLDFAST_TRY(batch.put(key_in(1, "long" + std::to_string(i)), std::string(250'000, 'v')));
      return Status();
    });
    submit(put_of("large", 400'000));
    submit([](Batch& batch) { return batch.region_size(7, 4096, "r"); });
    submit(put_of("last", 10));
    pool->flush(client);
    closing = std::thread([&] { CHECK(pool->close().is_ok()); });
    while (try_put(*pool, "late", "1", CommitMode::kEventual).status().code() != Code::kClosed)
      std::this_thread::yield();
  });
  PoolOptions options = quiet();
  options.background = true;
  pool = open_pool(path, options);
  client = pool->attach([&](std::vector<Completion>&& done) {
    for (const Completion& one : done) failed += !one.status.is_ok();
    completed += static_cast<int>(done.size());
  });
  submit(put_of("first", 140'000));  // too long a group for the thread that flushes
  submit(put_of("second", 140'000));
  pool->flush(client);
  while (completed < 7) std::this_thread::yield();
  closing.join();
  CHECK(failed == 0);
  pool = open_pool(path, quiet());
  CHECK(contents(*pool).size() >= 4 + 9 + 1);
  CHECK(get(*pool, key_in(1, "large")) == std::string(400'000, 'v'));
  CHECK(pool->region_info(7, nullptr).is_ok());
  CHECK(pool->stats().replayed_operations == 0);
}

#endif

}  // namespace holdfast::test
