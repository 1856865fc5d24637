// Backups: restored to exactly one of the pool's epochs, gone on with after an interruption at
// every block, and every damaged, reordered or foreign part refused.
#include <doctest/doctest.h>

#include <random>
#include <thread>

#include "native/engine/copies/backup_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

using State = std::map<std::string, std::string>;

// A pool beside what it held after each of its epochs.
struct Source {
  std::shared_ptr<Pool> pool;
  std::map<std::string, std::shared_ptr<const std::string>> now;
  std::map<uint64_t, decltype(now)> states;  // which share their values: some have megabytes
  std::mt19937_64 random{11};

  void commit(bool large = false) {
    Batch batch;
    for (uint64_t n = random() % 4 + 1; n > 0; n--) {
      const std::string key = key_in(1 + random() % 2, "key" + std::to_string(random() % 60));
      if (random() % 4 == 0) {
        REQUIRE(batch.remove(key).is_ok());
        now.erase(key);
      } else {
        const uint64_t size = random() % 3000;
        put(&batch, key, std::string(size, static_cast<char>('a' + random() % 26)));
      }
    }
    if (large) {
      const std::string key = key_in(1, "large" + std::to_string(random() % 4));
      const uint64_t size = 600000 + random() % 300000;  // two blocks or three
      put(&batch, key, std::string(size, static_cast<char>('A' + random() % 26)));
    }
    auto receipt = pool->commit(batch, random() % 2 ? CommitMode::kDurable : CommitMode::kEventual);
    REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message());
    states[receipt->epoch] = now;
  }
  void put(Batch* batch, const std::string& key, std::string&& value) {
    REQUIRE(batch->put(key, value).is_ok());
    now[key] = std::make_shared<const std::string>(std::move(value));
  }
  State at(uint64_t epoch) const {
    State state;
    for (const auto& [key, value] : std::prev(states.upper_bound(epoch))->second)
      state[key] = *value;
    return state;
  }
};

void check_restored(const std::string& path, const State& expected, uint64_t epoch) {
  auto pool = open_pool(path, small_options());
  CHECK(contents(*pool) == expected);
  CHECK(pool->stats().epoch >= epoch);
  auto report = pool->check(nullptr, nullptr);
  REQUIRE(report.is_ok());
  CHECK(report->damages.empty());
  // It goes on above, and its own feed begins there.
  CHECK(pool->stats().oldest_change > epoch);
  auto cursor = pool->feed({});
  REQUIRE_MESSAGE(cursor.is_ok(), cursor.status().message());
  Batch batch;
  REQUIRE(batch.put(key_in(1, "more"), "x").is_ok());
  auto receipt = pool->commit(batch, CommitMode::kDurable);
  REQUIRE(receipt.is_ok());
  CHECK(receipt->epoch > epoch);
  uint64_t seen = 0;
  REQUIRE((*cursor)
              ->next(kMiB, [&](const FeedCommit& commit) { return seen = commit.epoch, Status(); })
              .is_ok());
  CHECK(seen == receipt->epoch);
  REQUIRE(pool->close().is_ok());
  auto again = open_pool(path, small_options());
  State and_more = expected;
  and_more[key_in(1, "more")] = "x";
  CHECK(contents(*again) == and_more);
}

}  // namespace

TEST_CASE("a backup made while commits go on is the state as of one epoch") {
  Scratch scratch;
  Source source;
  source.pool = open_pool(scratch.path("p"), small_options());
  for (int i = 0; i < 400; i++) source.commit(i % 100 == 0);
  BackupStatus status;
  const auto blocks = take(source.pool, {}, &status, [&] {
    for (int i = 0; i < 20; i++) source.commit(i == 7);
  });
  CHECK(blocks.size() > 5);
  CHECK(status.fraction == 1);
  REQUIRE(source.states.contains(status.epoch));
  auto restored = restore(scratch.path("r"), {joined(blocks)});
  REQUIRE_MESSAGE(restored.is_ok(), restored.status().message());
  CHECK(restored->epoch == status.epoch);
  CHECK(restored->entries == source.at(status.epoch).size());
  check_restored(scratch.path("r"), source.at(status.epoch), status.epoch);
  CHECK(code_of(restore(scratch.path("r"), {joined(blocks)})) == Code::kExists);
}

