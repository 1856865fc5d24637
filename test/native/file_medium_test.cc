// The file medium on a real disk: growth, zeroing, its files' front pages, and the system calls failing underneath it.
#include "medium/file_medium.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>

#include "native/scratch.h"
#include "native/system_faults.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

OpenedMedium must_open(const std::string& path, const MediumOptions& options = {}) {
  Result<OpenedMedium> opened = open_file_medium(path, options);
  INFO(opened.status().message());
  REQUIRE(opened.is_ok());
  return std::move(*opened);
}

Root root_of(uint8_t value) {
  Root root;
  std::memset(root.bytes, value, sizeof root.bytes);
  return root;
}

uint64_t size_of(const std::string& path) {
  struct stat facts;
  return ::stat(path.c_str(), &facts) == 0 ? static_cast<uint64_t>(facts.st_size) : 0;
}

void overwrite(const std::string& path, uint64_t offset, const std::string& bytes) {
  const int fd = ::open(path.c_str(), O_RDWR);
  REQUIRE(fd >= 0);
  CHECK(::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes.size()));
  ::close(fd);
}

uint64_t first_hole(const std::string& path, uint64_t from) {
  const int fd = ::open(path.c_str(), O_RDONLY);
  const off_t at = ::lseek(fd, static_cast<off_t>(from), SEEK_HOLE);
  ::close(fd);
  return static_cast<uint64_t>(at);
}

MediumOptions sized(uint64_t size) {
  MediumOptions options;
  options.size = size;
  return options;
}

}  // namespace

TEST_CASE("file: an append and its barrier are one pwrite and one fdatasync") {
  const Scratch scratch = Scratch::on_disk();
  OpenedMedium opened = must_open(scratch.path("p"));
  const Segment log = *opened.medium->allocate(SegmentKind::kLog, kMiB, kMiB);
  const std::string record(8192, 'r');
  const uint64_t before = SystemFaults::count(SystemCall::kAny);
  const uint64_t writes = SystemFaults::count(SystemCall::kPwrite), syncs = SystemFaults::count(SystemCall::kFdatasync);
  for (uint64_t i = 1; i <= 10; i++) {
    REQUIRE(opened.medium->append(log.offset + i * 8192, record.data(), record.size()).is_ok());
    REQUIRE(opened.medium->barrier().is_ok());
    CHECK(SystemFaults::count(SystemCall::kPwrite) == writes + i);
    CHECK(SystemFaults::count(SystemCall::kFdatasync) == syncs + i);
  }
  CHECK(SystemFaults::count(SystemCall::kAny) == before + 20);
}

TEST_CASE("file: grows by itself, in steps, and only as far as is used") {
  const Scratch scratch = Scratch::on_disk();
  OpenedMedium opened = must_open(scratch.path("p"));
  CHECK(opened.medium->info().grows);
  CHECK(size_of(scratch.path("p")) == kSegmentsOffset);
  CHECK(opened.medium->space().capacity == UINT64_MAX / 2);
  const uint8_t* const view = opened.medium->view();
  for (int i = 0; i < 40; i++) {
    const uint64_t end = opened.medium->view_end();
    const Segment segment = *opened.medium->allocate(SegmentKind::kLarge, kMiB, kMiB);
    CHECK(segment.bytes == kMiB);
    CHECK(opened.medium->view_end() >= end);
    CHECK(opened.medium->view_end() == size_of(scratch.path("p")));
    REQUIRE(opened.medium->append(segment.end() - 4096, std::string(4096, 'e').data(), 4096).is_ok());
    CHECK(opened.medium->view()[segment.end() - 1] == 'e');
  }
  CHECK(opened.medium->view() == view);
  CHECK(opened.medium->space().taken == size_of(scratch.path("p")));
  CHECK(size_of(scratch.path("p")) <= 52 * kMiB);
  CHECK(opened.medium->counters().bytes_grown == size_of(scratch.path("p")) - kSegmentsOffset);
}

