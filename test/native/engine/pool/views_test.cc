// Views of regions and values: what they show of what no fold has placed, of what was never written
// or was cut off, and what they hold back.
#include <doctest/doctest.h>

#include "format/region.h"
#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

constexpr uint32_t kRegion = 7;
constexpr uint64_t kBytes = 2 * kExtentDataBytes + 10'000;

PoolOptions quiet_options(uint64_t size = 0) {
  PoolOptions options = file_options(size);
  options.background = false;
  return options;
}

void resize(Pool& pool, uint64_t size) {
  Batch batch;
  REQUIRE(batch.region_size(kRegion, size, "r").is_ok());
  REQUIRE(pool.commit(batch, CommitMode::kDurable).is_ok());
}

void write(Pool& pool, uint64_t offset, const std::string& bytes) {
  Batch batch;
  REQUIRE(batch.region_write(kRegion, offset, bytes).is_ok());
  REQUIRE(pool.commit(batch, CommitMode::kDurable).is_ok());
}

std::string shown(const MappedView& view) {
  return std::string(reinterpret_cast<const char*>(view.data), view.size);
}

std::string view_of(Pool& pool, uint64_t offset, uint64_t size,
                    const SnapshotPtr& snapshot = nullptr) {
  auto view = pool.view_region(kRegion, offset, size, snapshot);
  if (!view.is_ok()) return code_name(view.status().code());
  return shown(**view);
}

// The bytes of the model, from a place in the middle of a page too.
void check_views(Pool& pool, const std::string& model, const SnapshotPtr& snapshot = nullptr) {
  for (const uint64_t from : {uint64_t{0}, uint64_t{700}, uint64_t{4096}, kExtentDataBytes - 5,
                              kExtentDataBytes + 8192}) {
    if (from >= model.size()) continue;
    CAPTURE(from);
    CHECK((view_of(pool, from, model.size() - from, snapshot) == model.substr(from)));
  }
}

// Segments that are given out next have other bytes in them than zeros.
void soil(Pool& pool) {
  for (int i = 0; i < 12; i++) put(pool, "dirt" + std::to_string(i), std::string(kMiB, 'd'));
  Batch batch;
  for (int i = 0; i < 12; i++) REQUIRE(batch.remove(key_in(1, "dirt" + std::to_string(i))).is_ok());
  REQUIRE(pool.commit(batch, CommitMode::kDurable).is_ok());
  for (int i = 0; i < 3; i++) {
    REQUIRE(pool.fold().is_ok());
    pool.maintain(false);
  }
}

}  // namespace

