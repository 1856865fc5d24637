// The file medium on a real disk: its calls, growth, written blocks, sizes, damage to its file's
// front pages, and its owner.
#include "medium/file_medium.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "native/medium/file_medium_fixture.h"
#include "native/scratch.h"
#include "native/system_faults.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

void overwrite(const std::string& path, uint64_t offset, const std::string& bytes) {
  const int fd = ::open(path.c_str(), O_RDWR);
  REQUIRE(fd >= 0);
  CHECK(::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
        static_cast<ssize_t>(bytes.size()));
  ::close(fd);
}

uint64_t mapped_bytes() {
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * kPageBytes;
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
  const uint64_t writes = SystemFaults::count(SystemCall::kPwrite),
                 syncs = SystemFaults::count(SystemCall::kFdatasync);
  for (uint64_t i = 1; i <= 10; i++) {
    REQUIRE(opened.medium->append(log.offset + i * 8192, record.data(), record.size()).is_ok());
    REQUIRE(opened.medium->barrier().is_ok());
    CHECK(SystemFaults::count(SystemCall::kPwrite) == writes + i);
    CHECK(SystemFaults::count(SystemCall::kFdatasync) == syncs + i);
  }
  CHECK(SystemFaults::count(SystemCall::kAny) == before + 20);
}

TEST_CASE(
    "file: what somebody has removed keeps nothing, and says so at the next root, and at a barrier "
    "when it looks again") {
  const Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("p"), other = scratch.path("other");
  OpenedMedium opened = must_open(path);
  REQUIRE(opened.medium->set_root(root_of(1)).is_ok());
  // Another name is as good, wherever it is.
  REQUIRE(::link(path.c_str(), other.c_str()) == 0);
  REQUIRE(::unlink(path.c_str()) == 0);
  CHECK(opened.medium->set_root(root_of(2)).is_ok());
  SUBCASE("a root") {
    REQUIRE(::unlink(other.c_str()) == 0);
    CHECK(opened.medium->set_root(root_of(3)).code() == Code::kIo);
  }
  SUBCASE("a barrier") {
    CHECK(opened.medium->barrier().is_ok());
    REQUIRE(::unlink(other.c_str()) == 0);
    ::usleep(250'000);  // it looks ten times a second
    CHECK(opened.medium->barrier().code() == Code::kIo);
  }
  CHECK(opened.medium->failed());
  CHECK(opened.medium->barrier().code() == Code::kFailed);
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
    REQUIRE(
        opened.medium->append(segment.end() - 4096, std::string(4096, 'e').data(), 4096).is_ok());
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
  CHECK(opened.medium->largest_free() == 0);
  CHECK(size_of(scratch.path("p")) == 5 * kMiB);
  opened.medium->close();
  CHECK(must_open(scratch.path("p"), sized(5 * kMiB + 2000)).medium->space().capacity ==
        5 * kMiB - kSegmentsOffset);
  CHECK(open_file_medium(scratch.path("p"), sized(6 * kMiB)).status().code() == Code::kOutOfRange);
}

TEST_CASE("file: a size that cannot be is refused before anything is made") {
  const Scratch scratch = Scratch::on_disk();
  for (const uint64_t size :
       {uint64_t{1}, kMinFilePoolBytes - 1, kMaxFilePoolBytes + 1, UINT64_MAX}) {
    CHECK(open_file_medium(scratch.path("p"), sized(size)).status().code() == Code::kOutOfRange);
  }
  CHECK(scratch.entries() == 0);
  must_open(scratch.path("p"));
  CHECK(open_file_medium(scratch.path("p"), sized(4 * kMiB)).status().code() == Code::kOutOfRange);
}

TEST_CASE(
    "file: a log segment is of written blocks, also where another kind was never written, also "
    "after a reopen") {
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

TEST_CASE(
    "file: a log segment is in the file durably before it is handed out, be its blocks written "
    "already") {
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

TEST_CASE("file: more than the disk has is refused without trying") {
#if defined(__SANITIZE_THREAD__)
  MESSAGE("skipped: the thread sanitizer leaves less address space than a disk has");
  return;
#endif
  const Scratch scratch = Scratch::on_disk();
  OpenedMedium opened = must_open(scratch.path("p"));
  const uint64_t tries = SystemFaults::count(SystemCall::kFallocate);
  CHECK(opened.medium->allocate(SegmentKind::kLarge, 3000 * kGiB, 3000 * kGiB).status().code() ==
        Code::kDiskFull);
  CHECK(SystemFaults::count(SystemCall::kFallocate) == tries);
  CHECK(opened.medium->allocate(SegmentKind::kLarge, 5000 * kGiB, 5000 * kGiB).status().code() ==
        Code::kPoolFull);
  CHECK(opened.medium->allocate(SegmentKind::kLarge, UINT64_MAX, UINT64_MAX).status().code() ==
        Code::kPoolFull);
  CHECK_FALSE(opened.medium->failed());
}

TEST_CASE("file: nothing is written outside of the segments") {
  const Scratch scratch = Scratch::on_disk();
  OpenedMedium opened = must_open(scratch.path("p"));
  Medium& medium = *opened.medium;
  REQUIRE(medium.allocate(SegmentKind::kLarge, kMiB, kMiB).is_ok());
  const uint64_t end = medium.view_end(), writes = SystemFaults::count(SystemCall::kPwrite);
  for (const uint64_t offset :
       {uint64_t{0}, kSegmentsOffset - 1, end - 4, end, end + 1, UINT64_MAX - 2}) {
    CAPTURE(offset);
    CHECK(medium.append(offset, "bytes", 5).code() == Code::kOutOfRange);
  }
  CHECK(SystemFaults::count(SystemCall::kPwrite) == writes);
  CHECK_FALSE(medium.failed());
  CHECK(medium.append(end - 5, "bytes", 5).is_ok());
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
  for (const uint64_t size :
       {kSegmentsOffset - 1, uint64_t{16384}, uint64_t{8192}, uint64_t{4096}, uint64_t{128}}) {
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

// As a thread that starts a child has it, until the child has become another program.
TEST_CASE("file: a pool that was closed can be opened beside a child that has its descriptors") {
  const Scratch scratch = Scratch::on_disk();
  OpenedMedium opened = must_open(scratch.path("p"));
  const pid_t child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  CHECK(open_file_medium(scratch.path("p"), {}).status().code() == Code::kLocked);
  opened.medium->close();
  const Result<OpenedMedium> again = open_file_medium(scratch.path("p"), {});
  CHECK_MESSAGE(again.is_ok(), again.status().message());
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST_CASE("file: a hundred opens and closes leave no descriptor and no mapping") {
  const Scratch scratch = Scratch::on_disk();
  const auto lines = [](const char* file) {
    std::ifstream in(file);
    return std::count(std::istreambuf_iterator<char>(in), {}, '\n');
  };
  const auto descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                         std::filesystem::directory_iterator());
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
    const uint64_t most =
        mapped_bytes() + 64 * kGiB;  // what other cases have left mapped is not this one's
    const rlimit limit = {most, most};
    ::setrlimit(RLIMIT_AS, &limit);
    Result<OpenedMedium> opened = open_file_medium(scratch.path("p"), {});
    const bool good =
        opened.is_ok() && opened->medium->allocate(SegmentKind::kLog, kMiB, kMiB).is_ok();
    ::_exit(good ? 0 : 1);
  }
  int how = 0;
  REQUIRE(::waitpid(child, &how, 0) == child);
  CHECK(WEXITSTATUS(how) == 0);
}
