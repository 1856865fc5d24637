// Another size for a pool: in place and by copying, and a kill at every step of both.
#include "engine/copies/resize.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>

#include "medium/file_medium.h"
#include "medium/pool_file.h"
#include "medium/superblock.h"
#include "native/killed_child.h"
#include "native/pool_fixture.h"
#include "native/system_faults.h"

namespace holdfast::test {
namespace {

using Contents = std::map<std::string, std::string>;

PoolOptions sized(uint64_t size, bool pmem = false) {
  PoolOptions options;
  options.medium.choice = pmem ? MediumChoice::kPmem : MediumChoice::kFile;
  options.medium.size = size;
  return options;
}

std::shared_ptr<Pool> must(Result<std::shared_ptr<Pool>> opened) {
  INFO(opened.status().message());
  REQUIRE(opened.is_ok());
  return *opened;
}

uint64_t fill(Pool& pool, uint64_t most) {
  for (uint64_t i = 0; i < most; i++) {
    Status done = std::move(
        try_put(pool, "k" + std::to_string(i), std::string(100000, static_cast<char>('a' + i % 26)))
            .status());
    if (!done.is_ok()) {
      CHECK(done.code() == Code::kPoolFull);
      return i;
    }
  }
  return most;
}

uint64_t file_bytes(const std::string& path) {
  struct stat found;
  return ::stat(path.c_str(), &found) == 0 ? static_cast<uint64_t>(found.st_size) : 0;
}

}  // namespace

// Points are armed when a process begins: the one to be killed is this program, run again for that
// alone (main.cc).
int resize_child(const char* job) {
  char* rest = nullptr;
  const uint64_t size = std::strtoull(job + 1, &rest, 10);
  const std::string path = rest + 1;
  if (job[0] == 'c') {
    (void)resize_by_copy(path, size, nullptr, nullptr).is_ok();
  } else {
    auto opened = Pool::open(path, sized(0));
    if (opened.is_ok()) (void)(*opened)->resize(size).is_ok();
  }
  return 7;  // the point was not met
}

TEST_CASE(
    "a file of fixed size is made larger while it is open, and smaller where nothing is beyond") {
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("pool");
  auto pool = must(Pool::open(path, sized(8 * kMiB)));
  const uint64_t fitted = fill(*pool, 1000);
  CHECK(fitted < 80);
  REQUIRE(pool->resize(32 * kMiB).is_ok());
  CHECK(pool->stats().capacity_bytes > 31 * kMiB);
  CHECK(fill(*pool, 200) == 200);
  const Contents all = contents(*pool);
  Status refused = pool->resize(16 * kMiB);
  CHECK(refused.code() == Code::kPoolFull);
  CHECK(contents(*pool) == all);
  CHECK(fill(*pool, 200) == 200);
  REQUIRE(pool->close().is_ok());
  pool = must(Pool::open(path, sized(32 * kMiB)));
  CHECK(contents(*pool) == all);
  REQUIRE(pool->resize(0).is_ok());
  REQUIRE(pool->resize(256 * kMiB).is_ok());
  REQUIRE(pool->resize(128 * kMiB).is_ok());
  CHECK(pool->resize(1).code() == Code::kOutOfRange);
  CHECK(contents(*pool) == all);
  REQUIRE(pool->close().is_ok());
  CHECK(Pool::open(path, sized(32 * kMiB)).status().code() == Code::kOutOfRange);
  pool = must(Pool::open(path, sized(0)));
  CHECK(contents(*pool) == all);
  CHECK(damages(*pool) == std::vector<std::string>());
}

TEST_CASE(
    "a pool is copied into another size: all is there, commits are numbered on, the mode is kept") {
  const auto run = [](bool pmem) {
    Scratch scratch = pmem ? Scratch::in_memory() : Scratch::on_disk();
    const std::string path = scratch.path("pool");
    auto pool = must(Pool::open(path, sized(64 * kMiB, pmem)));
    fill(*pool, 100);
    put(*pool, "large", std::string(3000000, 'L'));
    put(*pool, "empty", "");
    std::string region(1500000, '\0');
    for (size_t i = 1200000; i < region.size(); i++) region[i] = static_cast<char>(i * 7 % 251);
    Batch made;
    REQUIRE(made.region_size(5, region.size(), "vectors").is_ok());
    REQUIRE(made.region_write(5, 1200000, Bytes(region).substr(1200000)).is_ok());
    REQUIRE(pool->commit(made, CommitMode::kDurable).is_ok());
    const Contents all = contents(*pool);
    const uint64_t epoch = pool->stats().epoch;
    CHECK(resize_by_copy(path, 40 * kMiB, nullptr, nullptr).status().code() == Code::kLocked);
    REQUIRE(pool->close().is_ok());
    pool = nullptr;
    REQUIRE(::chmod(path.c_str(), 0640) == 0);
    if (!pmem) {
      CHECK(resize_by_copy(path, 4 * kMiB, nullptr, nullptr).status().code() ==
            Code::kPoolFull);  // not all of it fits
    }
    for (const uint64_t size : {40 * kMiB, 96 * kMiB}) {
      auto copied = resize_by_copy(path, size, nullptr, nullptr);
      INFO(copied.status().message());
      REQUIRE(copied.is_ok());
      CHECK(copied->entries == all.size());
      CHECK(file_bytes(path) <= size);
      pool = must(Pool::open(path, sized(size, pmem)));
      CHECK(contents(*pool) == all);
      std::string read(region.size(), 'x');
      REQUIRE(pool->region_read(5, 0, read.size(), reinterpret_cast<uint8_t*>(read.data()), nullptr)
                  .is_ok());
      CHECK(read == region);
      CHECK(pool->region_info(5, nullptr)->name == "vectors");
      CHECK(pool->stats().epoch > epoch);
      CHECK(damages(*pool) == std::vector<std::string>());
      REQUIRE(pool->close().is_ok());
      pool = nullptr;
    }
    struct stat found;
    REQUIRE(::stat(path.c_str(), &found) == 0);
    CHECK((found.st_mode & 0777) == 0640);
    std::atomic<bool> cancelled{true};
    CHECK(resize_by_copy(path, 64 * kMiB, &cancelled, nullptr).status().code() == Code::kAborted);
    size_t left = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(scratch.folder()))
      left++;
    CHECK(left == 1);
  };
  SUBCASE("file") { run(false); }
  SUBCASE("pmem") {
#ifdef HOLDFAST_WITH_PMEM
    run(true);
#endif
  }
}

