// Backups in small: each rule of how parts, blocks and commits go together, for itself.
// backup_test.cc has them at random.
#include <doctest/doctest.h>

#include <chrono>
#include <thread>

#include "format/backup.h"
#include "native/at_point.h"
#include "native/engine/copies/backup_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

// Nothing is durable before somebody asks for it.
PoolOptions lazy_options() {
  PoolOptions options = small_options(kAll);
  options.background = false;
  options.eventual_within_ms = 60000;
  return options;
}

// One commit that takes several blocks of a backup.
void put_many(const std::shared_ptr<Pool>& pool, char with) {
  Batch batch;
  for (size_t i = 0; i < 12; i++)
    REQUIRE(batch
                .put(key_in(1, "k" + std::to_string(100 + i)),
                     std::string(i == 7 ? 2500000 : 100000 + i, with))
                .is_ok());
  REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
}

void write_region(const std::shared_ptr<Pool>& pool, uint64_t size, uint64_t offset,
                  const std::string& bytes) {
  Batch batch;
  REQUIRE(batch.region_size(7, size, "r").is_ok());
  if (!bytes.empty()) REQUIRE(batch.region_write(7, offset, bytes).is_ok());
  REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
}

std::string region_of(const std::shared_ptr<Pool>& pool) {
  auto info = pool->region_info(7, nullptr);
  if (!info.is_ok()) return "none";
  std::string bytes(info->size, '?');
  return pool->region_read(7, 0, bytes.size(), reinterpret_cast<uint8_t*>(bytes.data()), nullptr)
                 .is_ok()
             ? bytes
             : "unreadable";
}

// Blocks as somebody might have written them who knows the format: all checksums are right.
std::string sealed(std::vector<std::string> blocks) {
  uint64_t chain = 0;
  uint32_t index = 0;
  for (std::string& block : blocks) {
    auto header = load<BlockHeader>(reinterpret_cast<const uint8_t*>(block.data()));
    header.index = index++;
    seal_block(&header, block.data() + sizeof header, chain);
    chain = header.chain;
    block.replace(0, sizeof header, reinterpret_cast<const char*>(&header), sizeof header);
  }
  return joined(blocks);
}

}  // namespace

TEST_CASE("backup: every field of every block's header counts") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), small_options());
  for (int i = 0; i < 4; i++) put(*pool, "k" + std::to_string(i), std::string(200000, 'v'));
  const auto blocks = take(pool);
  REQUIRE(blocks.size() >= 4);
  size_t at = 0;
  int n = 0;
  for (const std::string& block : blocks) {
    for (size_t byte = 0; byte < sizeof(BlockHeader); byte += 2) {
      std::string damaged = joined(blocks);
      damaged[at + byte] ^= 1;
      CHECK(!restore(scratch.path("r" + std::to_string(n++)), {damaged}).is_ok());
    }
    at += block.size();
  }
}

TEST_CASE(
    "backup: an end within a value, or in front of more, is refused though all its checksums are "
    "right") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), small_options());
  put(*pool, "large", std::string(3000000, 'L'));
  const auto blocks = take(pool);
  REQUIRE(blocks.size() >= 4);
  CHECK(code_of(restore(scratch.path("whole"), {sealed(blocks)})) == Code::kOk);
  CHECK(code_of(restore(scratch.path("within"), {sealed({blocks[0], blocks[1], blocks.back()})})) ==
        Code::kCorrupt);
  auto more = blocks;
  more.push_back(blocks.back());
  CHECK(code_of(restore(scratch.path("behind"), {sealed(more)})) == Code::kCorrupt);
}

TEST_CASE("backup: what was acknowledged when it began is in it, and durable when it ends") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), lazy_options());
  const uint64_t first = put(*pool, "a", "1");
  SUBCASE("full") {
    const uint64_t last = put(*pool, "a", "2", CommitMode::kEventual);
    BackupStatus status;
    take(pool, {}, &status);
    CHECK(status.epoch == last);
    CHECK(pool->stats().durable_epoch >= last);
  }
  SUBCASE("increment") {
    const uint64_t last = put(*pool, "a", "2", CommitMode::kEventual);
    BackupStatus status;
    take(pool, since(first), &status);
    CHECK(status.epoch == last);
    CHECK(status.commits == 1);
  }
#ifdef HOLDFAST_PLANTED_BUGS
  SUBCASE("with what comes while it settles") {
    uint64_t last = 0;
    const AtPoint point(TestPoint::kBarrierRaised, [&] {
      std::thread([&] { last = put(*pool, "a", "3", CommitMode::kEventual); }).join();
    });
    put(*pool, "a", "2", CommitMode::kEventual);
    BackupStatus status;
    take(pool, {}, &status);
    CHECK(status.epoch == last);
    CHECK(pool->stats().durable_epoch >= last);
  }
