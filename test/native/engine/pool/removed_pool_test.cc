// A pool whose file somebody has removed, or cut, while it was open: what is committed to it would
// be gone once it is closed, or has lost what it goes on from, so it fails.
#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "native/own_mounts.h"
#include "native/pool_fixture.h"

namespace holdfast::test {
namespace {

// What the commit says that notices.
Status commit_until_refused(Pool& pool) {
  Status last;
  for (int i = 0; last.is_ok() && i < 1000; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    last = try_put(pool, "a", "2").status().clone();
  }
  return last;
}

void fails_when_removed(bool pmem) {
  Scratch scratch = pmem ? Scratch::in_memory() : Scratch::on_disk();
  PoolOptions options;
  options.medium.choice = pmem ? MediumChoice::kPmem : MediumChoice::kFile;
  options.medium.size = pmem ? 48 * kMiB : 0;
  auto pool = Pool::open(scratch.path("pool"), options);
  REQUIRE(pool.is_ok());
  put(**pool, "a", "1");
  REQUIRE(::unlink(scratch.path("pool").c_str()) == 0);
  const Status last = commit_until_refused(**pool);
  CHECK((last.code() == Code::kIo || last.code() == Code::kFailed));
  CHECK(last.message().find("removed while it was open") != std::string::npos);
  CHECK(last.message().find("Restore a backup") != std::string::npos);
  CHECK(last.message().find("open it again") == std::string::npos);
  (void)(*pool)->close();
}

TEST_CASE("a pool that was removed fails: file") { fails_when_removed(false); }

// As another file that is copied to its name. In a child: on persistent memory the mapping is left
// to the end of the process. 0: it failed and said why, and the process lives.
int fails_when_written_over(bool pmem, bool zeros = false) {
  Scratch scratch = pmem ? Scratch::in_memory() : Scratch::on_disk();
  const std::string path = scratch.path("pool"), other = scratch.path("other");
  PoolOptions options;
  options.medium.choice = pmem ? MediumChoice::kPmem : MediumChoice::kFile;
  options.medium.size = pmem ? 48 * kMiB : 0;
  {
    auto made = Pool::open(other, options);
    if (!made.is_ok() || !(*made)->close().is_ok()) return 1;
  }
  auto pool = Pool::open(path, options);
  if (!pool.is_ok() || !try_put(**pool, "a", "1").is_ok()) return 2;
  write_at(path, 0, zeros ? std::string(64 << 10, '\0') : bytes_of_file(other));
  const Status last = commit_until_refused(**pool);
  if (last.code() != Code::kIo && last.code() != Code::kFailed) return 3;
  if (last.message().find("written over") == std::string::npos) return 4;
  (void)(*pool)->close();
  return 0;
}

TEST_CASE("a pool that was written over fails: file") {
  CHECK(in_child([] { return fails_when_written_over(false); }) == 0);
}

// Of the free space behind the log, which no read comes to.
TEST_CASE("a pool that was cut fails, also where nothing of it is missing yet") {
  Scratch scratch = Scratch::on_disk();
  PoolOptions options;
  options.medium.choice = MediumChoice::kFile;
  auto pool = Pool::open(scratch.path("pool"), options);
  REQUIRE(pool.is_ok());
  put(**pool, "a", "1");
  const auto size = std::filesystem::file_size(scratch.path("pool"));
  REQUIRE(::truncate(scratch.path("pool").c_str(), static_cast<off_t>(size - 4096)) == 0);
  const Status last = commit_until_refused(**pool);
  CHECK(last.code() == Code::kIo);
  CHECK(last.message().find("cut") != std::string::npos);
  CHECK((*pool)->close().is_ok());
  CHECK(Pool::open(scratch.path("pool"), options).is_ok());
}

TEST_CASE("a pool that becomes smaller under commits was not cut by somebody") {
  Scratch scratch = Scratch::on_disk();
  PoolOptions options;
  options.medium.choice = MediumChoice::kFile;
  options.medium.size = 64 * kMiB;
  auto pool = Pool::open(scratch.path("pool"), options);
  REQUIRE(pool.is_ok());
  std::atomic<bool> done = false;
  std::thread commits([&] {
    while (!done) put(**pool, "a", std::string(20000, 'a'));
  });
  for (int i = 0; i < 10; i++) {
    for (const uint64_t size : {32 * kMiB, 64 * kMiB}) {
      const Status resized = (*pool)->resize(size);
      CHECK_MESSAGE((resized.is_ok() || resized.code() == Code::kPoolFull), resized.message());
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  done = true;
  commits.join();
  CHECK((*pool)->close().is_ok());
}

#ifdef HOLDFAST_WITH_PMEM
TEST_CASE("a pool that was removed fails: persistent memory") { fails_when_removed(true); }

TEST_CASE("a pool that was written over fails: persistent memory") {
  CHECK(in_child([] { return fails_when_written_over(true); }) == 0);
  CHECK(in_child([] { return fails_when_written_over(true, true); }) == 0);
}
#endif

}  // namespace
}  // namespace holdfast::test
