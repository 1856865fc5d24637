// Opening a pool's file while somebody else does something to its folder, and reading it from a
// file system that gives a little at a time.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>

#include "medium/posix_file.h"
#include "medium/raw_pool.h"
#include "native/medium/file_medium_fixture.h"
#include "native/pool_fixture.h"
#include "native/system_faults.h"

using namespace holdfast;
using namespace holdfast::test;

// Else commits would be acknowledged into a file that nobody finds again.
TEST_CASE(
    "file: another pool takes the name between looking at it, opening it and locking it: what is "
    "opened is what is there") {
  const SystemFaults::Disarm disarm;
  const Scratch scratch = Scratch::quick();
  const std::string path = scratch.path("p"), other = scratch.path("other");
  PoolOptions options = file_options();
  options.background = false;
  for (uint64_t nth = 1; nth <= 3; nth++) {  // the third opens it
    CAPTURE(nth);
    for (const std::string& each : {path, other}) {
      auto pool = open_pool(each, options);
      put(*pool, "of", each);
      REQUIRE(pool->close().is_ok());
    }
    SystemFaults::behind_open(nth, [&] { std::rename(other.c_str(), path.c_str()); });
    auto opened = Pool::open(path, options);
    SystemFaults::disarm();
    REQUIRE_MESSAGE(opened.is_ok(), opened.status().message());
    CHECK(::access(other.c_str(), F_OK) != 0);
    const std::string is = get(**opened, key_in(1, "of")).value_or("");
    put(**opened, "committed", std::to_string(nth));
    REQUIRE((*opened)->close().is_ok());
    auto again = open_pool(path, options);
    CHECK(get(*again, key_in(1, "of")) == is);
    CHECK(get(*again, key_in(1, "committed")) == std::to_string(nth));
  }
}

TEST_CASE("file: a pool is read whole from a file system that gives a little at a time") {
  const SystemFaults::Disarm disarm;
  const Scratch scratch;
  const std::string path = scratch.path("p");
  for (const uint64_t most : {uint64_t{1000}, uint64_t{7}}) {
    put(*open_pool(path), "k" + std::to_string(most), "v");
    SystemFaults::read_at_most(most);
    CHECK(get(*open_pool(path), key_in(1, "k" + std::to_string(most))) == "v");
    SystemFaults::disarm();
  }
}

// Its process may be one of another container, whose number means nothing here.
TEST_CASE("file: what looks left over and is locked is not swept") {
  const Scratch scratch = Scratch::on_disk();
  const pid_t dead = ::fork();
  if (dead == 0) ::_exit(0);
  ::waitpid(dead, nullptr, 0);
  const std::string making = scratch.path(".p.holdfast-new-" + std::to_string(dead));
  std::ofstream(making) << "x";
  PosixFile file;
  REQUIRE(file.open_existing(making, true) == 0);
  REQUIRE(file.try_lock() == 0);
  must_open(scratch.path("p"));
  CHECK(::access(making.c_str(), F_OK) == 0);
  file.close();
  REQUIRE(::unlink(scratch.path("p").c_str()) == 0);
  must_open(scratch.path("p"));
  CHECK(::access(making.c_str(), F_OK) != 0);
}

// Else the first commit in it would write them all.
TEST_CASE("file: the zeros of a log segment are on the disk before it is handed out") {
  const Scratch scratch = Scratch::on_disk();
  OpenedMedium opened = must_open(scratch.path("p"));
  const auto take = [&] {
    auto segment = opened.medium->allocate(SegmentKind::kLog, kMiB, kMiB);
    REQUIRE(segment.is_ok());
    return *segment;
  };
  const Segment first = take();
  take();
  REQUIRE(opened.medium->barrier().is_ok());
  opened.medium->release(first);
  opened.medium->give_back_free(0, 0);
  const uint64_t syncs = SystemFaults::count(SystemCall::kFdatasync),
                 writes = SystemFaults::count(SystemCall::kPwrite);
  const Segment again = take();
  CHECK(again.offset == first.offset);
  CHECK(SystemFaults::count(SystemCall::kPwrite) > writes);
  CHECK(SystemFaults::count(SystemCall::kFdatasync) == syncs + 1);
}

// NFS says so of an exclusive lock on a file that is open for reading.
TEST_CASE("file: what is only read is locked where a lock for writers needs a file open for them") {
  const Scratch scratch = Scratch::on_disk();
  must_open(scratch.path("p")).medium->close();
  const SystemFaults::Disarm disarm;
  SystemFaults::fail(SystemCall::kFlock, 1, EBADF);
  Result<std::unique_ptr<RawPool>> raw = RawPool::open(scratch.path("p"));
  REQUIRE_MESSAGE(raw.is_ok(), raw.status().message());
  const Status refused = std::move(open_file_medium(scratch.path("p"), {}).status());
  CHECK(refused.code() == Code::kLocked);
}
