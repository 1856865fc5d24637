// A pool whose file somebody has removed while it was open: what is committed to it would be gone
// once it is closed, so it fails.
#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "native/pool_fixture.h"

namespace holdfast::test {
namespace {

void fails_when_removed(bool pmem) {
  Scratch scratch = pmem ? Scratch::in_memory() : Scratch::on_disk();
  PoolOptions options;
  options.medium.choice = pmem ? MediumChoice::kPmem : MediumChoice::kFile;
  options.medium.size = pmem ? 48 * kMiB : 0;
  auto pool = Pool::open(scratch.path("pool"), options);
  REQUIRE(pool.is_ok());
  put(**pool, "a", "1");
  REQUIRE(::unlink(scratch.path("pool").c_str()) == 0);
  Status last;
  for (int i = 0; last.is_ok() && i < 1000; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    last = try_put(**pool, "a", "2").status().clone();
  }
  CHECK((last.code() == Code::kIo || last.code() == Code::kFailed));
  CHECK(last.message().find("removed") != std::string::npos);
  (void)(*pool)->close();
}

TEST_CASE("a pool that was removed fails: file") { fails_when_removed(false); }

#ifdef HOLDFAST_WITH_PMEM
TEST_CASE("a pool that was removed fails: persistent memory") { fails_when_removed(true); }
#endif

}  // namespace
}  // namespace holdfast::test
