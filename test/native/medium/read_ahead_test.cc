// What a medium is told of a walk, whichever way it goes.
#include "medium/read_ahead.h"

#include <doctest/doctest.h>

#include <map>

#include "native/index/memory_medium.h"

using namespace holdfast;

namespace {

constexpr uint64_t kPage = 4096, kPages = 1000;

// How often each page was told of.
std::map<uint64_t, int> told(const MemoryMedium& medium) {
  std::map<uint64_t, int> times;
  for (const Segment& reads : medium.expected)
    for (uint64_t at = reads.offset / kPage; at * kPage < reads.end(); at++) times[at]++;
  return times;
}

}  // namespace

TEST_CASE("read ahead: each page of a walk is told of once, before it is come to") {
  for (const bool down : {false, true}) {
    CAPTURE(down);
    MemoryMedium medium(kMiB);
    ReadAhead ahead(medium);
    for (uint64_t i = 0; i < kPages; i++) {
      const uint64_t page = down ? 2 * kPages - i : kPages + i;
      ahead.comes_to(page * kPage, kPage);
      CHECK(ahead.walks() == (i >= 3));
      if (i > 3) CHECK(told(medium).contains(page));
    }
    const auto times = told(medium);
    CHECK(times.size() >= kPages - 3);
    CHECK(times.size() <= kPages + 256 * kKiB / kPage + 2);
    for (const auto& [page, count] : times) CHECK(count == 1);
    CHECK(medium.expected.size() <= kPages * kPage / (128 * kKiB) + 2);
  }
}

// Each time is a system call, of a microsecond.
TEST_CASE("read ahead: what is in memory is told of in stretches that grow to a mebibyte") {
  for (const bool down : {false, true}) {
    CAPTURE(down);
    MemoryMedium medium(kMiB);
    medium.in_memory = true;
    ReadAhead ahead(medium);
    const auto walk_to = [&](uint64_t first, uint64_t end) {
      for (uint64_t i = first; i < end; i++)
        ahead.comes_to((down ? 2 * kPages - i : kPages + i) * kPage, kPage);
    };
    walk_to(0, kPages / 2);
    CHECK(medium.expected.size() == 4);
    walk_to(kPages / 2, kPages);
    CHECK(medium.expected.size() == 6);  // 33 where each is of 256 KiB
    for (const auto& [page, count] : told(medium)) CHECK(count == 1);
    for (const Segment& reads : medium.expected) CHECK(reads.bytes <= kMiB + 128 * kKiB);
    // From where the disk is asked again on they are short.
    medium.in_memory = false;
    medium.expected.clear();
    walk_to(kPages, kPages + 600);
    REQUIRE(medium.expected.size() > 3);
    for (size_t i = 1; i < medium.expected.size(); i++)
      CHECK(medium.expected[i].bytes <= 256 * kKiB);
  }
}

TEST_CASE("read ahead: places anywhere are no walk, and one that turns begins anew") {
  MemoryMedium medium(kMiB);
  ReadAhead ahead(medium);
  for (uint64_t i = 0; i < 100; i++) ahead.comes_to((i * 7919 % 1000) * 100 * kKiB, 300);
  CHECK(medium.expected.empty());
  ReadAhead turning(medium);
  for (uint64_t i = 0; i < 100; i++) turning.comes_to(kMiB + (i % 2) * kPage, kPage);
  CHECK(medium.expected.empty());
  for (uint64_t i = 0; i < 10; i++) turning.comes_to(kMiB + i * kPage, kPage);
  CHECK(medium.expected.size() == 1);
  for (uint64_t i = 10; i-- > 0;) turning.comes_to(kMiB + i * kPage, kPage);
  REQUIRE(medium.expected.size() == 2);
  CHECK(medium.expected[1].offset < kMiB);
  // Down to the very beginning.
  ReadAhead low(medium);
  for (uint64_t page = 20; page-- > 0;) low.comes_to(page * kPage, kPage);
  CHECK(medium.expected.back().offset == 0);
}