TEST_CASE(
    "a new size is told only when it is durable: at each of its syncs that fails it is an error, "
    "and a reopen has one size or the other") {
  const SystemFaults::Disarm disarm;
  for (const uint64_t size : {32 * kMiB, 12 * kMiB}) {
    // One superblock, the other, and what was cut off.
    for (uint64_t n = 1; n <= 4; n++) {
      INFO(size << " at sync " << n);
      Scratch scratch = Scratch::on_disk();
      MediumOptions options;
      options.size = 16 * kMiB;
      auto opened = open_file_medium(scratch.path("pool"), options);
      REQUIRE(opened.is_ok());
      SystemFaults::fail(SystemCall::kFdatasync, n, EIO);
      const Status resized = opened->medium->resize(size);
      SystemFaults::disarm();
      CHECK(resized.code() == (n <= 3 ? Code::kIo : Code::kOk));
      CHECK(opened->medium->failed() == (n <= 3));
      opened->medium->close();
      auto again = open_file_medium(scratch.path("pool"), {});
      INFO(again.status().message());
      REQUIRE(again.is_ok());
      const uint64_t capacity = again->medium->space().capacity + kSegmentsOffset;
      CHECK((capacity == size || (n <= 3 && capacity == 16 * kMiB)));
    }
  }
}

TEST_CASE(
    "a superblock that a power cut tore in a resize is made whole at opening; one that is damaged "
    "elsewhere is named") {
  const auto change = [](const std::string& path, int copy,
                         const std::function<void(Superblock*)>& make) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    Superblock superblock;
    file.seekg(static_cast<std::streamoff>(kSuperblockOffsets[copy]));
    file.read(reinterpret_cast<char*>(&superblock), sizeof superblock);
    make(&superblock);
    file.seekp(static_cast<std::streamoff>(kSuperblockOffsets[copy]));
    file.write(reinterpret_cast<const char*>(&superblock), sizeof superblock);
    REQUIRE(file.good());
  };
  const auto longer = [](const Superblock& superblock) { return resized(superblock, 32 * kMiB); };
  const std::vector<std::function<void(Superblock*)>> tears = {
      [&](Superblock* torn) { torn->size = longer(*torn).size; },
      [&](Superblock* torn) { torn->checksum = longer(*torn).checksum; },
  };
  for (int copy = 0; copy < 2; copy++) {
    for (size_t tear = 0; tear < tears.size() + 1; tear++) {
      CAPTURE(copy);
      CAPTURE(tear);
      Scratch scratch = Scratch::on_disk();
      const std::string path = scratch.path("pool");
      auto pool = must(Pool::open(path, sized(16 * kMiB)));
      put(*pool, "k", "v");
      REQUIRE(pool->close().is_ok());
      if (tear < tears.size())
        change(path, copy, tears[tear]);
      else
        change(path, copy, [](Superblock* damaged) { damaged->uuid[3] ^= 1; });
      pool = must(Pool::open(path, sized(16 * kMiB)));
      CHECK(get(*pool, key_in(1, "k")) == "v");
      CHECK(damages(*pool).size() == (tear < tears.size() ? 0 : 1));
      REQUIRE(pool->close().is_ok());
    }
  }
}

