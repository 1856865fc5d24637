// A pool that ends, or goes on to another fold, while other threads are inside: whoever is inside
// finishes on what is still there, whoever comes after is refused. Under ThreadSanitizer too;
// HOLDFAST_STRESS_MS makes the long part longer.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/copies/backup.h"
#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

constexpr uint32_t kRegion = 7;
constexpr uint64_t kRegionBytes = 2 * kMiB;

void fill(Pool& pool, uint64_t large) {
  Batch batch;
  for (int i = 0; i < 300; i++)
    REQUIRE(batch.put(key_in(1, "k" + std::to_string(i)), std::string(3000, 'x')).is_ok());
  REQUIRE(batch.put(key_in(1, "large"), std::string(large, 'L')).is_ok());
  REQUIRE(batch.region_size(kRegion, kRegionBytes, "r").is_ok());
  for (uint64_t at = 0; at < kRegionBytes; at += 8 * kKiB)
    REQUIRE(batch.region_write(kRegion, at, std::string(512, 'r')).is_ok());
  REQUIRE(pool.commit(batch, CommitMode::kDurable).is_ok());
  REQUIRE(pool.fold().is_ok());
}

PoolOptions reading() {
  PoolOptions options;
  options.read_only = true;
  return options;
}

std::chrono::milliseconds how_long() {
  const char* given = std::getenv("HOLDFAST_STRESS_MS");
  return std::chrono::milliseconds(given ? std::atoi(given) : 1000);
}

// Runs each of the works again and again until it says that the pool is closed.
class Crowd {
 public:
  using Work = std::function<Status()>;
  void add(Work work) {
    threads_.emplace_back([this, work = std::move(work)] {
      while (!stop_) {
        const Status done = work();
        if (done.code() == Code::kClosed) break;
        if (!done.is_ok() && done.code() != Code::kReaderExpired) note(done.message());
      }
    });
  }
  // Waits until all have ended; what went wrong first.
  std::string trouble() {
    for (std::thread& thread : threads_) thread.join();
    return trouble_;
  }
  void stop() { stop_ = true; }

 private:
  void note(const std::string& what) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (trouble_.empty()) trouble_ = what;
  }
  std::vector<std::thread> threads_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::string trouble_;  // guarded by mutex_
};

Status read_large(Pool& pool, std::string* to) {
  auto reader = pool.read(nullptr);
  if (!reader.is_ok()) return std::move(reader.status());
  auto found = reader->find(key_in(1, "large"));
  if (!found.is_ok()) return std::move(found.status());
  if (!found->has_value()) return Status(Code::kNotFound, "the large value is gone");
  to->resize((*found)->size);
  return reader->copy(**found, reinterpret_cast<uint8_t*>(to->data()));
}

// Sums up what a view shows, so that it is really looked at.
Status look_at(Result<std::unique_ptr<MappedView>> view, char filled_with) {
  if (!view.is_ok()) return std::move(view.status());
  if (!*view) return Status(Code::kNotFound, "nothing to view");
  const bool right = (*view)->data[0] == static_cast<uint8_t>(filled_with);
  return right ? Status() : Status(Code::kCorrupt, "a view shows something else");
}

void read_all_ways(Pool& pool, Crowd* crowd) {
  crowd->add([&pool, to = std::string()]() mutable { return read_large(pool, &to); });
  crowd->add([&pool] { return look_at(pool.view_value(key_in(1, "large"), nullptr), 'L'); });
  crowd->add([&pool] { return look_at(pool.view_value(key_in(1, "k7"), nullptr), 'x'); });
  crowd->add([&pool] {
    return look_at(pool.view_region(kRegion, 8 * kKiB, kRegionBytes - 8 * kKiB, nullptr), 'r');
  });
  crowd->add([&pool] {
    auto snapshot = pool.snapshot();
    if (!snapshot.is_ok()) return std::move(snapshot.status());
    HOLDFAST_TRY(look_at(pool.view_region(kRegion, 0, kRegionBytes, *snapshot), 'r'));
    RangeOptions all;
    all.high = std::string(4, '\xff');
    auto range = pool.range(all, *snapshot);
    if (!range.is_ok()) return std::move(range.status());
    auto given = (*range)->next(100, [](Bytes, const FoundValue&, Reader&) { return true; });
    if (!given.is_ok()) return std::move(given.status());
    return std::move(pool.count(all, nullptr, nullptr).status());
  });
  crowd->add([&pool] {
    (void)pool.stats();
    (void)pool.facts();
    return std::move(pool.regions(nullptr).status());
  });
}

}  // namespace

// A large value is copied while commits go on, so without the index lock: closing waits for that
// copy.
TEST_CASE("concurrent ends: a large value is copied while its pool is closed") {
  const Scratch scratch = Scratch::quick();
  for (int round = 0; round < 3; round++) {
    auto pool = open_pool(scratch.path("p"));
    if (round == 0) put(*pool, "large", std::string(64 * kMiB, 'L'));
    std::string copied;
    Status read;
    std::thread reader([&] { read = read_large(*pool, &copied); });
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + 15 * round));
    CHECK(pool->close().is_ok());
    reader.join();
    const bool whole = copied == std::string(64 * kMiB, 'L');
    CHECK((read.is_ok() ? whole : read.code() == Code::kClosed));
  }
}

