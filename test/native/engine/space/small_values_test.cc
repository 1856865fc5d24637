// A full pool of fixed size whose values are so small that the index is a good part of it: each
// operation that the cleaner carries takes a new entry there, nearly as long as what is won, until
// runs are merged. Deletions go through all the same, at random places, again and again; and while
// runs are merged with hardly any room, every key is found, in what a crash leaves there too.
#include <doctest/doctest.h>

#include <random>
#include <set>

#include "base/test_hooks.h"
#include "native/pool_fixture.h"

#ifdef HOLDFAST_PLANTED_BUGS

namespace holdfast::test {
namespace {

struct SmallValues {
  explicit SmallValues(uint64_t bytes) {
    options = file_options(bytes);
    options.background = false;
    pool = open_pool(scratch.path("p"), options);
    at_test_point = [this](TestPoint here) {
      if (here != TestPoint::kMergeDone || looking || ++switches % 200 != 0) return;
      looking = true;
      look_at(*pool);
      const std::string copy = scratch.path("copy");
      copy_over(scratch.path("p"), copy);
      auto left = open_pool(copy, options);
      look_at(*left);
      CHECK(damages(*left) == std::vector<std::string>());
      REQUIRE(left->close().is_ok());
      looking = false;
    };
  }
  ~SmallValues() { at_test_point = nullptr; }

  void look_at(Pool& which) {
    std::set<std::string> found;
    for (const auto& [key, bytes] : contents(which)) found.insert(key);
    CHECK((found == keys));
  }

  Status commit(Batch& batch) {
    return std::move(pool->commit(batch, CommitMode::kEventual).status());
  }

  void fill_up() {
    for (int refused = 0; refused < 3; next++) {
      const std::string key = numbered_key(next * 2'654'435'761 % (1U << 31));
      Batch batch;
      REQUIRE(batch.put(key, value).is_ok());
      if (commit(batch).is_ok())
        keys.insert(key);
      else
        refused++;
    }
  }

  void remove_half() {
    const std::set<std::string> all = keys;
    for (const std::string& key : all) {
      if (random() % 2 == 0) continue;
      Batch batch;
      REQUIRE(batch.remove(key).is_ok());
      const Status removed = commit(batch);
      REQUIRE_MESSAGE(removed.is_ok(), removed.message());
      keys.erase(key);
    }
  }

  const Scratch scratch = Scratch::in_memory();
  const std::string value = std::string(100, 'v');
  std::mt19937_64 random{1};
  PoolOptions options;
  std::shared_ptr<Pool> pool;
  std::set<std::string> keys;
  uint64_t next = 0, switches = 0;
  bool looking = false;
};

}  // namespace

TEST_CASE("full of small values: half of them are deleted, at random, and others put, and again") {
  for (const uint64_t mib : {16, 32}) {
    CAPTURE(mib);
    SmallValues s(mib * kMiB);
    size_t most = 0;
    for (uint64_t round = 0; round < (mib == 16 ? 3 : 1); round++) {
      CAPTURE(round);
      s.fill_up();
      // As many fit again as at first: nothing is lost to an index that is not merged.
      most = std::max(most, s.keys.size());
      CHECK(s.keys.size() >= most - most / 10);
      s.remove_half();
    }
    MESSAGE(s.switches << " switches, at most " << most << " keys");
    s.looking = true;
    s.look_at(*s.pool);
    CHECK(damages(*s.pool) == std::vector<std::string>());
    REQUIRE(s.pool->close().is_ok());
  }
}

}  // namespace holdfast::test

#endif
