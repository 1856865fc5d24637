// Making a pool's file: killed or failing at any system call, it leaves no pool or a whole one, and
// no litter.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <string>

#include "native/medium/file_medium_fixture.h"
#include "native/scratch.h"
#include "native/system_faults.h"

using namespace holdfast;
using namespace holdfast::test;

// Ends the creating process before each of its system calls in turn. What is left must be no pool
// or a whole one, and the next creation sweeps the rest.
TEST_CASE(
    "file: killed anywhere in creation, there is no pool or a whole one, and no litter stays") {
  const Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("p");
  int killed = 0, nothing = 0, whole = 0;
  for (uint64_t nth = 1;; nth++) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      SystemFaults::exit_at(nth);
      Result<OpenedMedium> made = open_file_medium(path, {});
      ::_exit(made.is_ok() && made->created ? 0 : 1);
    }
    int how = 0;
    REQUIRE(::waitpid(child, &how, 0) == child);
    MediumOptions never;
    never.create = CreateMode::kNever;
    Result<OpenedMedium> left = open_file_medium(path, never);
    const bool is_whole = left.is_ok();
    if (!is_whole) CHECK(left.status().code() == Code::kNotFound);
    (is_whole ? whole : nothing)++;
    if (is_whole) left->medium->close();
    OpenedMedium opened = must_open(path);
    CHECK(opened.created == !is_whole);
    CHECK(opened.medium->root().bytes[0] == 0);
    opened.medium->close();
    CHECK(scratch.entries() == 1);
    ::unlink(path.c_str());
    if (WEXITSTATUS(how) == 0) break;
    REQUIRE(WEXITSTATUS(how) == 99);
    killed++;
  }
  CHECK(killed >= 8);
  CHECK(nothing >= 7);
  CHECK(whole >= 1);
}

TEST_CASE("file: each system call of creation failing gives an error and leaves nothing") {
  const Scratch scratch = Scratch::on_disk();
  const SystemFaults::Disarm disarm;
  const std::string path = scratch.path("p");
  int failures = 0;
  for (const SystemCall call : {SystemCall::kPwrite, SystemCall::kFsync, SystemCall::kRename}) {
    for (const int error : {ENOSPC, EIO}) {
      for (uint64_t nth = 1;; nth++) {
        SystemFaults::fail(call, nth, error);
        Result<OpenedMedium> made = open_file_medium(path, {});
        SystemFaults::disarm();
        if (made.is_ok()) {
          made->medium->close();
          ::unlink(path.c_str());
          break;
        }
        failures++;
        CHECK(made.status().code() == (error == ENOSPC ? Code::kDiskFull : Code::kIo));
        const bool renamed =
            call == SystemCall::kFsync && nth == 3;  // the folder's: the pool is whole by then
        CHECK(scratch.entries() == (renamed ? 1 : 0));
        if (renamed) ::unlink(path.c_str());
      }
    }
  }
  CHECK(failures == 2 * (5 + 3 + 1));
}

// exFAT and the like in user space: no links, and no rename that refuses.
TEST_CASE("file: where a name can be neither linked nor given without replacing, a pool is made") {
  const Scratch scratch = Scratch::on_disk();
  const SystemFaults::Disarm disarm;
  const std::string path = scratch.path("p");
  SystemFaults::fail(SystemCall::kRename, 1, EINVAL, 2);
  SystemFaults::fail(SystemCall::kLink, 1, EPERM, 2);
  OpenedMedium made = must_open(path);
  CHECK(made.created);
  CHECK(scratch.entries() == 1);
  std::ofstream(scratch.path("other")) << "x";
  CHECK(rename_without_replacing(scratch.path("other"), path) == EEXIST);
  CHECK(scratch.entries() == 2);
  made.medium->close();
  CHECK_FALSE(must_open(path).created);
}

TEST_CASE("file: a sandbox that refuses fallocate leaves a pool that grows by zeros") {
  const Scratch scratch = Scratch::on_disk();
  const SystemFaults::Disarm disarm;
  for (const int error : {EPERM, ENOSYS, EOPNOTSUPP}) {
    SystemFaults::fail(SystemCall::kFallocate, 1, error, UINT64_MAX);
    OpenedMedium made = must_open(scratch.path(std::to_string(error)));
    CHECK(made.medium->allocate(SegmentKind::kLog, kMiB, kMiB).is_ok());
  }
}

TEST_CASE("file: where files cannot be mapped no pool is made, and it is said why") {
  const Scratch scratch = Scratch::on_disk();
  const SystemFaults::Disarm disarm;
  for (const int error : {ENODEV, EINVAL}) {
    SystemFaults::fail(SystemCall::kMmap, 1, error, UINT64_MAX);
    const Status refused = std::move(open_file_medium(scratch.path("p"), {}).status());
    CHECK(refused.code() == Code::kMediumUnavailable);
    CHECK(refused.message().find("mapped") != std::string::npos);
    CHECK(scratch.entries() == 0);
  }
}

TEST_CASE("file: what a dead creator left is swept, what a living one makes is not") {
  const Scratch scratch = Scratch::on_disk();
  const pid_t dead = ::fork();
  if (dead == 0) ::_exit(0);
  ::waitpid(dead, nullptr, 0);
  const std::string stale = scratch.path(".p.holdfast-new-" + std::to_string(dead));
  const std::string living = scratch.path(".p.holdfast-new-1");
  const std::string others = scratch.path(".q.holdfast-new-" + std::to_string(dead));
  for (const std::string& file : {stale, living, others}) std::ofstream(file) << "x";
  must_open(scratch.path("p"));
  CHECK(::access(stale.c_str(), F_OK) != 0);
  CHECK(::access(living.c_str(), F_OK) == 0);
  CHECK(::access(others.c_str(), F_OK) == 0);
}
