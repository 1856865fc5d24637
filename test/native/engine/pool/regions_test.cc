// Regions through the engine's one door: bounds, cells, snapshots, sizes, damage, space. What
// crashes leave of them the simulator tries.
#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "engine/damage/salvage.h"
#include "format/region.h"
#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

Code commit(Pool& pool, const std::function<Status(Batch&)>& fill,
            CommitMode mode = CommitMode::kEventual) {
  Batch batch;
  Status filled = fill(batch);
  if (!filled.is_ok()) return filled.code();
  return pool.commit(batch, mode).status().code();
}

void resize(Pool& pool, uint32_t region, uint64_t size) {
  REQUIRE(commit(pool, [&](Batch& b) {
            return b.region_size(region, size, "r" + std::to_string(region));
          }) == Code::kOk);
}

Code write(Pool& pool, uint32_t region, uint64_t offset, const std::string& bytes) {
  return commit(pool, [&](Batch& b) { return b.region_write(region, offset, bytes); });
}

std::string read(Pool& pool, uint32_t region, uint64_t offset, uint64_t size,
                 const SnapshotPtr& snapshot = nullptr) {
  std::string out(size, '\xee');
  Status done =
      pool.region_read(region, offset, size, reinterpret_cast<uint8_t*>(out.data()), snapshot);
  return done.is_ok() ? out : std::string(code_name(done.code())) + ": " + done.message();
}

uint64_t cell(Pool& pool, uint32_t region, uint64_t offset) {
  uint64_t value = 0;
  REQUIRE(pool.region_read(region, offset, 8, reinterpret_cast<uint8_t*>(&value), nullptr).is_ok());
  return value;
}

}  // namespace

TEST_CASE("a region keeps what was written, across folds and reopening") {
  Scratch scratch;
  const uint64_t size = 600 * kKiB + 3;
  std::string model(size, '\0');
  std::mt19937_64 random(7);
  for (int life = 0; life < 3; life++) {
    auto pool = open_pool(scratch.path("p"));
    if (life == 0) resize(*pool, 1, size);
    CHECK(read(*pool, 1, 0, size) == model);
    for (int i = 0; i < 200; i++) {
      const uint64_t length = i % 20 == 0 ? random() % (200 * kKiB) : random() % 2000;
      const uint64_t offset = random() % (size - length);
      const std::string bytes(length, static_cast<char>('a' + i % 26));
      REQUIRE(write(*pool, 1, offset, bytes) == Code::kOk);
      model.replace(offset, length, bytes);
      if (i % 50 == 49) REQUIRE(pool->fold().is_ok());
      if (i % 10 == 0) REQUIRE(read(*pool, 1, 0, size) == model);
    }
    auto report = pool->check(nullptr, nullptr);
    REQUIRE(report.is_ok());
    CHECK(report->damages.empty());
    REQUIRE(pool->close().is_ok());
  }
}

TEST_CASE("a region of 8 GiB takes what was touched") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"));
  resize(*pool, 1, 8 * kGiB);
  for (const uint64_t offset : {uint64_t{0}, 4 * kGiB - 4, 8 * kGiB - 8})
    REQUIRE(write(*pool, 1, offset, "12345678") == Code::kOk);
  REQUIRE(pool->fold().is_ok());
  CHECK(read(*pool, 1, 4 * kGiB - 4, 8) == "12345678");
  CHECK(read(*pool, 1, 8 * kGiB - 8, 8) == "12345678");
  CHECK(read(*pool, 1, kGiB, 8) == std::string(8, '\0'));
  CHECK(pool->stats().region_bytes <= 3 * 256 * kKiB);
}

