// What is read while it does not stand any more: a reader whose pin was taken, a page that fails in
// the middle. Nothing of it is believed, least of all that there is nothing. And bytes of the pool
// that are sound, but not what was asked for.
#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>

#include "format/region.h"
#include "index/table.h"
#include "medium/readers_table.h"
#include "native/engine/pool/feed_fixture.h"
#include "native/forged_pool.h"
#include "native/index/memory_medium.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

PoolOptions reading() {
  PoolOptions options;
  options.read_only = true;
  return options;
}

// A writer, and a reader that holds too much as soon as `expire` is called.
struct Beside {
  Beside() : path(scratch.path("p")) {
    PoolOptions options = without_threads_of_its_own();
    options.reader_bytes = kMiB;
    writer = open_pool(path, options);
    for (const char* key : {"a", "b", "c"}) put(*writer, key, key);
    put(*writer, "large", std::string(1500000, 'l'));
    REQUIRE(writer->fold().is_ok());
    REQUIRE(ReadersTable::open_or_make(path).is_ok());
    writer->maintain(false);
    reader = open_pool(path, reading());
  }
  void expire() {
    for (char with = 'm'; with < 'p' && writer->stats().readers_expired == 0; with++) {
      put(*writer, "large", std::string(1500000, with));
      REQUIRE(writer->fold().is_ok());
    }
    REQUIRE(writer->stats().readers_expired == 1);
  }

  Scratch scratch = Scratch::quick();
  const std::string path;
  std::shared_ptr<Pool> writer, reader;
};

void cut(const std::string& path, uint64_t bytes) {
  REQUIRE(::truncate(path.c_str(), static_cast<off_t>(bytes)) == 0);
}

}  // namespace

TEST_CASE(
    "what a reader has found when its pin is gone is refused: a value, entries of a range, and "
    "that there is nothing") {
  Beside beside;
  SUBCASE("nothing") {
    auto reader = beside.reader->read(nullptr);
    REQUIRE(reader.is_ok());
    beside.expire();
    CHECK(reader->find(key_in(1, "absent")).status().code() == Code::kReaderExpired);
  }
  SUBCASE("a value") {
    auto reader = beside.reader->read(nullptr);
    REQUIRE(reader.is_ok());
    auto found = reader->find(key_in(1, "b"));
    REQUIRE(found.is_ok());
    REQUIRE(found->has_value());
    beside.expire();
    uint8_t byte = 0;
    CHECK(reader->copy(**found, &byte).code() == Code::kReaderExpired);
  }
  SUBCASE("a range") {
    RangeOptions all;
    all.high = std::string(4, '\xff');
    auto range = beside.reader->range(all, nullptr);
    REQUIRE(range.is_ok());
    bool expired = false;
    auto given = (*range)->next(100, [&](Bytes, const FoundValue&, Reader&) {
      if (!std::exchange(expired, true)) beside.expire();
      return true;
    });
    CHECK(expired);
    CHECK(given.status().code() == Code::kReaderExpired);
  }
}

TEST_CASE("a page that fails between finding a value and copying it") {
  const Scratch scratch = Scratch::quick();
  const std::string path = scratch.path("p");
  auto pool = open_pool(path, without_threads_of_its_own());
  put(*pool, "a", std::string(1000, 'a'));
  auto reader = pool->read(nullptr);
  REQUIRE(reader.is_ok());
  auto found = reader->find(key_in(1, "a"));
  REQUIRE(found.is_ok());
  REQUIRE(found->has_value());
  cut(path, 4096);
  std::string value(1000, '\0');
  CHECK(reader->copy(**found, reinterpret_cast<uint8_t*>(value.data())).code() == Code::kFailed);
}

TEST_CASE(
    "a page that fails under who copies a change of the feed: the feed says so, and does not go "
    "on") {
  const Scratch scratch = Scratch::quick();
  const std::string path = scratch.path("p");
  auto pool = open_pool(path, without_threads_of_its_own());
  put(*pool, "a", std::string(1000, 'a'));
  auto feed = feed_from(*pool, 0);
  std::string copied;
  auto given = feed->next(kMiB, [&](const FeedCommit& commit) {
    cut(path, 4096);
    copied += commit.changes[0].value;
    return Status();
  });
  CHECK((copied == std::string(1000, '\0')));
  CHECK(given.status().code() == Code::kFailed);
  CHECK(feed->reached() == 0);
}

TEST_CASE("a page that fails while a view of a region is copied") {
  const Scratch scratch = Scratch::quick();
  const std::string path = scratch.path("p");
  const uint64_t size = 100000;
  {
    auto pool = open_pool(path, without_threads_of_its_own());
    Batch batch;
    REQUIRE(batch.region_size(1, size, "r").is_ok());
    REQUIRE(batch.region_write(1, 0, std::string(size - 10, 'r') + "at the end").is_ok());
    REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
    for (int i = 0; i < 40; i++)
      put(*pool, "k", std::string(60000, 'k'));  // until the record of it is gone
    REQUIRE(pool->compact().is_ok());
    REQUIRE(pool->close().is_ok());
  }
  auto pool = open_pool(path, reading());
  REQUIRE(pool->view_region(1, 0, size, nullptr).is_ok());
  const std::string bytes = bytes_of_file(path);
  auto extents = pool->regions(nullptr);
  REQUIRE(extents.is_ok());
  REQUIRE((*extents)[0].placed_bytes > size);
  const size_t at = bytes.rfind("at the end");
  cut(path, round_down(at, 4096));
  CHECK(pool->view_region(1, 0, size, nullptr).status().code() == Code::kFailed);
}

