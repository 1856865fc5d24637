// Sums of regions' blocks: which of them are believed while they are on their way, which are
// damage, and what recovery makes of a torn one. And what is set aside for parts that a fold will
// place.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <fstream>

#include "format/region.h"
#include "medium/simulated_medium.h"
#include "native/at_point.h"
#include "native/pool_fixture.h"

namespace holdfast::test {
namespace {

constexpr uint64_t kSize = 40 * kRegionBlockBytes;

PoolOptions quiet() {
  PoolOptions options = file_options();
  options.background = false;
  return options;
}

void resize(Pool& pool, uint64_t size) {
  Batch batch;
  REQUIRE(batch.region_size(1, size, "r").is_ok());
  REQUIRE(pool.commit(batch, CommitMode::kDurable).is_ok());
}

void write(Pool& pool, uint64_t block, char with) {
  Batch batch;
  REQUIRE(batch.region_write(1, block * kRegionBlockBytes, std::string(kRegionBlockBytes, with))
              .is_ok());
  REQUIRE(pool.commit(batch, CommitMode::kDurable).is_ok());
}

// A letter a block, '.' where it is zeros, '!' where it is damaged.
std::string blocks_of(Pool& pool) {
  std::string out;
  for (uint64_t at = 0; at < kSize; at += kRegionBlockBytes) {
    uint8_t block[kRegionBlockBytes];
    const Status read = pool.region_read(1, at, sizeof block, block, nullptr);
    const bool even =
        std::all_of(block, block + sizeof block, [&](uint8_t byte) { return byte == block[0]; });
    out += read.code() == Code::kCorrupt ? '!'
           : !read.is_ok() || !even      ? '?'
           : block[0] == 0               ? '.'
                                         : static_cast<char>(block[0]);
  }
  return out;
}

std::string with_dots(std::string front) { return front + std::string(40 - front.size(), '.'); }

// Of the region's only extent: where its sums are. Its first block is `with`; in the log that lies
// behind a header.
uint64_t sums_in(const std::string& bytes, char with) {
  const std::string block(kRegionBlockBytes, with);
  for (size_t at = bytes.find(block); at != std::string::npos; at = bytes.find(block, at + 1)) {
    if (at % 4096 == 0) return at - kSumPageBytes;
  }
  FAIL("the extent is not there");
  return 0;
}

// Blocks 0 to 9, but for the odd ones of them; folded.
std::shared_ptr<Pool> placed(const std::string& path) {
  auto pool = open_pool(path, quiet());
  resize(*pool, kSize);
  for (uint64_t block = 0; block < 10; block += 2)
    write(*pool, block, static_cast<char>('a' + block));
  REQUIRE(pool->fold().is_ok());
  REQUIRE(blocks_of(*pool) == with_dots("a.c.e.g.i"));
  return pool;
}

}  // namespace

TEST_CASE(
    "regions: a sum that is lost is damage, also beside blocks that the next fold will place") {
  Scratch scratch;
  const std::string path = scratch.path("p");
  REQUIRE(placed(path)->close().is_ok());
  write_at(path, sums_in(bytes_of_file(path), 'a') + 4 * sizeof(uint64_t),
           std::string(sizeof(uint64_t), '\0'));
  auto pool = open_pool(path, quiet());
  CHECK(blocks_of(*pool) == "a!c!!!g!i!" + std::string(30, '!'));
  write(*pool, 6, 'G');
  write(*pool, 7, 'h');
  const std::string expected = "a!c!!!Ghi!" + std::string(30, '!');
  CHECK(blocks_of(*pool) == expected);
  REQUIRE(pool->fold().is_ok());
  CHECK(blocks_of(*pool) == expected);
  REQUIRE(pool->close().is_ok());
  CHECK(blocks_of(*open_pool(path, quiet())) == expected);
}

#ifdef HOLDFAST_PLANTED_BUGS

TEST_CASE(
    "regions: sums that a fold was writing as the machine died are made whole, checksum too") {
  Scratch scratch;
  const std::string path = scratch.path("p"), left = scratch.path("left");
  auto pool = placed(path);
  write(*pool, 4, 'E');
  write(*pool, 5, 'f');
  std::string before, after;
  at_test_point = [&](TestPoint here) {
    if (here == TestPoint::kRegionsInPlace) before = bytes_of_file(path);
    if (here == TestPoint::kRegionsPlaced) after = bytes_of_file(path);
  };
  REQUIRE(pool->fold().is_ok());
  at_test_point = nullptr;
  REQUIRE(before.size() == after.size());
  const uint64_t sums = sums_in(before, 'a'), checksum_at = sums + offsetof(SumSector, checksum);
  const std::string whole = with_dots("a.c.Efg.i");
  REQUIRE(blocks_of(*pool) == whole);
  for (const bool sums_landed : {false, true}) {
    CAPTURE(sums_landed);
    std::string bytes = before;
    if (sums_landed)
      bytes.replace(sums, offsetof(SumSector, checksum), after, sums,
                    offsetof(SumSector, checksum));
    else
      bytes.replace(checksum_at, sizeof(uint64_t), after, checksum_at, sizeof(uint64_t));
    REQUIRE(bytes != before);
    std::ofstream(left, std::ios::binary | std::ios::trunc) << bytes;
    auto next = open_pool(left, quiet());
    CHECK(blocks_of(*next) == whole);
    REQUIRE(next->fold().is_ok());
    CHECK(blocks_of(*next) == whole);
    REQUIRE(next->close().is_ok());
    next = open_pool(left, quiet());
    CHECK(blocks_of(*next) == whole);
    CHECK(damages(*next) == std::vector<std::string>());
  }
}

TEST_CASE(
    "regions: a sector of sums that is not this extent's is damage, also where a fold was writing "
    "it") {
  Scratch scratch;
  const std::string path = scratch.path("p"), left = scratch.path("left");
  auto pool = placed(path);
  write(*pool, 4, 'E');
  {
    const AtPoint point(TestPoint::kRegionsInPlace, [&] { copy_over(path, left); });
    REQUIRE(pool->fold().is_ok());
  }
  write_at(left, sums_in(bytes_of_file(left), 'a'), std::string(sizeof(SumSector), '\0'));
  CHECK(blocks_of(*open_pool(left, quiet())) == "!!!!E" + std::string(35, '!'));
}

#endif

TEST_CASE(
    "regions: a snapshot from before an extent was there does not keep it from being rewritten in "
    "place") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), quiet());
  resize(*pool, kSize);
  REQUIRE(pool->fold().is_ok());
  auto snapshot = pool->snapshot();
  REQUIRE(snapshot.is_ok());
  for (int round = 0; round < 10; round++) {
    write(*pool, 1, static_cast<char>('a' + round));
    REQUIRE(pool->fold().is_ok());
  }
  CHECK(pool->stats().region_segments == 1);
  CHECK(pool->stats().waiting_bytes < 2 * 64 * kKiB);
  CHECK(blocks_of(*pool) == with_dots(".j"));
  uint8_t byte = 1;
  REQUIRE(pool->region_read(1, kRegionBlockBytes, 1, &byte, *snapshot).is_ok());
  CHECK(byte == 0);
}

