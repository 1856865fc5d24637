// The contract of native/medium/medium.h, case by case, on every medium. What only a crash shows is
// in test/native/medium/simulated_medium_test.cc.
#include "medium/medium.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "conformance/media.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

OpenedMedium must_open(MediumPlace& place, uint64_t size = 0) {
  Result<OpenedMedium> opened = place.open(size);
  INFO(opened.status().message());
  REQUIRE(opened.is_ok());
  return std::move(*opened);
}

Segment must_allocate(Medium& medium, SegmentKind kind, uint64_t min, uint64_t want) {
  Result<Segment> segment = medium.allocate(kind, min, want);
  INFO(segment.status().message());
  REQUIRE(segment.is_ok());
  REQUIRE(segment->bytes >= min);
  REQUIRE(segment->end() <= medium.view_end());
  return *segment;
}

void must_append(Medium& medium, uint64_t offset, const std::string& bytes) {
  Status status = medium.append(offset, bytes.data(), bytes.size());
  INFO(status.message());
  REQUIRE(status.is_ok());
}

bool overlap(const Segment& a, const Segment& b) {
  return a.offset < b.end() && b.offset < a.end();
}

bool any_overlap(std::vector<Segment> segments) {
  std::sort(segments.begin(), segments.end(),
            [](const Segment& a, const Segment& b) { return a.offset < b.offset; });
  for (size_t i = 1; i < segments.size(); i++) {
    if (overlap(segments[i - 1], segments[i])) return true;
  }
  return false;
}

std::string pattern(size_t size, uint8_t seed) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; i++) bytes[i] = static_cast<char>(seed + i * 7 + (i >> 8));
  return bytes;
}

bool seen(const Medium& medium, uint64_t offset, const std::string& bytes) {
  return std::memcmp(medium.view() + offset, bytes.data(), bytes.size()) == 0;
}

Root root_of(uint8_t value) {
  Root root;
  std::memset(root.bytes, value, sizeof root.bytes);
  return root;
}

bool equal(const Root& a, const Root& b) {
  return std::memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

// `free` after `held` were taken of `before`. A medium that keeps a header beside each segment
// (libpmemobj) may count it, at most a unit each; never may there be more free than is left.
bool free_is_right(const Medium& medium, uint64_t before, const std::vector<Segment>& held) {
  uint64_t bytes = 0;
  for (const Segment& segment : held) bytes += segment.bytes;
  const uint64_t free = medium.space().free;
  return free <= before - bytes &&
         free + held.size() * medium.info().segment_unit >= before - bytes;
}

// Everything that can be had, in pieces of `bytes`.
std::vector<Segment> fill(Medium& medium, uint64_t bytes, Code* ended_with) {
  std::vector<Segment> all;
  for (;;) {
    Result<Segment> segment = medium.allocate(SegmentKind::kIndex, bytes, bytes);
    if (!segment) {
      *ended_with = segment.status().code();
      return all;
    }
    all.push_back(*segment);
  }
}

}  // namespace

MEDIUM_CASE("says what it is") {
  OpenedMedium opened = must_open(place);
  const MediumInfo& info = opened.medium->info();
  CHECK(std::strlen(info.name) > 0);
  CHECK_FALSE(info.durability_reason.empty());
  CHECK((info.atom_bytes == 64 || info.atom_bytes == 512));
  CHECK(info.segment_unit > 0);
  CHECK(info.segment_unit % 4096 == 0);
  CHECK_FALSE(opened.medium->failed());
  CHECK(opened.medium->view() != nullptr);
}

MEDIUM_CASE("keeps its identity over a reopen; another pool has another") {
  OpenedMedium first = must_open(place);
  CHECK(first.created);
  CHECK(first.format_version > 0);
  first.medium->close();
  OpenedMedium again = must_open(place);
  CHECK_FALSE(again.created);
  CHECK(std::memcmp(first.uuid, again.uuid, sizeof first.uuid) == 0);
  CHECK(first.secret == again.secret);
  CHECK(first.format_version == again.format_version);
  for (const auto make : all_media()) {
    const auto other_place = make();
    OpenedMedium other = must_open(*other_place);
    CHECK(std::memcmp(first.uuid, other.uuid, sizeof first.uuid) != 0);
    CHECK(first.secret != other.secret);
  }
}

MEDIUM_CASE("segments are aligned, as large as asked, apart from each other") {
  OpenedMedium opened = must_open(place);
  REQUIRE(opened.medium->adopt({}).is_ok());
  std::vector<Segment> all;
  for (const SegmentKind kind :
       {SegmentKind::kLog, SegmentKind::kIndex, SegmentKind::kLarge, SegmentKind::kFold}) {
    for (const uint64_t bytes :
         {uint64_t{1}, uint64_t{4096}, uint64_t{100000}, uint64_t{1 << 20}}) {
      all.push_back(must_allocate(*opened.medium, kind, bytes, bytes));
      CHECK(all.back().offset % 4096 == 0);
      CHECK(all.back().bytes % 4096 == 0);
      CHECK(all.back().offset > 0);
    }
  }
  CHECK_FALSE(any_overlap(all));
}

