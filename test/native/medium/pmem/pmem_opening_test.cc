// What the medium on libpmemobj opens and what it refuses: modes, sizes, places, damage, a newer
// format, a second owner, an unclean end.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <libpmemobj.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/checksum.h"
#include "medium/pmem/pmem_child.h"
#include "medium/superblock.h"
#include "native/medium/pmem/pmem_medium_fixture.h"

namespace holdfast::test {
namespace {

void overwrite(const std::string& path, uint64_t offset, const std::string& bytes) {
  const int fd = open(path.c_str(), O_WRONLY);
  REQUIRE(fd >= 0);
  REQUIRE(pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
          static_cast<ssize_t>(bytes.size()));
  close(fd);
}

// Runs `body` in a forked child and returns its wait status.
template <typename Body>
int in_child(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return status;
}

TEST_CASE("pmem: create modes and sizes") {
  Place place;
  CHECK(status_of(place.path()).code() == Code::kNotFound);
  CHECK(status_of(place.path("no/such/folder"), options()).code() == Code::kNotFound);
  CHECK(status_of(place.path(), options(CreateMode::kIfMissing, 4 * kMiB)).code() ==
        Code::kOutOfRange);
  CHECK(status_of(place.path(), options(CreateMode::kIfMissing, ~uint64_t{0})).code() ==
        Code::kOutOfRange);
  CHECK(status_of(place.path(), options(CreateMode::kIfMissing, 16384 * kGiB)).code() ==
        Code::kDiskFull);
  CHECK(fs::is_empty(place.folder()));
  make_closed_pool(place.path());
  CHECK(status_of(place.path(), options(CreateMode::kExclusive)).code() == Code::kExists);
  CHECK(status_of(place.path(), options(CreateMode::kNever, 2 * kSmall)).code() ==
        Code::kOutOfRange);
  CHECK(status_of(place.path(), options(CreateMode::kIfMissing, kSmall)).is_ok());
  CHECK(status_of(place.folder()).code() == Code::kNotAPool);
  CHECK(std::distance(fs::directory_iterator(place.folder()), {}) == 1);
}

TEST_CASE("pmem: what a dead creator left is swept") {
  Place place;
  const int status = in_child([] {});
  REQUIRE(status == 0);
  const pid_t dead = fork();
  if (dead == 0) _exit(0);
  waitpid(dead, nullptr, 0);
  const std::string stale = place.path((".pool.holdfast-new-" + std::to_string(dead)).c_str());
  std::ofstream(stale) << "half a pool";
  make_closed_pool(place.path());
  CHECK(!fs::exists(stale));
}

TEST_CASE("pmem: an ordinary disk is refused unless forced") {
  const char* disk = std::getenv("HOLDFAST_TEST_DISK");
  Place place(disk != nullptr ? disk : "/var/tmp");
  unsetenv("PMEM_IS_PMEM_FORCE");
  const Status status = status_of(place.path(), options());
  CHECK(status.code() == Code::kMediumUnavailable);
  CHECK(status.message().find("medium 'file'") != std::string::npos);
  CHECK(fs::is_empty(place.folder()));
  setenv("PMEM_IS_PMEM_FORCE", "1", 1);
  OpenedMedium forced = open_or_fail(place.path());
  CHECK(forced.medium->info().durability == DurabilityClass::kProcess);
  forced.medium->close();
  unsetenv("PMEM_IS_PMEM_FORCE");
  CHECK(status_of(place.path()).code() == Code::kMediumUnavailable);
  setenv("PMEM_IS_PMEM_FORCE", "1", 1);
}

TEST_CASE("pmem: files that are no pools") {
  Place place;
  std::ofstream(place.path("empty")).flush();
  CHECK(status_of(place.path("empty"), options()).code() == Code::kNotAPool);
  std::ofstream(place.path("text")) << std::string(100000, 'x');
  CHECK(status_of(place.path("text"), options()).code() == Code::kNotAPool);
  CHECK(fs::file_size(place.path("text")) == 100000);
  PMEMobjpool* foreign =
      pmemobj_create(place.path("foreign").c_str(), "somebody else", kSmall, 0600);
  REQUIRE(foreign != nullptr);
  pmemobj_close(foreign);
  const Status status = status_of(place.path("foreign"));
  CHECK(status.code() == Code::kNotAPool);
  CHECK(status.message().find("another program") != std::string::npos);
}

TEST_CASE("pmem: truncated and lengthened") {
  Place place;
  for (uint64_t size :
       {uint64_t{1}, 4 * kKiB, kMiB, 8 * kMiB, kSmall - 4096, kSmall - 1, kSmall + 1}) {
    CAPTURE(size);
    const std::string path = place.path(std::to_string(size).c_str());
    make_closed_pool(path);
    fs::resize_file(path, size);
    const Code code = status_of(path).code();
    // Cut off before libpmemobj's own second page nothing says that it was one of ours.
    CHECK((code == Code::kCorrupt || (size <= 4 * kKiB && code == Code::kNotAPool)));
    fs::remove(path);
  }
}

TEST_CASE("pmem: a newer format is refused as such") {
  Place place;
  const uint64_t front = make_closed_pool(place.path());
  Superblock newer = *make_superblock(MediumKind::kPmem, kSmall);
  newer.format_version = kFormatVersion + 1;
  newer.checksum = checksum(&newer, offsetof(Superblock, checksum));
  for (uint64_t copy : kSuperblockOffsets) {
    overwrite(place.path(), front + copy,
              std::string(reinterpret_cast<char*>(&newer), sizeof newer));
  }
  CHECK(status_of(place.path()).code() == Code::kNewerFormat);
}

TEST_CASE("pmem: one damaged copy is survived and repaired, two are kCorrupt") {
  Place place;
  const uint64_t front = make_closed_pool(place.path());
  const std::string noise(256, '\x5a');
  for (int copy = 0; copy < 2; ++copy) {
    CAPTURE(copy);
    overwrite(place.path(), front + kSuperblockOffsets[copy], noise);
    CHECK(status_of(place.path()).is_ok());
    overwrite(place.path(), front + kRootSlotOffsets[copy], noise);
    CHECK(status_of(place.path()).is_ok());
  }
  CHECK(status_of(place.path()).is_ok());
  for (int copy = 0; copy < 2; ++copy)
    overwrite(place.path(), front + kRootSlotOffsets[copy], noise);
  CHECK(status_of(place.path()).code() == Code::kCorrupt);
  for (int copy = 0; copy < 2; ++copy)
    overwrite(place.path(), front + kSuperblockOffsets[copy], noise);
  CHECK(status_of(place.path()).code() == Code::kCorrupt);
}

TEST_CASE("pmem: a second owner is refused with the pid of the first; SIGKILL leaves no lock") {
  Place place;
  make_closed_pool(place.path());
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  const pid_t owner = fork();
  if (owner == 0) {
    Result<OpenedMedium> opened = open_pmem_medium(place.path(), options(CreateMode::kNever, 0));
    const bool ok = opened.is_ok() && opened->medium->adopt({}).is_ok() &&
                    opened->medium->allocate(SegmentKind::kLog, kMiB, kMiB).is_ok();
    if (write(ready[1], ok ? "y" : "n", 1) != 1) _exit(1);
    for (;;) pause();
  }
  char answer = 0;
  REQUIRE(read(ready[0], &answer, 1) == 1);
  CHECK(answer == 'y');
  const Status locked = status_of(place.path());
  CHECK(locked.code() == Code::kLocked);
  CHECK(locked.message().find(std::to_string(owner)) != std::string::npos);
  kill(owner, SIGKILL);
  waitpid(owner, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
  OpenedMedium opened =
      open_or_fail(place.path(), options(CreateMode::kNever, 0));  // checked in a child first
  REQUIRE(opened.medium->adopt({}).is_ok());
  CHECK(opened.medium->space().free == opened.medium->space().capacity);
  CHECK(opened.medium->info().durability_reason.find("without the check") == std::string::npos);
  const Status again = status_of(place.path());  // twice in one process
  CHECK(again.code() == Code::kLocked);
  CHECK(again.message().find(std::to_string(getpid())) != std::string::npos);
}

TEST_CASE("pmem: after an unclean end, damage to libpmemobj's own part is kCorrupt, not a crash") {
  Place place;
  const uint64_t front = make_closed_pool(place.path("sound"));
  std::ifstream file(place.path("sound"), std::ios::binary);
  std::string head(front, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  const size_t heap =
      head.find("MEMORY_HEAP_HDR");  // libpmemobj's own mark; the first zone's headers follow it
  REQUIRE(heap != std::string::npos);
  std::string in_use(8, '\0');
  store(in_use.data(), kPmemInUse);
  overwrite(place.path("sound"), front + kPmemUseMarkOffset, in_use);
  CHECK(status_of(place.path("sound")).is_ok());
  int refused = 0;
  for (uint64_t offset = heap; offset < heap + 3 * kKiB; offset += 128) {
    const std::string path = place.path("damaged");
    fs::copy_file(place.path("sound"), path, fs::copy_options::overwrite_existing);
    overwrite(path, front + kPmemUseMarkOffset, in_use);
    overwrite(path, offset, std::string(128, '\xa7'));
    const Code code = status_of(path).code();
    CHECK((code == Code::kOk || code == Code::kCorrupt));
    refused += code == Code::kCorrupt;
  }
  CHECK(refused > 0);
}

TEST_CASE("pmem: a check that hangs, dies, or is not there") {
  Place place;
  make_closed_pool(place.path());
  const auto script = [&](const char* name, const char* text) {
    std::ofstream(place.path(name)) << "#!/bin/sh\n" << text << "\n";
    chmod(place.path(name).c_str(), 0755);
    return place.path(name);
  };
  const Status hangs = probe_pool_in_child(script("hangs", "exec sleep 60"), place.path(), 100);
  CHECK(hangs.code() == Code::kCorrupt);
  CHECK(hangs.message().find("100 ms") != std::string::npos);
  CHECK(probe_pool_in_child(script("dies", "kill -SEGV $$"), place.path(), 5000).code() ==
        Code::kCorrupt);
  CHECK(probe_pool_in_child(script("killed", "kill -KILL $$"), place.path(), 5000).code() ==
        Code::kIo);
  CHECK(probe_pool_in_child(script("quiet", "exit 0"), place.path(), 5000).code() ==
        Code::kCorrupt);
  CHECK(probe_pool_in_child(script("says", "echo no >&2; exit 1"), place.path(), 5000)
            .message()
            .find("said: no") != std::string::npos);
  CHECK(probe_pool_in_child(place.path("absent"), place.path(), 5000).code() == Code::kIo);
  REQUIRE(!pmem_probe_program().empty());
  CHECK(probe_pool_in_child(pmem_probe_program(), place.path(), 5000).is_ok());
}

}  // namespace
}  // namespace holdfast::test
