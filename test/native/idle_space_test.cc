// What a pool takes when nothing is going on: it tidies up to a fixed point.
#include <doctest/doctest.h>

#include "pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

std::string numbered(uint64_t n) {
  char text[32];
  std::snprintf(text, sizeof text, "user:%010llu", static_cast<unsigned long long>(n));
  return key_in(1, text);
}

// Keys from `first` on, `step` apart, `many` of them in a record.
void put_some(Pool& pool, uint64_t first, uint64_t end, uint64_t step, uint64_t many, char fill, size_t bytes = 256) {
  Batch batch;
  for (uint64_t key = first; key < end; key += step) {
    REQUIRE(batch.put(numbered(key), std::string(bytes, fill)).is_ok());
    if (batch.operations() < many && key + step < end) continue;
    auto receipt = pool.commit(batch, CommitMode::kEventual);
    REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message());
    batch.clear();
  }
}

PoolOptions turn_by_turn(uint64_t size = 0) {
  PoolOptions options = file_options(size);
  options.background = false;
  return options;
}

// Until a turn does nothing any more.
void idle(Pool& pool) {
  for (uint64_t turn = 0, before = UINT64_MAX; pool.stats().bytes_appended != before; turn++) {
    REQUIRE(turn < 500);
    before = pool.stats().bytes_appended;
    for (int i = 0; i < 3; i++) pool.maintain(true);
  }
}

}  // namespace

TEST_CASE("what has died in an idle pool is tidied up, also where commits had left nothing to gain, and then nothing is done any more") {
  for (const uint64_t size : {uint64_t{0}, 64 * kMiB}) {
    CAPTURE(size);
    const Scratch scratch = Scratch::quick();
    auto pool = open_pool(scratch.path("p"), turn_by_turn(size));
    constexpr uint64_t kKeys = 40'000;
    put_some(*pool, 0, kKeys, 1, 20, 'a');
    for (int round = 0; round < 3; round++) put_some(*pool, 0, kKeys, 10, 20, static_cast<char>('b' + round));  // a tenth of each segment dies
    REQUIRE(pool->fold().is_ok());
    pool->maintain(false);
    CHECK(pool->stats().live_bytes * 12 < pool->stats().log_bytes * 11);
    const uint64_t before = pool->stats().bytes_appended;
    idle(*pool);
    const PoolStats tidy = pool->stats();
    CHECK(tidy.live_bytes * 20 >= (tidy.log_bytes - 2 * kMiB) * 19);  // but for the segment that is being filled
    CHECK(tidy.runs == 1);
    CHECK(tidy.bytes_appended - before < 2 * tidy.log_bytes);
    for (int turn = 0; turn < 50; turn++) pool->maintain(turn % 5 != 0);
    CHECK(pool->stats().bytes_appended == tidy.bytes_appended);
    // A little more that dies does not begin it anew.
    put_some(*pool, 0, kKeys, 200, 20, 'z');
    REQUIRE(pool->fold().is_ok());
    idle(*pool);
    CHECK(pool->stats().bytes_moved == tidy.bytes_moved);
    for (uint64_t key = 0; key < kKeys; key++) {
      const char fill = key % 200 == 0 ? 'z' : key % 10 == 0 ? 'd' : 'a';
      REQUIRE(get(*pool, numbered(key)) == std::string(256, fill));
    }
    auto report = pool->check(nullptr, nullptr);
    REQUIRE(report.is_ok());
    CHECK(report->damages.empty());
  }
}