TEST_CASE("file: a pool of fixed size never exceeds it") {
  const Scratch scratch = Scratch::on_disk();
  OpenedMedium opened = must_open(scratch.path("p"), sized(5 * kMiB + 1000));
  CHECK_FALSE(opened.medium->info().grows);
  CHECK(opened.medium->space().capacity == 5 * kMiB - kSegmentsOffset);
  while (opened.medium->allocate(SegmentKind::kLog, 64 * kKiB, 640 * kKiB).is_ok()) {
  }
  CHECK(opened.medium->space().free == 0);
  CHECK(opened.medium->space().largest_free == 0);
  CHECK(size_of(scratch.path("p")) == 5 * kMiB);
  opened.medium->close();
  CHECK(must_open(scratch.path("p"), sized(5 * kMiB + 2000)).medium->space().capacity == 5 * kMiB - kSegmentsOffset);
  CHECK(open_file_medium(scratch.path("p"), sized(6 * kMiB)).status().code() == Code::kOutOfRange);
}

TEST_CASE("file: a size that cannot be is refused before anything is made") {
  const Scratch scratch = Scratch::on_disk();
  for (const uint64_t size : {uint64_t{1}, kMinFilePoolBytes - 1, kMaxFilePoolBytes + 1, UINT64_MAX}) {
    CHECK(open_file_medium(scratch.path("p"), sized(size)).status().code() == Code::kOutOfRange);
  }
  CHECK(scratch.entries() == 0);
  must_open(scratch.path("p"));
  CHECK(open_file_medium(scratch.path("p"), sized(4 * kMiB)).status().code() == Code::kOutOfRange);
}

TEST_CASE("file: a log segment is of written blocks, also where another kind was never written, also after a reopen") {
  const Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("p");
  {
    OpenedMedium opened = must_open(path);
    const Segment log = *opened.medium->allocate(SegmentKind::kLog, kMiB, kMiB);
    CHECK(first_hole(path, log.offset) >= log.end());
    const uint64_t barriers = opened.medium->counters().barriers;
    opened.medium->release(log);
    const Segment again = *opened.medium->allocate(SegmentKind::kLog, kMiB, kMiB);
    CHECK(again.offset == log.offset);
    CHECK(opened.medium->counters().barriers == barriers);  // recycled: not zeroed a second time
    const Segment index = *opened.medium->allocate(SegmentKind::kIndex, kMiB, kMiB);
    const bool reserved_only = first_hole(path, index.offset) < index.end();
    WARN_MESSAGE(reserved_only, "this file system does not tell unwritten blocks");
  }
  OpenedMedium opened = must_open(path);
  for (int i = 0; i < 4; i++) {
    const Segment log = *opened.medium->allocate(SegmentKind::kLog, kMiB, kMiB);
    CHECK(first_hole(path, log.offset) >= log.end());
  }
}

TEST_CASE("file: a log segment is in the file durably before it is handed out, be its blocks written already") {
  const Scratch scratch = Scratch::on_disk();
  OpenedMedium opened = must_open(scratch.path("p"));
  const Segment grown = *opened.medium->allocate(SegmentKind::kIndex, kMiB, kMiB);
  const std::string bytes(grown.bytes, 'i');
  REQUIRE(opened.medium->append(grown.offset, bytes.data(), bytes.size()).is_ok());
  for (const uint64_t syncs : {1, 0}) {  // the file became longer for it; it did not since
    opened.medium->release(grown);
    const uint64_t before = SystemFaults::count(SystemCall::kFdatasync);
    const Segment log = *opened.medium->allocate(SegmentKind::kLog, kMiB, kMiB);
    CHECK(log.offset == grown.offset);
    CHECK(SystemFaults::count(SystemCall::kFdatasync) == before + syncs);
  }
}

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