MEDIUM_CASE("what is wanted if there is such a piece, else at least the minimum") {
  OpenedMedium opened = must_open(place);
  REQUIRE(opened.medium->adopt({}).is_ok());
  CHECK(must_allocate(*opened.medium, SegmentKind::kIndex, 4096, 1 << 20).bytes >= 1 << 20);
  const uint64_t largest = opened.medium->largest_free();
  CHECK(must_allocate(*opened.medium, SegmentKind::kIndex, 4096, 2 * largest).bytes >= 4096);
}

MEDIUM_CASE("largest_free can be had, a unit more cannot") {
  OpenedMedium opened = must_open(place);
  REQUIRE(opened.medium->adopt({}).is_ok());
  const uint64_t largest = opened.medium->largest_free();
  const Result<Segment> more =
      opened.medium->allocate(SegmentKind::kIndex, largest + 1, largest + 1);
  CHECK(more.status().code() == Code::kPoolFull);
  CHECK(must_allocate(*opened.medium, SegmentKind::kIndex, largest, largest).bytes >= largest);
}

MEDIUM_CASE("bytes appended are seen at once, wherever they are in a segment") {
  OpenedMedium opened = must_open(place);
  REQUIRE(opened.medium->adopt({}).is_ok());
  const Segment segment = must_allocate(*opened.medium, SegmentKind::kLog, 1 << 20, 1 << 20);
  uint8_t seed = 0;
  for (const size_t size : {1, 7, 63, 64, 65, 511, 512, 4095, 4096, 4097, 70000}) {
    const std::string bytes = pattern(size, ++seed);
    for (const uint64_t at :
         {uint64_t{0}, uint64_t{64}, uint64_t{4096 - 64}, round_down(segment.bytes - size, 64)}) {
      must_append(*opened.medium, segment.offset + at, bytes);
      CHECK(seen(*opened.medium, segment.offset + at, bytes));
    }
  }
  must_append(*opened.medium, segment.offset, "");
}

MEDIUM_CASE("an append leaves its neighbours alone") {
  OpenedMedium opened = must_open(place);
  REQUIRE(opened.medium->adopt({}).is_ok());
  const Segment segment = must_allocate(*opened.medium, SegmentKind::kLog, 1 << 16, 1 << 16);
  const std::string ground = pattern(1 << 16, 1);
  must_append(*opened.medium, segment.offset, ground);
  must_append(*opened.medium, segment.offset + 640, std::string(64, 'x'));
  CHECK(seen(*opened.medium, segment.offset, ground.substr(0, 640)));
  CHECK(seen(*opened.medium, segment.offset + 640, std::string(64, 'x')));
  CHECK(seen(*opened.medium, segment.offset + 704, ground.substr(704)));
}

MEDIUM_CASE("one append is one write, one barrier is one") {
  OpenedMedium opened = must_open(place);
  REQUIRE(opened.medium->adopt({}).is_ok());
  const Segment segment = must_allocate(*opened.medium, SegmentKind::kLog, 1 << 20, 1 << 20);
  const MediumCounters& counters = opened.medium->counters();
  const uint64_t appends = counters.appends, writes = counters.writes, barriers = counters.barriers;
  const uint64_t bytes = counters.bytes_appended;
  for (uint64_t i = 1; i <= 5; i++) {
    must_append(*opened.medium, segment.offset + i * 8192, pattern(8192, 3));
    REQUIRE(opened.medium->barrier().is_ok());
    CHECK(counters.appends == appends + i);
    CHECK(counters.writes == writes + i);
    CHECK(counters.barriers == barriers + i);
    CHECK(counters.bytes_appended == bytes + i * 8192);
  }
}

MEDIUM_CASE("a reopen sees the bytes and the newest root") {
  OpenedMedium opened = must_open(place);
  REQUIRE(opened.medium->adopt({}).is_ok());
  CHECK(equal(opened.medium->root(), Root{}));
  const Segment segment = must_allocate(*opened.medium, SegmentKind::kLog, 1 << 20, 1 << 20);
  const std::string bytes = pattern(100000, 9);
  must_append(*opened.medium, segment.offset, bytes);
  REQUIRE(opened.medium->barrier().is_ok());
  for (uint8_t i = 1; i <= 9; i++) {
    const uint64_t roots = opened.medium->counters().roots;
    REQUIRE(opened.medium->set_root(root_of(i)).is_ok());
    CHECK(equal(opened.medium->root(), root_of(i)));
    CHECK(opened.medium->counters().roots == roots + 1);
  }
  opened.medium->close();

  OpenedMedium again = must_open(place);
  REQUIRE(again.medium->adopt({segment}).is_ok());
  CHECK(equal(again.medium->root(), root_of(9)));
  REQUIRE(segment.end() <= again.medium->view_end());
  CHECK(seen(*again.medium, segment.offset, bytes));
}

