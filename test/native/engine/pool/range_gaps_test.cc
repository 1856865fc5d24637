// Gaps of deleted keys that ranges remember: what a range gives is what it would have given had it
// walked over them, in every state that somebody holds; and a queue's front is found at once.
#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "base/test_hooks.h"
#include "engine/state/known_gaps.h"
#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

using Model = std::map<std::string, std::string>;
constexpr uint64_t kKeys = 600;

struct State {
  SnapshotPtr snapshot;  // null: the newest
  Model model;
};

class RandomStore {
 public:
  explicit RandomStore(uint64_t seed) : random_(seed) {
    PoolOptions options = file_options();
    options.background = false;
    pool_ = open_pool(scratch_.path("p"), options);
    change(0, kKeys, true);
  }
  ~RandomStore() { CHECK(pool_->close().is_ok()); }

  // False: a range gave something else than the model has.
  bool turn() {
    switch (below(8)) {
      case 0: {  // a long stretch goes
        const uint64_t first = below(kKeys);
        change(first, std::min(kKeys, first + 20 + below(200)), false);
        break;
      }
      case 1: {  // a few come, or one
        const uint64_t first = below(kKeys);
        change(first, std::min(kKeys, first + 1 + below(3)), true);
        break;
      }
      case 2:
        if (states_.size() < 4) {
          auto taken = pool_->snapshot();
          REQUIRE(taken.is_ok());
          states_.push_back({*taken, model_});
        } else {
          states_.erase(states_.begin() + static_cast<long>(below(states_.size())));
        }
        break;
      case 3:
        if (below(4) == 0) REQUIRE(pool_->fold().is_ok());
        break;
      default:
        break;
    }
    const uint64_t which = below(states_.size() + 2);
    return which < states_.size() ? same(states_[which]) : same({nullptr, model_});
  }

 private:
  uint64_t below(uint64_t bound) { return random_() % bound; }

  void change(uint64_t first, uint64_t end, bool puts) {
    Batch batch;
    for (uint64_t n = first; n < end; n++) {
      const std::string key = numbered_key(n), value = std::to_string(random_() % 1000);
      REQUIRE((puts ? batch.put(key, value) : batch.remove(key)).is_ok());
      if (puts) {
        model_[key] = value;
      } else {
        model_.erase(key);
      }
    }
    if (first < end) REQUIRE(pool_->commit(batch, CommitMode::kEventual).is_ok());
  }

  bool same(const State& state) {
    RangeOptions options;
    uint64_t low = below(kKeys + 1), high = below(kKeys + 1);
    if (low > high) std::swap(low, high);
    if (below(3) == 0) low = 0;
    if (below(3) == 0) high = kKeys;
    options.low = numbered_key(low);
    options.high = numbered_key(high);
    options.reverse = below(2) == 0;
    options.limit = below(2) == 0 ? 1 + below(3) : UINT64_MAX;
    std::vector<std::pair<std::string, std::string>> expected(
        state.model.lower_bound(options.low), state.model.lower_bound(options.high));
    if (options.reverse) std::reverse(expected.begin(), expected.end());
    expected.resize(std::min<uint64_t>(expected.size(), options.limit));
    auto range = pool_->range(options, state.snapshot);
    REQUIRE(range.is_ok());
    std::vector<std::pair<std::string, std::string>> given;
    for (uint64_t got = 1; got > 0;) {
      auto next =
          (*range)->next(1 + below(100), [&](Bytes key, const FoundValue& value, Reader& reader) {
            given.emplace_back(std::string(key), std::string(value.size, '\0'));
            auto* to = reinterpret_cast<uint8_t*>(given.back().second.data());
            REQUIRE(reader.copy(value, to).is_ok());
            return true;
          });
      REQUIRE(next.is_ok());
      got = *next;
      if (below(4) == 0) {  // the range stays as it was
        const uint64_t first = below(kKeys);
        change(first, first + 1, below(2) == 0);
      }
    }
    return given == expected;
  }

