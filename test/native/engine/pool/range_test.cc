// Ranges, entry by entry: who is handed an entry has that entry's key with that entry's value,
// wherever it stops; and what comes before a damaged one.
#include <fcntl.h>
#include <unistd.h>

#include <vector>

#include "base/test_hooks.h"
#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

constexpr uint64_t kKeys = 300;  // several leaves

std::string value_of(uint64_t n) {
  return std::string(40 + n % 7, static_cast<char>('a' + n % 26)) + std::to_string(n);
}

void fill(Pool& pool) {
  Batch batch;
  for (uint64_t n = 0; n < kKeys; n++) REQUIRE(batch.put(numbered_key(n), value_of(n)).is_ok());
  REQUIRE(pool.commit(batch, CommitMode::kDurable).is_ok());
}

std::unique_ptr<RangeIterator> all_of(Pool& pool, bool reverse) {
  RangeOptions options;
  options.low = numbered_key(0);
  options.high = numbered_key(kKeys);
  options.reverse = reverse;
  auto range = pool.range(options, nullptr);
  REQUIRE(range.is_ok());
  return std::move(*range);
}

struct Entry {
  std::string key, value;
};

// Stops behind each `stride`-th entry, and goes on, until there is none left or something is wrong.
Status walk(RangeIterator& range, uint64_t stride, std::vector<Entry>* out) {
  while (true) {
    uint64_t seen = 0;
    auto given = range.next(UINT64_MAX, [&](Bytes key, const FoundValue& value, Reader& reader) {
      out->push_back({std::string(key), std::string(value.size, '\0')});
      REQUIRE(reader.copy(value, reinterpret_cast<uint8_t*>(out->back().value.data())).is_ok());
      return ++seen < stride;
    });
    if (!given.is_ok()) return std::move(given.status());
    CHECK(*given == seen);
    if (*given == 0) return Status();
  }
}

// Where the value of key `n` lies in the file.
uint64_t place_of(Pool& pool, uint64_t n) {
  auto reader = pool.read(nullptr);
  REQUIRE(reader.is_ok());
  auto found = reader->find(numbered_key(n));
  REQUIRE((found.is_ok() && found->has_value()));
  return (*found)->operation_offset;
}

}  // namespace

TEST_CASE("range: wherever it stops, each entry is given once, its key with its value") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"));
  fill(*pool);
  for (const bool folded : {false, true}) {
    if (folded) REQUIRE(pool->fold().is_ok());
    for (const bool reverse : {false, true}) {
      for (const uint64_t stride : {uint64_t{1}, uint64_t{2}, uint64_t{63}, kKeys, kKeys + 1}) {
        std::vector<Entry> entries;
        REQUIRE(walk(*all_of(*pool, reverse), stride, &entries).is_ok());
        REQUIRE(entries.size() == kKeys);
        for (uint64_t i = 0; i < kKeys; i++) {
          const uint64_t n = reverse ? kKeys - 1 - i : i;
          REQUIRE(entries[i].key == numbered_key(n));
          REQUIRE(entries[i].value == value_of(n));
        }
      }
    }
  }
}

// Long values, and room for each that says where it will be copied to.
TEST_CASE("range: values are copied while they are verified, where there is room for them") {
  Scratch scratch;
  const std::string path = scratch.path("p");
  auto pool = open_pool(path);
  const auto long_value = [](uint64_t n) {
    std::string value;
    while (value.size() < 1000 + 37 * n) value += std::to_string(n * value.size()) + ' ';
    return value;
  };
  constexpr uint64_t kLong = 80, kRoom = 3000, kDamaged = 40;
  Batch batch;
  for (uint64_t n = 0; n < kLong; n++) REQUIRE(batch.put(numbered_key(n), long_value(n)).is_ok());
  REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
  std::string values;
  ValueRoom room;
  const auto walk_copying = [&](bool reverse, std::vector<Entry>* out) {
    auto range = all_of(*pool, reverse);
    while (true) {
      values.assign(kRoom + 1, '!');
      room = {reinterpret_cast<uint8_t*>(values.data()), kRoom};
      const auto each = [&](Bytes key, const FoundValue& value, Reader& reader) {
        // Shorter ones are copied afterwards; what does not fit is not copied to there.
        CHECK((value.inline_bytes == room.to) == (value.size >= 1024 && value.size <= kRoom));
        CHECK(values.back() == '!');
        std::string elsewhere(value.size, '\0');
        REQUIRE(reader.copy(value, reinterpret_cast<uint8_t*>(elsewhere.data())).is_ok());
        if (value.size <= kRoom) {
          REQUIRE(reader.copy(value, room.to).is_ok());
          CHECK(values.substr(0, value.size) == elsewhere);
        }
        out->push_back({std::string(key), elsewhere});
        return out->size() % 7 != 0;
      };
      auto given = range->next(UINT64_MAX, each, room);
      if (!given.is_ok()) return std::move(given.status());
      if (*given == 0) return Status();
    }
  };
  for (const bool damaged : {false, true}) {
    if (damaged) {
      const int file = ::open(path.c_str(), O_RDWR);
      REQUIRE(::pwrite(file, "!!", 2, static_cast<off_t>(place_of(*pool, kDamaged) + 2000)) == 2);
      ::close(file);
    }
    for (const bool reverse : {false, true}) {
      std::vector<Entry> entries;
      CHECK(walk_copying(reverse, &entries).code() == (damaged ? Code::kCorrupt : Code::kOk));
      const uint64_t expected = !damaged ? kLong : reverse ? kLong - 1 - kDamaged : kDamaged;
      REQUIRE(entries.size() == expected);
      for (uint64_t i = 0; i < expected; i++) {
        const uint64_t n = reverse ? kLong - 1 - i : i;
        CHECK(entries[i].key == numbered_key(n));
        CHECK(entries[i].value == long_value(n));
      }
    }
  }
  // The same of a single read.
  for (const bool folded : {false, true}) {
    if (folded) REQUIRE(pool->fold().is_ok());
    for (int times = 0; times < 2; times++) {  // the second time its place is remembered
      auto reader = pool->read(nullptr);
      REQUIRE(reader.is_ok());
      auto found = reader->find(numbered_key(20), room);
      REQUIRE((found.is_ok() && found->has_value()));
      CHECK((*found)->inline_bytes == room.to);
      CHECK(values.substr(0, (*found)->size) == long_value(20));
      CHECK(reader->find(numbered_key(kDamaged), room).status().code() == Code::kCorrupt);
    }
  }
}

