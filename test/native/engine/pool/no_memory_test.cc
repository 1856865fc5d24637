// No memory, no thread: an error that is told, where the engine asks for much at once or begins a
// thread. The pool stays as it was.
#include <doctest/doctest.h>

#include <atomic>
#include <cerrno>
#include <new>

#include "engine/copies/backup.h"
#include "engine/state/feed_tail.h"
#include "native/pool_fixture.h"
#include "native/system_faults.h"

namespace {
std::atomic<size_t> refused_from{SIZE_MAX};  // requests that may fail, and are so large, do
}

// The binary's own: only requests that say they can do without are refused.
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  if (bytes >= refused_from) return nullptr;
  try {
    return ::operator new(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

namespace holdfast::test {
namespace {

struct NoMemory {
  explicit NoMemory(size_t from) { refused_from = from; }
  ~NoMemory() { refused_from = SIZE_MAX; }
};

PoolOptions with_threads() {
  PoolOptions options;
  options.medium.choice = MediumChoice::kFile;
  return options;
}

TEST_CASE("a pool whose threads the system does not give is not opened, and loses nothing") {
  const SystemFaults::Disarm disarm;
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("pool");
  {
    auto pool = Pool::open(path, with_threads());
    REQUIRE(pool.is_ok());
    put(**pool, "a", "1");
    CHECK((*pool)->close().is_ok());
  }
  for (uint64_t nth = 1; nth <= 2; nth++) {
    CAPTURE(nth);
    SystemFaults::fail(SystemCall::kThread, nth, EAGAIN);
    auto refused = Pool::open(path, with_threads());
    CHECK(refused.status().code() == Code::kNoMemory);
    CHECK(refused.status().system_errno() == EAGAIN);
    SystemFaults::disarm();
    auto pool = Pool::open(path, with_threads());
    REQUIRE(pool.is_ok());
    CHECK(get(**pool, key_in(1, "a")) == "1");
    CHECK((*pool)->close().is_ok());
  }
}

class Counted final : public FeedWaiter {
 public:
  bool wake(bool) override {
    calls++;
    return false;
  }
  std::atomic<int> calls{0};
};

TEST_CASE("a watcher that gets no thread is told so, and the next one may") {
  const SystemFaults::Disarm disarm;
  FeedTail tail;
  auto refused = std::make_shared<Counted>(), taken = std::make_shared<Counted>();
  SystemFaults::fail(SystemCall::kThread, 1, EAGAIN);
  CHECK(tail.add(refused).code() == Code::kNoMemory);
  CHECK(tail.add(taken).is_ok());
  tail.stop();
  CHECK(refused->calls == 0);
  CHECK(taken->calls > 0);
}

TEST_CASE("a backup that finds no memory for a block says so, and goes on when there is some") {
  Scratch scratch = Scratch::on_disk();
  auto pool = Pool::open(scratch.path("pool"), with_threads());
  REQUIRE(pool.is_ok());
  for (int i = 0; i < 20; i++)
    put(**pool, "key" + std::to_string(i), std::string(100 * kKiB, static_cast<char>('a' + i)));
  auto backup = Backup::begin(*pool, {});
  REQUIRE(backup.is_ok());
  std::string all;
  for (bool more = true; more;) {
    {
      const NoMemory none(kMiB);
      std::string block;
      const auto refused = (*backup)->next(&block);
      CHECK(refused.status().code() == Code::kNoMemory);
      CHECK(block.empty());
    }
    auto next = (*backup)->next(&all);
    REQUIRE(next.is_ok());
    more = *next;
  }
  CHECK((*backup)->status().entries == 20);
  BackupScan scan("all");
  CHECK(scan.write(all).is_ok());
  CHECK(scan.progress().ended);
  CHECK((*pool)->close().is_ok());
}

}  // namespace
}  // namespace holdfast::test
