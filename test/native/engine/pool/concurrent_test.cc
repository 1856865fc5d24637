// Many threads on one pool with its own threads running: what ThreadSanitizer is run over, and a
// check that no interleaving shows half of a commit. Short, so that it can run under sanitizers;
// HOLDFAST_STRESS_MS makes it longer.
#include <doctest/doctest.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <random>
#include <thread>

#include "medium/simulated_medium.h"
#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

constexpr uint32_t kWriters = 3;
constexpr int kPairs = 40;

std::string pair_key(uint32_t writer, int pair, char side) {
  return key_in(writer, "pair-" + std::to_string(pair) + side);
}

// doctest's assertions are not for other threads: they note what went wrong here.
class Trouble {
 public:
  void note(const std::string& what) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (first_.empty()) first_ = what;
  }
  std::string first() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return first_;
  }

 private:
  std::mutex mutex_;
  std::string first_;  // guarded by mutex_
};

struct Stress {
  Pool& pool;
  bool large = false;    // values with segments of their own among the others
  bool closing = false;  // the pool is closed while all this goes on
  std::atomic<bool> stop{false};
  Trouble trouble{};

  void expect(const Status& status, const char* what) {
    if (status.code() == Code::kClosed && closing)
      stop = true;
    else if (!status.is_ok() && status.code() != Code::kPoolFull)
      trouble.note(std::string(what) + ": " + status.message());
  }

  // Both sides of a pair always change in one commit.
  Batch pair_batch(uint32_t writer, uint64_t n, std::mt19937_64* random) {
    const int pair = static_cast<int>((*random)() % kPairs);
    uint64_t most = (*random)() % 50 == 0 ? 9000 : 400;
    if (large && (*random)() % 100 == 0) most = 500'000;
    const std::string value = std::to_string(n) + std::string((*random)() % most, 'v');
    Batch batch;
    for (const char side : {'a', 'b'})
      expect(batch.put(pair_key(writer, pair, side), value), "put");
    return batch;
  }

  void write(uint32_t writer) {
    std::mt19937_64 random(writer);
    uint64_t last = 0;
    for (uint64_t n = 1; !stop; n++) {
      Batch batch = pair_batch(writer, n, &random);
      auto receipt =
          pool.commit(batch, random() % 3 ? CommitMode::kEventual : CommitMode::kDurable);
      expect(receipt.status(), "commit");
      if (!receipt.is_ok()) continue;
      if (receipt->epoch <= last) trouble.note("epochs do not rise");
      last = receipt->epoch;
    }
  }

  void write_asynchronously(uint32_t writer) {
    std::mt19937_64 random(writer);
    std::mutex mutex;
    std::condition_variable changed;
    uint64_t completed = 0, submitted = 0;
    auto client = pool.attach([&](std::vector<Completion>&& some) {
      for (const Completion& one : some) expect(one.status, "asynchronous commit");
      const std::lock_guard<std::mutex> lock(mutex);
      completed += some.size();
      changed.notify_all();
    });
    const auto await = [&] {
      std::unique_lock<std::mutex> lock(mutex);
      if (!changed.wait_for(lock, std::chrono::seconds(60), [&] { return completed == submitted; }))
        trouble.note("commits do not complete");
    };
    for (uint64_t n = 1; !stop; n++) {
      for (uint64_t i = 1 + random() % 8; i > 0; i--) {
        pool.submit(client, pair_batch(writer, n, &random),
                    random() % 2 ? CommitMode::kEventual : CommitMode::kDurable);
        submitted++;
      }
      pool.flush(client);
      if (random() % 4 == 0) await();
    }
    await();
  }

  void read() {
    std::mt19937_64 random(77);
    while (!stop) {
      auto snapshot = pool.snapshot();
      expect(snapshot.status(), "snapshot");
      if (!snapshot.is_ok()) return;
      for (int i = 0; i < 20; i++) {
        const uint32_t writer = static_cast<uint32_t>(1 + random() % kWriters);
        const int pair = static_cast<int>(random() % kPairs);
        const auto a = get(pool, pair_key(writer, pair, 'a'), *snapshot);
        const auto b = get(pool, pair_key(writer, pair, 'b'), *snapshot);
        if (a != b && !(closing && (!a || !b))) {  // closed in between: nothing is read any more
          trouble.note("a snapshot shows half of a commit");
        }
        (void)get(pool, pair_key(writer, pair, 'a'));
      }
      if (random() % 8 == 0) {
        const auto all = contents(pool, *snapshot);
        if (all.size() % 2 != 0 && !closing) trouble.note("a range shows half of a commit");
      }
    }
  }

  void tidy() {
    std::mt19937_64 random(99);
    while (!stop) {
      switch (random() % 5) {
        case 0:
          expect(pool.fold(), "fold");
          break;
        case 1:
          expect(pool.compact(), "compact");
          break;
        case 2:
          expect(pool.settle(), "settle");
          break;
        case 3:
          expect(pool.check(nullptr, nullptr).status(), "check");
          break;
        default:
          (void)pool.stats();
          break;
      }
    }
  }
};

std::chrono::milliseconds how_long() {
  const char* given = std::getenv("HOLDFAST_STRESS_MS");
  return std::chrono::milliseconds(given ? std::atoi(given) : 1000);
}

