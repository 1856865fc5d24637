// What a run remembers of its searches: guesses, what is forgotten, and reads of a pool that go
// through them.

#include "index/place_memory.h"

#include <doctest/doctest.h>

#include <random>
#include <unordered_map>

#include "native/pool_fixture.h"

namespace holdfast {
namespace {

std::string numbered_key(uint64_t i) { return "user:" + std::to_string(i); }

uint64_t hash_of(uint64_t i) {
  const std::string key = numbered_key(i);
  return PlaceMemory::hash_of(key);
}

Place place_of(uint64_t i) { return Place::of(4096 + i * 304, 304, false); }

TEST_CASE("place memory: nearly all that is remembered is guessed, and as it was") {
  constexpr uint64_t kKeys = 60'000;
  const auto memory = PlaceMemory::make(kKeys, kMiB);
  for (uint64_t i = 0; i < kKeys; i++) CHECK(memory->guess(hash_of(i)).offset == 0);
  for (uint64_t i = 0; i < kKeys; i++) memory->remember(hash_of(i), place_of(i));
  uint64_t right = 0, other = 0;
  for (uint64_t i = 0; i < kKeys; i++) {
    const PlaceMemory::Guess guess = memory->guess(hash_of(i));
    right += guess.offset == place_of(i).offset() && guess.lines >= 5 && guess.lines <= 6;
    other += guess.offset != 0 && guess.offset != place_of(i).offset();
  }
  CHECK(right > kKeys * 9 / 10);
  CHECK(other < 10);  // keys that share a part of their hash and their bucket
  CHECK(memory->guess(hash_of(kKeys + 1)).offset == 0);
}

TEST_CASE("place memory: a newer place takes the older one's slot") {
  const auto memory = PlaceMemory::make(100, kMiB);
  memory->remember(hash_of(1), place_of(1));
  memory->remember(hash_of(1), place_of(2));
  CHECK(memory->guess(hash_of(1)).offset == place_of(2).offset());
  memory->forget({{place_of(2).offset(), 8}});
  CHECK(memory->guess(hash_of(1)).offset == 0);
}

TEST_CASE("place memory: of a segment that is given back nothing is left, of others all") {
  constexpr uint64_t kKeys = 10'000;
  const auto memory = PlaceMemory::make(kKeys * 4, kMiB);
  for (uint64_t i = 0; i < kKeys; i++) memory->remember(hash_of(i), place_of(i));
  const Segment low{place_of(1000).offset(), 304 * 10};
  const Segment high{place_of(9000).offset(), 304 * 500};
  std::vector<bool> before(kKeys);
  for (uint64_t i = 0; i < kKeys; i++)
    before[i] = memory->guess(hash_of(i)).offset == place_of(i).offset();
  memory->forget({high, low});
  uint64_t kept = 0;
  for (uint64_t i = 0; i < kKeys; i++) {
    const bool gone = (i >= 1000 && i < 1010) || (i >= 9000 && i < 9500);
    const uint64_t offset = memory->guess(hash_of(i)).offset;
    if (gone) CHECK(offset != place_of(i).offset());
    if (!gone && before[i]) CHECK(offset == place_of(i).offset());
    kept += !gone && before[i];
  }
  CHECK(kept > 9000);
}

TEST_CASE("place memory: a place too far away is not remembered") {
  const auto memory = PlaceMemory::make(100, kMiB);
  memory->remember(hash_of(1), Place::of(uint64_t{1} << 44, 304, false));
  CHECK(memory->guess(hash_of(1)).offset == 0);
}

TEST_CASE("place memory: those of a pool stay within their bound and give back their share") {
  PlaceMemories memories;
  std::atomic<PlaceMemory*> first{nullptr}, second{nullptr}, third{nullptr};
  memories.add(uint64_t{1} << 40, &first);
  REQUIRE(first.load() != nullptr);
  CHECK(first.load()->bytes() == PlaceMemories::kMostBytes);
  memories.add(1000, &second);
  CHECK(second.load() == nullptr);
  memories.remove(first.load());
  memories.add(1000, &third);
  REQUIRE(third.load() != nullptr);
  PlaceMemory* const made = third.load();
  memories.add(1000, &third);
  CHECK(third.load() == made);
  memories.remove(made);
}

// Every key is read twice, so that the second read goes by what the first left, while the pool is
// overwritten, folded, merged and cleaned, and its segments are used again. Keys of which the
// memory cannot tell one from the other: of their hashes it looks at the same bits.
TEST_CASE("place memory: where another key's place is guessed, that key's value is not given") {
  using namespace test;
  std::unordered_map<uint64_t, std::string> first;
  std::vector<std::pair<std::string, std::string>> pairs;
  for (uint64_t i = 0; pairs.size() < 4 && i < 2'000'000; i++) {
    const std::string key = key_in(1, "k" + std::to_string(i));
    const uint64_t hash = PlaceMemory::hash_of(key);
    const auto [at, fresh] =
        first.emplace(hash >> 44 << 12 | static_cast<uint32_t>(hash) >> 20, key);
    if (!fresh) pairs.emplace_back(at->second, key);
  }
  REQUIRE(pairs.size() == 4);
  const Scratch scratch = Scratch::quick();
  PoolOptions options = file_options();
  options.background = false;
  auto pool = open_pool(scratch.path("p"), options);
  Batch batch;
  for (uint64_t i = 0; i < 5000; i++)
    REQUIRE(batch.put(key_in(2, std::to_string(i)), "other").is_ok());
  for (const auto& [one, other] : pairs) REQUIRE(batch.put(one, one).is_ok());
  REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
  REQUIRE(pool->fold().is_ok());
  for (int round = 0; round < 3; round++) {
    for (const auto& [one, other] : pairs) {
      CHECK(get(*pool, one) == one);
      CHECK(get(*pool, other) == std::nullopt);
    }
  }
  batch.clear();
  for (const auto& [one, other] : pairs) REQUIRE(batch.put(other, other).is_ok());
  REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
  REQUIRE(pool->compact().is_ok());
  for (int round = 0; round < 3; round++) {
    for (const auto& [one, other] : pairs) {
      CHECK(get(*pool, one) == one);
      CHECK(get(*pool, other) == other);
    }
  }
}

TEST_CASE(
    "place memory: reads by guesses agree with the model through folds, merges and cleaning") {
  test::Scratch scratch;
  PoolOptions options;
  options.medium.choice = MediumChoice::kFile;
  options.medium.size = 16 * kMiB;
  options.background = false;
  auto opened = Pool::open(scratch.path("p"), options);
  REQUIRE(opened.is_ok());
  Pool& pool = **opened;
  std::mt19937_64 random(7);
  std::map<std::string, std::string> model;
  SnapshotPtr snapshot;
  std::map<std::string, std::string> seen;
  for (int round = 0; round < 60; round++) {
    for (int i = 0; i < 60; i++) {
      Batch batch;
      for (int j = 0; j < 20; j++) {
        const std::string key = test::key_in(1, numbered_key(random() % 3000));
        if (random() % 8 == 0) {
          REQUIRE(batch.remove(key).is_ok());
          model.erase(key);
        } else {
          const std::string value =
              key + std::string(random() % 700, static_cast<char>('a' + random() % 26));
          REQUIRE(batch.put(key, value).is_ok());
          model[key] = value;
        }
      }
      REQUIRE(pool.commit(batch, CommitMode::kEventual).is_ok());
    }
    if (random() % 2 == 0) REQUIRE(pool.fold().is_ok());
    if (random() % 6 == 0) REQUIRE(pool.compact().is_ok());
    pool.maintain(random() % 3 == 0);
    if (random() % 5 == 0) {
      auto taken = pool.snapshot();
      REQUIRE(taken.is_ok());
      snapshot = *taken;
      seen = model;
    }
    uint64_t wrong = 0;
    for (int i = 0; i < 3000; i++) {
      const std::string key = test::key_in(1, numbered_key(random() % 3000));
      const auto expect = model.find(key);
      for (int time = 0; time < 2; time++) {
        const auto found = test::get(pool, key);
        wrong +=
            found.has_value() != (expect != model.end()) || (found && *found != expect->second);
      }
      if (!snapshot) continue;
      const auto then = seen.find(key);
      const auto found = test::get(pool, key, snapshot);
      wrong += found.has_value() != (then != seen.end()) || (found && *found != then->second);
    }
    CHECK(wrong == 0);
  }
  CHECK(pool.stats().segments_cleaned > 0);
  snapshot = nullptr;
  REQUIRE(pool.close().is_ok());
}

// The two have the hash's part that is remembered in common, and the bucket, in a run of 70
// entries. Its key is compared: but it is there, newer.
TEST_CASE(
    "place memory: a snapshot reads nothing that came to lie where a place was remembered in a "
    "segment that was given back") {
  const std::string one = test::key_in(1, "remembered"), other = test::key_in(1, "other1648442");
  REQUIRE((PlaceMemory::hash_of(one) >> 44) == (PlaceMemory::hash_of(other) >> 44));
  const test::Scratch scratch = test::Scratch::quick();
  PoolOptions options = test::file_options(16 * kMiB);
  options.background = false;
  options.log_segment_bytes = 64 * kKiB;
  auto pool = test::open_pool(scratch.path("p"), options);
  const auto place_of_it = [&](const std::string& key) {
    auto reader = pool->read(nullptr);
    REQUIRE(reader.is_ok());
    auto found = reader->find(key);
    REQUIRE(found.is_ok());
    REQUIRE(found->has_value());
    return (*found)->operation_offset;
  };
  for (int i = 0; i < 68; i++) test::put(*pool, "k" + std::to_string(i), "v");
  test::put(*pool, other.substr(4), "old");
  test::put(*pool, one.substr(4), std::string(57'000, 'r'));  // a segment of its own
  REQUIRE(pool->fold().is_ok());
  const uint64_t place = place_of_it(one);
  test::put(*pool, "next segment", std::string(30'000, 'n'));
  test::put(*pool, one.substr(4), "new");
  REQUIRE(pool->fold().is_ok());
  auto snapshot = pool->snapshot();
  REQUIRE(snapshot.is_ok());
  bool there = false;
  for (int i = 0; i < 50 && !there; i++) {
    test::put(*pool, other.substr(4), std::string(57'000, 'N'));
    there = place_of_it(other) == place;
  }
  REQUIRE(there);
  CHECK(test::get(*pool, other, *snapshot) == "old");
}

}  // namespace
}  // namespace holdfast
