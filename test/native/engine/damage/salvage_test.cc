// What salvage takes from where the index cannot say: the newest version of each key, no deleted
// one, no damaged bytes, and nothing older than what a fold has placed.
#include "engine/damage/salvage.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include "format/layout.h"
#include "format/record.h"
#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

PoolOptions small_segments() {
  PoolOptions options = file_options();
  options.background = false;
  options.log_segment_bytes = 64 * kKiB;
  return options;
}

using Model = std::map<std::string, std::string>;

void put_one(Pool& pool, const std::string& key, const std::string& value, Model* model) {
  put(pool, key, value);
  (*model)[key_in(1, key)] = value;
}

void remove_one(Pool& pool, const std::string& key, Model* model) {
  Batch batch;
  REQUIRE(batch.remove(key_in(1, key)).is_ok());
  REQUIRE(pool.commit(batch, CommitMode::kDurable).is_ok());
  model->erase(key_in(1, key));
}

// Two lives; keys that are put anew and deleted, small and large, over several segments of the log.
Model fill(const std::string& path, std::optional<RetainWish> retain = std::nullopt) {
  Model model;
  for (int life = 0; life < 2; life++) {
    PoolOptions options = small_segments();
    options.retain = retain;
    auto pool = open_pool(path, options);
    for (int i = 0; i < 300; i++) {
      put_one(*pool, "k" + std::to_string(i % 90),
              std::to_string(life) + "." + std::to_string(i) + std::string(900, 'v'), &model);
      if (i % 7 == 0) remove_one(*pool, "k" + std::to_string((i + 30) % 90), &model);
    }
    put_one(*pool, "large", std::string(400'000, static_cast<char>('L' + life)), &model);
    put_one(*pool, "other", "mark" + std::string(400'000, 'o'), &model);
    put_one(*pool, "behind it", "says that it was durable", &model);
    REQUIRE(pool->close().is_ok());
  }
  return model;
}

void lose_root(const std::string& path) {
  for (const uint64_t offset : kRootSlotOffsets) write_at(path, offset, std::string(512, 'x'));
}

SalvageReport saved(const std::string& from, const std::string& to, Model* model) {
  auto report = salvage(from, to, file_options(), nullptr, nullptr);
  REQUIRE_MESSAGE(report.is_ok(), report.status().message());
  *model = contents(*open_pool(to));
  return *report;
}

}  // namespace

TEST_CASE(
    "salvage: without a root the newest version of each key counts, and what was deleted stays "
    "so") {
  const Scratch scratch = Scratch::quick();
  const std::string path = scratch.path("p");
  const Model model = fill(path);
  lose_root(path);
  Model found;
  const SalvageReport report = saved(path, scratch.path("saved"), &found);
  CHECK(report.source == SalvageSource::kLog);
  CHECK(report.lost == 0);
  CHECK((found == model));
}

TEST_CASE("salvage: a segment whose header is lost is found by the link that leads there") {
  const Scratch scratch = Scratch::quick();
  const std::string path = scratch.path("p"), copy = scratch.path("damaged");
  const Model model =
      fill(path, RetainWish{0, uint64_t{1} << 40});  // so that each segment is still there
  lose_root(path);
  const std::string bytes = bytes_of_file(path);
  int tried = 0;
  for (uint64_t at = kSegmentsOffset; at < bytes.size(); at += kPageBytes) {
    if (load<uint32_t>(reinterpret_cast<const uint8_t*>(bytes.data()) + at) !=
        SegmentHeader::kMagic)
      continue;
    if (load<SegmentHeader>(reinterpret_cast<const uint8_t*>(bytes.data()) + at).sequence < 2)
      continue;  // nothing leads to the first
    CAPTURE(at);
    copy_over(path, copy);
    write_at(copy, at, std::string(8, 'x'));
    Model found;
    saved(copy, scratch.path("saved" + std::to_string(tried++)), &found);
    CHECK((found == model));
  }
  CHECK(tried > 4);
}

// As a disk does that cannot read a sector: a file that is cut meanwhile raises the same signal.
TEST_CASE(
    "salvage: what the disk does not read is not taken for zeros, and it is said what to do") {
  const Scratch scratch = Scratch::quick();
  const std::string path = scratch.path("p");
  fill(path);
  auto report = salvage(path, scratch.path("saved"), file_options(), nullptr, [&](double) {
    CHECK(::truncate(path.c_str(), static_cast<off_t>(kSegmentsOffset)) == 0);
  });
  REQUIRE_FALSE(report.is_ok());
  CHECK(report.status().code() == Code::kIo);
  CHECK(report.status().message().find("ddrescue") != std::string::npos);
}

TEST_CASE("salvage: a damaged large value is lost, and said to be") {
  for (const bool with_root : {true, false}) {
    CAPTURE(with_root);
    const Scratch scratch = Scratch::quick();
    const std::string path = scratch.path("p");
    Model model = fill(path), found;
    const std::string bytes = bytes_of_file(path);
    for (size_t at = bytes.find("markoooo"); at != std::string::npos;
         at = bytes.find("markoooo", at + 1))
      write_at(path, at + 2000, "?");
    if (!with_root) lose_root(path);
    const SalvageReport report = saved(path, scratch.path("saved"), &found);
    model.erase(key_in(1, "other"));
    CHECK((found == model));
    CHECK(report.lost == 1);
  }
}

TEST_CASE(
    "salvage: what a fold has placed of a region is not written over with what the log still has "
    "from before") {
  const Scratch scratch = Scratch::quick();
  const std::string path = scratch.path("p");
  const std::string late(4096, 'n');
  {
    auto pool = open_pool(path, small_segments());
    const auto write = [&](uint64_t offset, const std::string& bytes) {
      Batch batch;
      REQUIRE(batch.region_write(7, offset, bytes).is_ok());
      REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
    };
    Batch batch;
    REQUIRE(batch.region_size(7, 100'000, "r").is_ok());
    REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
    write(0, std::string(4096, 'o'));
    put(*pool, "keeps its segment",
        std::string(58'000, 'k'));  // and leaves no room there for what follows
    for (int i = 0; i < 40; i++)
      write(0, late);  // segments in which nothing lives once it is folded
    put(*pool, "last", std::string(58'000, 'l'));  // in another segment
    for (int i = 0; i < 3; i++) {
      REQUIRE(pool->fold().is_ok());
      pool->maintain(false);
    }
    for (int i = 0; i < 8; i++)
      put(*pool, "again" + std::to_string(i),
          std::string(50'000, 'a'));  // in the place of what was given back
    REQUIRE(pool->close().is_ok());
  }
  auto report = salvage(path, scratch.path("saved"), file_options(), nullptr, nullptr);
  REQUIRE_MESSAGE(report.is_ok(), report.status().message());
  CHECK(report->lost == 0);
  std::string bytes(4096, '?');
  auto pool = open_pool(scratch.path("saved"));
  REQUIRE(pool->region_read(7, 0, bytes.size(), reinterpret_cast<uint8_t*>(bytes.data()), nullptr)
              .is_ok());
  CHECK((bytes == late));
}