MEDIUM_CASE("what is adopted is held, all else is free: nothing leaks over a reopen") {
  uint64_t free_at_first = 0;
  std::vector<Segment> kept;
  {
    OpenedMedium opened = must_open(place);
    REQUIRE(opened.medium->adopt({}).is_ok());
    free_at_first = opened.medium->space().free;
    std::vector<Segment> all;
    for (int i = 0; i < 12; i++)
      all.push_back(must_allocate(*opened.medium, SegmentKind::kLog, 100000, 200000));
    for (size_t i = 0; i < all.size(); i += 3) kept.push_back(all[i]);
    opened.medium->close();
  }
  for (int round = 0; round < 3; round++) {
    OpenedMedium opened = must_open(place);
    REQUIRE(opened.medium->adopt(kept).is_ok());
    CHECK(free_is_right(*opened.medium, free_at_first, kept));
    Code ended_with = Code::kOk;
    std::vector<Segment> all = fill(*opened.medium, 64 * kKiB, &ended_with);
    CHECK(ended_with == Code::kPoolFull);
    all.insert(all.end(), kept.begin(), kept.end());
    CHECK_FALSE(any_overlap(all));
    opened.medium->close();
  }
  OpenedMedium opened = must_open(place);
  REQUIRE(opened.medium->adopt({}).is_ok());
  CHECK(opened.medium->space().free == free_at_first);
}

MEDIUM_CASE("adopt refuses what overlaps or is out of bounds") {
  Segment a, b;
  {
    OpenedMedium opened = must_open(place);
    REQUIRE(opened.medium->adopt({}).is_ok());
    a = must_allocate(*opened.medium, SegmentKind::kLog, 1 << 18, 1 << 18);
    b = must_allocate(*opened.medium, SegmentKind::kLog, 1 << 18, 1 << 18);
  }
  const std::vector<std::vector<Segment>> refused = {
      {a, b, a},
      {a, {a.offset + 65536, a.bytes}},
      {{a.offset + 1, a.bytes}},
      {{0, 4096}},
      {{place.usual_size(), 65536}},
      {{uint64_t{1} << 62, 65536}},
      {{a.offset, UINT64_MAX - 4095}},
      {{a.offset, 0}},
  };
  for (size_t i = 0; i < refused.size(); i++) {
    CAPTURE(i);
    OpenedMedium opened = must_open(place);
    const Status status = opened.medium->adopt(refused[i]);
    CHECK(status.code() == Code::kCorrupt);
    CHECK_FALSE(status.message().empty());
    opened.medium->close();
  }
  OpenedMedium opened = must_open(place);
  CHECK(opened.medium->adopt({b, a}).is_ok());
}

MEDIUM_CASE("full is an error that changes nothing, and what is released can be had again") {
  OpenedMedium opened = must_open(place);
  REQUIRE(opened.medium->adopt({}).is_ok());
  const uint64_t free_at_first = opened.medium->space().free;
  Code ended_with = Code::kOk;
  std::vector<Segment> all = fill(*opened.medium, kMiB, &ended_with);
  CHECK(ended_with == Code::kPoolFull);
  REQUIRE(all.size() > 8);
  CHECK_FALSE(any_overlap(all));
  uint64_t held = 0;
  for (const Segment& segment : all) held += segment.bytes;
  CHECK(held <= opened.medium->space().capacity);
  CHECK(free_is_right(*opened.medium, free_at_first, all));

  const uint64_t free_when_full = opened.medium->space().free;
  CHECK(opened.medium->allocate(SegmentKind::kLog, kMiB, kMiB).status().code() == Code::kPoolFull);
  CHECK(opened.medium->space().free == free_when_full);
  CHECK_FALSE(opened.medium->failed());
  must_append(*opened.medium, all[0].offset, pattern(4096, 5));
  REQUIRE(opened.medium->barrier().is_ok());
  REQUIRE(opened.medium->set_root(root_of(3)).is_ok());

  opened.medium->release(all[3]);
  opened.medium->release(all[4]);
  CHECK(must_allocate(*opened.medium, SegmentKind::kLog, kMiB, kMiB).bytes >= kMiB);
  CHECK(must_allocate(*opened.medium, SegmentKind::kLog, kMiB, kMiB).bytes >= kMiB);
  CHECK(opened.medium->allocate(SegmentKind::kLog, kMiB, kMiB).status().code() == Code::kPoolFull);
  for (size_t i = 5; i < all.size(); i++) opened.medium->release(all[i]);
  const uint64_t neighbours = (all.size() - 5) * kMiB;
  CHECK(opened.medium->largest_free() >= neighbours / 2);
}

