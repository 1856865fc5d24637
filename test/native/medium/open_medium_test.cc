// The door: what is told apart, chosen and refused; and places where a pool cannot be.
#include "medium/open_medium.h"

#include <doctest/doctest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "base/checksum.h"
#include "format/layout.h"
#include "medium/pool_file.h"
#include "native/own_mounts.h"
#include "native/scratch.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

MediumOptions with(MediumChoice choice, CreateMode create = CreateMode::kIfMissing) {
  MediumOptions options;
  options.choice = choice;
  options.create = create;
  return options;
}

Code code_of_opening(const std::string& path, const MediumOptions& options = {}) {
  return open_medium(path, options).status().code();
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string((std::istreambuf_iterator<char>(in)), {});
}

void must_make(const std::string& path, uint64_t size = 0) {
  MediumOptions options = with(MediumChoice::kFile);
  options.size = size;
  Result<OpenedMedium> made = open_medium(path, options);
  INFO(made.status().message());
  REQUIRE(made.is_ok());
}

}  // namespace

TEST_CASE("open: what is no pool is said to be none, and is not touched") {
  const Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("p");
  for (const std::string& content :
       {std::string(), std::string("x"), std::string(5000, 'x'), std::string(200000, '\0'),
        std::string("SQLite format 3\0", 16) + std::string(10000, 'q')}) {
    for (const MediumChoice choice : {MediumChoice::kAuto, MediumChoice::kFile}) {
      write_file(path, content);
      Result<OpenedMedium> opened = open_medium(path, with(choice));
      CHECK(opened.status().code() == Code::kNotAPool);
      CHECK(opened.status().message().find(path) != std::string::npos);
      CHECK(read_file(path) == content);
    }
  }
  CHECK(code_of_opening(scratch.folder()) == Code::kNotAPool);
  CHECK(code_of_opening(scratch.folder() + "/") == Code::kNotAPool);
  CHECK(code_of_opening(scratch.path("new/")) == Code::kNotAPool);
  CHECK(code_of_opening("/dev/null") == Code::kNotAPool);
  REQUIRE(::mkfifo(scratch.path("fifo").c_str(), 0644) == 0);
  CHECK(code_of_opening(scratch.path("fifo")) == Code::kNotAPool);
}

TEST_CASE("open: paths that lead nowhere") {
  const Scratch scratch = Scratch::on_disk();
  CHECK(code_of_opening("") == Code::kInvalidArgument);
  CHECK(code_of_opening(std::string("a\0b", 3)) == Code::kInvalidArgument);
  CHECK(code_of_opening(scratch.path(std::string(300, 'n'))) == Code::kInvalidArgument);
  Result<OpenedMedium> opened = open_medium(scratch.path("no/such/p"), {});
  CHECK(opened.status().code() == Code::kNotFound);
  CHECK(opened.status().message().find("folder") != std::string::npos);
  write_file(scratch.path("file"), "x");
  CHECK(code_of_opening(scratch.path("file/p")) == Code::kNotFound);
  REQUIRE(::symlink("gone", scratch.path("dangling").c_str()) == 0);
  CHECK(code_of_opening(scratch.path("dangling")) == Code::kNotFound);
  must_make(scratch.path("p"));
  REQUIRE(::symlink("p", scratch.path("link").c_str()) == 0);
  CHECK(open_medium(scratch.path("link"), {}).is_ok());
}

TEST_CASE("open: create modes") {
  const Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("p");
  CHECK(code_of_opening(path, with(MediumChoice::kFile, CreateMode::kNever)) == Code::kNotFound);
  CHECK(scratch.entries() == 0);
  CHECK(open_medium(path, with(MediumChoice::kFile, CreateMode::kExclusive))->created);
  CHECK(code_of_opening(path, with(MediumChoice::kFile, CreateMode::kExclusive)) == Code::kExists);
  CHECK_FALSE(open_medium(path, with(MediumChoice::kAuto, CreateMode::kNever))->created);
  write_file(scratch.path("foreign"), "x");
  CHECK(code_of_opening(scratch.path("foreign"),
                        with(MediumChoice::kFile, CreateMode::kExclusive)) == Code::kExists);
}