TEST_CASE("what is outside of a region is refused, and nothing happens") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"));
  resize(*pool, 1, 100);
  CHECK(write(*pool, 1, 93, "12345678") == Code::kOutOfRange);
  CHECK(write(*pool, 1, UINT64_MAX - 3, "12345678") == Code::kOutOfRange);
  CHECK(write(*pool, 2, 0, "1") == Code::kNotFound);
  CHECK(commit(*pool, [](Batch& b) { return b.region_size(1, kMaxRegionBytes + 1, "r"); }) ==
        Code::kOutOfRange);
  CHECK(commit(*pool, [](Batch& b) { return b.region_add(1, 4, 1); }) == Code::kInvalidArgument);
  CHECK(commit(*pool, [](Batch& b) { return b.region_add(1, 96, 1); }) == Code::kOutOfRange);
  CHECK(read(*pool, 1, 96, 8).find("ERR_HOLDFAST_OUT_OF_RANGE") == 0);
  CHECK(read(*pool, 3, 0, 1).find("ERR_HOLDFAST_NOT_FOUND") == 0);
  CHECK(read(*pool, 1, 0, 100) == std::string(100, '\0'));
  Batch both;
  REQUIRE(both.put(key_in(1, "k"), "v").is_ok());
  REQUIRE(both.region_write(1, 99, "12").is_ok());
  CHECK(pool->commit(both, CommitMode::kDurable).status().code() == Code::kOutOfRange);
  CHECK(get(*pool, key_in(1, "k")) == std::nullopt);
}

TEST_CASE("cells are added to and compared as the commit is decided") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"));
  resize(*pool, 1, 64);
  Batch batch;
  REQUIRE(batch.put(key_in(1, "k"), std::string(300 * kKiB, 'x'))
              .is_ok());  // a large value: the record is made anew
  REQUIRE(batch.region_add(1, 8, 5).is_ok());
  REQUIRE(batch.region_add(1, 8, 6).is_ok());
  const uint64_t hundred = 100;
  REQUIRE(batch.region_write(1, 8, bytes_of(&hundred, 8)).is_ok());
  REQUIRE(batch.region_add(1, 8, static_cast<uint64_t>(-1)).is_ok());
  const auto sums = batch.sums();
  REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
  CHECK(*sums == std::vector<uint64_t>{5, 11, 99});
  CHECK(cell(*pool, 1, 8) == 99);
  const auto swap = [&](uint64_t expected, uint64_t desired) {
    return commit(*pool, [&](Batch& b) {
      HOLDFAST_TRY(b.require_cell(1, 8, expected));
      return b.region_write(1, 8, bytes_of(&desired, 8));
    });
  };
  CHECK(swap(98, 1) == Code::kConflict);
  CHECK(swap(99, 7) == Code::kOk);
  CHECK(cell(*pool, 1, 8) == 7);
  // Many threads and a group: no addition is lost.
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; i++)
        (void)commit(*pool, [](Batch& b) { return b.region_add(1, 16, 1); });
    });
  }
  for (std::thread& thread : threads) thread.join();
  uint64_t done = 0;
  auto client = pool->attach([&](std::vector<Completion>&& some) { done += some.size(); });
  for (int i = 0; i < 100; i++) {
    Batch one;
    REQUIRE(one.region_add(1, 16, 1).is_ok());
    pool->submit(client, std::move(one), CommitMode::kDurable);
  }
  pool->flush(client);
  REQUIRE(pool->close().is_ok());
  CHECK(done == 100);
  pool = open_pool(scratch.path("p"));
  CHECK(cell(*pool, 1, 16) == 2100);
}

TEST_CASE(
    "what was added to cells is in the log as it was decided: a pool that was never folded has it "
    "after a crash") {
  Scratch scratch;
  const std::string path = scratch.path("p"), copy = scratch.path("copy");
  auto pool = open_pool(path);
  resize(*pool, 1, 4096);
  REQUIRE(write(*pool, 1, 64, std::string("\5\0\0\0\0\0\0\0", 8)) == Code::kOk);
  const Code added = commit(
      *pool,
      [](Batch& b) {
        HOLDFAST_TRY(b.put(key_in(1, "k"), "v"));
        HOLDFAST_TRY(b.region_add(1, 64, 7));
        HOLDFAST_TRY(b.region_add(1, 72, 3));
        return b.region_add(1, 64, 30);
      },
      CommitMode::kDurable);
  REQUIRE(added == Code::kOk);
  std::filesystem::copy_file(path, copy);  // what a power cut now would leave
  auto after = open_pool(copy);
  CHECK(get(*after, key_in(1, "k")) == "v");
  CHECK(cell(*after, 1, 64) == 42);
  CHECK(cell(*after, 1, 72) == 3);
}

