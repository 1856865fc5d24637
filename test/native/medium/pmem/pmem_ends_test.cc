// The medium on persistent memory at its edges: writes outside of the pool, memory that fails under
// a commit's fence, and a creation whose sync fails.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "medium/open_medium.h"
#include "native/scratch.h"
#include "native/system_faults.h"

namespace holdfast::test {
namespace {

Result<OpenedMedium> open_pmem(const std::string& path, bool grow = false) {
  MediumOptions options;
  options.choice = MediumChoice::kPmem;
  options.size = grow ? 64 * kMiB : 40 * kMiB;
  options.grow = grow;
  return open_medium(path, options);
}

}  // namespace

TEST_CASE("pmem: nothing is written outside of the pool") {
  if (!Scratch::memory_is_there()) return;
  const Scratch scratch = Scratch::in_memory();
  auto opened = open_pmem(scratch.path("p"));
  REQUIRE_MESSAGE(opened.is_ok(), opened.status().message());
  Medium& medium = *opened->medium;
  const uint64_t end = medium.view_end();
  for (const uint64_t offset : {end - 4, end, end + 1, UINT64_MAX - 2}) {
    CAPTURE(offset);
    CHECK_FALSE(medium.append(offset, "bytes", 5).is_ok());
  }
}

TEST_CASE(
    "pmem: a creation whose sync fails is an error and leaves nothing, or the whole pool once it "
    "has its name") {
  if (!Scratch::memory_is_there()) return;
  const SystemFaults::Disarm disarm;
  for (const bool grow : {false, true}) {
    CAPTURE(grow);
    const Scratch scratch = Scratch::in_memory();
    int failures = 0;
    for (uint64_t nth = 1; nth < 10; nth++) {
      SystemFaults::fail(SystemCall::kFsync, nth, EIO);
      auto made = open_pmem(scratch.path("p"), grow);
      SystemFaults::disarm();
      if (made.is_ok()) break;
      failures++;
      // The last of them is that of the folder, behind the renaming; in front of it that of the
      // pool.
      const bool named = ::access(scratch.path("p").c_str(), F_OK) == 0;
      CAPTURE(nth);
      CHECK(scratch.entries() == (named ? 1 : 0));
      CHECK((nth > 1 || !named));
      ::unlink(scratch.path("p").c_str());
    }
    CHECK(failures >= 2);
  }
}

// The bytes of a commit that is on its way when its page fails may have gone nowhere.
TEST_CASE("pmem: memory that fails under a commit's fence is an error of that commit") {
  if (!Scratch::memory_is_there()) return;
  const Scratch scratch = Scratch::in_memory();
  const std::string path = scratch.path("p");
  const pid_t child = ::fork();
  if (child == 0) {
    auto opened = open_pmem(path);
    if (!opened.is_ok()) ::_exit(2);
    Medium& medium = *opened->medium;
    auto segment = medium.allocate(SegmentKind::kLog, kMiB, kMiB);
    if (!segment.is_ok()) ::_exit(3);
    struct CutOff final : Medium::Meanwhile {
      std::string path;
      const uint8_t* last;
      void run() override {
        if (::truncate(path.c_str(), 5 * kMiB) != 0) ::_exit(4);
        (void)*static_cast<const volatile uint8_t*>(last);
      }
    } cut_off;
    cut_off.path = path;
    cut_off.last = medium.view() + medium.view_end() - 1;
    const Status status = medium.append_fenced(segment->offset, "bytes", 5, cut_off);
    ::_exit(medium.failed() && status.code() == Code::kIo ? 0 : 5);
  }
  int how = 0;
  REQUIRE(::waitpid(child, &how, 0) == child);
  CHECK(WIFEXITED(how));
  CHECK(WEXITSTATUS(how) == 0);
}

}  // namespace holdfast::test