TEST_CASE("open: a newer format is told from damage, with both versions") {
  const Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("p");
  must_make(path);
  const auto rewrite = [&](uint32_t version) {
    std::string bytes = read_file(path);
    for (const uint64_t offset : kSuperblockOffsets) {
      Superblock superblock = load<Superblock>(bytes.data() + offset);
      superblock.format_version = version;
      superblock.checksum = checksum(&superblock, offsetof(Superblock, checksum));
      store(bytes.data() + offset, superblock);
    }
    write_file(path, bytes);
  };
  rewrite(kFormatVersion + 6);
  Result<OpenedMedium> opened = open_medium(path, {});
  CHECK(opened.status().code() == Code::kNewerFormat);
  CHECK(opened.status().message().find(std::to_string(kFormatVersion + 6)) != std::string::npos);
  CHECK(opened.status().message().find(std::to_string(kFormatVersion)) != std::string::npos);
  rewrite(0);
  CHECK(code_of_opening(path) == Code::kCorrupt);
  rewrite(kFormatVersion);
  CHECK(open_medium(path, {}).is_ok());
}

TEST_CASE("open: a pool of one medium cannot be opened as the other") {
  const Scratch scratch = Scratch::on_disk();
  must_make(scratch.path("file"));
  Result<OpenedMedium> opened = open_medium(scratch.path("file"), with(MediumChoice::kPmem));
  CHECK(opened.status().code() == Code::kMediumUnavailable);
  CHECK(opened.status().message().find("'file'") != std::string::npos);
  write_file(scratch.path("pmem"), std::string("PMEMOBJ\0", 8) + std::string(100000, '\0'));
  CHECK(code_of_opening(scratch.path("pmem"), with(MediumChoice::kFile)) ==
        Code::kMediumUnavailable);
  Result<PlaceReport> report = probe_place(scratch.path("pmem"));
  REQUIRE(report.is_ok());
  CHECK(report->exists);
  CHECK(std::strcmp(report->pool_medium, "pmem") == 0);
  CHECK(std::strcmp(report->choice, "pmem") == 0);
}

#ifndef HOLDFAST_WITH_PMEM
TEST_CASE("open: without libpmemobj the message says what to install") {
  const Scratch scratch = Scratch::on_disk();
  write_file(scratch.path("pmem"), std::string("PMEMOBJ\0", 8) + std::string(100000, '\0'));
  for (const Result<OpenedMedium>& opened :
       {open_medium(scratch.path("pmem"), {}),
        open_medium(scratch.path("new"), with(MediumChoice::kPmem))}) {
    CHECK(opened.status().code() == Code::kMediumUnavailable);
    CHECK(opened.status().message().find("libpmemobj-dev") != std::string::npos);
    CHECK(opened.status().message().find("rebuild") != std::string::npos);
  }
  CHECK(scratch.entries() == 1);
}
#endif

