// Pools that were made to do harm: every checksum in them is right (forged_pool.h). Whatever they
// say, who opens them gets an error or what is whole, and nothing is read or written outside of the
// pool.
#include <doctest/doctest.h>

#include "engine/damage/salvage.h"
#include "index/table.h"
#include "native/forged_pool.h"
#include "native/index/memory_medium.h"

using namespace holdfast;
using namespace holdfast::test;

TEST_CASE("hostile: the forger's record is believed, so what the other cases forge is looked at") {
  Scratch scratch;
  Forged forged(scratch.path("p"));
  forged.record(operation(OperationType::kPut, key_in(1, "forged"), "yes"), 1);
  forged.write();
  auto pool = open_pool(scratch.path("p"), without_threads_of_its_own());
  CHECK(get(*pool, key_in(1, "forged")) == "yes");
  CHECK(contents(*pool).size() == 21);
}

TEST_CASE("hostile: links that lead in a circle end the log") {
  Scratch scratch;
  Forged forged(scratch.path("p"));
  const uint64_t first = forged.end() - 128 * kKiB, second = forged.end() - 64 * kKiB,
                 sequence = forged.sequence;
  forged.link(first, sequence + 1);
  forged.link(second, sequence + 2);
  forged.link(first, sequence + 1);
  forged.write();
  auto pool = Pool::open(scratch.path("p"), without_threads_of_its_own());
  if (pool.is_ok()) CHECK(contents(**pool).size() == 20);
  CHECK(pool.status().code() == Code::kCorrupt);
}

TEST_CASE(
    "hostile: the pieces of a large value are as long as it is, also where their sum is not a "
    "number any more") {
  Scratch scratch;
  Forged forged(scratch.path("p"));
  LargeValue value;
  value.size = 100;
  value.pieces.push_back({{forged.end() - 64 * kKiB, 64 * kKiB}, 64 * kKiB, 0});
  value.pieces.push_back({{0, UINT64_MAX}, 100 - 64 * kKiB, 0});  // modulo 2^64
  CHECK(!LargeValue::decode(value.encode()));
  forged.record(operation(OperationType::kPutLarge, key_in(1, "large"), value.encode()), 1);
  forged.write();
  auto pool = open_pool(scratch.path("p"), without_threads_of_its_own());
  CHECK(!get(*pool, key_in(1, "large")));
  CHECK(get(*pool, key_in(1, "k7")) == std::string(100, 'v'));
}

TEST_CASE("hostile: a record whose keys are longer or shorter than any can be ends the log") {
  Scratch scratch;
  for (const size_t length :
       {size_t{0}, size_t{1}, size_t{3}, size_t{4}, 4 + kMaxUserKeyBytes + 1, size_t{60000}}) {
    CAPTURE(length);
    std::filesystem::remove(scratch.path("p"));
    Forged forged(scratch.path("p"));
    std::string key = key_in(1, std::string(length, 'x')).substr(0, length);
    // Today's form cannot say such a length.
    forged.form = OperationForm::kOlder;
    forged.record(older_operation(OperationType::kPut, key, "v") +
                      older_operation(OperationType::kDelete, key, ""),
                  2);
    forged.write();
    auto pool = open_pool(scratch.path("p"), without_threads_of_its_own());
    CHECK(contents(*pool).size() == 20);
    CHECK(pool->stats().epoch == 20);
    CHECK(damages(*pool).empty());
    CHECK(pool->fold().is_ok());
    CHECK(pool->close().is_ok());
  }
  for (const size_t length : {size_t{5}, 4 + kMaxUserKeyBytes}) {
    CAPTURE(length);
    std::filesystem::remove(scratch.path("p"));
    Forged forged(scratch.path("p"));
    forged.record(operation(OperationType::kPut, key_in(1, std::string(length - 4, 'x')), "v"), 1);
    forged.write();
    auto pool = open_pool(scratch.path("p"), without_threads_of_its_own());
    CHECK(contents(*pool).size() == 21);
  }
}

TEST_CASE("hostile: a superblock of a size that no pool has") {
  Scratch scratch;
  for (const uint64_t size : {uint64_t{1}, uint64_t{4096}, uint64_t{1} << 20 | 4096,
                              uint64_t{1} << 45, uint64_t{1} << 62, UINT64_MAX}) {
    CAPTURE(size);
    std::filesystem::remove(scratch.path("p"));
    Forged forged(scratch.path("p"));
    auto superblock = load<Superblock>(forged.bytes().data());
    superblock.size = size;
    superblock.checksum = checksum(&superblock, offsetof(Superblock, checksum));
    for (const uint64_t offset : kSuperblockOffsets)
      store(forged.bytes().data() + offset, superblock);
    forged.write();
    std::filesystem::resize_file(scratch.path("p"), 128 * kGiB);
    CHECK(Pool::open(scratch.path("p"), without_threads_of_its_own()).status().code() ==
          Code::kCorrupt);
    PoolOptions reading = without_threads_of_its_own();
    reading.read_only = true;
    CHECK(Pool::open(scratch.path("p"), reading).status().code() == Code::kCorrupt);
  }
}

