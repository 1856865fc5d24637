// Readers beside a writer: here both in one process, each with opens of its own.
// test/storm/readers_storm.cc has them in processes that are killed.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <thread>
#include <utility>

#include "base/test_hooks.h"
#include "medium/readers_table.h"
#include "native/own_mounts.h"
#include "native/pool_fixture.h"
#include "native/system_faults.h"

namespace holdfast::test {
namespace {

PoolOptions writing(bool pmem = false) {
  PoolOptions options;
  options.medium.choice = pmem ? MediumChoice::kPmem : MediumChoice::kFile;
  options.medium.size = pmem ? 48 * kMiB : 0;
  return options;
}

PoolOptions reading() {
  PoolOptions options;
  options.read_only = true;
  options.wait_for_writer_ms = 2000;
  return options;
}

std::shared_ptr<Pool> must(Result<std::shared_ptr<Pool>> opened) {
  INFO(opened.status().message());
  REQUIRE(opened.is_ok());
  return *opened;
}

void follows(bool pmem) {
  Scratch scratch = pmem ? Scratch::in_memory() : Scratch::on_disk();
  const std::string path = scratch.path("pool");
  auto writer = must(Pool::open(path, writing(pmem)));
  put(*writer, "a", "1");
  auto reader = must(Pool::open(path, reading()));
  CHECK(reader->read_only());
  CHECK(get(*reader, key_in(1, "a")) == "1");
  CHECK(writer->stats().readers == 1);
  CHECK(writer->stats().oldest_reader_pid == static_cast<uint64_t>(getpid()));

  const uint64_t second = put(*writer, "a", "2");
  CHECK(get(*reader, key_in(1, "a")) == "1");
  CHECK(refresh(*reader) == second);
  CHECK(get(*reader, key_in(1, "a")) == "2");

  auto before = reader->snapshot();
  REQUIRE(before.is_ok());
  for (int i = 0; i < 200; i++) put(*writer, "k" + std::to_string(i), std::string(3000, 'x'));
  REQUIRE(writer->fold().is_ok());
  put(*writer, "a", "3");
  put(*writer, "large", std::string(700000, 'L'));
  const uint64_t last = writer->stats().epoch;
  CHECK(refresh(*reader) == last);
  CHECK(contents(*reader) == contents(*writer));
  CHECK(get(*reader, key_in(1, "a"), *before) == "2");
  CHECK(get(*reader, key_in(1, "k7"), *before) == std::nullopt);
  CHECK(writer->stats().readers == 2);  // one for the snapshot's fold, one for the newest
  *before = nullptr;
  CHECK(writer->stats().readers == 1);
  auto checked = reader->check(nullptr, nullptr);
  REQUIRE(checked.is_ok());
  CHECK(checked->damages == std::vector<std::string>());

  REQUIRE(writer->close().is_ok());
  writer = nullptr;
  CHECK(refresh(*reader) == last);
  CHECK(get(*reader, key_in(1, "a")) == "3");
  writer = must(Pool::open(path, writing(pmem)));
  put(*writer, "a", "4");
  CHECK(refresh(*reader) == last + 1);
  CHECK(get(*reader, key_in(1, "a")) == "4");
  REQUIRE(reader->close().is_ok());
  CHECK(writer->stats().readers == 0);
}

}  // namespace

// To look costs system calls, under the lock that commits wait for.
TEST_CASE(
    "a pool that is committed to looks for readers a few times a second, however often its "
    "maintenance thread is woken") {
  Scratch scratch = Scratch::in_memory();
  PoolOptions options = writing();
  options.fold_operations = 50;
  auto writer = must(Pool::open(scratch.path("pool"), options));
  const auto begun = std::chrono::steady_clock::now();
  const uint64_t opened = SystemFaults::count(SystemCall::kOpen);
  for (int i = 0; i < 1'000'000 && writer->stats().folds < 30; i++)
    put(*writer, "k" + std::to_string(i % 10), "value");
  const uint64_t looks = SystemFaults::count(SystemCall::kOpen) - opened;
  const auto took = std::chrono::steady_clock::now() - begun;
  CHECK(writer->stats().folds >= 30);
  CHECK(looks <= static_cast<uint64_t>(took / std::chrono::milliseconds(200)) + 2);
}

TEST_CASE("a reader follows a writer: commits, folds, large values, closing and opening") {
  SUBCASE("file") { follows(false); }
  SUBCASE("pmem") {
#ifdef HOLDFAST_WITH_PMEM
    follows(true);
#endif
  }
}

TEST_CASE("what changes a pool is refused in one that is open for reading only") {
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("pool");
  must(Pool::open(path, writing()))->close().is_ok();
  auto reader = must(Pool::open(path, reading()));
  Batch batch;
  REQUIRE(batch.put(key_in(1, "a"), "1").is_ok());
  CHECK(reader->commit(batch, CommitMode::kDurable).status().code() == Code::kReadOnly);
  CHECK(reader->fold().code() == Code::kReadOnly);
  CHECK(reader->compact().code() == Code::kReadOnly);
  CHECK(reader->settle().is_ok());
  std::vector<Completion> completed;
  auto client = reader->attach([&](std::vector<Completion>&& done) {
    std::move(done.begin(), done.end(), std::back_inserter(completed));
  });
  reader->submit(client, std::move(batch), CommitMode::kDurable);
  reader->flush(client);
  REQUIRE(completed.size() == 1);
  CHECK(completed[0].status.code() == Code::kReadOnly);
  CHECK(refresh(*reader) == 0);
  REQUIRE(reader->close().is_ok());
  CHECK(reader->refresh().status().code() == Code::kClosed);
  CHECK(reader->read(nullptr).status().code() == Code::kClosed);
  CHECK(reader->snapshot().status().code() == Code::kClosed);
}

TEST_CASE("an eventual commit is seen once it is behind a barrier, not before") {
  Scratch scratch = Scratch::on_disk();
  PoolOptions slow = writing();
  slow.eventual_within_ms = 60000;
  auto writer = must(Pool::open(scratch.path("pool"), slow));
  put(*writer, "a", "1");
  auto reader = must(Pool::open(scratch.path("pool"), reading()));
  const uint64_t eventual = put(*writer, "a", "2", CommitMode::kEventual);
  CHECK(refresh(*reader) == eventual - 1);
  CHECK(get(*reader, key_in(1, "a")) == "1");
  REQUIRE(writer->settle().is_ok());
  CHECK(refresh(*reader) == eventual);
  CHECK(get(*reader, key_in(1, "a")) == "2");
}

// Another thread may acknowledge a commit as soon as it finds it durable, whoever raised the
// barrier.
TEST_CASE("a reader sees a commit before anybody in the writer's process can find it durable") {
  Scratch scratch = Scratch::on_disk();
  std::shared_ptr<Pool> writer, reader;
  std::atomic<bool> armed{false};
  uint64_t seen = 0, durable = 0;
  at_test_point = [&](TestPoint point) {
    if (point != TestPoint::kReadersTold || !armed.exchange(false)) return;
    seen = refresh(*reader);
    durable = writer->stats().durable_epoch;
  };
  writer = must(Pool::open(scratch.path("p"), writing()));
  const uint64_t first = put(*writer, "a", "1");
  reader = must(Pool::open(scratch.path("p"), reading()));
  CHECK(refresh(*reader) == first);
  armed = true;
  CHECK(put(*writer, "a", "2") == first + 1);
  CHECK(seen == first + 1);
  CHECK(durable == first);
  CHECK(reader->close().is_ok());
  CHECK(writer->close().is_ok());
  at_test_point = nullptr;
}

// The newer fold lies in what the file was grown by, and the reader had looked at its length
// before.
TEST_CASE("a file that grows and is folded while a reader takes its place") {
  Scratch scratch = Scratch::on_disk();
  bool armed = false;
  uint64_t last = 0;
  std::shared_ptr<Pool> writer, reader;
  at_test_point = [&](TestPoint point) {
    if (point != TestPoint::kReaderPinned || !std::exchange(armed, false)) return;
    for (int i = 0; i < 24; i++)
      last = put(*writer, "big" + std::to_string(i), std::string(kMiB - 4096, 'b'),
                 CommitMode::kEventual);
    CHECK(writer->fold().is_ok());
  };
  writer = must(Pool::open(scratch.path("p"), writing()));
  put(*writer, "a", "1");
  reader = must(Pool::open(scratch.path("p"), reading()));
  put(*writer, "a", "2");
  CHECK(writer->fold().is_ok());
  const auto length = std::filesystem::file_size(scratch.path("p"));
  armed = true;
  CHECK(refresh(*reader) == last);
  CHECK(!armed);
  CHECK(std::filesystem::file_size(scratch.path("p")) > length);
  CHECK(reader->close().is_ok());
  CHECK(writer->close().is_ok());
  at_test_point = nullptr;
}

TEST_CASE("what a writer could not make durable is not shown, also when that writer is gone") {
  const SystemFaults::Disarm disarm;
  for (const SystemCall call : {SystemCall::kFdatasync, SystemCall::kPwrite}) {
    CAPTURE(static_cast<int>(call));
    Scratch scratch = Scratch::on_disk();
    PoolOptions slow = writing();
    slow.eventual_within_ms = 60000;
    auto writer = must(Pool::open(scratch.path("pool"), slow));
    const uint64_t durable = put(*writer, "a", "1");
    auto reader = must(Pool::open(scratch.path("pool"), reading()));
    put(*writer, "a", "2", CommitMode::kEventual);
    SystemFaults::fail(call, 1, EIO);
    Batch batch;
    REQUIRE(batch.put(key_in(1, "a"), "3").is_ok());
    CHECK_FALSE(writer->commit(batch, CommitMode::kDurable).is_ok());
    SystemFaults::disarm();
    CHECK(refresh(*reader) == durable);
    CHECK(get(*reader, key_in(1, "a")) == "1");
    (void)writer->close().is_ok();
    writer = nullptr;
    CHECK(refresh(*reader) == durable);
    CHECK(get(*reader, key_in(1, "a")) == "1");
    writer = must(Pool::open(scratch.path("pool"), slow));  // what it finds there it makes durable
    CHECK(refresh(*reader) >= durable);
    CHECK(contents(*reader) == contents(*writer));
  }
}

TEST_CASE("a reader that is the first to come when the writer has failed reads what is durable") {
  const SystemFaults::Disarm disarm;
  Scratch scratch = Scratch::on_disk();
  auto writer = must(Pool::open(scratch.path("pool"), writing()));
  const uint64_t durable = put(*writer, "a", "1");
  SystemFaults::fail(SystemCall::kFdatasync, 1, EIO);
  Batch batch;
  REQUIRE(batch.put(key_in(1, "a"), "2").is_ok());
  REQUIRE(writer->commit(batch, CommitMode::kDurable).status().code() == Code::kIo);
  SystemFaults::disarm();
  for (int i = 0; i < 2; i++) {
    auto reader = must(Pool::open(scratch.path("pool"), reading()));
    CHECK(refresh(*reader) == durable);
    CHECK(get(*reader, key_in(1, "a")) == "1");
  }
}

TEST_CASE("a refresh when nothing has changed replays nothing") {
  Scratch scratch = Scratch::on_disk();
  auto writer = must(Pool::open(scratch.path("pool"), writing()));
  put(*writer, "a", "1");
  auto reader = must(Pool::open(scratch.path("pool"), reading()));
  const uint64_t replayed = reader->stats().replayed_operations;
  for (int i = 0; i < 10; i++) refresh(*reader);
  CHECK(reader->stats().replayed_operations == replayed);
  put(*writer, "a", "2");
  refresh(*reader);
  CHECK(reader->stats().replayed_operations == replayed + 1);
}

TEST_CASE(
    "what a reader reads is not given away; a reader that holds too much expires and can go on") {
  Scratch scratch = Scratch::on_disk();
  PoolOptions options = writing();
  options.reader_bytes = 4 * kMiB;
  options.background = false;
  auto writer = must(Pool::open(scratch.path("pool"), options));
  put(*writer, "first", "1");
  std::thread attaching;
  std::shared_ptr<Pool> reader;
  {
    std::atomic<bool> stop{false};
    std::thread maintained([&] {
      while (!stop) {
        writer->maintain(false);
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
    });
    reader = must(Pool::open(scratch.path("pool"), reading()));
    stop = true;
    maintained.join();
  }
  put(*writer, "a", std::string(600000, 'a'));
  refresh(*reader);
  auto snapshot = reader->snapshot();
  REQUIRE(snapshot.is_ok());
  const auto churn = [&](int rounds, size_t bytes) {
    for (int i = 0; i < rounds; i++) {
      put(*writer, "a", std::string(bytes, static_cast<char>('b' + i % 20)));
      REQUIRE(writer->compact().is_ok());
    }
  };
  churn(3, 600000);
  CHECK(writer->stats().reader_bytes > 0);
  CHECK(get(*reader, key_in(1, "a"), *snapshot) == std::string(600000, 'a'));
  CHECK(writer->stats().readers_expired == 0);
  churn(10, 900000);
  CHECK(writer->stats().readers_expired > 0);
  CHECK(writer->stats().reader_bytes <= 4 * kMiB);
  auto read = reader->read(*snapshot);
  CHECK(read.status().code() == Code::kReaderExpired);
  CHECK(reader->read(nullptr).status().code() == Code::kReaderExpired);
  CHECK(refresh(*reader) == writer->stats().epoch);
  CHECK(contents(*reader) == contents(*writer));
  CHECK(reader->read(*snapshot).status().code() == Code::kReaderExpired);
}

TEST_CASE("a new writer keeps what a reader of the old one still reads") {
  Scratch scratch = Scratch::on_disk();
  auto writer = must(Pool::open(scratch.path("pool"), writing()));
  put(*writer, "large", std::string(600000, 'o'));
  put(*writer, "small", "old");
  auto reader = must(Pool::open(scratch.path("pool"), reading()));
  auto snapshot = reader->snapshot();
  REQUIRE(snapshot.is_ok());
  const auto then = contents(*reader, *snapshot);
  for (int round = 0; round < 4; round++) {
    for (int i = 0; i < 15; i++)
      put(*writer, "large", std::string(600000, static_cast<char>('a' + i % 26)));
    put(*writer, "small", "new" + std::to_string(round));
    REQUIRE(writer->compact().is_ok());
    if (round % 2 == 0) refresh(*reader);
    REQUIRE(writer->close().is_ok());
    writer = must(Pool::open(scratch.path("pool"), writing()));
    CHECK(writer->stats().readers_expired == 0);
    CHECK(contents(*reader, *snapshot) == then);
  }
  CHECK(writer->stats().waiting_bytes > 10 * 600000);
  *snapshot = nullptr;
  REQUIRE(writer->compact().is_ok());
  refresh(*reader);
  REQUIRE(writer->compact().is_ok());
  put(*writer, "small", "last");
  refresh(*reader);
  REQUIRE(writer->fold().is_ok());
  CHECK(writer->stats().reader_bytes <=
        64 * kKiB);  // of the newest fold but one, which the reader is still at
  refresh(*reader);
  put(*writer, "small", "very last");
  REQUIRE(writer->fold().is_ok());
  refresh(*reader);
  writer->maintain(false);
  CHECK(contents(*reader) == contents(*writer));
}

TEST_CASE(
    "a reader that may not write beside the pool reads it while nobody writes, and notices a "
    "writer") {
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("pool");
  const bool root = geteuid() == 0;
  const auto folder_mode = [&](mode_t mode) {
    REQUIRE(::chmod(scratch.folder().c_str(), mode) == 0);
  };
  const auto as_nobody = [&](bool on) {
    if (root) REQUIRE(seteuid(on ? 65534 : 0) == 0);
  };
  auto writer = must(Pool::open(path, writing()));
  put(*writer, "a", "1");
  folder_mode(0555);
  as_nobody(true);
  CHECK(Pool::open(path, reading()).status().code() == Code::kLocked);
  as_nobody(false);
  REQUIRE(writer->close().is_ok());
  as_nobody(true);
  auto reader = must(Pool::open(path, reading()));
  as_nobody(false);
  CHECK(get(*reader, key_in(1, "a")) == "1");
  CHECK(::access(readers_table_path(path).c_str(), F_OK) != 0);
  writer = must(Pool::open(path, writing()));
  CHECK(reader->read(nullptr).status().code() == Code::kReaderExpired);
  put(*writer, "a", "2");
  CHECK(reader->refresh().status().code() == Code::kLocked);
  REQUIRE(writer->close().is_ok());
  CHECK(refresh(*reader) > 0);
  CHECK(get(*reader, key_in(1, "a")) == "2");
  folder_mode(0755);
}

TEST_CASE(
    "a writer that cannot use the table is noticed: no bytes are read that it may have changed") {
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("pool");
  auto writer = must(Pool::open(path, writing()));
  put(*writer, "a", "1");
  REQUIRE(writer->close().is_ok());
  auto reader = must(Pool::open(path, reading()));
  const std::string table = readers_table_path(path);
  REQUIRE(::rename(table.c_str(), (table + ".elsewhere").c_str()) ==
          0);  // as where only the pool's file is shared with a container
  writer = must(Pool::open(path, writing()));
  CHECK(reader->read(nullptr).status().code() == Code::kReaderExpired);
  REQUIRE(::rename((table + ".elsewhere").c_str(), table.c_str()) == 0);
  put(*writer, "a", "2");
  refresh(*reader);
  CHECK(get(*reader, key_in(1, "a")) == "2");
}

TEST_CASE("a pool that another one has taken the place of is not read on") {
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("pool");
  must(Pool::open(path, writing()))->close().is_ok();
  auto reader = must(Pool::open(path, reading()));
  REQUIRE(::rename(path.c_str(), scratch.path("old").c_str()) == 0);
  auto writer = must(Pool::open(path, writing()));
  put(*writer, "a", "1");
  CHECK(reader->refresh().status().code() == Code::kFailed);
  auto again = must(Pool::open(path, reading()));
  CHECK(get(*again, key_in(1, "a")) == "1");
}

// An image of a container with a pool in it.
TEST_CASE(
    "a reader of a pool that lies in a lower layer of an overlay follows the writer, who has a "
    "copy in the upper one") {
  Scratch scratch = Scratch::on_disk();
  for (const char* layer : {"lower", "upper", "work", "merged"})
    REQUIRE(::mkdir(scratch.path(layer).c_str(), 0755) == 0);
  const std::string path = scratch.path("merged") + "/pool";
  {
    auto made = must(Pool::open(scratch.path("lower") + "/pool", writing()));
    put(*made, "a", "1");
    REQUIRE(made->close().is_ok());
  }
  const int answer = in_child([&] {
    if (!has_own_mounts()) return kMayNotMount;
    const std::string layers = "lowerdir=" + scratch.path("lower") +
                               ",upperdir=" + scratch.path("upper") +
                               ",workdir=" + scratch.path("work");
    if (::mount("overlay", scratch.path("merged").c_str(), "overlay", 0, layers.c_str()) != 0)
      return kMayNotMount;
    auto reader = Pool::open(path, reading());
    if (!reader.is_ok() || get(**reader, key_in(1, "a")) != "1") return 1;
    auto writer = Pool::open(path, writing());
    Batch batch;
    if (!writer.is_ok() || !batch.put(key_in(1, "a"), "2").is_ok() ||
        !(*writer)->commit(batch, CommitMode::kDurable).is_ok())
      return 2;
    if (!(*reader)->refresh().is_ok() || get(**reader, key_in(1, "a")) != "2") return 3;
    if (!(*writer)->close().is_ok() || !(*reader)->refresh().is_ok() ||
        get(**reader, key_in(1, "a")) != "2")
      return 4;
    return 0;
  });
  if (answer == kMayNotMount) {
    MESSAGE("skipped: mounting an overlay needs root");
    return;
  }
  CHECK(answer == 0);
}

TEST_CASE("a table that somebody cuts or removes costs a reader its pin, not its bytes") {
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("pool");
  auto writer = must(Pool::open(path, writing()));
  put(*writer, "a", "1");
  auto reader = must(Pool::open(path, reading()));
  REQUIRE(::truncate(readers_table_path(path).c_str(), 0) == 0);
  CHECK(reader->read(nullptr).status().code() == Code::kReaderExpired);
  put(*writer, "a", "2");
  REQUIRE(writer->fold().is_ok());
  REQUIRE(::unlink(readers_table_path(path).c_str()) == 0);
  auto again = must(Pool::open(path, reading()));  // the writer sees that the table is another one
  CHECK(get(*again, key_in(1, "a")) == "2");
}

}  // namespace holdfast::test
