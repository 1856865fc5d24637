// The system calls failing underneath the file medium: what fails a call, what fails the medium for
// good, and what its next life believes.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "medium/write_behind.h"
#include "native/medium/file_medium_fixture.h"
#include "native/scratch.h"
#include "native/system_faults.h"

using namespace holdfast;
using namespace holdfast::test;

TEST_CASE("file: no room on the disk is an error that changes nothing") {
  const Scratch scratch = Scratch::on_disk();
  const SystemFaults::Disarm disarm;
  OpenedMedium opened = must_open(scratch.path("p"));
  Medium& medium = *opened.medium;
  const Segment first = *medium.allocate(SegmentKind::kIndex, 128 * kKiB, 128 * kKiB);
  const uint64_t size = size_of(scratch.path("p"));
  const uint64_t free = medium.space().free;
  SystemFaults::fail(SystemCall::kFallocate, 1, ENOSPC, 1000);
  // What is there already is given, if it is enough.
  Result<Segment> some = medium.allocate(SegmentKind::kIndex, 64 * kKiB, 100 * kMiB);
  REQUIRE(some.is_ok());
  CHECK(some->end() <= size);
  medium.release(*some);
  Result<Segment> none = medium.allocate(SegmentKind::kIndex, 100 * kMiB, 100 * kMiB);
  CHECK(none.status().code() == Code::kDiskFull);
  CHECK(none.status().system_errno() == ENOSPC);
  CHECK(size_of(scratch.path("p")) == size);
  CHECK(medium.space().free == free);
  CHECK_FALSE(medium.failed());
  CHECK(medium.append(first.offset, "still", 5).is_ok());
  CHECK(medium.barrier().is_ok());
  SystemFaults::disarm();
  SystemFaults::fail(SystemCall::kPwrite, 2, ENOSPC);  // zeroing a log segment
  CHECK(medium.allocate(SegmentKind::kLog, 4 * kMiB, 4 * kMiB).status().code() == Code::kDiskFull);
  CHECK(medium.space().free == free);
  CHECK_FALSE(medium.failed());
  CHECK(medium.allocate(SegmentKind::kLog, 4 * kMiB, 4 * kMiB).is_ok());
}

TEST_CASE("file: where fallocate does not exist the file grows by zeros") {
  for (const int error : {EOPNOTSUPP, ENOSYS}) {
    const Scratch scratch = Scratch::on_disk();
    const SystemFaults::Disarm disarm;
    OpenedMedium opened = must_open(scratch.path("p"));
    SystemFaults::fail(SystemCall::kFallocate, 1, error, 1000);
    auto segment = opened.medium->allocate(SegmentKind::kLarge, 3 * kMiB, 3 * kMiB);
    REQUIRE_MESSAGE(segment.is_ok(), segment.status().message());
    CHECK(first_hole(scratch.path("p"), segment->offset) >= segment->end());
    CHECK(size_of(scratch.path("p")) >= segment->end());
    // And is cut again where it ends with no room for them.
    const uint64_t end = opened.medium->view_end();
    SystemFaults::fail(SystemCall::kPwrite, 3, ENOSPC, 1000);
    CHECK(opened.medium->allocate(SegmentKind::kLarge, 30 * kMiB, 30 * kMiB).status().code() ==
          Code::kDiskFull);
    CHECK(opened.medium->view_end() == end);
    CHECK(size_of(scratch.path("p")) == end);
  }
}

