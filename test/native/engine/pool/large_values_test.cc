// Values with segments of their own, where they meet what is otherwise only tried with small ones:
// the order within a batch, values in several pieces, and damage in front of whoever streams them.
#include <doctest/doctest.h>

#include <functional>

#include "format/large_value.h"
#include "native/engine/copies/backup_fixture.h"
#include "native/system_faults.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

constexpr size_t kLong = 300'000;

PoolOptions quiet_options(uint64_t size = 0) {
  PoolOptions options = file_options(size);
  options.background = false;
  return options;
}

// Large values at every second place of a pool that is full of them: what is free is in pieces of
// two MiB.
std::shared_ptr<Pool> pool_in_pieces(const std::string& path) {
  auto pool = open_pool(path, quiet_options(40 * kMiB));
  uint64_t keys = 0;
  while (try_put(*pool, "piece" + std::to_string(keys), std::string(2 * kMiB, 'p')).is_ok()) keys++;
  REQUIRE(keys > 10);
  Batch batch;
  for (uint64_t key = 1; key < keys; key += 2)
    REQUIRE(batch.remove(key_in(1, "piece" + std::to_string(key))).is_ok());
  REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
  for (int i = 0; i < 3; i++) {
    REQUIRE(pool->fold().is_ok());
    pool->maintain(false);
  }
  return pool;
}

// No two chunks of it are alike.
std::string counted(size_t size) {
  std::string out;
  for (uint32_t n = 0; out.size() < size; n++)
    out.append(reinterpret_cast<const char*>(&n), sizeof n);
  out.resize(size);
  return out;
}

Result<std::string> last_in_feed(Pool& pool, uint64_t epoch) {
  FeedOptions options;
  options.after = epoch - 1;
  auto cursor = pool.feed(options);
  REQUIRE_MESSAGE(cursor.is_ok(), cursor.status().message());
  std::string value;
  auto given = (*cursor)->next(UINT64_MAX, [&](const FeedCommit& commit) -> Status {
    for (const FeedChange& change : commit.changes) {
      if (change.type != OperationType::kPutLarge) continue;
      value.clear();
      HOLDFAST_TRY((*cursor)->read_large(change, [&](const uint8_t* bytes, size_t size) {
        value.append(reinterpret_cast<const char*>(bytes), size);
        return Status();
      }));
    }
    return {};
  });
  if (!given.is_ok()) return std::move(given.status());
  return value;
}

}  // namespace

TEST_CASE("in one batch the last that is said of a key counts, be its value large or small") {
  Scratch scratch;
  const std::string path = scratch.path("p");
  auto pool = open_pool(path, quiet_options());
  const std::string large(kLong, 'L'), other(kLong, 'O');
  Batch batch;
  const auto say = [&](const std::string& key,
                       const std::vector<std::optional<std::string>>& values) {
    for (const auto& value : values)
      REQUIRE((value ? batch.put(key_in(1, key), *value) : batch.remove(key_in(1, key))).is_ok());
  };
  say("small last", {large, "small"});
  say("large last", {"small", large});
  say("the second large one", {large, "small", std::nullopt, other});
  say("deleted", {"small", large, std::nullopt});
  say("back again", {large, std::nullopt, "small", std::nullopt, large});
  REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
  for (int life = 0; life < 3; life++) {
    CHECK(get(*pool, key_in(1, "small last")) == "small");
    CHECK(get(*pool, key_in(1, "large last")) == large);
    CHECK(get(*pool, key_in(1, "the second large one")) == other);
    CHECK(get(*pool, key_in(1, "deleted")) == std::nullopt);
    CHECK(get(*pool, key_in(1, "back again")) == large);
    if (life == 0) {  // replayed from the log, as a killed process leaves it
      copy_over(path, path + ".killed");
      pool = open_pool(path + ".killed", quiet_options());
    } else {
      REQUIRE(pool->close().is_ok());
      pool = open_pool(path + ".killed", quiet_options());
    }
  }
}

TEST_CASE("a value in several pieces is read, streamed, backed up and restored as it was put") {
  Scratch scratch;
  auto pool = pool_in_pieces(scratch.path("p"));
  const std::string value = counted(5 * kMiB + 123);
  const uint64_t epoch = put(*pool, "in pieces", value);
  {
    auto reader = pool->read(nullptr);
    auto found = reader->find(key_in(1, "in pieces"));
    REQUIRE((found.is_ok() && found->has_value()));
    const auto described = LargeValue::decode((**found).description);
    REQUIRE(described);
    REQUIRE(described->pieces.size() > 1);
  }
  CHECK(get(*pool, key_in(1, "in pieces")) == value);
  auto streamed = last_in_feed(*pool, epoch);
  CHECK_MESSAGE(streamed.is_ok(), streamed.status().message());
  CHECK((streamed.is_ok() && *streamed == value));
  CHECK(damages(*pool) == std::vector<std::string>());
  auto view = pool->view_value(key_in(1, "in pieces"), nullptr);
  REQUIRE(view.is_ok());
  CHECK(std::string(reinterpret_cast<const char*>((*view)->data), (*view)->size) == value);

  auto restored = restore(scratch.path("r"), {joined(take(pool))});
  REQUIRE_MESSAGE(restored.is_ok(), restored.status().message());
  CHECK(get(*open_pool(scratch.path("r")), key_in(1, "in pieces")) == value);

  // Replaced: all of its pieces come back.
  view->reset();
  const uint64_t before = pool->stats().free_bytes;
  put(*pool, "in pieces", "small");
  REQUIRE(pool->fold().is_ok());
  pool->maintain(false);
  CHECK(pool->stats().free_bytes + kMiB >= before + value.size());
}