TEST_CASE("a pool's copy is its user's, whoever makes it, or it is not made") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: needs root");
    return;
  }
  constexpr uid_t kOther = 65534, kStranger = 65533;
  Scratch scratch;
  REQUIRE(::chmod(scratch.folder().c_str(), 0777) == 0);
  const std::string path = scratch.path("pool");
  REQUIRE(must(Pool::open(path, sized(0)))->close().is_ok());
  REQUIRE(::chown(path.c_str(), kOther, kOther) == 0);
  REQUIRE(::chmod(path.c_str(), 0666) == 0);
  const auto is_as_it_was = [&] {
    struct stat found;
    REQUIRE(::stat(path.c_str(), &found) == 0);
    CHECK(found.st_uid == kOther);
    CHECK(found.st_gid == kOther);
    CHECK((found.st_mode & 07777) == 0666);
    CHECK(scratch.entries() == 1);
  };
  CHECK(resize_by_copy(path, 16 * kMiB, nullptr, nullptr).is_ok());
  CHECK(file_bytes(path) < 16 * kMiB + 1);
  is_as_it_was();
  REQUIRE(::seteuid(kStranger) == 0);
  const auto refused = resize_by_copy(path, 32 * kMiB, nullptr, nullptr);
  REQUIRE(::seteuid(0) == 0);
  CHECK(refused.status().code() == Code::kPermission);
  is_as_it_was();
}

TEST_CASE("a pool is told to be copied only when the copy and its name are durable") {
  const SystemFaults::Disarm disarm;
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("pool");
  auto pool = must(Pool::open(path, sized(8 * kMiB)));
  put(*pool, "k", "v");
  REQUIRE(pool->close().is_ok());
  pool = nullptr;
  // The copy's front, its superblocks, the folder with its name; and the folder with the name that
  // it takes over.
  for (uint64_t n = 1; n <= 5; n++) {
    CAPTURE(n);
    SystemFaults::fail(SystemCall::kFsync, n, EIO);
    auto copied = resize_by_copy(path, 12 * kMiB, nullptr, nullptr);
    SystemFaults::disarm();
    CHECK(copied.is_ok() == (n > 4));
    CHECK_FALSE(std::filesystem::exists(temporary_name(path)));
    pool = must(Pool::open(path, sized(0)));
    CHECK(get(*pool, key_in(1, "k")) == "v");
    REQUIRE(pool->close().is_ok());
    pool = nullptr;
  }
}

#ifdef HOLDFAST_TEST_POINTS
TEST_CASE("a kill at each step of a resize leaves the old pool or the new one, whole") {
  struct Step {
    const char* point;
    bool copy;
    uint64_t size;
  };
  const Step steps[] = {
      {"resize.before_superblock:1", false, 32 * kMiB},
      {"resize.before_superblock:2", false, 32 * kMiB},
      {"resize.after_superblocks:1", false, 32 * kMiB},
      {"resize.before_superblock:1", false, 12 * kMiB},
      {"resize.before_superblock:2", false, 12 * kMiB},
      {"resize.after_superblocks:1", false, 12 * kMiB},
      {"resize.after_truncate:1", false, 12 * kMiB},
      {"resize.before_copy:1", true, 12 * kMiB},
      {"resize.after_copy:1", true, 12 * kMiB},
      {"resize.before_rename:1", true, 12 * kMiB},
      {"resize.after_rename:1", true, 12 * kMiB},
      {"fold.before_root:2", true, 12 * kMiB},
  };
  for (const Step& step : steps) {
    INFO(step.point << " " << step.size);
    Scratch scratch = Scratch::on_disk();
    const std::string path = scratch.path("pool");
    auto pool = must(Pool::open(path, sized(16 * kMiB)));
    fill(*pool, 40);
    const Contents all = contents(*pool);
    REQUIRE(pool->close().is_ok());
    pool = nullptr;
    CHECK(killed_at(step.point, "HOLDFAST_RESIZE_CHILD",
                    (step.copy ? "c" : "p") + std::to_string(step.size) + ":" + path));
    pool = must(Pool::open(path, sized(0)));
    CHECK(contents(*pool) == all);
    CHECK(damages(*pool) == std::vector<std::string>());
    CHECK(try_put(*pool, "more", std::string(300000, 'm')).is_ok());
    const uint64_t capacity = pool->stats().capacity_bytes + 64 * kKiB;
    CHECK((capacity == 16 * kMiB || capacity == step.size));
    CHECK(file_bytes(path) <= std::max(16 * kMiB, step.size));
    REQUIRE(pool->close().is_ok());
    pool = nullptr;
    // What was begun and cut short can be done again, and leaves nothing behind.
    auto again = resize_by_copy(path, 24 * kMiB, nullptr, nullptr);
    REQUIRE(again.is_ok());
    size_t left = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(scratch.folder()))
      left++;
    CHECK(left == 1);
  }
}
#endif

}  // namespace holdfast::test