TEST_CASE(
    "concurrent ends: a pool is closed under every kind of reading, backing up and tidying up") {
  const Scratch scratch = Scratch::quick();
  {
    auto pool = open_pool(scratch.path("p"));
    fill(*pool, 3 * kMiB);
    CHECK(pool->close().is_ok());
  }
  for (int round = 0; round < 4; round++) {
    auto pool = open_pool(scratch.path("p"));
    Crowd crowd;
    read_all_ways(*pool, &crowd);
    crowd.add([&] { return std::move(pool->written_at(key_in(1, "k299")).status()); });
    crowd.add([&] {
      auto backup = Backup::begin(pool, BackupOptions());
      if (!backup.is_ok()) return std::move(backup.status());
      for (std::string block;;) {
        block.clear();
        auto more = (*backup)->next(&block);
        if (!more.is_ok()) return std::move(more.status());
        if (!*more) return Status();
      }
    });
    crowd.add([&] {
      HOLDFAST_TRY(pool->settle());
      return pool->resize(0);
    });
    crowd.add([&] { return pool->compact(); });
    crowd.add([&, n = 0]() mutable {
      n++;
      Batch batch;
      HOLDFAST_TRY(batch.put(key_in(2, std::to_string(n % 50)),
                             std::string(n % 7 == 0 ? 200 * kKiB : 100, 'w')));
      HOLDFAST_TRY(batch.region_write(kRegion, static_cast<uint64_t>(n % 200) * 8 * kKiB, "rr"));
      return std::move(pool->commit(batch, CommitMode::kEventual).status());
    });
    std::this_thread::sleep_for(how_long() / 8 + std::chrono::milliseconds(7 * round));
    CHECK(pool->close().is_ok());
    CHECK(crowd.trouble() == "");
  }
  auto pool = open_pool(scratch.path("p"));
  auto report = pool->check(nullptr, nullptr);
  REQUIRE(report.is_ok());
  CHECK(report->damages.empty());
}

// The last fold is the last: who waited for it to be over finds the pool closed, and does not begin
// another behind the clean mark.
TEST_CASE("concurrent ends: nothing is folded behind the last fold of a pool that is closed") {
  const Scratch scratch = Scratch::quick();
  auto pool = open_pool(scratch.path("p"));
  put(*pool, "a", "1");
  REQUIRE(pool->fold().is_ok());
  const uint64_t folds = pool->stats().folds;
  std::atomic<bool> checking{false}, go_on{false}, closed{false};
  std::thread checker([&] {  // closing waits for it, so the medium stays
    (void)pool->check(nullptr, [&](double) {
      checking = true;
      while (!go_on) std::this_thread::yield();
    });
  });
  while (!checking) std::this_thread::yield();
  std::thread closer, tidier;
  Status compacted;
  {
    auto reader = pool->read(nullptr);  // with this the pool cannot be called closed yet
    REQUIRE(reader.is_ok());
    closer = std::thread([&] { closed = pool->close().is_ok(); });
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    tidier = std::thread([&] { compacted = pool->compact(); });
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  tidier.join();
  CHECK(compacted.code() == Code::kClosed);
  CHECK(pool->stats().folds == folds);
  go_on = true;
  checker.join();
  closer.join();
  CHECK(closed);
}

// The fold that it was read by has been left behind by then, and the copy is the last to hold it.
TEST_CASE("concurrent ends: a large value is copied while the reader goes on to another fold") {
  const Scratch scratch = Scratch::quick();
  auto writer = open_pool(scratch.path("p"));
  put(*writer, "large", std::string(64 * kMiB, 'L'));
  for (int round = 0; round < 3; round++) {
    auto reader = open_pool(scratch.path("p"), reading());
    put(*writer, "a", std::to_string(round));
    REQUIRE(writer->fold().is_ok());
    std::string copied;
    Status read;
    std::thread copier([&] { read = read_large(*reader, &copied); });
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + 15 * round));
    CHECK(reader->refresh().is_ok());
    CHECK(get(*reader, key_in(1, "a")) == std::to_string(round));
    copier.join();
    CHECK(read.is_ok());
    CHECK(copied == std::string(64 * kMiB, 'L'));
    CHECK(reader->close().is_ok());
  }
}

TEST_CASE(
    "concurrent ends: a reader follows its writer and is closed under every kind of reading") {
  const Scratch scratch = Scratch::quick();
  auto writer = open_pool(scratch.path("p"));
  fill(*writer, 3 * kMiB);
  Crowd writing;
  writing.add([&, n = 0]() mutable {
    n++;
    Batch batch;
    HOLDFAST_TRY(batch.put(key_in(2, std::to_string(n % 50)), std::string(100, 'w')));
    HOLDFAST_TRY(batch.region_write(kRegion, static_cast<uint64_t>(n % 200) * 8 * kKiB, "rr"));
    auto receipt = writer->commit(batch, CommitMode::kEventual);
    return n % 100 == 0 && receipt.is_ok() ? writer->fold() : std::move(receipt.status());
  });
  for (int round = 0; round < 4; round++) {
    auto reader = open_pool(scratch.path("p"), reading());
    Crowd crowd;
    read_all_ways(*reader, &crowd);
    crowd.add([&] { return std::move(reader->refresh().status()); });
    crowd.add([&] {
      auto report = reader->check(nullptr, nullptr);
      if (!report.is_ok()) return std::move(report.status());
      return report->damages.empty() ? Status() : Status(Code::kCorrupt, report->damages[0]);
    });
    std::this_thread::sleep_for(how_long() / 8 + std::chrono::milliseconds(7 * round));
    CHECK(reader->close().is_ok());
    CHECK(crowd.trouble() == "");
  }
  writing.stop();
  CHECK(writing.trouble() == "");
}