TEST_CASE("increments restore to any commit inside them, by epoch and by time") {
  Scratch scratch;
  Source source;
  source.pool = open_pool(scratch.path("p"), small_options(kAll));
  for (int i = 0; i < 60; i++) source.commit(i == 30);
  BackupStatus full, first, second;
  const std::string a = joined(take(source.pool, {}, &full));
  for (int i = 0; i < 150; i++) source.commit(i % 50 == 0);
  REQUIRE(source.pool->compact().is_ok());
  const std::string b = joined(take(source.pool, since(full.epoch), &first));
  for (int i = 0; i < 40; i++) source.commit();
  const std::string c = joined(take(source.pool, since(first.epoch), &second));
  const std::string both = joined(take(source.pool, since(full.epoch), &second));
  CHECK(first.epoch > full.epoch);
  CHECK(second.commits >= 190);
  int n = 0;
  for (const uint64_t epoch : {full.epoch, full.epoch + 1, full.epoch + 77, first.epoch - 1,
                               first.epoch, first.epoch + 5, second.epoch}) {
    RestoreTarget target;
    target.epoch = epoch;
    const std::string path = scratch.path("r" + std::to_string(n++));
    auto restored = restore(path, {a, b, c}, target);
    REQUIRE_MESSAGE(restored.is_ok(), restored.status().message());
    CHECK(restored->epoch == epoch);
    check_restored(path, source.at(epoch), epoch);
    const std::string wide = scratch.path("w" + std::to_string(n));
    REQUIRE(restore(wide, {a, b, both}, target).is_ok());  // one that overlaps
    check_restored(wide, source.at(epoch), epoch);
  }
  RestoreTarget before, behind, early, late;
  before.epoch = full.epoch - 1;
  behind.epoch = second.epoch + 1;
  early.time_ms = 1000;
  late.time_ms = UINT64_MAX / 2;
  CHECK(code_of(restore(scratch.path("x1"), {a, b, c}, before)) == Code::kOutOfRange);
  CHECK(code_of(restore(scratch.path("x2"), {a, b, c}, behind)) == Code::kOutOfRange);
  CHECK(code_of(restore(scratch.path("x3"), {a, b, c}, early)) == Code::kOutOfRange);
  auto newest = restore(scratch.path("x4"), {a, b, c}, late);
  REQUIRE(newest.is_ok());
  CHECK(newest->epoch == second.epoch);
  check_restored(scratch.path("x4"), source.at(UINT64_MAX), second.epoch);
}