TEST_CASE("a snapshot sees a region as it was, whatever is written, folded, cut or dropped") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"));
  const uint64_t size = 300 * kKiB;
  resize(*pool, 1, size);
  std::string model(size, 'a');
  REQUIRE(write(*pool, 1, 0, model) == Code::kOk);
  std::vector<std::pair<SnapshotPtr, std::string>> kept;
  std::mt19937_64 random(3);
  for (int i = 0; i < 60; i++) {
    if (i % 10 == 0) kept.emplace_back(*pool->snapshot(), model);
    const uint64_t offset = random() % (size - 700);
    const std::string bytes(700, static_cast<char>('b' + i % 20));
    REQUIRE(write(*pool, 1, offset, bytes) == Code::kOk);
    model.replace(offset, 700, bytes);
    if (i % 7 == 0) REQUIRE(pool->fold().is_ok());
    if (i == 33) kept.erase(kept.begin() + 1);
  }
  resize(*pool, 1, 1000);
  REQUIRE(pool->fold().is_ok());
  resize(*pool, 1, size);
  CHECK(read(*pool, 1, 0, size) == model.substr(0, 1000) + std::string(size - 1000, '\0'));
  resize(*pool, 1, 0);
  REQUIRE(pool->compact().is_ok());
  CHECK(read(*pool, 1, 0, 1).find("ERR_HOLDFAST_NOT_FOUND") == 0);
  for (const auto& [snapshot, expected] : kept)
    CHECK(read(*pool, 1, 0, size, snapshot) == expected);
  CHECK(pool->stats().region_bytes == 0);
}

TEST_CASE(
    "a region that is cut between two blocks, and nothing else, shows zeros there when it grows "
    "again") {
  for (const bool seen : {false, true}) {  // in place, and copied for a snapshot's sake
    CAPTURE(seen);
    Scratch scratch;
    auto pool = open_pool(scratch.path("p"));
    const std::string whole(64 * kRegionBlockBytes, 'a');
    const std::string left =
        whole.substr(0, 8 * kRegionBlockBytes) + std::string(56 * kRegionBlockBytes, '\0');
    resize(*pool, 1, whole.size());
    REQUIRE(write(*pool, 1, 0, whole) == Code::kOk);
    REQUIRE(pool->fold().is_ok());
    SnapshotPtr snapshot = seen ? *pool->snapshot() : nullptr;
    resize(*pool, 1, 8 * kRegionBlockBytes);
    REQUIRE(pool->fold().is_ok());
    resize(*pool, 1, whole.size());
    CHECK(read(*pool, 1, 0, whole.size()) == left);
    REQUIRE(pool->fold().is_ok());
    CHECK(read(*pool, 1, 0, whole.size()) == left);
    if (seen) CHECK(read(*pool, 1, 0, whole.size(), snapshot) == whole);
    snapshot = nullptr;
    REQUIRE(pool->close().is_ok());
    pool = open_pool(scratch.path("p"));
    CHECK(read(*pool, 1, 0, whole.size()) == left);
    CHECK(pool->check(nullptr, nullptr)->damages.empty());
  }
}