std::vector<std::thread> workers(Stress* stress) {
  std::vector<std::thread> threads;
  threads.emplace_back([=] { stress->write(1); });
  threads.emplace_back([=] { stress->write(2); });
  threads.emplace_back([=] { stress->write_asynchronously(3); });
  threads.emplace_back([=] { stress->read(); });
  threads.emplace_back([=] { stress->tidy(); });
  return threads;
}

void stress(bool large, const std::function<std::shared_ptr<Pool>()>& open) {
  std::map<std::string, std::string> last;
  {
    auto pool = open();
    Stress stress{*pool, large};
    std::vector<std::thread> threads = workers(&stress);
    std::this_thread::sleep_for(how_long());
    stress.stop = true;
    for (std::thread& thread : threads) thread.join();
    CHECK(stress.trouble.first() == "");
    last = contents(*pool);
    CHECK(last.size() > 0);
    CHECK(pool->close().is_ok());
  }
  auto pool = open();
  CHECK(contents(*pool) == last);
  auto report = pool->check(nullptr, nullptr);
  REQUIRE(report.is_ok());
  CHECK(report->damages.empty());
  CHECK(pool->close().is_ok());
}

}  // namespace

TEST_CASE("concurrent: threads that commit, read, fold and compact, on a file") {
  Scratch scratch;
  stress(true, [&] {
    PoolOptions options;
    options.medium.choice = MediumChoice::kFile;
    options.medium.size = 24 * kMiB;
    options.fold_operations = 300;
    auto pool = Pool::open(scratch.path("p"), options);
    REQUIRE_MESSAGE(pool.is_ok(), pool.status().message());
    return *pool;
  });
}

TEST_CASE("concurrent: the same where each thread raises its own barrier") {
  SimulatedOptions disk_options;
  disk_options.atom_bytes = 64;
  disk_options.barrier_is_per_thread = true;
  disk_options.capacity = 4 * kMiB;
  auto disk = SimulatedDisk::create(disk_options, 1);
  stress(false, [&] {
    auto medium = disk->open();
    REQUIRE(medium.is_ok());
    PoolOptions options;
    options.fold_operations = 200;
    options.log_segment_bytes = 64 * kKiB;
    auto pool = Pool::open_on(std::move(*medium), "simulated", options);
    REQUIRE_MESSAGE(pool.is_ok(), pool.status().message());
    return *pool;
  });
  // Nobody crashed it, but what was acknowledged must also survive that: closing made everything
  // durable.
  CHECK(disk->pending_atoms() == 0);
}

#ifdef HOLDFAST_WITH_PMEM
TEST_CASE("concurrent: the same on persistent memory") {
  if (!Scratch::memory_is_there()) {
    MESSAGE("skipped: no /dev/shm");
    return;
  }
  const Scratch scratch = Scratch::in_memory();
  stress(true, [&] {
    PoolOptions options;
    options.medium.choice = MediumChoice::kPmem;
    options.medium.size = 40 * kMiB;
    options.fold_operations = 300;
    auto pool = Pool::open(scratch.path("p"), options);
    REQUIRE_MESSAGE(pool.is_ok(), pool.status().message());
    return *pool;
  });
}
#endif

// Whoever is inside finishes, whoever comes after is refused, and what was acknowledged is there.
TEST_CASE("concurrent: a pool is closed while threads commit, read, fold and compact") {
  const Scratch scratch;
  PoolOptions options;
  options.medium.choice = MediumChoice::kFile;
  options.medium.size = 24 * kMiB;
  options.fold_operations = 200;
  for (int round = 0; round < 8; round++) {
    auto pool = Pool::open(scratch.path("p"), options);
    REQUIRE_MESSAGE(pool.is_ok(), pool.status().message());
    Stress stress{**pool, true, true};
    std::vector<std::thread> threads = workers(&stress);
    std::this_thread::sleep_for(how_long() / 8);
    CHECK((*pool)->close().is_ok());
    for (std::thread& thread : threads) thread.join();
    CHECK(stress.stop);
    CHECK(stress.trouble.first() == "");
  }
  auto pool = Pool::open(scratch.path("p"), options);
  REQUIRE(pool.is_ok());
  CHECK(contents(**pool).size() % 2 == 0);
}

// The last part of a check walks the log and reads the file without a lock.
TEST_CASE("concurrent: closing waits for a check, which ends early") {
  const Scratch scratch;
  PoolOptions options;
  options.medium.choice = MediumChoice::kFile;
  options.medium.size = 8 * kMiB;
  auto pool = Pool::open(scratch.path("p"), options);
  REQUIRE_MESSAGE(pool.is_ok(), pool.status().message());
  const auto commit = [&]() -> Code {
    Batch batch;
    REQUIRE(batch.put(key_in(1, "a"), "1").is_ok());
    return (*pool)->commit(batch, CommitMode::kDurable).status().code();
  };
  REQUIRE(commit() == Code::kOk);
  std::thread closer;
  std::atomic<bool> closed{false}, waited{false};
  auto report = (*pool)->check(nullptr, [&](double) {
    if (closer.joinable()) return;
    closer = std::thread([&] { closed = (*pool)->close().is_ok(); });
    while (commit() != Code::kClosed) std::this_thread::yield();
    std::this_thread::sleep_for(
        std::chrono::milliseconds(100));  // long enough for a close that does not wait
    waited = !closed;
  });
  REQUIRE(closer.joinable());
  closer.join();
  CHECK(waited);
  CHECK(closed);
  CHECK(report.status().code() == Code::kClosed);
}
