// Regions and views through a pool that is open for reading only: what a fold of the writer may do
// to bytes that somebody reads, who comes just then, and what a writer leaves that dies at it.
// test/storm/readers_storm.cc has the same in processes that are killed.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "format/region.h"
#include "native/at_point.h"
#include "native/pool_fixture.h"

namespace holdfast::test {
namespace {

constexpr uint64_t kRegion = 1;
constexpr uint64_t kBytes = 3 * kExtentDataBytes + 1000;

PoolOptions writing(bool pmem, uint64_t size = 0) {
  PoolOptions options;
  options.medium.choice = pmem ? MediumChoice::kPmem : MediumChoice::kFile;
  options.medium.size = size == 0 && pmem ? 48 * kMiB : size;
  return options;
}

PoolOptions reading(uint32_t wait_ms = 5000) {
  PoolOptions options;
  options.read_only = true;
  options.wait_for_writer_ms = wait_ms;
  return options;
}

std::shared_ptr<Pool> must(Result<std::shared_ptr<Pool>> opened) {
  INFO(opened.status().message());
  REQUIRE(opened.is_ok());
  return *opened;
}

void write(Pool& pool, uint64_t offset, const std::string& bytes) {
  Batch batch;
  REQUIRE(batch.region_write(kRegion, offset, bytes).is_ok());
  REQUIRE(pool.commit(batch, CommitMode::kDurable).is_ok());
}

void resize(Pool& pool, uint64_t size) {
  Batch batch;
  REQUIRE(batch.region_size(kRegion, size, "r").is_ok());
  REQUIRE(pool.commit(batch, CommitMode::kDurable).is_ok());
}

// A string that is not printed whole when it is not what it should be.
struct Content {
  std::string bytes;
  bool operator==(const Content& other) const { return bytes == other.bytes; }
  friend std::ostream& operator<<(std::ostream& out, const Content& content) {
    return out << content.bytes.substr(0, 60) << " … (" << content.bytes.size() << " bytes, hash "
               << std::hash<std::string>()(content.bytes) << ")";
  }
};

// Everything in the region, or how reading it failed.
Content all_of(Pool& pool, const SnapshotPtr& snapshot = nullptr) {
  auto info = pool.region_info(kRegion, snapshot);
  if (!info.is_ok()) return {code_name(info.status().code())};
  std::string bytes(info->size, '\xee');
  Status read =
      pool.region_read(kRegion, 0, info->size, reinterpret_cast<uint8_t*>(bytes.data()), snapshot);
  return {read.is_ok() ? bytes : std::string(code_name(read.code())) + " " + read.message()};
}

Content shown_by(const MappedView& view) {
  return {std::string(reinterpret_cast<const char*>(view.data), view.size)};
}

// Runs `body(pmem)` as a subcase for each medium there is.
template <typename Body>
void on_each_medium(Body&& body) {
  SUBCASE("file") { body(false, Scratch::on_disk()); }
#ifdef HOLDFAST_WITH_PMEM
  SUBCASE("pmem") { body(true, Scratch::in_memory()); }
#endif
}

}  // namespace

TEST_CASE(
    "a reader in another process sees regions as of one commit, while folds place what is newer") {
  on_each_medium([](bool pmem, Scratch scratch) {
    auto writer = must(Pool::open(scratch.path("pool"), writing(pmem)));
    resize(*writer, kBytes);
    std::string model(kBytes, '\0');
    const auto change = [&](uint64_t offset, char with, uint64_t bytes) {
      model.replace(offset, bytes, std::string(bytes, with));
      write(*writer, offset, std::string(bytes, with));
    };
    change(0, 'a', 600);
    change(kExtentDataBytes - 100, 'b', 200);
    REQUIRE(writer->fold().is_ok());
    auto reader = must(Pool::open(scratch.path("pool"), reading()));
    CHECK(all_of(*reader) == Content{model});
    auto all = reader->regions(nullptr);
    REQUIRE(all.is_ok());
    REQUIRE(all->size() == 1);
    CHECK((*all)[0].name == "r");
    CHECK((*all)[0].size == kBytes);
    CHECK((*all)[0].placed_bytes > 0);

    std::vector<std::pair<SnapshotPtr, std::string>> kept;
    for (int round = 0; round < 12; round++) {
      const std::string before = model;
      change(static_cast<uint64_t>(round) * 100 + 50, static_cast<char>('c' + round), 300);
      change(2 * kExtentDataBytes + static_cast<uint64_t>(round) * 7,
             static_cast<char>('C' + round), 9);
      CHECK(all_of(*reader) == Content{before});  // not refreshed yet
      if (round % 3 != 0) REQUIRE(writer->fold().is_ok());
      if (round == 7) {
        model.resize(kExtentDataBytes + 5);
        resize(*writer, model.size());
        if (round % 2) REQUIRE(writer->fold().is_ok());
        model.resize(kBytes, '\0');
        resize(*writer, kBytes);
      }
      CHECK(all_of(*reader) == Content{before});
      if (round % 4 == 1) {
        auto snapshot = reader->snapshot();
        REQUIRE(snapshot.is_ok());
        kept.emplace_back(*snapshot, before);
      }
      refresh(*reader);
      CHECK(all_of(*reader) == Content{model});
      for (const auto& [snapshot, then] : kept) CHECK(all_of(*reader, snapshot) == Content{then});
    }
    auto checked = reader->check(nullptr, nullptr);
    REQUIRE(checked.is_ok());
    CHECK(checked->damages == std::vector<std::string>());

    // The next writer knows of the extents that only old readers' folds have.
    REQUIRE(writer->close().is_ok());
    writer = must(Pool::open(scratch.path("pool"), writing(pmem)));
    for (int round = 0; round < 3; round++) {
      change(static_cast<uint64_t>(round) * 3000, 'z', 3000);
      REQUIRE(writer->compact().is_ok());
    }
    CHECK(writer->stats().readers_expired == 0);
    for (const auto& [snapshot, then] : kept) CHECK(all_of(*reader, snapshot) == Content{then});
    refresh(*reader);
    CHECK(all_of(*reader) == Content{model});
    Batch drop;
    REQUIRE(drop.region_size(kRegion, 0, "r").is_ok());
    REQUIRE(writer->commit(drop, CommitMode::kDurable).is_ok());
    REQUIRE(writer->fold().is_ok());
    CHECK(all_of(*reader) == Content{model});
    refresh(*reader);
    CHECK(all_of(*reader) == Content{"ERR_HOLDFAST_NOT_FOUND"});
    // Nobody reads any more: bytes are placed where they are again, and what was kept goes.
    kept.clear();
    REQUIRE(reader->close().is_ok());
    REQUIRE(writer->fold().is_ok());
    CHECK(writer->stats().reader_bytes == 0);
  });
}

TEST_CASE(
    "views through a pool that is open for reading only are copies, and stay what they were") {
  on_each_medium([](bool pmem, Scratch scratch) {
    PoolOptions options = writing(pmem);
    options.reader_bytes = 2 * kMiB;
    auto writer = must(Pool::open(scratch.path("pool"), options));
    resize(*writer, kBytes);
    write(*writer, 5, std::string(70000, 'a'));
    Batch batch;
    const std::string large(3 * kMiB + 17, 'L');
    REQUIRE(batch.put(key_in(1, "large"), large).is_ok());
    REQUIRE(batch.put(key_in(1, "middle"), std::string(9000, 'm')).is_ok());
    REQUIRE(writer->commit(batch, CommitMode::kDurable).is_ok());
    REQUIRE(writer->fold().is_ok());
    auto reader = must(Pool::open(scratch.path("pool"), reading()));
    const std::string then = all_of(*reader).bytes;
    auto of_region = reader->view_region(kRegion, 3, kBytes - 3, nullptr);
    REQUIRE(of_region.is_ok());
    auto of_large = reader->view_value(key_in(1, "large"), nullptr);
    REQUIRE(of_large.is_ok());
    auto of_middle = reader->view_value(key_in(1, "middle"), nullptr);
    REQUIRE(of_middle.is_ok());
    CHECK(reader->view_value(key_in(1, "absent"), nullptr)->get() == nullptr);
    for (const auto* view : {of_region->get(), of_large->get(), of_middle->get()})
      CHECK(!view->mapped);
    const auto unchanged = [&] {
      CHECK(shown_by(**of_region) == Content{then.substr(3)});
      CHECK(shown_by(**of_large) == Content{large});
      CHECK(shown_by(**of_middle) == Content{std::string(9000, 'm')});
    };
    unchanged();
    auto snapshot = reader->snapshot();
    REQUIRE(snapshot.is_ok());
    // More than a reader may hold back: it expires. What was shown stays, for nothing of it was the
    // pool's.
    for (int round = 0; round < 12; round++) {
      write(*writer, 0, std::string(kBytes, static_cast<char>('A' + round)));
      Batch again;
      REQUIRE(again.put(key_in(1, "large"), std::string(3 * kMiB, static_cast<char>('a' + round)))
                  .is_ok());
      REQUIRE(writer->commit(again, CommitMode::kDurable).is_ok());
      REQUIRE(writer->compact().is_ok());
    }
    REQUIRE(writer->stats().readers_expired > 0);
    unchanged();
    CHECK(reader->view_region(kRegion, 0, 10, *snapshot).status().code() == Code::kReaderExpired);
    CHECK(reader->view_value(key_in(1, "large"), *snapshot).status().code() ==
          Code::kReaderExpired);
    CHECK(all_of(*reader, *snapshot) == Content{"ERR_HOLDFAST_READER_EXPIRED"});
    refresh(*reader);
    CHECK(all_of(*reader) == all_of(*writer));
  });
}

TEST_CASE("where there is no room for copies readers give way, not the fold") {
  on_each_medium([](bool pmem, Scratch scratch) {
    auto writer = must(Pool::open(scratch.path("pool"), writing(pmem, 40 * kMiB)));
    const uint64_t size = 14 * kMiB;
    resize(*writer, size);
    for (uint64_t at = 0; at < size; at += kMiB) write(*writer, at, std::string(kMiB, 'a'));
    REQUIRE(writer->compact().is_ok());
    auto reader = must(Pool::open(scratch.path("pool"), reading()));
    auto snapshot = reader->snapshot();
    REQUIRE(snapshot.is_ok());
    // Each fold touches all extents: copies of all of them do not fit twice.
    for (int round = 0; round < 4; round++) {
      for (uint64_t at = 0; at < size; at += 100000)
        write(*writer, at, std::string(8, static_cast<char>('b' + round)));
      REQUIRE(writer->fold().is_ok());
    }
    CHECK(writer->stats().readers_expired > 0);
    CHECK(all_of(*reader, *snapshot) == Content{"ERR_HOLDFAST_READER_EXPIRED"});
    refresh(*reader);
    CHECK(all_of(*reader) == all_of(*writer));
  });
}

#ifdef HOLDFAST_PLANTED_BUGS

TEST_CASE(
    "a reader that comes while a fold places regions waits for it, and reads what the fold made") {
  on_each_medium([](bool pmem, Scratch scratch) {
    const std::string path = scratch.path("pool");
    auto writer = must(Pool::open(path, writing(pmem)));
    resize(*writer, kBytes);
    write(*writer, 0, std::string(kBytes, 'a'));
    REQUIRE(must(Pool::open(path, reading()))
                ->close()
                .is_ok());  // so that the writer has a table to look at
    REQUIRE(writer->fold().is_ok());
    std::thread comes;
    Content seen;
    std::atomic<bool> there{false};
    bool early = true;
    {
      write(*writer, 1000, std::string(5000, 'b'));
      const AtPoint point(TestPoint::kRegionsInPlace, [&] {
        CHECK(Pool::open(path, reading(50)).status().code() == Code::kLocked);
        comes = std::thread([&] {
          auto opened = Pool::open(path, reading());
          there = true;
          if (opened.is_ok()) seen = all_of(**opened);
        });
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        early = there;
      });
      REQUIRE(writer->fold().is_ok());
    }
    REQUIRE(comes.joinable());
    comes.join();
    CHECK(!early);
    CHECK(seen == all_of(*writer));
  });
}

TEST_CASE("what a writer was placing as it died, a reader makes whole as recovery does") {
  Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("pool"), left = scratch.path("left");
  auto writer = must(Pool::open(path, writing(false)));
  resize(*writer, kBytes);
  write(*writer, 0, std::string(kBytes, 'a'));
  REQUIRE(writer->fold().is_ok());
  for (uint64_t at = 100; at + 1000 < kBytes; at += 10007)
    write(*writer, at, "changed" + std::to_string(at));
  std::string before, after;
  at_test_point = [&](TestPoint here) {
    if (here == TestPoint::kRegionsInPlace) before = bytes_of_file(path);
    if (here == TestPoint::kRegionsPlaced) after = bytes_of_file(path);
  };
  REQUIRE(writer->fold().is_ok());
  at_test_point = nullptr;
  const Content whole = all_of(*writer);
  REQUIRE(before.size() == after.size());
  REQUIRE(before != after);
  for (int mixture = 0; mixture < 8; mixture++) {
    std::string bytes = before;
    for (size_t at = 0; at + 512 <= bytes.size(); at += 512) {
      if (mixture == 1 || (mixture > 1 && (at / 512 * 2654435761u >> (mixture + 7)) % 2))
        bytes.replace(at, 512, after, at, 512);
    }
    std::ofstream(left, std::ios::binary | std::ios::trunc) << bytes;
    auto reader = must(Pool::open(left, reading()));
    CHECK(all_of(*reader) == whole);
    auto snapshot = reader->snapshot();
    REQUIRE(snapshot.is_ok());
    // The writer that comes next recovers, and places: beside the reader, so not where that one
    // reads.
    auto next = must(Pool::open(left, writing(false)));
    CHECK(all_of(*next) == whole);
    write(*next, 200, std::string(3000, 'n'));
    REQUIRE(next->fold().is_ok());
    write(*next, 4000, std::string(3000, 'N'));
    REQUIRE(next->fold().is_ok());
    CHECK(all_of(*reader, *snapshot) == whole);
    refresh(*reader);
    CHECK(all_of(*reader) == all_of(*next));
    CHECK(reader->check(nullptr, nullptr)->damages == std::vector<std::string>());
    *snapshot = nullptr;
    REQUIRE(reader->close().is_ok());
    REQUIRE(next->close().is_ok());
    std::filesystem::remove(left + ".readers");
  }
}

#endif

}  // namespace holdfast::test