TEST_CASE("what a snapshot keeps of a region's cut end is not placed behind its shorter segment") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"));
  constexpr uint32_t kRegions = 40, kGap = 20;
  const std::string text(8 * kKiB, 't');
  for (uint32_t region = 2; region <= kRegions; region++) {
    resize(*pool, region, 8 * kKiB);
    REQUIRE(write(*pool, region, 0, text) == Code::kOk);
  }
  REQUIRE(pool->fold().is_ok());
  resize(*pool, kGap, 0);  // between them there is room for one
  REQUIRE(pool->compact().is_ok());
  resize(*pool, 1, 200 * kKiB);
  REQUIRE(write(*pool, 1, 100 * kKiB, std::string(100 * kKiB, 'x')) == Code::kOk);
  auto snapshot = pool->snapshot();
  REQUIRE(snapshot.is_ok());
  resize(*pool, 1, 8 * kKiB);
  REQUIRE(write(*pool, 1, 0, text) == Code::kOk);
  REQUIRE(pool->fold().is_ok());
  snapshot->reset();
  for (int reopened = 0; reopened < 2; reopened++) {
    for (uint32_t region = 1; region <= kRegions; region++) {
      if (region != kGap) CHECK(read(*pool, region, 0, 8 * kKiB) == text);
    }
    auto report = pool->check(nullptr, nullptr);
    REQUIRE(report.is_ok());
    CHECK(report->damages.empty());
    REQUIRE(pool->close().is_ok());
    pool = open_pool(scratch.path("p"));
  }
}

TEST_CASE("dropping a region gives its space back") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), file_options(16 * kMiB));
  REQUIRE(pool->compact().is_ok());
  const uint64_t before = pool->stats().free_bytes;
  for (int round = 0; round < 4; round++) {
    resize(*pool, static_cast<uint32_t>(round + 1), 6 * kMiB);
    for (uint64_t at = 0; at < 6 * kMiB; at += kMiB)
      REQUIRE(write(*pool, static_cast<uint32_t>(round + 1), at, std::string(kMiB, 'x')) ==
              Code::kOk);
    REQUIRE(pool->compact().is_ok());
    CHECK(pool->stats().free_bytes < before - 6 * kMiB + kMiB);
    resize(*pool, static_cast<uint32_t>(round + 1), 0);
    REQUIRE(pool->compact().is_ok());
    CHECK(pool->stats().free_bytes + kMiB >=
          before);  // the log may hold a segment or two more than it did
  }
}

TEST_CASE("a region that has no room is refused before anything is appended") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), file_options(4 * kMiB));
  resize(*pool, 1, kGiB);
  Code last = Code::kOk;
  uint64_t written = 0;
  for (; last == Code::kOk && written < 1000; written++)
    last = write(*pool, 1, written * kExtentDataBytes, "touched!");
  CHECK(last == Code::kPoolFull);
  CHECK(written > 4);
  REQUIRE(pool->fold().is_ok());
  for (uint64_t i = 0; i + 1 < written; i++)
    CHECK(read(*pool, 1, i * kExtentDataBytes, 8) == "touched!");
  CHECK(write(*pool, 1, 8, "again") == Code::kOk);  // where there is room already
  resize(*pool, 1, 0);
  REQUIRE(pool->compact().is_ok());
}