TEST_CASE("file: more than the disk has is refused without trying") {
#if defined(__SANITIZE_THREAD__)
  MESSAGE("skipped: the thread sanitizer leaves less address space than a disk has");
  return;
#endif
  const Scratch scratch = Scratch::on_disk();
  OpenedMedium opened = must_open(scratch.path("p"));
  const uint64_t tries = SystemFaults::count(SystemCall::kFallocate);
  CHECK(opened.medium->allocate(SegmentKind::kLarge, 3000 * kGiB, 3000 * kGiB).status().code() == Code::kDiskFull);
  CHECK(SystemFaults::count(SystemCall::kFallocate) == tries);
  CHECK(opened.medium->allocate(SegmentKind::kLarge, 5000 * kGiB, 5000 * kGiB).status().code() == Code::kPoolFull);
  CHECK(opened.medium->allocate(SegmentKind::kLarge, UINT64_MAX, UINT64_MAX).status().code() == Code::kPoolFull);
  CHECK_FALSE(opened.medium->failed());
}

TEST_CASE("file: where fallocate does not exist the file grows by zeros") {
  const Scratch scratch = Scratch::on_disk();
  const SystemFaults::Disarm disarm;
  OpenedMedium opened = must_open(scratch.path("p"));
  SystemFaults::fail(SystemCall::kFallocate, 1, EOPNOTSUPP, 1000);
  const Segment segment = *opened.medium->allocate(SegmentKind::kLarge, 3 * kMiB, 3 * kMiB);
  CHECK(first_hole(scratch.path("p"), segment.offset) >= segment.end());
  CHECK(size_of(scratch.path("p")) >= segment.end());
  // And is cut again where it ends with no room for them.
  const uint64_t end = opened.medium->view_end();
  SystemFaults::fail(SystemCall::kPwrite, 3, ENOSPC, 1000);
  CHECK(opened.medium->allocate(SegmentKind::kLarge, 30 * kMiB, 30 * kMiB).status().code() == Code::kDiskFull);
  CHECK(opened.medium->view_end() == end);
  CHECK(size_of(scratch.path("p")) == end);
}

TEST_CASE("file: nothing is written outside of the segments") {
  const Scratch scratch = Scratch::on_disk();
  OpenedMedium opened = must_open(scratch.path("p"));
  Medium& medium = *opened.medium;
  REQUIRE(medium.allocate(SegmentKind::kLarge, kMiB, kMiB).is_ok());
  const uint64_t end = medium.view_end(), writes = SystemFaults::count(SystemCall::kPwrite);
  for (const uint64_t offset : {uint64_t{0}, kSegmentsOffset - 1, end - 4, end, end + 1, UINT64_MAX - 2}) {
    CAPTURE(offset);
    CHECK(medium.append(offset, "bytes", 5).code() == Code::kOutOfRange);
  }
  CHECK(SystemFaults::count(SystemCall::kPwrite) == writes);
  CHECK_FALSE(medium.failed());
  CHECK(medium.append(end - 5, "bytes", 5).is_ok());
}

// Whose write failed is another thread. The barrier may have covered it, so nobody may take what it covered for durable.
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