// Each of two sound operations in the other's place, as a misdirected write leaves them.
TEST_CASE("the key of an operation is compared: another key's value in its place is damage") {
  const Scratch scratch = Scratch::quick();
  const std::string path = scratch.path("p");
  {
    auto pool = open_pool(path, without_threads_of_its_own());
    put(*pool, "one", "the first value.");
    put(*pool, "two", "the other value.");
    REQUIRE(pool->close().is_ok());
  }
  const uint64_t before = OperationHead::kBytes + key_in(1, "one").size();
  const uint64_t bytes = operation_bytes(key_in(1, "one").size(), 16);
  const uint64_t one = only_place_of(path, "the first value.") - before,
                 two = only_place_of(path, "the other value.") - before;
  const std::string all = bytes_of_file(path);
  write_at(path, one, all.substr(two, bytes));
  write_at(path, two, all.substr(one, bytes));
  auto pool = open_pool(path, without_threads_of_its_own());
  for (const char* key : {"one", "two"}) {
    auto reader = pool->read(nullptr);
    REQUIRE(reader.is_ok());
    CHECK(reader->find(key_in(1, key)).status().code() == Code::kCorrupt);
  }
}

namespace {

// A pool whose index has these entries too, in a table of its own; `change` forges what the fold
// says of it.
template <typename Change>
void forge_index(Forged& forged, const std::vector<std::pair<std::string, Place>>& entries,
                 Change&& change) {
  const uint64_t offset = forged.end() - 64 * kKiB;
  MemoryMedium medium(2 * offset + kMiB, offset);
  RunBuilder builder(medium, 64 * kKiB);
  for (const auto& [key, place] : entries) REQUIRE(builder.add(key, place).is_ok());
  auto tables = builder.finish();
  REQUIRE(tables.is_ok());
  const TableRef& made = tables->front();
  REQUIRE(made.segment.offset == offset);
  forged.bytes().replace(offset, made.nodes * kNodeBytes,
                         reinterpret_cast<const char*>(medium.view() + offset),
                         made.nodes * kNodeBytes);
  FoldedTable table{{offset, 64 * kKiB}, made.entries,   made.nodes,   made.root,
                    made.depth,          made.first_key, made.last_key};
  change(table);
  forged.fold(offset - 64 * kKiB, [&](FoldBlock& fold) { fold.runs.push_back({table}); });
  forged.write();
}

}  // namespace

TEST_CASE("hostile: an index that leads behind the end of the pool") {
  Scratch scratch;
  Forged forged(scratch.path("p"));
  const uint64_t end = forged.bytes().size();
  forge_index(forged,
              {{key_in(1, "behind"), Place::of(end, 64, false)},
               {key_in(1, "far"), Place::of(end + 64 * kMiB, 64, false)},
               {key_in(1, "partly"), Place::of(end - 64, 128, false)}},
              [](FoldedTable&) {});
  auto pool = open_pool(scratch.path("p"), without_threads_of_its_own());
  for (const char* key : {"behind", "far", "partly"}) {
    CAPTURE(key);
    auto reader = pool->read(nullptr);
    REQUIRE(reader.is_ok());
    CHECK(reader->find(key_in(1, key)).status().code() == Code::kCorrupt);
  }
  CHECK(get(*pool, key_in(1, "k7")) == std::string(100, 'v'));  // and the pool has not failed
}

TEST_CASE("hostile: a table that ends before the key with which its fold says that it ends") {
  Scratch scratch;
  Forged forged(scratch.path("p"));
  const Place place = Place::of(forged.segment.offset, 64, false);
  forge_index(forged, {{key_in(2, "a"), place}, {key_in(2, "b"), place}},
              [](FoldedTable& table) { table.last_key = key_in(2, "z"); });
  auto pool = open_pool(scratch.path("p"), without_threads_of_its_own());
  RangeOptions options;
  options.low = key_in(2, "");
  options.high = key_in(3, "");
  options.keys_only = true;
  auto range = pool->range(options, nullptr);
  REQUIRE(range.is_ok());
  std::vector<std::string> keys;
  const auto each = [&](Bytes key, const FoundValue&, Reader&) {
    return keys.emplace_back(key), true;
  };
  CHECK(*(*range)->next(100, each) == 2);
  CHECK((*range)->next(100, each).status().code() == Code::kCorrupt);
}

TEST_CASE("hostile: a fold whose log lies behind the end of the pool") {
  for (const uint64_t offset : {uint64_t{1} << 30, uint64_t{1} << 45}) {
    CAPTURE(offset);
    Scratch scratch;
    Forged forged(scratch.path("p"));
    forged.fold(forged.end() - 64 * kKiB, [&](FoldBlock& fold) {
      fold.log.back().segment.offset = fold.log_offset = offset;
    });
    forged.write();
    CHECK(Pool::open(scratch.path("p"), without_threads_of_its_own()).status().code() ==
          Code::kCorrupt);
    PoolOptions options;
    options.read_only = true;
    CHECK(Pool::open(scratch.path("p"), options).status().code() == Code::kCorrupt);
  }
}
