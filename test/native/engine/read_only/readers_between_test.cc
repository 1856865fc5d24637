// Readers beside a writer: what the writer does just between two steps of theirs, what one that
// died has left them, and who gives way. The storm (test/storm/) meets some of it by chance; here
// each is brought about.
#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "medium/readers_table.h"
#include "native/at_point.h"
#include "native/pool_fixture.h"

namespace holdfast::test {
namespace {

// Nothing happens but what a test does.
PoolOptions writing(uint64_t size = 0) {
  PoolOptions options = file_options(size);
  options.background = false;
  options.eventual_within_ms = 60000;
  return options;
}

PoolOptions reading() {
  PoolOptions options;
  options.read_only = true;
  options.wait_for_writer_ms = 300;
  return options;
}

// A reader that the writer knows of.
std::shared_ptr<Pool> reader_of(const std::string& path, const std::shared_ptr<Pool>& writer) {
  if (!std::filesystem::exists(readers_table_path(path)))
    REQUIRE(ReadersTable::open_or_make(path).is_ok());
  writer->maintain(false);
  return open_pool(path, reading());
}

}  // namespace

// Keys in runs, which the newest fold no longer has, of a fold that only the reader's slot names.
TEST_CASE("a new writer keeps the runs of the fold that a reader reads by") {
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("pool");
  auto writer = open_pool(path, writing());
  const auto write_all = [&](char with) {
    for (int i = 0; i < 400; i++)
      put(*writer, "key" + std::to_string(i), std::string(100, with), CommitMode::kEventual);
  };
  write_all('a');
  REQUIRE(writer->fold().is_ok());
  auto reader = reader_of(path, writer);
  auto snapshot = reader->snapshot();
  REQUIRE(snapshot.is_ok());
  const auto then = contents(*reader, *snapshot);
  REQUIRE(then.size() == 400);
  write_all('b');
  REQUIRE(writer->compact().is_ok());
  REQUIRE(writer->close().is_ok());
  writer = open_pool(path, writing());
  CHECK(writer->stats().waiting_bytes > 0);
  for (char with = 'c'; with < 'i'; with++) {
    write_all(with);
    REQUIRE(writer->compact().is_ok());
  }
  CHECK(writer->stats().readers_expired == 0);
  CHECK(contents(*reader, *snapshot) == then);
}

// Which it holds for microseconds, unless the machine is busy with others just then.
TEST_CASE(
    "a writer waits for a reader that has the pool's lock to see whether there is a writer, and "
    "not for a writer") {
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("pool");
  REQUIRE(open_pool(path, writing())->close().is_ok());
  PosixFile reader;
  REQUIRE(reader.open_existing(path, false) == 0);
  REQUIRE(reader.try_lock_shared() == 0);
  std::thread looks([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    reader.unlock();
  });
  auto writer = Pool::open(path, writing());
  looks.join();
  REQUIRE_MESSAGE(writer.is_ok(), writer.status().message());
  const auto second = Pool::open(path, writing());
  CHECK(second.status().code() == Code::kLocked);
  CHECK((*writer)->close().is_ok());
}

TEST_CASE("of two readers only the one that holds too much expires") {
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("pool");
  PoolOptions options = writing();
  options.reader_bytes = 2 * kMiB;
  auto writer = open_pool(path, options);
  put(*writer, "large", std::string(1500000, 'a'));
  REQUIRE(writer->fold().is_ok());
  auto behind = reader_of(path, writer), follows = open_pool(path, reading());
  for (char with = 'b'; with < 'e'; with++) {
    put(*writer, "large", std::string(1500000, with));
    REQUIRE(writer->fold().is_ok());
    if (writer->stats().readers_expired > 0) break;
    refresh(*follows);
  }
  CHECK(writer->stats().readers_expired == 1);
  CHECK(behind->read(nullptr).status().code() == Code::kReaderExpired);
  CHECK(get(*follows, key_in(1, "large")).has_value());
}

// Room for one copy of some of its extents, not of all: bytes that somebody reads are about to be
// rewritten.
TEST_CASE(
    "in the middle of a fold there is no more room for copies: readers expire before a byte "
    "changes under them") {
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("pool");
  auto writer = open_pool(path, writing(40 * kMiB));
  const uint64_t size = 22 * kMiB;
  const auto write = [&](uint64_t offset, const std::string& bytes) {
    Batch batch;
    if (!writer->region_info(1, nullptr).is_ok()) REQUIRE(batch.region_size(1, size, "r").is_ok());
    REQUIRE(batch.region_write(1, offset, bytes).is_ok());
    Result<Receipt> receipt = writer->commit(batch, CommitMode::kEventual);
    REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message());
  };
  for (uint64_t at = 0; at < size; at += kMiB) {
    write(at, std::string(kMiB, 'a'));
    if (at % (4 * kMiB) == 0) REQUIRE(writer->compact().is_ok());
  }
  REQUIRE(writer->compact().is_ok());
  auto reader = reader_of(path, writer);
  for (uint64_t at = 0; at < size; at += 100000) write(at, "b");
  REQUIRE(writer->fold().is_ok());
  CHECK(writer->stats().readers_expired == 1);
  uint8_t byte = 0;
  CHECK(reader->region_read(1, 200000, 1, &byte, nullptr).code() == Code::kReaderExpired);
  refresh(*reader);
  REQUIRE(reader->region_read(1, 200000, 1, &byte, nullptr).is_ok());
  CHECK(byte == 'b');
}