TEST_CASE("open: a disk gives class power, memory gives class process and refuses more") {
  const Scratch disk = Scratch::on_disk();
  Result<PlaceReport> on_disk = probe_place(disk.path("p"));
  REQUIRE(on_disk.is_ok());
  CHECK(disk.entries() == 0);
  CHECK_FALSE(on_disk->exists);
  CHECK(on_disk->writable);
  CHECK_FALSE(on_disk->device_dax);
  CHECK_FALSE(on_disk->reason.empty());
  if (on_disk->file_system == "ext4" && !on_disk->map_sync) {
    CHECK(on_disk->durability == DurabilityClass::kPower);
    CHECK(std::strcmp(on_disk->choice, "file") == 0);
    MediumOptions options;
    options.at_least = DurabilityClass::kPower;
    Result<OpenedMedium> opened = open_medium(disk.path("p"), options);
    REQUIRE(opened.is_ok());
    CHECK(opened->medium->info().durability == DurabilityClass::kPower);
    CHECK(std::strcmp(opened->medium->info().name, "file") == 0);
  }
  if (!Scratch::memory_is_there()) {
    MESSAGE("skipped: there is no /dev/shm here");
    return;
  }
  const Scratch memory = Scratch::in_memory();
  Result<PlaceReport> in_memory = probe_place(memory.folder());
  REQUIRE(in_memory.is_ok());
  CHECK(in_memory->file_system == "tmpfs");
  CHECK(in_memory->durability == DurabilityClass::kProcess);
  MediumOptions options;
  options.at_least = DurabilityClass::kPower;
  CHECK(code_of_opening(memory.path("p"), options) == Code::kDurability);
  CHECK(memory.entries() == 0);
  {
    Result<OpenedMedium> opened = open_medium(memory.path("p"), {});
    REQUIRE(opened.is_ok());
    CHECK(opened->medium->info().durability == DurabilityClass::kProcess);
    CHECK(opened->medium->info().durability_reason.find("tmpfs") != std::string::npos);
  }
  CHECK(code_of_opening(memory.path("p"), options) == Code::kDurability);
}

TEST_CASE("open: PMEM_IS_PMEM_FORCE alone changes neither the choice nor the class") {
  const Scratch scratch = Scratch::on_disk();
  const char* const before = std::getenv("PMEM_IS_PMEM_FORCE");
  const std::string kept = before ? before : "";
  ::unsetenv("PMEM_IS_PMEM_FORCE");
  Result<PlaceReport> plain = probe_place(scratch.folder());
  ::setenv("PMEM_IS_PMEM_FORCE", "1", 1);
  Result<PlaceReport> forced = probe_place(scratch.folder());
  {
    Result<OpenedMedium> opened = open_medium(scratch.path("p"), {});
    REQUIRE(opened.is_ok());
    CHECK(std::string(opened->medium->info().name) == plain->choice);
  }
  before ? ::setenv("PMEM_IS_PMEM_FORCE", kept.c_str(), 1) : ::unsetenv("PMEM_IS_PMEM_FORCE");
  REQUIRE(plain.is_ok());
  REQUIRE(forced.is_ok());
  CHECK_FALSE(plain->pmem_forced);
  CHECK(forced->pmem_forced);
  CHECK(std::strcmp(plain->choice, forced->choice) == 0);
  CHECK(plain->durability == forced->durability);
}

TEST_CASE("open: probing an existing pool and a missing folder") {
  const Scratch scratch = Scratch::on_disk();
  must_make(scratch.path("p"));
  Result<PlaceReport> report = probe_place(scratch.path("p"));
  REQUIRE(report.is_ok());
  CHECK(report->exists);
  CHECK(std::strcmp(report->pool_medium, "file") == 0);
  CHECK(std::strcmp(report->choice, "file") == 0);
  CHECK(scratch.entries() == 1);
  CHECK(probe_place(scratch.path("no/such/p")).status().code() == Code::kNotFound);
}

TEST_CASE("open: without permission") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: only root can become nobody");
    return;
  }
  if (!Scratch::memory_is_there()) {
    MESSAGE("skipped: there is no /dev/shm here");
    return;
  }
  const Scratch scratch = Scratch::in_memory();  // a place whose parents anybody may pass
  must_make(scratch.path("pool"));
  REQUIRE(::chmod(scratch.path("pool").c_str(), 0600) == 0);
  must_make(scratch.path("read-only"));
  REQUIRE(::chmod(scratch.path("read-only").c_str(), 0444) == 0);
  const int answer = in_child([&] {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) return 100;
    if (code_of_opening(scratch.path("pool"), with(MediumChoice::kFile)) != Code::kPermission)
      return 1;
    if (code_of_opening(scratch.path("read-only"), with(MediumChoice::kFile)) != Code::kPermission)
      return 2;
    if (code_of_opening(scratch.path("new"), with(MediumChoice::kFile)) != Code::kPermission)
      return 3;
    if (code_of_opening(scratch.path("new")) != Code::kPermission) return 4;
    Result<PlaceReport> report = probe_place(scratch.folder());
    if (!report.is_ok() || report->writable) return 5;
    return 0;
  });
  CHECK(answer == 0);
}