// What was given back, or copied so, on a file system like ext3.
TEST_CASE(
    "file: where fallocate does not exist holes are filled with zeros before they are given") {
  const Scratch scratch = Scratch::on_disk();
  const SystemFaults::Disarm disarm;
  OpenedMedium opened = must_open(scratch.path("p"));
  const Segment hole = *opened.medium->allocate(SegmentKind::kRegion, 4 * kMiB, 4 * kMiB);
  while (opened.medium->space().ready > 0)
    REQUIRE(opened.medium->allocate(SegmentKind::kRegion, 1, 1).is_ok());
  opened.medium->release(hole);
  opened.medium->give_back_free(0, 0);
  REQUIRE(first_hole(scratch.path("p"), hole.offset) == hole.offset);
  SystemFaults::fail(SystemCall::kFallocate, 1, EOPNOTSUPP, UINT64_MAX);
  const uint64_t size = size_of(scratch.path("p"));
  SystemFaults::fail(SystemCall::kPwrite, 1, ENOSPC, UINT64_MAX);
  CHECK(opened.medium->make_ready(hole.bytes).code() == Code::kDiskFull);
  CHECK(opened.medium->allocate(SegmentKind::kRegion, hole.bytes, hole.bytes).status().code() ==
        Code::kDiskFull);
  CHECK_FALSE(opened.medium->failed());
  SystemFaults::fail(SystemCall::kPwrite, UINT64_MAX, 0);
  Result<Segment> again = opened.medium->allocate(SegmentKind::kRegion, hole.bytes, hole.bytes);
  REQUIRE_MESSAGE(again.is_ok(), again.status().message());
  CHECK(again->offset == hole.offset);
  CHECK(first_hole(scratch.path("p"), hole.offset) >= hole.end());
  CHECK(size_of(scratch.path("p")) == size);
}

// Whose write failed is another thread. The barrier may have covered it, so nobody may take what it
// covered for durable.
TEST_CASE("file: a write that fails while a barrier is on its way fails the barrier") {
  const Scratch scratch = Scratch::on_disk();
  const SystemFaults::Disarm disarm;
  OpenedMedium opened = must_open(scratch.path("p"));
  Medium& medium = *opened.medium;
  const Segment log = *medium.allocate(SegmentKind::kLog, kMiB, kMiB);
  SystemFaults::under_sync([&] {
    SystemFaults::fail(SystemCall::kPwrite, 1, EIO);
    CHECK(medium.append(log.offset, "bytes", 5).code() == Code::kIo);
  });
  CHECK(medium.barrier().code() == Code::kFailed);
}

// What is written out is told of by itself: a barrier between the kernel's telling of it and the
// medium's failing must not be told success. So it is asked through another descriptor, and the
// one that is synced has yet to be told.
TEST_CASE("file: what could not be written out fails the medium for good") {
  const Scratch scratch = Scratch::on_disk();
  const SystemFaults::Disarm disarm;
  const std::string path = scratch.path("p");
  {
    OpenedMedium opened = must_open(path);
    Medium& medium = *opened.medium;
    const Segment table = *medium.allocate(SegmentKind::kIndex, 4 * kMiB, 4 * kMiB);
    WriteBehind behind(medium);
    const std::string piece(kMiB, 'x');
    const auto write = [&](uint64_t at) {
      REQUIRE(medium.append(table.offset + at, piece.data(), piece.size()).is_ok());
      return behind.comes_behind(table.offset + at, piece.size());
    };
    const uint64_t calls = SystemFaults::count(SystemCall::kSyncRange),
                   opens = SystemFaults::count(SystemCall::kOpen);
    CHECK(write(0).is_ok());
    CHECK(SystemFaults::count(SystemCall::kSyncRange) == calls + 1);
    // One that cannot begin is left to the barrier.
    SystemFaults::fail(SystemCall::kSyncRange, 1, ENOSYS);
    CHECK(write(kMiB).is_ok());
    CHECK(SystemFaults::count(SystemCall::kSyncRange) == calls + 3);
    CHECK(SystemFaults::count(SystemCall::kOpen) == opens + 1);
    SystemFaults::fail(SystemCall::kSyncRange, 2, EIO);
    Status lost = write(2 * kMiB);
    CHECK(lost.code() == Code::kIo);
    CHECK(lost.system_errno() == EIO);
    CHECK(medium.failed());
    CHECK(medium.barrier().code() == Code::kFailed);
    CHECK(medium.write_out(table, {}).code() == Code::kFailed);
    CHECK(SystemFaults::count(SystemCall::kOpen) == opens + 1);
  }
}

