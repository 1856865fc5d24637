#include "medium/extent_allocator.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

using holdfast::ExtentAllocator;
using holdfast::Segment;

TEST_CASE("extents: best fit, the lowest place among equals") {
  ExtentAllocator space;
  space.reset(100, 10000);
  for (const Segment& held :
       {Segment{200, 100}, Segment{350, 50}, Segment{450, 50}, Segment{1000, 1}})
    CHECK(space.take(held));
  // free: [100,200) [300,350) [400,450) [500,1000) [1001,10000)
  CHECK(space.allocate(50, 50)->offset == 300);
  CHECK(space.allocate(50, 50)->offset == 400);
  CHECK(space.allocate(60, 60)->offset == 100);
  CHECK(space.allocate(400, 400)->offset == 500);
  CHECK(space.allocate(400, 400)->offset == 1001);
}

TEST_CASE("extents: less than wanted when there is no more, nothing when there is not the least") {
  ExtentAllocator space;
  space.reset(0, 100);
  const auto all = space.allocate(10, 500);
  REQUIRE(all);
  CHECK(all->bytes == 100);
  CHECK_FALSE(space.allocate(1, 1));
  CHECK(space.release({40, 20}));
  CHECK_FALSE(space.allocate(21, 21));
  CHECK(space.allocate(20, 21)->bytes == 20);
}

TEST_CASE("extents: neighbours are joined from both sides") {
  ExtentAllocator space;
  space.reset(0, 300);
  REQUIRE(space.allocate(300, 300));
  CHECK(space.release({0, 100}));
  CHECK(space.release({200, 100}));
  CHECK(space.extents() == 2);
  CHECK(space.release({100, 100}));
  CHECK(space.extents() == 1);
  CHECK(space.largest() == 300);
  CHECK(space.free_bytes() == 300);
  CHECK(space.tail().bytes == 300);
}

TEST_CASE("extents: what is free cannot be released, what is held cannot be taken") {
  ExtentAllocator space;
  space.reset(100, 200);
  CHECK_FALSE(space.release({150, 10}));
  CHECK_FALSE(space.take({90, 20}));
  CHECK_FALSE(space.take({190, 20}));
  CHECK_FALSE(space.take({150, 0}));
  CHECK_FALSE(space.take({150, UINT64_MAX}));
  CHECK(space.take({120, 30}));
  CHECK_FALSE(space.take({149, 1}));
  CHECK_FALSE(space.release({110, 20}));
  CHECK_FALSE(space.release({140, 20}));
  CHECK_FALSE(space.release({0, 10}));
  CHECK_FALSE(space.release({200, 10}));
  CHECK(space.free_bytes() == 70);
  CHECK(space.release({120, 30}));
  CHECK(space.free_bytes() == 100);
}

TEST_CASE("extents: below a limit only") {
  ExtentAllocator space;
  space.reset(0, 1000);
  REQUIRE(space.take({50, 50}));
  CHECK(space.largest_below(150) == 50);
  CHECK(space.allocate_below(180, 60, 100)->offset == 100);  // [100,180)
  CHECK_FALSE(space.allocate_below(180, 51, 100));
  CHECK(space.allocate_below(180, 10, 20)->bytes == 20);
}

TEST_CASE("extents: the first and the last free piece within a range, cut to it") {
  ExtentAllocator space;
  space.reset(100, 1000);
  REQUIRE(space.take({200, 100}));
  REQUIRE(space.take({400, 500}));
  // free: [100,200) [300,400) [900,1000)
  const auto within = [&](uint64_t from, uint64_t to) {
    const auto found = space.first_within(from, to);
    return found ? std::pair(found->offset, found->end()) : std::pair<uint64_t, uint64_t>(0, 0);
  };
  CHECK(within(0, 1000) == std::pair<uint64_t, uint64_t>(100, 200));
  CHECK(within(150, 160) == std::pair<uint64_t, uint64_t>(150, 160));
  CHECK(within(150, 150) == std::pair<uint64_t, uint64_t>(0, 0));
  CHECK(within(200, 1000) == std::pair<uint64_t, uint64_t>(300, 400));
  CHECK(within(300, 350) == std::pair<uint64_t, uint64_t>(300, 350));
  CHECK(within(400, 1000) == std::pair<uint64_t, uint64_t>(900, 1000));
  CHECK(within(400, 900) == std::pair<uint64_t, uint64_t>(0, 0));
  CHECK(within(1000, 2000) == std::pair<uint64_t, uint64_t>(0, 0));
  const auto last = [&](uint64_t from, uint64_t to) {
    const auto found = space.last_within(from, to);
    return found ? std::pair(found->offset, found->end()) : std::pair<uint64_t, uint64_t>(0, 0);
  };
  CHECK(last(0, 1000) == std::pair<uint64_t, uint64_t>(900, 1000));
  CHECK(last(0, 950) == std::pair<uint64_t, uint64_t>(900, 950));
  CHECK(last(0, 900) == std::pair<uint64_t, uint64_t>(300, 400));
  CHECK(last(320, 900) == std::pair<uint64_t, uint64_t>(320, 400));
  CHECK(last(400, 900) == std::pair<uint64_t, uint64_t>(0, 0));
  CHECK(last(0, 100) == std::pair<uint64_t, uint64_t>(0, 0));
  CHECK(last(150, 150) == std::pair<uint64_t, uint64_t>(0, 0));
}

TEST_CASE("extents: a random life against a model of bits") {
  constexpr uint64_t kUnits = 512;
  std::mt19937_64 random(7);
  ExtentAllocator space;
  space.reset(0, kUnits);
  std::vector<bool> held(kUnits);
  std::vector<Segment> segments;
  for (int step = 0; step < 20000; step++) {
    if (segments.empty() || random() % 2 == 0) {
      const uint64_t min = 1 + random() % 20, want = min + random() % 40;
      uint64_t run = 0, largest = 0;
      for (uint64_t i = 0; i < kUnits; i++)
        largest = std::max(largest, run = held[i] ? 0 : run + 1);
      REQUIRE(space.largest() == largest);
      const auto piece = space.allocate(min, want);
      REQUIRE(piece.has_value() == (largest >= min));
      if (!piece) continue;
      REQUIRE(piece->bytes == std::min(want, largest));
      for (uint64_t i = piece->offset; i < piece->end(); i++) {
        REQUIRE_FALSE(held[i]);
        held[i] = true;
      }
      segments.push_back(*piece);
    } else {
      const size_t at = random() % segments.size();
      REQUIRE(space.release(segments[at]));
      for (uint64_t i = segments[at].offset; i < segments[at].end(); i++) held[i] = false;
      segments.erase(segments.begin() + static_cast<ptrdiff_t>(at));
    }
    REQUIRE(space.free_bytes() ==
            static_cast<uint64_t>(std::count(held.begin(), held.end(), false)));
  }
}
