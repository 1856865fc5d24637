// The readers' table by itself: whose pins stand, what a new writer takes over, and what no order
// of two threads may undo.
#include "medium/readers_table.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "native/scratch.h"

namespace holdfast::test {
namespace {

constexpr uint8_t kPool[16] = {1, 2, 3}, kOtherPool[16] = {9};

// A table with a writer, and as many opens of it as readers want.
struct Table {
  Table() {
    std::ofstream(path).put('x');
    first = open();
    writer = ReadersTable::open_if_there(path);
    REQUIRE(writer != nullptr);
    REQUIRE(writer->lock_as_writer());
    writer->attach(kPool, 1, 2, 7, DurabilityClass::kProcess);
  }
  std::shared_ptr<ReadersTable> open() const {
    auto made = ReadersTable::open_or_make(path);
    INFO(made.status().message());
    REQUIRE(made.is_ok());
    return *made;
  }
  std::unique_ptr<ReaderPin> pin() const {
    auto taken = ReaderPin::take(open());
    REQUIRE(taken.is_ok());
    return std::move(*taken);
  }
  Scratch scratch;
  const std::string path = scratch.path("pool");
  std::shared_ptr<ReadersTable> first;
  std::unique_ptr<ReadersTable> writer;
};

}  // namespace

TEST_CASE("readers' table: the oldest pin of those who live counts, until it is let go") {
  Table table;
  CHECK(table.writer->oldest_pin() == UINT64_MAX);
  const uint64_t began = table.writer->tick();
  auto one = table.pin();
  CHECK(table.writer->oldest_pin() == began);
  CHECK(table.writer->tick() == began + 1);
  auto two = table.pin();
  CHECK(table.writer->tick() == began + 2);
  auto three = table.pin();
  CHECK(table.writer->oldest_pin() == began);
  CHECK(table.writer->readers().size() == 3);
  one.reset();
  CHECK(table.writer->oldest_pin() == began + 1);
  three->let_go();
  CHECK_FALSE(three->stands());
  CHECK(table.writer->oldest_pin() == began + 1);
  two.reset();
  CHECK(table.writer->oldest_pin() == UINT64_MAX);
  CHECK(table.writer->readers().empty());
}

TEST_CASE("readers' table: a pin that was taken away does not stand, and holds nothing") {
  Table table;
  auto one = table.pin();
  table.writer->tick();
  auto two = table.pin();
  const auto seen = table.writer->readers();
  REQUIRE(seen.size() == 2);
  CHECK(one->stands());
  table.writer->expire(seen[0].slot, seen[0].pin + 1);  // of one that had the slot before
  CHECK(one->stands());
  table.writer->expire(seen[0].slot, seen[0].pin);
  CHECK_FALSE(one->stands());
  CHECK(two->stands());
  CHECK(table.writer->readers().size() == 1);
  CHECK(table.writer->oldest_pin() == seen[1].pin);
}

TEST_CASE("readers' table: a slot is taken over without what stood in it") {
  Table table;
  auto one = table.pin();
  one->reads({4096, 8192}, 100, 200);
  one->at(33);
  auto seen = table.writer->readers();
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].consistent);
  CHECK(seen[0].fold.offset == 4096);
  CHECK(seen[0].fold.bytes == 8192);
  CHECK(seen[0].fold_bytes == 100);
  CHECK(seen[0].fold_checksum == 200);
  CHECK(seen[0].epoch == 33);
  one.reset();
  auto two = table.pin();
  const auto again = table.writer->readers();
  REQUIRE(again.size() == 1);
  CHECK(again[0].slot == seen[0].slot);
  CHECK(again[0].fold_bytes == 0);
  CHECK(again[0].epoch == 0);
}

TEST_CASE("readers' table: what is durable never goes back while one writer lives") {
  Table table;
  CHECK(table.first->header().durable == 7);
  table.writer->publish_durable(9);
  table.writer->publish_durable(8);
  CHECK(table.first->header().durable == 9);
}

TEST_CASE(
    "readers' table: a new writer keeps the pins of the one before, a stranger's readers lose "
    "theirs") {
  Table table;
  auto one = table.pin();
  CHECK(table.first->is_of(kPool));
  CHECK_FALSE(table.first->is_of(kOtherPool));
  CHECK(table.first->writer_lives());
  table.writer->publish_failure();
  const uint64_t attachments = table.first->header().attachments;
  table.writer->attach(kPool, 2, 3, 0, DurabilityClass::kProcess);
  CHECK(one->stands());
  CHECK(table.first->header().attachments > attachments);
  CHECK(table.first->header().failed == 0);
  CHECK(table.first->header().durable ==
        7);  // until it has recovered, what the last one said stays true
  CHECK(table.first->header().incarnation == 3);

  SUBCASE("a writer that did not look at the table has had the pool since") {
    table.writer->attach(kPool, 5, 6, 0, DurabilityClass::kProcess);
    CHECK_FALSE(one->stands());
    CHECK(table.first->header().incarnation == 6);
  }
  SUBCASE("a backup was put in the pool's place") {
    table.writer->attach(kPool, 1, 2, 0, DurabilityClass::kProcess);
    CHECK(table.first->header().durable == 0);
  }
  SUBCASE("another pool has the name now") {
    table.writer->attach(kOtherPool, 1, 2, 4, DurabilityClass::kProcess);
    CHECK_FALSE(one->stands());
    CHECK(table.first->is_of(kOtherPool));
    CHECK(table.first->header().durable == 4);
  }
}