TEST_CASE("a backup that was interrupted behind any of its blocks is gone on with") {
  Scratch scratch;
  Source source;
  source.pool = open_pool(scratch.path("p"), small_options(kAll));
  for (int i = 0; i < 200; i++) source.commit(i % 20 == 0);
  const auto whole = take(source.pool);
  REQUIRE(whole.size() > 5);
  for (size_t blocks = 1; blocks <= whole.size(); blocks++) {
    const std::string done = joined({whole.begin(), whole.begin() + static_cast<long>(blocks)});
    for (int i = 0; i < 5; i++) source.commit(i == 2);
    BackupStatus status;
    std::string second =
        gone_on_with(done + (blocks == whole.size() ? "" : whole[blocks].substr(0, 100)),
                     source.pool, {}, &status);
    if (blocks % 3 == 0) {  // and once more, in the middle of what was added
      for (int i = 0; i < 5; i++) source.commit();
      second = gone_on_with(second.substr(0, done.size() + (second.size() - done.size()) / 2),
                            source.pool, {}, &status);
    }
    const std::string path = scratch.path("r" + std::to_string(blocks));
    auto restored = restore(path, {second});
    REQUIRE_MESSAGE(restored.is_ok(), restored.status().message());
    CHECK(restored->epoch == status.epoch);
    check_restored(path, source.at(status.epoch), status.epoch);
  }
  BackupStatus full, status;
  const std::string base = joined(take(source.pool, {}, &full));
  for (int i = 0; i < 300; i++) source.commit(i % 70 == 0);
  const auto increment = take(source.pool, since(full.epoch));
  REQUIRE(increment.size() > 4);
  for (size_t blocks = 1; blocks < increment.size(); blocks++) {
    const std::string done =
        joined({increment.begin(), increment.begin() + static_cast<long>(blocks)});
    const std::string second = gone_on_with(done + "torn", source.pool, since(full.epoch), &status);
    const std::string path = scratch.path("i" + std::to_string(blocks));
    auto restored = restore(path, {base, second});
    REQUIRE_MESSAGE(restored.is_ok(), restored.status().message());
    check_restored(path, source.at(status.epoch), status.epoch);
  }
  BackupOptions other;
  other.resume = scanned(increment[0]);
  CHECK(Backup::begin(source.pool, other).status().code() == Code::kBackupMismatch);
}

TEST_CASE("what is not one whole backup in its order is refused") {
  Scratch scratch;
  Source source, foreign;
  source.pool = open_pool(scratch.path("p"), small_options(kAll));
  foreign.pool = open_pool(scratch.path("q"), small_options(kAll));
  for (int i = 0; i < 500; i++) source.commit(i == 100), foreign.commit();
  BackupStatus full, next;
  const auto blocks = take(source.pool, {}, &full);
  REQUIRE(blocks.size() >= 4);
  const std::string a = joined(blocks);
  for (int i = 0; i < 10; i++) source.commit();
  const std::string b = joined(take(source.pool, since(full.epoch), &next));
  for (int i = 0; i < 10; i++) source.commit();
  const std::string c = joined(take(source.pool, since(next.epoch)));
  const std::string other_full = joined(take(foreign.pool)),
                    other = joined(take(foreign.pool, since(full.epoch)));
  int n = 0;
  const auto refused = [&](const std::vector<std::string>& parts) {
    return code_of(restore(scratch.path("x" + std::to_string(n++)), parts));
  };
  CHECK(refused({}) == Code::kInvalidArgument);
  CHECK(refused({""}) == Code::kNotABackup);
  CHECK(refused({std::string(100000, 'x')}) == Code::kNotABackup);
  CHECK(refused({b}) == Code::kBackupMismatch);
  CHECK(refused({a, c}) == Code::kBackupMismatch);
  CHECK(refused({a, c, b}) == Code::kBackupMismatch);
  CHECK(refused({a, other}) == Code::kBackupMismatch);
  CHECK(refused({a, a}) == Code::kBackupMismatch);
  CHECK(refused({other_full, b}) == Code::kBackupMismatch);
  CHECK(refused({a + b}) == Code::kCorrupt);
  CHECK(refused({a + "x"}) == Code::kCorrupt);
  for (size_t i = 1; i < blocks.size();
       i++) {  // truncated, one missing, two swapped, one of another backup
    CHECK(refused({joined({blocks.begin(), blocks.begin() + static_cast<long>(i)})}) ==
          Code::kCorrupt);
    auto missing = blocks;
    missing.erase(missing.begin() + static_cast<long>(i));
    CHECK(refused({joined(missing)}) == Code::kCorrupt);
    auto swapped = blocks;
    if (i + 1 < blocks.size()) std::swap(swapped[i], swapped[i + 1]);
    if (i + 1 < blocks.size()) CHECK(refused({joined(swapped)}) == Code::kCorrupt);
  }
  auto mixed = blocks;
  mixed[1] = take(source.pool)[1];
  CHECK(refused({joined(mixed)}) == Code::kCorrupt);
  std::mt19937_64 random(3);
  for (int i = 0; i < 40; i++) {
    std::string damaged = a;
    damaged[random() % damaged.size()] ^= static_cast<char>(1 << random() % 8);
    const Code code = refused({damaged});
    CHECK((code == Code::kCorrupt || code == Code::kNotABackup));
    CHECK(refused({a.substr(0, random() % a.size())}) != Code::kOk);
  }
}