TEST_CASE(
    "a record that was durable and cannot be read is an error to a reader, not the end of the "
    "log") {
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("pool");
  auto writer = open_pool(path, writing());
  put(*writer, "a", "1");
  auto reader = reader_of(path, writer);
  put(*writer, "b", "the last record");
  const size_t at = bytes_of_file(path).find("the last record");
  REQUIRE(at != std::string::npos);
  write_at(path, at, "THE");
  CHECK(reader->refresh().status().code() == Code::kCorrupt);
  CHECK(Pool::open(path, reading()).status().code() == Code::kCorrupt);
}

#ifdef HOLDFAST_PLANTED_BUGS

// Its table says that regions are being placed, and nobody would ever take that back.
TEST_CASE("what a writer that died was placing keeps nobody waiting for the next one") {
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("pool"), left = scratch.path("left");
  auto writer = open_pool(path, writing());
  Batch batch;
  REQUIRE(batch.region_size(1, 100000, "r").is_ok());
  REQUIRE(batch.region_write(1, 0, std::string(100000, 'a')).is_ok());
  REQUIRE(writer->commit(batch, CommitMode::kDurable).is_ok());
  REQUIRE(reader_of(path, writer)->close().is_ok());
  REQUIRE(writer->fold().is_ok());
  Batch change;
  REQUIRE(change.region_write(1, 500, "changed").is_ok());
  REQUIRE(writer->commit(change, CommitMode::kDurable).is_ok());
  bool died = false;
  {
    const AtPoint point(TestPoint::kRegionsInPlace, [&] {
      copy_over(path, left);
      copy_over(readers_table_path(path), readers_table_path(left));
      died = true;
    });
    REQUIRE(writer->fold().is_ok());
  }
  REQUIRE(died);
  copy_over(readers_table_path(left), scratch.path("table"));
  SUBCASE("with the table there") {}
  SUBCASE("with a table that comes back later") {
    std::filesystem::remove(readers_table_path(left));
  }
  auto next = open_pool(left, writing());
  if (!std::filesystem::exists(readers_table_path(left))) {
    copy_over(scratch.path("table"), readers_table_path(left));
    next->maintain(false);
  }
  auto reader = Pool::open(left, reading());
  CHECK_MESSAGE(reader.is_ok(), reader.status().message());
}