TEST_CASE(
    "a damaged byte of a region is an error that names it, until its block is written whole") {
  Scratch scratch;
  const std::string path = scratch.path("p");
  std::string needle = "a needle that is found in the file and broken there";
  {
    auto pool = open_pool(path);
    resize(*pool, 1, 64 * kKiB);
    REQUIRE(write(*pool, 1, 5000, needle) == Code::kOk);
    REQUIRE(pool->compact().is_ok());
    REQUIRE(pool->close().is_ok());
  }
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    std::string all((std::istreambuf_iterator<char>(file)), {});
    // In the log it follows an operation's key; in the extent it begins 5000 bytes behind the
    // data's beginning.
    size_t broken = 0;
    for (size_t at = all.find(needle); at != std::string::npos; at = all.find(needle, at + 1)) {
      if (at % 512 != 5000 % 512) continue;
      file.seekp(static_cast<long>(at + 3));
      file.put('X');
      broken++;
    }
    REQUIRE(broken == 1);
  }
  auto pool = open_pool(path);
  const std::string error = read(*pool, 1, 5000, 8);
  CHECK(error.find("ERR_HOLDFAST_CORRUPT: the region 'r1' is damaged at offset 4608") == 0);
  CHECK(read(*pool, 1, 0, 4608) == std::string(4608, '\0'));
  auto report = pool->check(nullptr, nullptr);
  REQUIRE(report.is_ok());
  REQUIRE(report->damages.size() == 1);
  CHECK(report->damages[0].find("the region 'r1' is damaged at offset 4608") == 0);
  // Salvage saves the rest, and the tail's writes in order.
  resize(*pool, 2, 3000);
  REQUIRE(write(*pool, 2, 100, "in no fold") == Code::kOk);
  resize(*pool, 1, 60 * kKiB);
  REQUIRE(write(*pool, 1, 70, "newer") == Code::kOk);
  REQUIRE(pool->settle().is_ok());
  REQUIRE(std::filesystem::copy_file(path, scratch.path("copy")));
  PoolOptions target;
  target.medium.choice = MediumChoice::kFile;
  auto salvaged = salvage(scratch.path("copy"), scratch.path("saved"), target, nullptr, nullptr);
  REQUIRE_MESSAGE(salvaged.is_ok(), salvaged.status().message());
  REQUIRE(salvaged->losses.size() == 1);
  CHECK(salvaged->losses[0].find("the region 'r1': its bytes at offset 4608 are damaged") == 0);
  {
    auto saved = open_pool(scratch.path("saved"));
    CHECK(read(*saved, 1, 70, 5) == "newer");
    CHECK(read(*saved, 1, 0, 70) == std::string(70, '\0'));
    CHECK(read(*saved, 1, 61 * kKiB, 1).find("ERR_HOLDFAST_OUT_OF_RANGE") == 0);
    CHECK(read(*saved, 2, 100, 10) == "in no fold");
  }
  // A part of it written anew does not make the rest right, not even behind a fold.
  REQUIRE(write(*pool, 1, 5000, "part") == Code::kOk);
  CHECK(read(*pool, 1, 5000, 4).find("ERR_HOLDFAST_CORRUPT") == 0);
  REQUIRE(pool->fold().is_ok());
  REQUIRE(pool->close().is_ok());
  pool = open_pool(path);
  CHECK(read(*pool, 1, 5000, 4).find("ERR_HOLDFAST_CORRUPT") == 0);
  REQUIRE(write(*pool, 1, 4608, std::string(512, 'w')) == Code::kOk);
  CHECK(read(*pool, 1, 5000, 4) == "wwww");
  REQUIRE(pool->fold().is_ok());
  CHECK(read(*pool, 1, 4608, 512) == std::string(512, 'w'));
}

TEST_CASE("where a sparse region has data is known without reading it") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"));
  resize(*pool, 1, kMaxRegionBytes);
  const auto data_from = [&](uint64_t offset, const SnapshotPtr& snapshot = nullptr) {
    auto at = pool->region_data_from(1, offset, snapshot);
    REQUIRE(at.is_ok());
    return *at;
  };
  CHECK(data_from(0) == kMaxRegionBytes);
  const uint64_t far = kMaxRegionBytes / 2 + 12345;
  REQUIRE(write(*pool, 1, far, "x") == Code::kOk);
  CHECK(data_from(0) == far / kRegionBlockBytes * kRegionBlockBytes);
  CHECK(data_from(far) == far);
  CHECK(data_from(far + kRegionBlockBytes) == kMaxRegionBytes);
  REQUIRE(pool->fold().is_ok());
  CHECK(data_from(0) == far / kExtentDataBytes * kExtentDataBytes);
  CHECK(data_from(far) == far);
  CHECK(data_from((far / kExtentDataBytes + 1) * kExtentDataBytes) == kMaxRegionBytes);
  auto before = pool->snapshot();
  REQUIRE(before.is_ok());
  resize(
      *pool, 1,
      2 * kRegionBlockBytes);  // within a block it would be zeroed to its end, and count as written
  resize(*pool, 1, kMaxRegionBytes);
  CHECK(data_from(0) == kMaxRegionBytes);
  CHECK(data_from(0, *before) == far / kExtentDataBytes * kExtentDataBytes);
  REQUIRE(pool->fold().is_ok());
  CHECK(data_from(0) == kMaxRegionBytes);
  CHECK(data_from(0, *before) == far / kExtentDataBytes * kExtentDataBytes);
  CHECK(pool->region_data_from(7, 0, nullptr).status().code() == Code::kNotFound);
}