TEST_CASE("file: where the file cannot be opened once more nothing is waited for") {
  const Scratch scratch = Scratch::on_disk();
  const SystemFaults::Disarm disarm;
  OpenedMedium opened = must_open(scratch.path("p"));
  Medium& medium = *opened.medium;
  const Segment table = *medium.allocate(SegmentKind::kIndex, 4 * kMiB, 4 * kMiB);
  SystemFaults::fail(SystemCall::kOpen, 1, ENOENT);
  const uint64_t calls = SystemFaults::count(SystemCall::kSyncRange);
  const Segment first{table.offset, kMiB}, second{first.end(), kMiB}, third{second.end(), kMiB};
  CHECK(medium.write_out(second, first).is_ok());
  CHECK(medium.write_out(third, second).is_ok());
  CHECK(SystemFaults::count(SystemCall::kSyncRange) == calls + 2);
  CHECK(medium.barrier().is_ok());
}

TEST_CASE("file: a log segment is on its way to the device while it is zeroed") {
  const Scratch scratch = Scratch::on_disk();
  OpenedMedium opened = must_open(scratch.path("p"));
  const uint64_t calls = SystemFaults::count(SystemCall::kSyncRange),
                 syncs = SystemFaults::count(SystemCall::kFdatasync);
  // Each MiB, of a short one each 128 KiB, is begun, and the one before it waited for: a barrier
  // beside has no more to write.
  REQUIRE(opened.medium->allocate(SegmentKind::kLog, 4 * kMiB, 4 * kMiB).is_ok());
  CHECK(SystemFaults::count(SystemCall::kSyncRange) - calls == 4 + 3);
  CHECK(SystemFaults::count(SystemCall::kFdatasync) - syncs == 1);
  REQUIRE(opened.medium->allocate(SegmentKind::kLog, 512 * kKiB, 512 * kKiB).is_ok());
  CHECK(SystemFaults::count(SystemCall::kSyncRange) - calls == 4 + 3 + 4 + 3);
}

// From its sync on it counts, whichever slot it is in: what the one before it refers to may be
// gone.
TEST_CASE("file: a root of which the copy could not be written is the root") {
  const Scratch scratch = Scratch::on_disk();
  const SystemFaults::Disarm disarm;
  const std::string path = scratch.path("p");
  for (uint8_t value = 1; value < 6; value++) {
    CAPTURE(value);
    OpenedMedium opened = must_open(path);
    if (value % 2 == 0)
      REQUIRE(opened.medium->set_root(root_of(100)).is_ok());  // so that the slots change places
    SystemFaults::fail(SystemCall::kPwrite, 2, EIO);
    CHECK(opened.medium->set_root(root_of(value)).code() == Code::kIo);
    SystemFaults::disarm();
    opened.medium->close();
    CHECK(must_open(path).medium->root().bytes[0] == value);
  }
}

TEST_CASE("file: interrupted and short writes are gone on with") {
  const Scratch scratch = Scratch::on_disk();
  const SystemFaults::Disarm disarm;
  OpenedMedium opened = must_open(scratch.path("p"));
  const Segment log = *opened.medium->allocate(SegmentKind::kLog, kMiB, kMiB);
  SystemFaults::write_at_most(1000);
  SystemFaults::fail(SystemCall::kPwrite, 2, EINTR, 3);
  SystemFaults::fail(SystemCall::kFdatasync, 1, EINTR, 2);
  const uint64_t writes = opened.medium->counters().writes;
  std::string bytes(4500, '\0');
  for (size_t i = 0; i < bytes.size(); i++) bytes[i] = static_cast<char>(i * 31);
  CHECK(opened.medium->append(log.offset, bytes.data(), bytes.size()).is_ok());
  CHECK(opened.medium->barrier().is_ok());
  CHECK(std::memcmp(opened.medium->view() + log.offset, bytes.data(), bytes.size()) == 0);
  CHECK(opened.medium->counters().writes == writes + 5 + 3);
}