// It was told to no table, and is acknowledged only then.
TEST_CASE("a first reader that comes between a barrier and its acknowledgement sees the commit") {
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("pool");
  auto writer = open_pool(path, writing());
  put(*writer, "a", "1");
  std::thread looks;
  {
    const AtPoint point(TestPoint::kReadersTold, [&] {
      REQUIRE(ReadersTable::open_or_make(path).is_ok());
      looks = std::thread([&] { writer->maintain(false); });
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    });
    put(*writer, "a", "2");
  }
  REQUIRE(looks.joinable());
  looks.join();
  auto reader = open_pool(path, reading());
  CHECK(get(*reader, key_in(1, "a")) == "2");
}

// It asked who writes, nobody did; and then one came, and appended what no barrier has covered.
TEST_CASE("a writer that comes while a reader reads the tail: only what is durable is shown") {
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("pool"), left = scratch.path("left");
  auto writer = open_pool(path, writing());
  put(*writer, "a", "1");
  put(*writer, "a", "2");
  const uint64_t durable = writer->stats().durable_epoch;
  copy_over(path, left);  // as if it had died here
  REQUIRE(ReadersTable::open_or_make(left).is_ok());
  std::shared_ptr<Pool> next, reader;
  {
    const AtPoint point(TestPoint::kReaderWalks, [&] {
      next = open_pool(left, writing());
      put(*next, "a", "3", CommitMode::kEventual);
    });
    reader = open_pool(left, reading());
  }
  REQUIRE(next);
  CHECK(reader->stats().epoch == durable);
  CHECK(get(*reader, key_in(1, "a")) == "2");
  REQUIRE(next->settle().is_ok());
  CHECK(refresh(*reader) == durable + 1);
  CHECK(get(*reader, key_in(1, "a")) == "3");
}

// What it read by then was something else's: no damage, it begins again by the newer fold.
TEST_CASE("a reader that expires while it reads the tail reads on by a newer fold") {
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("pool");
  PoolOptions options = writing(12 * kMiB);
  options.reader_bytes = kMiB;
  options.log_segment_bytes = 256 * kKiB;
  auto writer = open_pool(path, options);
  put(*writer, "a", "1");
  REQUIRE(writer->fold().is_ok());
  auto reader = reader_of(path, writer);
  for (int i = 0; i < 20; i++)
    put(*writer, "b" + std::to_string(i), std::string(30000, 'b'), CommitMode::kEventual);
  put(*writer, "b", "last");
  {
    const AtPoint point(TestPoint::kReaderWalks, [&] {
      for (int round = 0; round < 12; round++) {
        for (int i = 0; i < 40; i++)
          put(*writer, "b" + std::to_string(i), std::string(30000, static_cast<char>('c' + round)),
              CommitMode::kEventual);
        REQUIRE(writer->compact().is_ok());
      }
    });
    const uint64_t reached = refresh(*reader);
    CHECK(reached == writer->stats().epoch);  // its folds are durable
  }
  CHECK(writer->stats().readers_expired > 0);
  CHECK(contents(*reader) == contents(*writer));
}

// The root it saw first names a fold that is given back before its pin can be seen.
TEST_CASE("a fold that comes before a reader's pin is there is the one that it reads by") {
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("pool");
  auto writer = open_pool(path, writing());
  for (int i = 0; i < 300; i++)
    put(*writer, "k" + std::to_string(i), std::string(200, 'a'), CommitMode::kEventual);
  REQUIRE(writer->fold().is_ok());
  REQUIRE(reader_of(path, writer)->close().is_ok());
  std::shared_ptr<Pool> reader;
  Code code = Code::kOk;
  {
    const AtPoint point(TestPoint::kReaderComes, [&] {
      for (char with = 'b'; with < 'h'; with++) {
        for (int i = 0; i < 300; i++)
          put(*writer, "k" + std::to_string(i), std::string(200, with), CommitMode::kEventual);
        REQUIRE(writer->compact().is_ok());
      }
    });
    auto opened = Pool::open(path, reading());
    code = opened.status().code();
    if (opened.is_ok()) reader = *opened;
  }
  CHECK(code == Code::kOk);
  if (reader) CHECK(contents(*reader) == contents(*writer));
}

#endif

}  // namespace holdfast::test