TEST_CASE("range: what comes before a damaged value is given, and then what is wrong") {
  Scratch scratch;
  const std::string path = scratch.path("p");
  auto pool = open_pool(path);
  fill(*pool);
  REQUIRE(pool->fold().is_ok());
  constexpr uint64_t kDamaged = 200;
  const int file = ::open(path.c_str(), O_RDWR);
  REQUIRE(::pwrite(file, "!", 1, static_cast<off_t>(place_of(*pool, kDamaged) + 50)) == 1);
  ::close(file);
  for (const bool reverse : {false, true}) {
    for (const uint64_t stride : {uint64_t{1}, uint64_t{1000}}) {
      std::vector<Entry> entries;
      CHECK(walk(*all_of(*pool, reverse), stride, &entries).code() == Code::kCorrupt);
      REQUIRE(entries.size() == (reverse ? kKeys - 1 - kDamaged : kDamaged));
      const uint64_t last = reverse ? kDamaged + 1 : kDamaged - 1;
      CHECK(entries.back().key == numbered_key(last));
      CHECK(entries.back().value == value_of(last));
    }
  }
}

// A hold is an exclusive section's wait: a commit made where a walk has let go would wait for ever
// if it had not.
TEST_CASE("what walks over many deleted keys lets commits by") {
  Scratch scratch = Scratch::on_disk();
  constexpr uint64_t kDeleted = 50'000;
  uint64_t let_go = 0, committed = 0;
  std::shared_ptr<Pool> pool;
  at_test_point = [&](TestPoint point) {
    if (point != TestPoint::kWalkLetGo) return;
    let_go++;
    committed += try_put(*pool, "zzz", std::to_string(let_go)).is_ok() ? 1 : 0;
  };
  PoolOptions options = file_options();
  options.background = false;
  options.fold_operations = 10 * kDeleted;  // only when this says so
  pool = open_pool(scratch.path("p"), options);
  for (const bool put : {true, false}) {
    Batch batch;
    for (uint64_t n = 0; n <= kDeleted; n++)
      REQUIRE((put            ? batch.put(numbered_key(n), "v")
               : n < kDeleted ? batch.remove(numbered_key(n))
                              : Status())
                  .is_ok());
    REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
    if (put) REQUIRE(pool->fold().is_ok());
  }
  for (const bool folded : {false, true}) {
    if (folded) REQUIRE(pool->fold().is_ok());
    for (const bool reverse : {false, true}) {
      RangeOptions options_of_range;
      options_of_range.low = numbered_key(0);
      options_of_range.high = numbered_key(kDeleted + (reverse ? 0 : 1));
      options_of_range.reverse = reverse;
      auto range = pool->range(options_of_range, nullptr);
      REQUIRE(range.is_ok());
      std::vector<std::string> keys;
      const auto each = [&](Bytes key, const FoundValue&, Reader&) {
        keys.emplace_back(key);
        return true;
      };
      let_go = committed = 0;
      auto given = (*range)->next(10, each);
      REQUIRE(given.is_ok());
      CHECK(keys == (reverse ? std::vector<std::string>()
                             : std::vector<std::string>{numbered_key(kDeleted)}));
      if (*given > 0) CHECK(*(*range)->next(10, each) == 0);
      CHECK(let_go >= kDeleted / 5000);
      CHECK(committed == let_go);
    }
    RangeOptions all;
    all.low = numbered_key(0);
    all.high = numbered_key(kDeleted + 1);
    let_go = committed = 0;
    CHECK(*pool->count(all, nullptr, nullptr) == 1);
    CHECK(let_go >= kDeleted / 5000);
    CHECK(committed == let_go);
    let_go = committed = 0;
    CHECK(pool->check(nullptr, nullptr)->damages.empty());
    CHECK(let_go >= kDeleted / 5000);
    CHECK(committed == let_go);
  }
  CHECK(pool->close().is_ok());
  at_test_point = nullptr;
}

TEST_CASE("a check holds up nobody while it reads a large value") {
  Scratch scratch = Scratch::on_disk();
  std::shared_ptr<Pool> pool;
  uint64_t let_go = 0;
  at_test_point = [&](TestPoint point) {
    if (point == TestPoint::kWalkLetGo) let_go++;
  };
  pool = open_pool(scratch.path("p"));
  for (const char* key : {"a", "b", "c"}) put(*pool, key, std::string(3 << 20, key[0]));
  auto report = pool->check(nullptr, nullptr);
  REQUIRE(report.is_ok());
  CHECK(report->damages.empty());
  CHECK(report->entries == 3);
  CHECK(report->bytes_read >= 3 * 3 << 20);
  CHECK(let_go >= 3);  // behind each of them
  CHECK(pool->close().is_ok());
  at_test_point = nullptr;
}
