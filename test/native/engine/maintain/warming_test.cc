// What is fetched of a pool besides what is read: how much for each read that waited, in which
// order, and of which pools nothing.
#include <doctest/doctest.h>

#include <algorithm>

#include "medium/simulated_medium.h"
#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

constexpr uint64_t kForEach = 128 * kKiB, kMemory = 1024 * kMiB;

struct World {
  std::shared_ptr<SimulatedDisk> disk = SimulatedDisk::create({}, 1);
  std::shared_ptr<Pool> pool;
  World() {
    PoolOptions options;
    options.background = false;
    pool = *Pool::open_on(std::move(*disk->open()), "p", options);
    for (uint64_t i = 0; i < 20'000; i += 50) {
      Batch batch;
      for (uint64_t j = i; j < i + 50; j++)
        REQUIRE(batch.put(numbered_key(j), std::string(200, 'v')).is_ok());
      REQUIRE(pool->commit(batch, CommitMode::kEventual).is_ok());
    }
    REQUIRE(pool->fold().is_ok());
    REQUIRE(pool->compact().is_ok());
  }
  // Bytes that were expected when so many reads had waited in all.
  std::vector<Segment> after(uint64_t waited, uint64_t memory = kMemory) {
    disk->set_reads(waited, memory);
    pool->maintain(false);
    return disk->expected_reads();
  }
  uint64_t all() { return pool->stats().log_bytes + pool->stats().index_bytes; }
};

uint64_t sum(const std::vector<Segment>& reads) {
  uint64_t bytes = 0;
  for (const Segment& read : reads) bytes += read.bytes;
  return bytes;
}

}  // namespace

TEST_CASE("warming: as much as the kernel would read around each read that waited, and once all") {
  World world;
  CHECK(world.after(15).empty());
  CHECK(sum(world.after(16)) == 16 * kForEach);
  CHECK(world.after(16).empty());
  CHECK(world.after(31).empty());
  uint64_t bytes = 16 * kForEach;
  std::vector<Segment> last;
  for (uint64_t waited = 32; waited < 1000; waited += 16) {
    last = world.after(waited);
    bytes += sum(last);
  }
  CHECK(bytes <= world.all());
  CHECK(bytes + kMiB > world.all());
  CHECK(last.empty());
}

TEST_CASE("warming: the index comes first, then the log from its beginning") {
  World world;
  const auto reads = world.after(1000);
  REQUIRE(!reads.empty());
  REQUIRE(world.pool->stats().runs == 1);
  // A node's own number is in its first bytes: leaves of a table begin behind its head.
  const uint64_t index = world.pool->stats().index_bytes;
  uint64_t seen = 0;
  size_t first_of_log = 0;
  while (seen + 64 * kKiB <= index && first_of_log < reads.size())
    seen += reads[first_of_log++].bytes;
  CHECK(seen <= index);
  CHECK(std::is_sorted(reads.begin() + static_cast<long>(first_of_log), reads.end(),
                       [](const Segment& a, const Segment& b) { return a.offset < b.offset; }));
}

TEST_CASE("warming: nothing of a pool that has more than a quarter of the memory there is") {
  World world;
  CHECK(world.after(1000, 4 * world.all() - 64 * kKiB).empty());
  CHECK(world.after(2000, 0).empty());
  // What waited then is not made up for.
  CHECK(world.after(2000).empty());
  CHECK(sum(world.after(2016)) == 16 * kForEach);
}