TEST_CASE("readers' table: of a table that somebody cuts all pins stand, from the first look on") {
  Table table;
  auto one = table.pin();
  REQUIRE(::truncate(readers_table_path(table.path).c_str(), 0) == 0);
  CHECK(table.writer->oldest_pin() == 0);
  CHECK(table.writer->oldest_pin() == 0);
  CHECK_FALSE(table.writer->is_at(readers_table_path(table.path)));
  CHECK_FALSE(one->stands());
}

TEST_CASE(
    "readers' table: what has its name and is something else's is not touched, what crash or "
    "damage left of one is taken") {
  Scratch scratch;
  const std::string pool = scratch.path("pool"), path = readers_table_path(pool),
                    elsewhere = scratch.path("elsewhere");
  const auto write = [](const std::string& to, const std::string& bytes) {
    std::ofstream(to, std::ios::binary) << bytes;
  };
  const auto read = [](const std::string& from) {
    if (std::filesystem::is_directory(from)) return std::string("a folder");
    std::ifstream in(from, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  write(pool, "x");
  const std::string notes = "notes of somebody's", damaged(kReadersFileBytes, 'd');
  bool taken = false;
  SUBCASE("a file") { write(path, notes); }
  SUBCASE("a file that is longer than a table") {
    write(path, std::string(2 * kReadersFileBytes, '\0') + "z");
  }
  SUBCASE("a link to a file") {
    write(elsewhere, notes);
    REQUIRE(::symlink(elsewhere.c_str(), path.c_str()) == 0);
  }
  SUBCASE("another name of a file, as long as a table") {
    write(elsewhere, damaged);
    REQUIRE(::link(elsewhere.c_str(), path.c_str()) == 0);
  }
  SUBCASE("a folder") { REQUIRE(::mkdir(path.c_str(), 0755) == 0); }
  SUBCASE("nothing in it") { write(path, ""), taken = true; }
  SUBCASE("the beginning of one") { write(path, "HF-R"), taken = true; }
  SUBCASE("zeros") { write(path, std::string(100, '\0')), taken = true; }
  SUBCASE("a damaged one") { write(path, damaged), taken = true; }
  CAPTURE(taken);
  const std::string before = read(path);
  auto made = ReadersTable::open_or_make(pool);
  CHECK(made.is_ok() == taken);
  CHECK((ReadersTable::open_if_there(pool) != nullptr) == taken);
  if (taken) return;
  CHECK(made.status().code() == Code::kExists);
  CHECK(read(path) == before);
}

TEST_CASE("readers' table: whoever makes it, all who may read the pool may use it") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: needs root");
    return;
  }
  Scratch scratch;
  const std::string pool = scratch.path("pool"), path = readers_table_path(pool);
  std::ofstream(pool).put('x');
  REQUIRE(::chmod(pool.c_str(), 0644) == 0);
  REQUIRE(::chmod(scratch.folder().c_str(), 01777) == 0);
  const auto as_user = [](uid_t user, const auto& does) {
    REQUIRE(::seteuid(user) == 0);
    does();
    REQUIRE(::seteuid(0) == 0);
  };
  as_user(65534, [&] { CHECK(ReadersTable::open_or_make(pool).is_ok()); });
  struct stat found;
  REQUIRE(::stat(path.c_str(), &found) == 0);
  CHECK(found.st_uid == 65534);
  CHECK((found.st_mode & 0777) == 0666);
  // Which takes an open without O_CREAT where fs.protected_regular is set.
  as_user(65533, [&] { CHECK(ReadersTable::open_or_make(pool).is_ok()); });
  CHECK(ReadersTable::open_or_make(pool).is_ok());
}

TEST_CASE("readers' table: who may write is one, and placing counts while that one lives") {
  Table table;
  CHECK_FALSE(table.first->lock_as_writer());
  table.writer->publish_placing(true);
  CHECK(table.first->placing());
  table.writer->publish_placing(false);
  CHECK_FALSE(table.first->placing());
  table.writer->publish_placing(true);
  table.writer->unlock_as_writer();
  CHECK_FALSE(table.first->writer_lives());
  CHECK_FALSE(table.first->placing());
  CHECK(table.first->lock_as_writer());
}

}  // namespace holdfast::test