TEST_CASE(
    "a view of a region shows what no fold has placed, zeros where nothing was written, and "
    "nothing of what was cut off") {
  const Scratch scratch = Scratch::quick();
  auto pool = open_pool(scratch.path("p"), quiet_options(32 * kMiB));
  soil(*pool);
  std::string model(kBytes, '\0');
  const auto change = [&](uint64_t offset, const std::string& bytes) {
    write(*pool, offset, bytes);
    model.replace(offset, bytes.size(), bytes);
  };
  resize(*pool, kBytes);
  check_views(*pool, model);
  change(600, std::string(300, 'a'));      // one block of a page, not all of it
  change(4'500, std::string(3'000, 'h'));  // what is cut off below lies in a page with what is not
  change(50'000, std::string(9'000, 'i'));
  change(kExtentDataBytes + 5000, std::string(20'000, 'b'));
  change(kBytes - 100, std::string(100, 'c'));
  check_views(*pool, model);  // of no extent yet
  REQUIRE(pool->fold().is_ok());
  check_views(*pool, model);
  change(1600, std::string(10, 'd'));                      // beside what was placed
  change(kExtentDataBytes + 6000, std::string(100, 'e'));  // over it
  check_views(*pool, model);
  auto snapshot = pool->snapshot();
  REQUIRE(snapshot.is_ok());
  const std::string then = model;

  SUBCASE("cut, and longer again, before any fold") {
    resize(*pool, 5'000);
    model.resize(5'000);
    check_views(*pool, model);
    resize(*pool, kBytes);
    model.resize(kBytes, '\0');
    check_views(*pool, model);
    change(kExtentDataBytes + 9000, std::string(50, 'f'));
    check_views(*pool, model);
    check_views(*pool, then, *snapshot);
    change(4'600, "j");
    check_views(*pool, model);
    REQUIRE(pool->fold().is_ok());
    check_views(*pool, model);
  }
  SUBCASE("written meanwhile, and folded") {
    change(0, std::string(kBytes, 'g'));
    REQUIRE(pool->fold().is_ok());
    check_views(*pool, model);
  }
  check_views(*pool, then, *snapshot);
}

TEST_CASE("what a view shows stays as it was, whatever is written, folded or deleted under it") {
  const Scratch scratch = Scratch::quick();
  auto pool = open_pool(scratch.path("p"), quiet_options(32 * kMiB));
  resize(*pool, kBytes);
  const std::string before(kBytes, 'a'), value(100'000, 'v'), large(kMiB, 'L');
  write(*pool, 0, before);
  put(*pool, "value", value);
  put(*pool, "large", large);
  REQUIRE(pool->fold().is_ok());
  auto region = pool->view_region(kRegion, 0, kBytes, nullptr);
  auto of_value = pool->view_value(key_in(1, "value"), nullptr),
       of_large = pool->view_value(key_in(1, "large"), nullptr);
  REQUIRE((region.is_ok() && of_value.is_ok() && of_large.is_ok()));
  for (int round = 0; round < 4; round++) {
    write(*pool, 0, std::string(kBytes, static_cast<char>('b' + round)));
    for (int i = 0; i < 40; i++)
      put(*pool, i % 2 == 0 ? "value" : "other",
          std::string(100'000, static_cast<char>('b' + round)));
    put(*pool, "large", std::string(kMiB, static_cast<char>('b' + round)));
    REQUIRE(pool->compact().is_ok());
    pool->maintain(true);
    CHECK((shown(**region) == before));
    CHECK((shown(**of_value) == value));
    CHECK((shown(**of_large) == large));
  }
  region->reset();
  of_value->reset();
  of_large->reset();
  REQUIRE(pool->compact().is_ok());
  pool->maintain(false);
  CHECK(pool->stats().waiting_bytes < kMiB);  // nothing is held for them any more
}

TEST_CASE("a view of a region of which it is not known any more what was written is refused") {
  const Scratch scratch = Scratch::quick();
  const std::string path = scratch.path("p"), copy = scratch.path("damaged");
  {
    auto pool = open_pool(path, quiet_options());
    resize(*pool, kBytes);
    write(*pool, 0, "mark" + std::string(600, 'a'));
    REQUIRE(pool->close().is_ok());
  }
  copy_over(path, copy);
  const std::string bytes = bytes_of_file(copy);
  size_t at =
      bytes.find("markaaaa");  // in the log, and where the fold has placed it, behind its sums
  while (at != std::string::npos && at % 4096 != 0) at = bytes.find("markaaaa", at + 1);
  REQUIRE(at != std::string::npos);
  write_at(copy, at - kSumPageBytes,
           std::string(8, '\0'));  // as if the first block had never been written
  auto pool = open_pool(copy, quiet_options());
  CHECK(view_of(*pool, 0, 4096) == std::string("ERR_HOLDFAST_CORRUPT"));
}

TEST_CASE("a view of what was copied holds nothing of the pool back") {
  const Scratch scratch = Scratch::quick();
  auto pool = open_pool(scratch.path("p"), quiet_options());
  put(*pool, "small", std::string(100, 's'));
  auto view = pool->view_value(key_in(1, "small"), nullptr);
  REQUIRE(view.is_ok());
  CHECK_FALSE((*view)->mapped);
  CHECK(pool->stats().open_snapshots == 0);
  put(*pool, "long", std::string(100'000, 'l'));
  auto of_long = pool->view_value(key_in(1, "long"), nullptr);
  REQUIRE(of_long.is_ok());
  if ((*of_long)->mapped) CHECK(pool->stats().open_snapshots == 1);
}