MEDIUM_CASE("allocating and releasing for ever neither leaks nor scatters") {
  OpenedMedium opened = must_open(place);
  REQUIRE(opened.medium->adopt({}).is_ok());
  const uint64_t free_at_first = opened.medium->space().free;
  std::vector<Segment> held;
  uint64_t random = 12345;
  for (int i = 0; i < 400; i++) {
    random = random * 6364136223846793005 + 1442695040888963407;
    if (held.size() < 16) {
      held.push_back(
          must_allocate(*opened.medium, SegmentKind::kIndex, 4096, (random >> 33) % 500000 + 4096));
    } else {
      const size_t at = (random >> 33) % held.size();
      opened.medium->release(held[at]);
      held.erase(held.begin() + static_cast<ptrdiff_t>(at));
    }
    REQUIRE_FALSE(any_overlap(held));
  }
  for (const Segment& segment : held) opened.medium->release(segment);
  CHECK(opened.medium->space().free == free_at_first);
}

MEDIUM_CASE("close may be called twice; after it everything is refused") {
  OpenedMedium opened = must_open(place);
  REQUIRE(opened.medium->adopt({}).is_ok());
  const Segment segment = must_allocate(*opened.medium, SegmentKind::kLog, 65536, 65536);
  opened.medium->close();
  opened.medium->close();
  // kClosed; or kFailed, from a medium whose hot path tells no difference (the pool above it does).
  const auto refused = [](Code code) { return code == Code::kClosed || code == Code::kFailed; };
  CHECK(refused(opened.medium->append(segment.offset, "x", 1).code()));
  CHECK(refused(opened.medium->barrier().code()));
  CHECK(refused(opened.medium->set_root(Root{}).code()));
  CHECK(refused(opened.medium->allocate(SegmentKind::kLog, 1, 1).status().code()));
  CHECK(must_open(place).medium->view() != nullptr);
}

MEDIUM_CASE("one opens it at a time; a medium dropped without close leaves no lock") {
  {
    OpenedMedium opened = must_open(place);
    Result<OpenedMedium> second = place.open();
    CHECK(second.status().code() == Code::kLocked);
    if (place.has_path())
      CHECK(second.status().message().find(std::to_string(::getpid())) != std::string::npos);
    CHECK_FALSE(opened.medium->failed());
    CHECK(opened.medium->barrier().is_ok());
  }
  CHECK(must_open(place).medium != nullptr);
}

MEDIUM_CASE("is created or not as demanded, and keeps its size") {
  if (!place.has_path()) return;
  const uint64_t size = place.usual_size();
  CHECK(place.open_with(CreateMode::kNever, 0).status().code() == Code::kNotFound);
  {
    Result<OpenedMedium> made = place.open_with(CreateMode::kExclusive, size);
    REQUIRE(made.is_ok());
    CHECK(made->created);
  }
  CHECK(place.open_with(CreateMode::kExclusive, size).status().code() == Code::kExists);
  CHECK(place.open_with(CreateMode::kNever, 0).is_ok());
  CHECK(place.open_with(CreateMode::kIfMissing, size).is_ok());
  CHECK(place.open_with(CreateMode::kNever, size * 2).status().code() == Code::kOutOfRange);
}

MEDIUM_CASE("many threads may append, raise barriers and allocate at once") {
  OpenedMedium opened = must_open(place);
  Medium& medium = *opened.medium;
  REQUIRE(medium.adopt({}).is_ok());
  std::atomic<int> wrong{0};
  std::vector<std::vector<Segment>> held(4);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < held.size(); t++) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 12; i++) {
        Result<Segment> segment = medium.allocate(SegmentKind::kLog, 65536, 65536);
        if (!segment) {
          wrong++;
          return;
        }
        const std::string bytes =
            pattern(5000, static_cast<uint8_t>(t * 50 + static_cast<size_t>(i)));
        if (!medium.append(segment->offset, bytes.data(), bytes.size()).is_ok()) wrong++;
        if (!medium.barrier().is_ok()) wrong++;
        if (!seen(medium, segment->offset, bytes)) wrong++;
        if (i % 4 == 3) {
          medium.release(*segment);
        } else {
          held[t].push_back(*segment);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  std::vector<Segment> all;
  for (const auto& some : held) all.insert(all.end(), some.begin(), some.end());
  CHECK(all.size() == 36);
  CHECK_FALSE(any_overlap(all));
}
