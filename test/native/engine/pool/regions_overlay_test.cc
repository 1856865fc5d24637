// What lies over the placed blocks of a region before a fold has placed it: cuts, and images of
// blocks that are damaged below.
#include <doctest/doctest.h>

#include <thread>

#include "format/region.h"
#include "native/at_point.h"
#include "native/pool_fixture.h"

namespace holdfast::test {
namespace {

constexpr uint64_t kSize = 20000;

PoolOptions quiet() {
  PoolOptions options = file_options();
  options.background = false;
  return options;
}

void write(Pool& pool, uint64_t offset, const std::string& bytes) {
  Batch batch;
  REQUIRE(batch.region_write(1, offset, bytes).is_ok());
  REQUIRE(pool.commit(batch, CommitMode::kDurable).is_ok());
}

void resize(Pool& pool, uint64_t size) {
  Batch batch;
  REQUIRE(batch.region_size(1, size, "r").is_ok());
  REQUIRE(pool.commit(batch, CommitMode::kDurable).is_ok());
}

std::string all_of(Pool& pool) {
  std::string bytes(kSize, '?');
  Status read = pool.region_read(1, 0, kSize, reinterpret_cast<uint8_t*>(bytes.data()), nullptr);
  return read.is_ok() ? bytes : code_name(read.code());
}

// A region full of 'a', placed.
std::shared_ptr<Pool> placed(const std::string& path) {
  auto pool = open_pool(path, quiet());
  resize(*pool, kSize);
  write(*pool, 0, std::string(kSize, 'a'));
  REQUIRE(pool->fold().is_ok());
  return pool;
}

}  // namespace

TEST_CASE(
    "regions: what was cut off is zeros, whatever was cut, grown and written since, with and "
    "without a fold") {
  Scratch scratch;
  auto pool = placed(scratch.path("p"));
  write(*pool, 6000, std::string(2000, 'b'));
  for (const uint64_t size : {uint64_t{1000}, kSize, uint64_t{9000}, kSize}) resize(*pool, size);
  std::string expected = std::string(1000, 'a') + std::string(kSize - 1000, '\0');
  CHECK((all_of(*pool) == expected));
  write(*pool, 6100, "x");
  write(*pool, 15000, "y");
  expected[6100] = 'x', expected[15000] = 'y';
  CHECK((all_of(*pool) == expected));
  SUBCASE("replayed") {
    REQUIRE(pool->close().is_ok());
    pool = open_pool(scratch.path("p"), quiet());
    CHECK((all_of(*pool) == expected));
  }
  REQUIRE(pool->fold().is_ok());
  CHECK((all_of(*pool) == expected));
}

TEST_CASE(
    "regions: a damaged block stays damaged under writes of parts of it, and is whole when all of "
    "it was written") {
  Scratch scratch;
  const std::string path = scratch.path("p");
  auto pool = placed(path);
  write(*pool, 512 * 4 + 100, "here");
  REQUIRE(pool->close().is_ok());
  const std::string bytes = bytes_of_file(path);
  for (size_t at = bytes.find("ahere"); at != std::string::npos; at = bytes.find("ahere", at + 1))
    write_at(path, at + 1, "HERE");
  pool = open_pool(path, quiet());
  CHECK(all_of(*pool) == code_name(Code::kCorrupt));
  for (int i = 0; i < 3; i++) {
    write(*pool, 512 * 4 + 10 + static_cast<uint64_t>(i), "p");
    CHECK(all_of(*pool) == code_name(Code::kCorrupt));
  }
  write(*pool, 512 * 4, std::string(512, 'w'));
  CHECK((all_of(*pool) ==
         std::string(512 * 4, 'a') + std::string(512, 'w') + std::string(kSize - 512 * 5, 'a')));
}

#ifdef HOLDFAST_PLANTED_BUGS

TEST_CASE(
    "regions: a cut that a fold is about to place hides what is below from a write that comes "
    "meanwhile") {
  Scratch scratch;
  auto pool = placed(scratch.path("p"));
  resize(*pool, 1000);
  resize(*pool, kSize);
  std::string expected = std::string(1000, 'a') + std::string(kSize - 1000, '\0');
  expected[5000] = 'x';
  bool met = false;
  {
    const AtPoint point(TestPoint::kFoldFrozen, [&] {
      std::thread([&] {
        write(*pool, 5000, "x");
        CHECK((all_of(*pool) == expected));
      }).join();
      met = true;
    });
    REQUIRE(pool->fold().is_ok());
  }
  CHECK(met);
  CHECK((all_of(*pool) == expected));
  REQUIRE(pool->fold().is_ok());
  CHECK((all_of(*pool) == expected));
}

#endif

}  // namespace holdfast::test