  const Scratch scratch_ = Scratch::quick();
  std::mt19937_64 random_;
  std::shared_ptr<Pool> pool_;
  Model model_;
  std::vector<State> states_;
};

// The first seed that sees something wrong; `seeds` if none does.
uint64_t first_wrong(uint64_t seeds, int turns) {
  for (uint64_t seed = 0; seed < seeds; seed++) {
    RandomStore store(seed);
    for (int turn = 0; turn < turns; turn++) {
      if (!store.turn()) return seed;
    }
  }
  return seeds;
}

RangeOptions first_of(const std::string& low, const std::string& high, bool reverse) {
  RangeOptions options;
  options.low = low;
  options.high = high;
  options.limit = 1;
  options.reverse = reverse;
  return options;
}

// "": there is none.
std::string first_key(Pool& pool, const RangeOptions& options) {
  std::string found;
  auto range = pool.range(options, nullptr);
  REQUIRE(range.is_ok());
  auto given = (*range)->next(1, [&](Bytes key, const FoundValue&, Reader&) {
    found.assign(key.data(), key.size());
    return true;
  });
  REQUIRE(given.is_ok());
  return found;
}

}  // namespace

TEST_CASE("ranges over known gaps give what they would have given without") {
  CHECK(first_wrong(20, 400) == 20);
}

TEST_CASE("a gap that outlived a put would be noticed") {
  planted_bug = PlantedBug::kGapOutlivesPut;
  const uint64_t seed = first_wrong(20, 400);
  planted_bug = PlantedBug::kNone;
  CHECK(seed < 20);
}

TEST_CASE(
    "a queue's front, its back and its emptiness are found without a walk over what was there") {
  const Scratch scratch = Scratch::quick();
  constexpr uint64_t kMany = 20'000;
  uint64_t let_go = 0;  // once for each 4,096 deleted keys that a range walks over
  at_test_point = [&](TestPoint point) { let_go += point == TestPoint::kWalkLetGo ? 1 : 0; };
  PoolOptions options = file_options();
  options.background = false;
  options.fold_operations = 10 * kMany;
  auto pool = open_pool(scratch.path("p"), options);
  for (const bool reverse : {false, true}) {
    const auto at = [&](uint64_t n) { return numbered_key(reverse ? kMany - n : n); };
    const RangeOptions front = first_of(numbered_key(0), numbered_key(kMany + 1), reverse);
    Batch batch;
    for (uint64_t n = 0; n <= kMany; n++) REQUIRE(batch.put(at(n), "v").is_ok());
    REQUIRE(pool->commit(batch, CommitMode::kEventual).is_ok());
    batch.clear();
    for (uint64_t n = 0; n + 100 < kMany; n++) REQUIRE(batch.remove(at(n)).is_ok());
    REQUIRE(pool->commit(batch, CommitMode::kEventual).is_ok());
    let_go = 0;
    CHECK(first_key(*pool, front) == at(kMany - 100));
    CHECK(let_go == (kMany - 100) / 4096);
    for (uint64_t n = kMany - 100; n <= kMany; n++) {
      CHECK(first_key(*pool, front) == at(n));
      batch.clear();
      REQUIRE(batch.remove(at(n)).is_ok());
      REQUIRE(pool->commit(batch, CommitMode::kEventual).is_ok());
    }
    CHECK(first_key(*pool, front).empty());
    CHECK(first_key(*pool, front).empty());
    for (const uint64_t n : {5, 3}) {
      batch.clear();
      REQUIRE(batch.put(at(n), "again").is_ok());
      REQUIRE(pool->commit(batch, CommitMode::kEventual).is_ok());
      CHECK(first_key(*pool, front) == at(n));
    }
    CHECK(let_go == (kMany - 100) / 4096);
    batch.clear();
    for (const uint64_t n : {3, 5}) REQUIRE(batch.remove(at(n)).is_ok());
    REQUIRE(pool->commit(batch, CommitMode::kEventual).is_ok());
  }
  CHECK(pool->close().is_ok());
  at_test_point = nullptr;
}