static bool says(const PlaceReport& report, const char* what) {
  return report.reason.find(what) != std::string::npos;
}

TEST_CASE("open: on a read-only file system, and on a full one") {
  const Scratch scratch = Scratch::on_disk();
  const std::string mounted = scratch.path("mounted");
  REQUIRE(::mkdir(mounted.c_str(), 0755) == 0);
  const int answer = in_child([&] {
    if (!has_own_mounts()) return kMayNotMount;
    if (::mount("tmpfs", mounted.c_str(), "tmpfs", 0, "size=1m") != 0) return kMayNotMount;
    const std::string pool = mounted + "/pool";
    {
      Result<OpenedMedium> made = open_medium(pool, with(MediumChoice::kFile));
      if (!made.is_ok()) return 1;
      Medium& medium = *made->medium;
      const Result<Segment> too_much = medium.allocate(SegmentKind::kLog, 4 * kMiB, 4 * kMiB);
      if (too_much.status().code() != Code::kDiskFull) return 2;
      const Result<Segment> enough = medium.allocate(SegmentKind::kLog, 64 * kKiB, 512 * kKiB);
      if (!enough.is_ok() || !medium.append(enough.value().offset, "x", 1).is_ok() ||
          !medium.barrier().is_ok())
        return 3;
      while (medium.allocate(SegmentKind::kLog, 64 * kKiB, 64 * kKiB).is_ok()) {
      }
      if (medium.failed()) return 4;
    }
    // Full to the last byte: creation fails and leaves nothing.
    std::ofstream filler(mounted + "/filler", std::ios::binary);
    filler << std::string(kMiB, 'f') << std::flush;
    if (open_medium(mounted + "/second", with(MediumChoice::kFile)).status().code() !=
        Code::kDiskFull)
      return 5;
    size_t entries = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(mounted))
      entries++;
    if (entries != 2) return 6;
    filler.close();
    if (::mount(nullptr, mounted.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0) return 7;
    if (code_of_opening(pool, with(MediumChoice::kFile)) != Code::kReadOnly) return 8;
    if (code_of_opening(pool) != Code::kReadOnly) return 9;
    if (code_of_opening(mounted + "/new", with(MediumChoice::kFile)) != Code::kReadOnly) return 10;
    Result<PlaceReport> report = probe_place(mounted);
    if (!report.is_ok() || report->writable || !says(*report, "no pool can be made")) return 11;
    report = probe_place(pool);
    if (!report.is_ok() || !says(*report, "open the pool with readOnly")) return 12;
    return 0;
  });
  if (answer == kMayNotMount) {
    MESSAGE("skipped: mounting needs root");
    return;
  }
  CHECK(answer == 0);
}

// Two processes that make the same pool: the second to have it ready finds the first one's under
// the name.
TEST_CASE("open: a new pool does not take the place of what came meanwhile") {
  const Scratch scratch;
  std::ofstream(scratch.path("made")) << "mine";
  std::ofstream(scratch.path("p")) << "theirs";
  CHECK(publish_file(scratch.path("made"), scratch.path("p")).code() == Code::kExists);
  CHECK(bytes_of_file(scratch.path("p")) == "theirs");
  CHECK(bytes_of_file(scratch.path("made")) == "mine");
  REQUIRE(publish_file(scratch.path("made"), scratch.path("q")).is_ok());
  CHECK(bytes_of_file(scratch.path("q")) == "mine");
  CHECK(scratch.entries() == 2);
}