TEST_CASE("file: after a failed write, sync or root nothing works until it is reopened") {
  const Scratch scratch = Scratch::on_disk();
  const SystemFaults::Disarm disarm;
  struct Trial {
    const char* name;
    SystemCall call;
    int error;
    bool in_root;
  };
  for (const Trial& trial : {Trial{"append", SystemCall::kPwrite, EIO, false},
                             Trial{"append full", SystemCall::kPwrite, ENOSPC, false},
                             Trial{"barrier", SystemCall::kFdatasync, EIO, false},
                             Trial{"barrier full", SystemCall::kFdatasync, ENOSPC, false},
                             Trial{"root write", SystemCall::kPwrite, EIO, true},
                             Trial{"root sync", SystemCall::kFdatasync, EIO, true}}) {
    CAPTURE(trial.name);
    OpenedMedium opened = must_open(scratch.path(trial.name));
    Medium& medium = *opened.medium;
    const Segment log = *medium.allocate(SegmentKind::kLog, kMiB, kMiB);
    REQUIRE(medium.set_root(root_of(1)).is_ok());
    SystemFaults::fail(trial.call, 1, trial.error);
    Status status =
        trial.in_root ? medium.set_root(root_of(2)) : medium.append(log.offset, "bytes", 5);
    if (status.is_ok()) status = medium.barrier();
    CHECK(status.code() == Code::kIo);
    CHECK(status.system_errno() == trial.error);
    CHECK(status.message().find("unknown") != std::string::npos);
    CHECK(medium.failed());
    const uint64_t calls = SystemFaults::count(SystemCall::kAny);
    CHECK(medium.append(log.offset, "bytes", 5).code() == Code::kFailed);
    CHECK(medium.barrier().code() == Code::kFailed);
    CHECK(medium.set_root(root_of(3)).code() == Code::kFailed);
    CHECK(medium.allocate(SegmentKind::kLog, 1, 1).status().code() == Code::kFailed);
    CHECK(SystemFaults::count(SystemCall::kAny) == calls);
    CHECK(medium.root().bytes[0] == 1);
    medium.close();
    SystemFaults::disarm();
    OpenedMedium again = must_open(scratch.path(trial.name));
    CHECK(again.medium->adopt({log}).is_ok());
    CHECK(again.medium->root().bytes[0] >= 1);
    CHECK(again.medium->root().bytes[0] <= 2);
    CHECK(again.medium->barrier().is_ok());
  }
}

// The kernel marks the pages of a failed sync clean, and says so once: to this process or to
// another.
TEST_CASE(
    "file: what a failed sync may have lost is read anew by the next life, also where the process "
    "was killed before it closed") {
  const SystemFaults::Disarm disarm;
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("p");
  const auto forgotten = [] { return SystemFaults::count(SystemCall::kFadvise); };
  (void)must_open(path);
  uint64_t before = forgotten();
  (void)must_open(path);
  CHECK(forgotten() == before);  // closed in order, nothing had failed

  const pid_t child = fork();
  if (child == 0) {
    auto opened = open_file_medium(path, {});
    if (!opened.is_ok()) _Exit(7);
    SystemFaults::fail(SystemCall::kFdatasync, 1, EIO);
    if (opened->medium->barrier().code() != Code::kIo) _Exit(8);
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  before = forgotten();
  (void)must_open(path);
  CHECK(forgotten() == before + 1);
  (void)must_open(path);
  CHECK(forgotten() == before + 1);  // once is enough

  {
    const OpenedMedium failing = must_open(path);
    SystemFaults::fail(SystemCall::kFdatasync, 1, EIO);
    CHECK(failing.medium->barrier().code() == Code::kIo);
  }
  CHECK(forgotten() == before + 2);  // closed
  (void)must_open(path);
  before = forgotten() - 1;

  // The next life is told: it does not begin, and who tries again reads what the disk has.
  SystemFaults::fail(SystemCall::kFdatasync, 1, EIO);
  CHECK(open_file_medium(path, {}).status().code() == Code::kIo);
  CHECK(forgotten() == before + 2);
  (void)must_open(path);
  CHECK(forgotten() == before + 3);
}