TEST_CASE("who reads beside the writer finds what was put into a gap that it knows") {
  const Scratch scratch = Scratch::on_disk();
  auto pool = open_pool(scratch.path("p"), file_options());
  Batch batch;
  for (uint64_t n = 0; n < 100; n++) REQUIRE(batch.put(numbered_key(n), "v").is_ok());
  REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
  batch.clear();
  for (uint64_t n = 0; n < 90; n++) REQUIRE(batch.remove(numbered_key(n)).is_ok());
  REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
  PoolOptions reading;
  reading.read_only = true;
  auto reader = open_pool(scratch.path("p"), reading);
  const RangeOptions front = first_of(numbered_key(0), numbered_key(100), false);
  CHECK(first_key(*reader, front) == numbered_key(90));
  batch.clear();
  REQUIRE(batch.put(numbered_key(50), "again").is_ok());
  REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
  CHECK(first_key(*reader, front) == numbered_key(90));
  refresh(*reader);
  CHECK(first_key(*reader, front) == numbered_key(50));
  CHECK(reader->close().is_ok());
  CHECK(pool->close().is_ok());
}

TEST_CASE("gaps: those that touch become one, a put cuts one, the one of no use goes") {
  KnownGaps gaps;
  gaps.learn("b", "d", 5);
  CHECK(gaps.end_of("b", 5) == "d");
  CHECK(!gaps.end_of("b", 4));  // an older state
  CHECK(!gaps.end_of("a", 5));
  CHECK(!gaps.end_of("d", 5));
  CHECK(gaps.begin_of("d", 5) == "b");
  CHECK(!gaps.begin_of("b", 5));
  gaps.learn("d", "f", 7);
  CHECK(gaps.end_of("c", 7) == "f");
  CHECK(!gaps.end_of("c", 6));
  gaps.put("e");
  CHECK(gaps.end_of("c", 7) == "e");
  CHECK(!gaps.end_of("e", 7));
  gaps.put("b");
  CHECK(!gaps.end_of("c", 7));
  gaps.learn("x", "x", 8);
  CHECK(!gaps.begin_of("x", 8));
  for (uint64_t n = 0; n <= KnownGaps::kMost; n++) {
    CHECK((n == 0 || gaps.end_of(numbered_key(0), 9)));  // of use all the time
    gaps.learn(numbered_key(10 * n), numbered_key(10 * n + 5), 9);
  }
  CHECK(gaps.end_of(numbered_key(0), 9));
  CHECK(!gaps.end_of(numbered_key(10), 9));
  CHECK(gaps.end_of(numbered_key(20), 9));
}

TEST_CASE("gaps: a put into any keyspace that one reaches into cuts it") {
  struct Case {
    std::string low, high, put, end;
  };
  const std::string next(key_in(8, ""));
  for (const Case& one : {
           Case{key_in(7, "a"), key_in(7, "m"), key_in(7, "c"), key_in(7, "c")},
           Case{key_in(7, "a"), next, key_in(7, "zz"), key_in(7, "zz")},
           Case{key_in(7, "a"), next, key_in(8, "a"), next},
           Case{key_in(7, "a"), key_in(8, "m"), key_in(8, "c"), key_in(8, "c")},
           Case{key_in(7, "a"), key_in(9, "m"), key_in(8, "c"), key_in(8, "c")},
           Case{key_in(7, "a"), "\xff", key_in(0x12345678, "c"), key_in(0x12345678, "c")},
           Case{"", key_in(9, "m"), key_in(3, "c"), key_in(3, "c")},
       }) {
    KnownGaps gaps;
    gaps.learn(one.low, one.high, 1);
    gaps.put(one.put);
    CHECK(gaps.end_of(one.low, 1) == one.end);
  }
}