// The index has a run of these entries too; its table and the fold block take the last two segments
// of the file.
static void add_run(Forged* forged, const std::vector<std::pair<std::string, Place>>& entries) {
  const uint64_t offset = forged->end() - 64 * kKiB;
  MemoryMedium medium(2 * offset + kMiB, offset);
  RunBuilder builder(medium, 64 * kKiB);
  for (const auto& [key, place] : entries) REQUIRE(builder.add(key, place).is_ok());
  auto tables = builder.finish();
  REQUIRE(tables.is_ok());
  REQUIRE(tables->size() == 1);
  const TableRef& made = tables->front();
  REQUIRE(made.segment.offset == offset);
  forged->bytes().replace(offset, made.nodes * kNodeBytes,
                          reinterpret_cast<const char*>(medium.view() + offset),
                          made.nodes * kNodeBytes);
  forged->fold(offset - 64 * kKiB, [&](FoldBlock& fold) {
    fold.runs.push_back({{{offset, 64 * kKiB},
                          made.entries,
                          made.nodes,
                          made.root,
                          made.depth,
                          made.first_key,
                          made.last_key}});
  });
}

TEST_CASE("hostile: an index of keys that no pool has") {
  Scratch scratch;
  Forged forged(scratch.path("p"));
  const std::string last_keyspace("\0\0\0\xff", 4),
      short_key("\0\0\1", 3);  // which lies behind all keys of that keyspace
  const Place place = Place::of(forged.segment.offset, 64, false);
  add_run(&forged, {{last_keyspace + "a", place}, {short_key, place}});
  forged.write();
  auto pool = open_pool(scratch.path("p"), without_threads_of_its_own());
  RangeOptions options;
  options.low = last_keyspace;
  options.high = std::string("\0\0\1\0", 4);
  options.keys_only = true;
  auto range = pool->range(options, nullptr);
  REQUIRE(range.is_ok());
  std::vector<std::string> keys;
  const auto each = [&](Bytes key, const FoundValue&, Reader&) {
    return keys.emplace_back(key), true;
  };
  CHECK(*(*range)->next(100, each) == 1);
  CHECK((*range)->next(100, each).status().code() == Code::kCorrupt);
  CHECK(keys == std::vector<std::string>{last_keyspace + "a"});
  REQUIRE(pool->close().is_ok());
  auto saved = salvage(scratch.path("p"), scratch.path("saved"), PoolOptions(), nullptr, nullptr);
  REQUIRE_MESSAGE(saved.is_ok(), saved.status().message());
  CHECK(saved->entries == 20);
}

TEST_CASE("hostile: an index whose places are not those of its keys") {
  Scratch scratch;
  Forged forged(scratch.path("p"));
  const uint64_t at = forged.end() - 192 * kKiB, far = forged.end() + 64 * kKiB;
  const std::string whole = operation(OperationType::kPut, key_in(1, "c whole"), "whole");
  const std::string longer = operation(OperationType::kPut, key_in(1, "d longer"), "as it is");
  forged.bytes().replace(at, whole.size(), whole);
  forged.bytes().replace(at + kKiB, longer.size(), longer);
  add_run(&forged, {{key_in(1, "a far"), Place::of(far, 64, false)},
                    {key_in(1, "b over the end"), Place::of(forged.bytes().size() - 8, 64, false)},
                    {key_in(1, "c whole"), Place::of(at, whole.size(), false)},
                    {key_in(1, "d longer"), Place::of(at + kKiB, longer.size() + 64, false)}});
  forged.write();
  auto pool = open_pool(scratch.path("p"), without_threads_of_its_own());
  const auto look_for = [&](const char* key) {
    auto reader = pool->read(nullptr);
    REQUIRE(reader.is_ok());
    return reader->find(key_in(1, key)).status().code();
  };
  CHECK(get(*pool, key_in(1, "c whole")) == "whole");
  CHECK(look_for("a far") == Code::kCorrupt);
  CHECK(look_for("b over the end") == Code::kCorrupt);
  CHECK(look_for("d longer") == Code::kCorrupt);
  CHECK(damages(*pool).size() == 3);
  CHECK(get(*pool, key_in(1, "k7")) == std::string(100, 'v'));
}

TEST_CASE("hostile: salvage of tables that reach around the end of all addresses") {
  Scratch scratch;
  for (const Segment& segment : {Segment{UINT64_MAX - 8191, 8192}, Segment{UINT64_MAX - 4095, 4096},
                                 Segment{kSegmentsOffset, UINT64_MAX - kSegmentsOffset}}) {
    CAPTURE(segment.offset);
    std::filesystem::remove(scratch.path("p"));
    std::filesystem::remove(scratch.path("saved"));
    Forged forged(scratch.path("p"));
    forged.fold(forged.end() - 64 * kKiB, [&](FoldBlock& fold) {
      fold.runs.push_back({{segment, 1, UINT32_MAX, UINT32_MAX - 1, 1, "a", "b"}});
    });
    forged.write();
    CHECK(Pool::open(scratch.path("p"), without_threads_of_its_own()).status().code() ==
          Code::kCorrupt);
    auto saved = salvage(scratch.path("p"), scratch.path("saved"), PoolOptions(), nullptr, nullptr);
    REQUIRE_MESSAGE(saved.is_ok(), saved.status().message());
    CHECK(saved->entries == 20);
  }
}