// From its sync on it counts, whichever slot it is in: what the one before it refers to may be gone.
TEST_CASE("file: a root of which the copy could not be written is the root") {
  const Scratch scratch = Scratch::on_disk();
  const SystemFaults::Disarm disarm;
  const std::string path = scratch.path("p");
  for (uint8_t value = 1; value < 6; value++) {
    CAPTURE(value);
    OpenedMedium opened = must_open(path);
    if (value % 2 == 0) REQUIRE(opened.medium->set_root(root_of(100)).is_ok());  // so that the slots change places
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
  for (const Trial& trial :
       {Trial{"append", SystemCall::kPwrite, EIO, false}, Trial{"append full", SystemCall::kPwrite, ENOSPC, false},
        Trial{"barrier", SystemCall::kFdatasync, EIO, false},
        Trial{"barrier full", SystemCall::kFdatasync, ENOSPC, false},
        Trial{"root write", SystemCall::kPwrite, EIO, true}, Trial{"root sync", SystemCall::kFdatasync, EIO, true}}) {
    CAPTURE(trial.name);
    OpenedMedium opened = must_open(scratch.path(trial.name));
    Medium& medium = *opened.medium;
    const Segment log = *medium.allocate(SegmentKind::kLog, kMiB, kMiB);
    REQUIRE(medium.set_root(root_of(1)).is_ok());
    SystemFaults::fail(trial.call, 1, trial.error);
    Status status = trial.in_root ? medium.set_root(root_of(2)) : medium.append(log.offset, "bytes", 5);
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

// The kernel marks the pages of a failed sync clean, and says so once: to this process or to another.
TEST_CASE("file: what a failed sync may have lost is read anew by the next life, also where the process was killed before it closed") {
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

TEST_CASE("file: one damaged superblock or root slot is survived, both are named") {
  const Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("p");
  must_open(path).medium->set_root(root_of(1)).is_ok();
  must_open(path).medium->set_root(root_of(2)).is_ok();
  const std::string junk(200, '\x5a');
  std::ifstream in(path, std::ios::binary);
  const std::string front((std::istreambuf_iterator<char>(in)), {});

  for (const uint64_t offset : kSuperblockOffsets) {
    for (const std::string& damage : {junk, front.substr(offset, 40) + "x"}) {
      overwrite(path, offset, damage);
      CHECK(must_open(path).medium->root().bytes[0] == 2);
      overwrite(path, 0, front);
    }
  }
  overwrite(path, 40, "x");
  overwrite(path, 4096 + 40, "x");
  Result<OpenedMedium> opened = open_file_medium(path, {});
  CHECK(opened.status().code() == Code::kCorrupt);
  CHECK(opened.status().message().find("4096") != std::string::npos);
  overwrite(path, 0, junk);
  overwrite(path, 4096, junk);
  CHECK(open_file_medium(path, {}).status().code() == Code::kCorrupt);
  overwrite(path, 0, front);

  // Both slots hold the last root: damage to one of them never brings back the one before.
  int seen = 0;
  for (const uint64_t offset : kRootSlotOffsets) {
    overwrite(path, offset + 100, junk.substr(0, 20));
    const int root = must_open(path).medium->root().bytes[0];
    CHECK(root == 2);
    seen += root;
    overwrite(path, 0, front);
  }
  CHECK(seen == 4);
  // The torn slot is the next one to be written, whichever it was.
  for (const uint64_t offset : kRootSlotOffsets) {
    overwrite(path, offset, junk);
    CHECK(must_open(path).medium->set_root(root_of(9)).is_ok());
    CHECK(must_open(path).medium->root().bytes[0] == 9);
  }
  overwrite(path, kRootSlotOffsets[0] + 100, junk.substr(0, 20));
  overwrite(path, kRootSlotOffsets[1] + 100, junk.substr(0, 20));
  opened = open_file_medium(path, {});
  CHECK(opened.status().code() == Code::kCorrupt);
  CHECK(opened.status().message().find("root slots") != std::string::npos);
}

TEST_CASE("file: superblocks of two pools in one file are refused") {
  const Scratch scratch = Scratch::on_disk();
  must_open(scratch.path("a"));
  must_open(scratch.path("b"));
  std::ifstream in(scratch.path("a"), std::ios::binary);
  const std::string other((std::istreambuf_iterator<char>(in)), {});
  overwrite(scratch.path("b"), 4096, other.substr(4096, 4096));
  CHECK(open_file_medium(scratch.path("b"), {}).status().code() == Code::kCorrupt);
}

TEST_CASE("file: a truncated pool is corrupt, wherever it was cut") {
  const Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("p");
  Segment log;
  {
    OpenedMedium opened = must_open(path);
    log = *opened.medium->allocate(SegmentKind::kLog, kMiB, kMiB);
  }
  REQUIRE(::truncate(path.c_str(), static_cast<off_t>(log.end() - 1)) == 0);
  {
    OpenedMedium opened = must_open(path);
    const Status status = opened.medium->adopt({log});
    CHECK(status.code() == Code::kCorrupt);
    CHECK(status.message().find("truncated") != std::string::npos);
  }
  for (const uint64_t size : {kSegmentsOffset - 1, uint64_t{16384}, uint64_t{8192}, uint64_t{4096}, uint64_t{128}}) {
    CAPTURE(size);
    REQUIRE(::truncate(path.c_str(), static_cast<off_t>(size)) == 0);
    Result<OpenedMedium> opened = open_file_medium(path, {});
    CHECK(opened.status().code() == Code::kCorrupt);
    CHECK(opened.status().message().find("truncated") != std::string::npos);
  }
  for (const uint64_t size : {100, 0}) {
    REQUIRE(::truncate(path.c_str(), static_cast<off_t>(size)) == 0);
    CHECK(open_file_medium(path, {}).status().code() == Code::kNotAPool);
  }
}

// Ends the creating process before each of its system calls in turn. What is left must be no pool or a whole one, and
// the next creation sweeps the rest.
TEST_CASE("file: killed anywhere in creation, there is no pool or a whole one, and no litter stays") {
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
        const bool renamed = call == SystemCall::kFsync && nth == 3;  // the folder's: the pool is whole by then
        CHECK(scratch.entries() == (renamed ? 1 : 0));
        if (renamed) ::unlink(path.c_str());
      }
    }
  }
  CHECK(failures == 2 * (5 + 3 + 1));
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

TEST_CASE("file: a process killed with SIGKILL leaves no lock; while it lives its pid is named") {
  const Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("p");
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    Result<OpenedMedium> held = open_file_medium(path, {});
    const char answer = held.is_ok() ? 'y' : 'n';
    (void)!::write(ready[1], &answer, 1);
    for (;;) ::pause();
  }
  char answer = 0;
  REQUIRE(::read(ready[0], &answer, 1) == 1);
  CHECK(answer == 'y');
  Result<OpenedMedium> refused = open_file_medium(path, {});
  CHECK(refused.status().code() == Code::kLocked);
  CHECK(refused.status().message().find("process " + std::to_string(child)) != std::string::npos);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  CHECK(must_open(path).medium != nullptr);
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_CASE("file: a hundred opens and closes leave no descriptor and no mapping") {
  const Scratch scratch = Scratch::on_disk();
  const auto lines = [](const char* file) {
    std::ifstream in(file);
    return std::count(std::istreambuf_iterator<char>(in), {}, '\n');
  };
  const auto descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
  };
  must_open(scratch.path("p"));
  const auto maps_before = lines("/proc/self/maps");
  const auto descriptors_before = descriptors();
  for (int i = 0; i < 100; i++) must_open(scratch.path("p"));
  CHECK(descriptors() == descriptors_before);
  CHECK(lines("/proc/self/maps") <= maps_before + 4);
}

TEST_CASE("file: with little address space the window is smaller, and the pool works") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  MESSAGE("skipped: a sanitizer needs more address space than this test leaves");
  return;
#endif
  const Scratch scratch = Scratch::on_disk();
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit limit = {64 * kGiB, 64 * kGiB};
    ::setrlimit(RLIMIT_AS, &limit);
    Result<OpenedMedium> opened = open_file_medium(scratch.path("p"), {});
    const bool good = opened.is_ok() && opened->medium->allocate(SegmentKind::kLog, kMiB, kMiB).is_ok();
    ::_exit(good ? 0 : 1);
  }
  int how = 0;
  REQUIRE(::waitpid(child, &how, 0) == child);
  CHECK(WEXITSTATUS(how) == 0);
}