#endif
}

TEST_CASE(
    "backup: an increment holds no commit that came after it began, and what it needs of the log "
    "stays meanwhile") {
  Scratch scratch;
  PoolOptions options = lazy_options();
  options.retain = RetainWish{0, 0};
  auto pool = open_pool(scratch.path("p"), options);
  const uint64_t first = put(*pool, "a", "1");
  const std::string full = joined(take(pool));
  for (int i = 0; i < 40; i++) put(*pool, "k", std::string(60000, static_cast<char>('a' + i % 26)));
  const uint64_t last = put(*pool, "a", "2");
  BackupStatus status;
  int round = 0;
  const auto increment = take(pool, since(first), &status, [&] {
    if (round++ > 2) return;
    for (int i = 0; i < 20; i++) put(*pool, "k", std::string(60000, 'z'));
    put(*pool, "a", "3");
    REQUIRE(pool->compact().is_ok());
  });
  CHECK(increment.size() > 4);
  CHECK(status.epoch == last);
  CHECK(status.commits == last - first);
  auto restored = restore(scratch.path("r"), {full, joined(increment)});
  REQUIRE_MESSAGE(restored.is_ok(), restored.status().message());
  CHECK(restored->epoch == last);
  CHECK(restored->commits == last - first);
  CHECK(get(*open_pool(scratch.path("r")), key_in(1, "a")) == "2");
}

// Wherever in a block the one before it ends.
TEST_CASE("backup: a commit is counted once where a block is nearly full, and where it is full") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), small_options(kAll));
  for (uint64_t less = 0; less < 240; less += 4) {
    CAPTURE(less);
    const uint64_t first = put(*pool, "a", "1");
    Batch batch;
    const uint64_t bytes = 512 * kKiB - less;
    for (uint64_t i = 0; i < 3; i++)
      REQUIRE(
          batch.put(key_in(1, "k" + std::to_string(i)), std::string((bytes + i) / 3, 'v')).is_ok());
    REQUIRE(pool->commit(batch, CommitMode::kEventual).is_ok());
    put(*pool, "b", "2", CommitMode::kEventual);
    BackupStatus status;
    take(pool, since(first), &status);
    CHECK(status.commits == 2);
  }
}

TEST_CASE(
    "backup: one that goes on is of the same pool, holds each entry once, and loses no commit") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), small_options(kAll)),
       other = open_pool(scratch.path("q"), small_options(kAll));
  for (int i = 0; i < 20; i++) put(*pool, "k" + std::to_string(100 + i), std::string(100000, 'v'));
  put(*other, "a", "1");
  const auto blocks = take(pool);
  REQUIRE(blocks.size() >= 4);
  const std::string part = blocks[0] + blocks[1] + blocks[2];
  BackupOptions go_on;
  go_on.resume = scanned(part);
  REQUIRE(go_on.resume->good_bytes == part.size());
  CHECK(Backup::begin(other, go_on).status().code() == Code::kBackupMismatch);

  // Changed since: one entry that is in what was taken, one that is not.
  put(*pool, "k100", "new");
  put(*pool, "k119", "new");
  BackupStatus status;
  const auto rest = take(pool, go_on, &status);
  CHECK(status.entries == 20);
  REQUIRE(restore(scratch.path("r"), {part + joined(rest)}).is_ok());
  CHECK(contents(*open_pool(scratch.path("r"))) == contents(*pool));

  // Interrupted again, among the commits that make up for what changed.
  put_many(pool, 'w');
  go_on.resume = scanned(part);
  const auto again = take(pool, go_on);
  for (size_t blocks_of_it = 1; blocks_of_it < again.size(); blocks_of_it++) {
    const std::string longer =
        part + joined({again.begin(), again.begin() + static_cast<long>(blocks_of_it)});
    put(*pool, "k101", "newest" + std::to_string(blocks_of_it));
    const std::string path = scratch.path("r" + std::to_string(blocks_of_it));
    auto restored = restore(path, {gone_on_with(longer, pool)});
    REQUIRE_MESSAGE(restored.is_ok(), restored.status().message());
    CHECK(contents(*open_pool(path)) == contents(*pool));
  }
}

TEST_CASE("backup: an increment that goes on loses no commit, wherever it was interrupted") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), small_options(kAll));
  const uint64_t first = put(*pool, "a", "1");
  const std::string full = joined(take(pool));
  for (char with = 'a'; with < 'd'; with++) put_many(pool, with);
  const auto blocks = take(pool, since(first));
  REQUIRE(blocks.size() > 5);
  for (size_t taken = 1; taken < blocks.size(); taken++) {
    const std::string part = joined({blocks.begin(), blocks.begin() + static_cast<long>(taken)});
    const std::string path = scratch.path("r" + std::to_string(taken));
    auto restored = restore(path, {full, gone_on_with(part, pool, since(first))});
    REQUIRE_MESSAGE(restored.is_ok(), restored.status().message());
    CHECK(contents(*open_pool(path)) == contents(*pool));
  }
}