TEST_CASE(
    "an increment from where the log no longer reaches is refused, and a pool that is closed ends "
    "its backup") {
  Scratch scratch;
  Source source;
  source.pool = open_pool(scratch.path("p"), small_options());
  for (int i = 0; i < 2000; i++) source.commit();
  REQUIRE(source.pool->compact().is_ok());
  CHECK(Backup::begin(source.pool, since(1)).status().code() == Code::kForgotten);
  CHECK(Backup::begin(source.pool, since(1000000)).status().code() == Code::kOutOfRange);
  auto backup = Backup::begin(source.pool, {});
  REQUIRE(backup.is_ok());
  std::string block;
  REQUIRE((*backup)->next(&block).is_ok());
  REQUIRE(source.pool->close().is_ok());
  CHECK((*backup)->next(&block).status().code() == Code::kClosed);
  CHECK(Backup::begin(source.pool, {}).status().code() == Code::kClosed);
}

TEST_CASE("a pool under as many commits as it takes restores to exactly one of its epochs") {
  Scratch scratch;
  Source source;
  source.pool = open_pool(scratch.path("p"), small_options(kAll));
  for (int i = 0; i < 300; i++) source.commit();
  // Each commit adds one to a counter and writes that number under eight keys: every state is known
  // by its counter.
  std::atomic<bool> stop{false};
  std::map<uint64_t, uint64_t> counters;
  std::thread writer([&] {
    Batch batch;
    for (uint64_t n = 1; !stop.load(); n++) {
      batch.clear();
      const std::string value = std::to_string(n);
      for (int i = 0; i < 8; i++)
        (void)batch.put(
            key_in(5, "counter" + std::to_string((n * 7 + static_cast<uint64_t>(i)) % 500)), value);
      (void)batch.put(key_in(5, "n"), value);
      auto receipt =
          source.pool->commit(batch, n % 64 ? CommitMode::kEventual : CommitMode::kDurable);
      if (!receipt.is_ok()) return;
      counters[receipt->epoch] = n;
    }
  });
  BackupStatus full, increment;
  const std::string a = joined(take(
      source.pool, {}, &full, [] { std::this_thread::sleep_for(std::chrono::milliseconds(50)); }));
  const std::string b = joined(take(source.pool, since(full.epoch), &increment));
  stop = true;
  writer.join();
  CHECK(counters.size() > 200);
  const auto expect = [&](uint64_t epoch) {
    State state = source.at(UINT64_MAX);
    const auto last = counters.upper_bound(epoch);
    for (auto it = counters.begin(); it != last; ++it) {
      for (uint64_t i = 0; i < 8; i++)
        state[key_in(5, "counter" + std::to_string((it->second * 7 + i) % 500))] =
            std::to_string(it->second);
      state[key_in(5, "n")] = std::to_string(it->second);
    }
    return state;
  };
  REQUIRE(restore(scratch.path("r"), {a}).is_ok());
  check_restored(scratch.path("r"), expect(full.epoch), full.epoch);
  RestoreTarget middle;
  middle.epoch = full.epoch + (increment.epoch - full.epoch) / 2;
  REQUIRE(restore(scratch.path("s"), {a, b}, middle).is_ok());
  check_restored(scratch.path("s"), expect(*middle.epoch), *middle.epoch);
}
