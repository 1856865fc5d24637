// What the index says while runs are merged: a merge switches to its result a few tables at a time,
// and at each switch, and in what a crash leaves there, every key is where it was, in ranges and
// look-ups.
#include <doctest/doctest.h>

#include <filesystem>
#include <random>

#include "base/test_hooks.h"
#include "native/pool_fixture.h"

#ifdef HOLDFAST_PLANTED_BUGS

namespace holdfast::test {
namespace {

struct AtEachSwitch {
  explicit AtEachSwitch(const std::function<void()>& look) {
    at_test_point = [look](TestPoint here) {
      if (here == TestPoint::kMergeDone) look();
    };
  }
  ~AtEachSwitch() { at_test_point = nullptr; }
};

using Model = std::map<std::string, std::string>;

PoolOptions quiet_options() {
  PoolOptions options = file_options(32 * kMiB);  // so small that a table has 64 KiB
  options.background = false;
  options.fold_operations = 1'000'000;
  return options;
}

// Some of it in each of several runs: put, put anew, deleted, and put again.
void fill(Pool& pool, Model* model) {
  std::mt19937_64 random(5);
  for (int run = 0; run < 5; run++) {
    Batch batch;
    for (uint64_t i = 0; i < 90'000; i += run == 0 ? 1 : 1 + random() % 9) {
      const std::string key = numbered_key(i),
                        value = std::to_string(run) + "." + std::to_string(i);
      const bool removed = run > 0 && random() % 3 == 0;
      REQUIRE((removed ? batch.remove(key) : batch.put(key, value)).is_ok());
      if (removed)
        model->erase(key);
      else
        (*model)[key] = value;
      if (batch.operations() < 500) continue;
      REQUIRE(pool.commit(batch, CommitMode::kEventual).is_ok());
      batch.clear();
    }
    REQUIRE(pool.commit(batch, CommitMode::kDurable).is_ok());
    REQUIRE(pool.fold().is_ok());
  }
}

bool looks_up_all(Pool& pool, const Model& model) {
  auto reader = pool.read(nullptr);
  if (!reader.is_ok()) return false;
  for (uint64_t i = 0; i < 90'000; i++) {
    const std::string key = numbered_key(i);
    auto found = reader->find(key);
    if (!found.is_ok() || found->has_value() != model.contains(key)) return false;
  }
  return true;
}

// A run with every `step`th key from `first` on.
void add_run(Pool& pool, uint64_t first, uint64_t step, uint64_t entries) {
  Batch batch;
  for (uint64_t i = 0; i < entries; i++) {
    REQUIRE(batch.put(numbered_key(first + i * step), "value").is_ok());
    if (batch.operations() < 500 && i + 1 < entries) continue;
    REQUIRE(pool.commit(batch, CommitMode::kEventual).is_ok());
    batch.clear();
  }
  REQUIRE(pool.fold().is_ok());
}

}  // namespace

TEST_CASE("merge: beside its inputs it takes a few tables, also where the newer inputs are large") {
  // Keys of the newer runs between those of the oldest; all behind them.
  for (const bool between : {true, false}) {
    CAPTURE(between);
    const Scratch scratch = Scratch::quick();
    uint64_t most = 0;
    std::shared_ptr<Pool> pool = open_pool(scratch.path("p"), quiet_options());
    const AtEachSwitch at([&] { most = std::max(most, pool->stats().index_bytes); });
    for (uint64_t run = 0; run < 3; run++)
      add_run(*pool, between ? run : run * 100'000, between ? 3 : 1, 100'000);
    REQUIRE(pool->stats().runs == 3);
    const uint64_t before = pool->stats().index_bytes;
    REQUIRE(pool->compact().is_ok());
    REQUIRE(pool->stats().runs == 1);
    MESSAGE(before << " bytes of index before, " << most << " at most");
    CHECK(most <= before + before / 3);  // two thirds when the newer inputs stayed to the end
    CHECK(contents(*pool).size() == 300'000);
    CHECK(damages(*pool) == std::vector<std::string>());
    REQUIRE(pool->close().is_ok());
  }
}

TEST_CASE("merge: at each switch all keys are found, and in what a crash leaves there") {
  const Scratch scratch = Scratch::quick();
  const std::string path = scratch.path("p"), copy = scratch.path("copy");
  Model model;
  std::shared_ptr<Pool> pool;
  int switches = 0;
  const AtEachSwitch at([&] {
    if (pool == nullptr) return;  // of the copy
    CAPTURE(switches);
    CHECK((contents(*pool) == model));
    CHECK(looks_up_all(*pool, model));
    if (++switches % 4 == 2) copy_over(path, copy + std::to_string(switches));
  });
  pool = open_pool(path, quiet_options());
  fill(*pool, &model);
  REQUIRE(pool->stats().runs >= 3);
  switches = 0;
  REQUIRE(pool->compact().is_ok());
  CHECK(switches > 6);
  CHECK(pool->stats().runs == 1);
  CHECK((contents(*pool) == model));
  CHECK(damages(*pool) == std::vector<std::string>());
  REQUIRE(pool->close().is_ok());
  pool = nullptr;
  for (int i = 2; i <= switches; i += 4) {
    CAPTURE(i);
    auto left = open_pool(copy + std::to_string(i), quiet_options());
    CHECK((contents(*left) == model));
    CHECK(looks_up_all(*left, model));
    REQUIRE(left->compact().is_ok());
    CHECK((contents(*left) == model));
    CHECK(damages(*left) == std::vector<std::string>());
  }
}

}  // namespace holdfast::test

#endif