TEST_CASE(
    "the description of a large value is believed only if its pieces are as long as it says") {
  LargeValue value;
  value.size = 5000;
  value.pieces = {{{8192, 4096}, 4096, 1}, {{16384, 4096}, 904, 2}};
  const std::string described = value.encode();
  REQUIRE(LargeValue::decode(described));
  CHECK(LargeValue::decode(described)->pieces.size() == 2);
  for (size_t bytes = 0; bytes < described.size(); bytes++)
    CHECK_FALSE(LargeValue::decode(described.substr(0, bytes)));
  CHECK_FALSE(LargeValue::decode(described + described.substr(16)));
  const auto wrong = [&](const std::function<void(LargeValue&)>& change) {
    LargeValue changed = value;
    change(changed);
    return !LargeValue::decode(changed.encode());
  };
  CHECK(wrong([](LargeValue& v) { v.size++; }));
  CHECK(wrong([](LargeValue& v) { v.size--; }));
  CHECK(wrong([](LargeValue& v) { v.pieces.pop_back(); }));
  CHECK(wrong([](LargeValue& v) { v.pieces[1].segment.bytes = 900; }));
  CHECK(wrong([](LargeValue& v) { v.pieces[1].segment.offset = UINT64_MAX - 1000; }));
}

TEST_CASE(
    "a damaged large value ends a backup, and a reader of the feed is told: nobody is given other "
    "bytes than were put") {
  Scratch scratch;
  const std::string path = scratch.path("p"), copy = scratch.path("damaged");
  uint64_t epoch = 0;
  {
    auto pool = open_pool(path, quiet_options());
    epoch = put(*pool, "large", std::string(kLong, 'L') + "mark" + std::string(2 * kMiB, 'L'));
    REQUIRE(pool->close().is_ok());
  }
  copy_over(path, copy);
  const size_t at = bytes_of_file(copy).find("mark");
  REQUIRE(at != std::string::npos);
  write_at(copy, at, "M");
  auto damaged = open_pool(copy, quiet_options());
  CHECK(last_in_feed(*damaged, epoch).status().code() == Code::kCorrupt);
  auto backup = Backup::begin(damaged, {});
  REQUIRE(backup.is_ok());
  Status ended;
  for (int i = 0; i < 100 && ended.is_ok(); i++) {
    std::string block;
    auto more = (*backup)->next(&block);
    if (more.is_ok() && !*more) break;
    ended = std::move(more.status());
  }
  CHECK(ended.code() == Code::kCorrupt);
}

TEST_CASE(
    "a batch that was cleared has forgotten its conditions, its additions and its large values") {
  Scratch scratch;
  auto pool = open_pool(scratch.path("p"), quiet_options());
  put(*pool, "a", "1");
  Batch batch;
  REQUIRE(batch.region_size(7, 4096, "r").is_ok());
  REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
  batch.clear();
  REQUIRE(batch.require_absent(key_in(1, "a")).is_ok());
  REQUIRE(batch.require_cell(7, 8, 77).is_ok());
  REQUIRE(batch.region_add(7, 8, 5).is_ok());
  REQUIRE(batch.put(key_in(1, "large"), std::string(kLong, 'L')).is_ok());
  CHECK(pool->commit(batch, CommitMode::kDurable).status().code() == Code::kConflict);
  batch.clear();
  CHECK(batch.operations() == 0);
  CHECK(batch.bytes() == 0);
  const uint64_t nine = 9;
  REQUIRE(batch.region_write(7, 16, bytes_of(&nine, sizeof nine)).is_ok());
  auto receipt = pool->commit(batch, CommitMode::kDurable);
  REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message());
  uint64_t cells[3] = {};
  REQUIRE(
      pool->region_read(7, 0, sizeof cells, reinterpret_cast<uint8_t*>(cells), nullptr).is_ok());
  CHECK(cells[1] == 0);
  CHECK(cells[2] == 9);
  CHECK(get(*pool, key_in(1, "large")) == std::nullopt);
}

// Else whoever commits meanwhile finds all of it before its own barrier. A shorter one shares its
// record's.
TEST_CASE("large values: a long one is on its way to the device while it is written") {
  const Scratch scratch = Scratch::on_disk();
  auto pool = open_pool(scratch.path("p"), quiet_options());
  const auto calls = [] { return SystemFaults::count(SystemCall::kSyncRange); };
  const uint64_t before = calls();
  put(*pool, "shares", counted(4 * kMiB));
  CHECK(calls() == before);
  put(*pool, "long", counted(8 * kMiB));
  CHECK(calls() - before == 8 + 7);
  CHECK(get(*pool, key_in(1, "long")) == counted(8 * kMiB));
}