TEST_CASE(
    "restore: parts that overlap or come twice undo nothing, and each epoch and time is met "
    "exactly") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), small_options(kAll));
  const uint64_t first = put(*pool, "a", "0");
  const std::string full = joined(take(pool));
  put(*pool, "a", "1");
  const std::string old = joined(take(pool, since(first)));
  std::vector<uint64_t> epochs;
  for (int i = 2; i < 8; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(15));  // clocks may be coarse
    epochs.push_back(put(*pool, "a", std::to_string(i)));
  }
  const std::string all = joined(take(pool, since(first)));
  REQUIRE(restore(scratch.path("twice"), {full, all, old}).is_ok());
  CHECK(get(*open_pool(scratch.path("twice")), key_in(1, "a")) == "7");
  for (size_t i = 0; i < epochs.size(); i++) {
    RestoreTarget at, then;
    at.epoch = epochs[i];
    auto restored = restore(scratch.path("e" + std::to_string(i)), {full, all}, at);
    REQUIRE_MESSAGE(restored.is_ok(), restored.status().message());
    auto opened = open_pool(scratch.path("e" + std::to_string(i)));
    CHECK(get(*opened, key_in(1, "a")) == std::to_string(i + 2));
    CHECK(put(*opened, "b", "goes on above") > epochs[i]);
    then.time_ms = restored->time_ms;  // that of the commit itself
    REQUIRE(restore(scratch.path("t" + std::to_string(i)), {full, all}, then).is_ok());
    CHECK(get(*open_pool(scratch.path("t" + std::to_string(i))), key_in(1, "a")) ==
          std::to_string(i + 2));
  }
}

TEST_CASE("restore: a large value comes behind the small one that it replaces") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), small_options(kAll));
  const uint64_t first = put(*pool, "b", "0");
  const std::string full = joined(take(pool));
  put(*pool, "a", "small");
  put(*pool, "a", std::string(600000, 'L'));
  REQUIRE(restore(scratch.path("r"), {full, joined(take(pool, since(first)))}).is_ok());
  CHECK(contents(*open_pool(scratch.path("r"))) == contents(*pool));
}

// What the restoring itself has committed has numbers too, and means nothing to who follows the
// pool.
TEST_CASE("restore: the history of a restored pool begins behind what was restored") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), small_options(kAll));
  uint64_t last = 0;
  for (int i = 0; i < 20; i++) last = put(*pool, "k" + std::to_string(i), std::string(300000, 'v'));
  REQUIRE(restore(scratch.path("r"), {joined(take(pool))}).is_ok());
  for (int life = 0; life < 3; life++) {
    auto restored = open_pool(scratch.path("r"), small_options(kAll));
    CHECK(restored->stats().oldest_change == last + 1);
    for (const uint64_t after : {uint64_t{0}, uint64_t{3}, last - 1}) {
      FeedOptions options;
      options.after = after;
      CHECK(restored->feed(options).status().code() == Code::kForgotten);
    }
    FeedOptions behind;
    behind.after = last;
    CHECK(restored->feed(behind).is_ok());
    put(*restored, "life", std::to_string(life));
    REQUIRE(restored->fold().is_ok());
    REQUIRE(restored->close().is_ok());
  }
}

TEST_CASE("backup: regions go along, to their last byte, and in increments what became of them") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), small_options(kAll));
  const uint64_t size = 3 * 64 * kKiB + 100;
  write_region(pool, size, 0, "begins");
  write_region(pool, size, size - 5, "ends.");
  SUBCASE("with holes") {}
  SUBCASE("full") { write_region(pool, size, 0, std::string(size, 'f')); }
  const uint64_t first = put(*pool, "a", "1");
  const std::string full = joined(take(pool));
  REQUIRE(restore(scratch.path("full"), {full}).is_ok());
  CHECK(region_of(open_pool(scratch.path("full"))) == region_of(pool));
  write_region(pool, size, 70000, "in the middle");
  write_region(pool, 1000, 0, "");  // cut, and grown again: what was cut off is zeros
  write_region(pool, size, 500, "later");
  write_region(pool, size, size - 3, "end");
  REQUIRE(restore(scratch.path("more"), {full, joined(take(pool, since(first)))}).is_ok());
  CHECK(region_of(open_pool(scratch.path("more"))) == region_of(pool));
}