TEST_CASE(
    "regions: what is set aside for parts that were never placed is set aside again when their "
    "records are replayed") {
  Scratch scratch;
  const std::string path = scratch.path("p");
  auto pool = open_pool(path, quiet());
  resize(*pool, 3 * kExtentDataBytes);
  write(*pool, 0, 'a');
  write(*pool, kExtentBlocks, 'b');
  const uint64_t aside = pool->stats().set_aside_bytes;
  CHECK(aside >= 2 * kExtentDataBytes);
  copy_over(path, path + ".killed");
  auto next = open_pool(path + ".killed", quiet());
  CHECK(next->stats().set_aside_bytes == aside);
  REQUIRE(next->fold().is_ok());
  CHECK(next->stats().set_aside_bytes == 0);
}

TEST_CASE(
    "regions: for zeros behind the end of one that shrinks a part is set aside, for a part that "
    "has one nothing is") {
  PoolOptions options = quiet();
  options.log_segment_bytes = 256 * kKiB;
  auto disk = SimulatedDisk::create(SimulatedOptions(), 1);
  auto opened = disk->open();
  REQUIRE(opened.is_ok());
  auto pool = *Pool::open_on(std::move(*opened), "p", options);
  resize(*pool, 2 * kExtentDataBytes);
  CHECK(pool->stats().set_aside_bytes == 0);
  resize(*pool, kSize - 100);
  CHECK(pool->stats().set_aside_bytes > 0);
  const uint64_t aside = pool->stats().set_aside_bytes;
  for (uint64_t n = 1; n < 20; n++)
    disk->fail(SimulatedCall::kAllocate, n, SimulatedFault::kDiskFull);
  write(*pool, 3, 'd');
  write(*pool, 4, 'e');
  CHECK(pool->stats().set_aside_bytes == aside);
  CHECK(pool->stats().folds == 0);  // it was not looked for room
}

}  // namespace holdfast::test
