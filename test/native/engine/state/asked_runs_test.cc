// What conditions have asked the runs: it is what the runs say, and they are seldom asked.

#include "engine/state/asked_runs.h"

#include <random>

#include "native/index/index_model.h"
#include "native/index/memory_medium.h"
#include "native/pool_fixture.h"

namespace holdfast {
namespace {

using test::key_in;

RunPtr run_of(MemoryMedium& medium, const Model& model) {
  RunBuilder builder(medium, 64 * kKiB);
  for (const auto& [key, word] : model) REQUIRE(builder.add(key, Place::from_word(word)).is_ok());
  Result<std::vector<TableRef>> tables = builder.finish();
  REQUIRE(tables.is_ok());
  return std::make_shared<Run>(medium, std::move(*tables));
}

std::string numbered(const std::string& stem, uint64_t n) {
  char bytes[8];
  store(bytes, __builtin_bswap64(n));
  return stem + '\0' + std::string(bytes, sizeof bytes);
}

struct Asked {
  AskedRuns asked;
  IndexView view;
  std::optional<uint64_t> operator()(const std::string& key) {
    auto found = asked.find(key, view);
    REQUIRE(found.is_ok());
    auto expected = view.find_in_runs(key);
    REQUIRE(expected.is_ok());
    CHECK(found->has_value() == expected->has_value());
    if (!found->has_value() || !expected->has_value()) return std::nullopt;
    CHECK((*found)->word() == (*expected)->word());
    return (*found)->word();
  }
};

TEST_CASE(
    "asked runs: keys that rise where nothing is, and a key that stays, are asked for twice") {
  MemoryMedium medium(4 * kMiB);
  Asked asked;
  CHECK(asked("nothing") == std::nullopt);
  asked.view.runs = {
      run_of(medium, {{"driver of a", 7}, {numbered("run", 3), 8}, {numbered("run", 600), 9}}),
      run_of(medium, {{"a", 1}, {numbered("run", 900), 2}, {"z", 3}})};
  for (uint64_t n = 10; n < 500; n++) {
    CHECK(asked(numbered("run", n)) == std::nullopt);
    CHECK(asked("driver of a") == 7);
  }
  CHECK(asked.asked.looked() == 4);
  CHECK(asked(numbered("run", 600)) == 9);
  CHECK(asked(numbered("run", 900)) == 2);
  CHECK(asked(numbered("run", 901)) == std::nullopt);
  CHECK(asked(numbered("run", 3)) == 8);
}

TEST_CASE("asked runs: what was learnt of older runs is forgotten") {
  MemoryMedium medium(4 * kMiB);
  Asked asked;
  asked.view.runs = {run_of(medium, {{"driver", 1}})};
  for (uint64_t n = 0; n < 10; n++) {
    asked(numbered("run", n));
    asked("driver");
  }
  asked.view.runs.insert(asked.view.runs.begin(),
                         run_of(medium, {{"driver", 2}, {numbered("run", 10), 3}}));
  CHECK(asked(numbered("run", 10)) == 3);
  CHECK(asked("driver") == 2);
  // Its memory may be where another's was.
  for (uint64_t round = 4; round < 40; round++) {
    asked.view.runs.clear();
    asked.view.runs = {run_of(medium, {{"driver", round}})};
    for (int i = 0; i < 3; i++) CHECK(asked("driver") == round);
  }
}

TEST_CASE("asked runs: keys in no order are not learnt each time") {
  MemoryMedium medium(4 * kMiB);
  Asked asked;
  std::mt19937_64 random(1);
  Model model;
  for (int i = 0; i < 3000; i++) model[numbered(i % 2 ? "a" : "b", random() % 10'000)] = 1 + i;
  asked.view.runs = {run_of(medium, model)};
  for (int i = 0; i < 20'000; i++) asked(numbered(i % 3 ? "a" : "b", random() % 10'000));
  CHECK(asked.asked.learnt() < 1000);
  // Nor is it given up for ever, or soon.
  for (const auto& [stem, most] : {std::pair("a", 1100), std::pair("c", 10)}) {
    for (int n : {30, 20, 10}) asked(numbered(stem, 20'000 + n));
    const uint64_t looked = asked.asked.looked();
    for (int n = 0; n < 3000; n++) asked(numbered(stem, 20'000 + n));
    CHECK(asked.asked.looked() - looked < most);
  }
}

// With folds and merges beside them, and the pool of another size, which moves what is in it.
void compare_with_model(uint64_t seed) {
  const test::Scratch scratch = test::Scratch::in_memory();
  auto pool = test::open_pool(scratch.path("p"), test::file_options(64 * kMiB));
  std::mt19937_64 random(seed);
  std::map<std::string, std::string> model;
  uint64_t next = 0;
  for (int i = 0; i < 8000; i++) {
    const uint64_t number = random() % 3 == 0 ? random() % (next + 1) : next++;
    const std::string key = random() % 3 == 0 ? key_in(1, "driver " + std::to_string(random() % 4))
                                              : key_in(2, numbered("run", number));
    const auto there = model.find(key);
    const std::string value = std::to_string(random() % 3);
    Batch batch;
    bool holds = true;
    switch (random() % 4) {
      case 0:
        REQUIRE(batch.require_absent(key).is_ok());
        holds = there == model.end();
        break;
      case 1:
        REQUIRE(batch.require_present(key).is_ok());
        holds = there != model.end();
        break;
      case 2:
        REQUIRE(batch.require_equal(key, value).is_ok());
        holds = there != model.end() && there->second == value;
        break;
      default:  // none
        break;
    }
    const bool removes = random() % 4 == 0;
    REQUIRE((removes ? batch.remove(key) : batch.put(key, value)).is_ok());
    CHECK(pool->commit(batch, CommitMode::kDurable).is_ok() == holds);
    if (holds && removes) model.erase(key);
    if (holds && !removes) model[key] = value;
    if (random() % 100 == 0) REQUIRE(pool->fold().is_ok());
    if (random() % 1500 == 0) REQUIRE(pool->compact().is_ok());
    if (random() % 800 == 0) REQUIRE(pool->resize((16 + random() % 64) * kMiB).is_ok());
  }
}

TEST_CASE("asked runs: conditions of commits hold or not as in a model") {
  for (uint64_t seed = 1; seed <= 5; seed++) compare_with_model(seed);
}

}  // namespace
}  // namespace holdfast
