// The medium on libpmemobj: what it creates, keeps, frees and survives, and how many fences it
// takes. On /dev/shm with PMEM_IS_PMEM_FORCE=1. pmem_opening_test.cc has what it refuses.
#include "medium/pmem/pmem_medium.h"

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <libpmem.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "native/medium/pmem/pmem_medium_fixture.h"

// Real counts: these definitions come before libpmem's for the whole process, libpmemobj included.
namespace {
std::atomic<int> fences{0}, copies{0}, flushes{0};
template <typename F>
F real(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}
}  // namespace
extern "C" void pmem_drain(void) {
  static const auto next = real<void (*)()>("pmem_drain");
  fences++;
  next();
}
extern "C" void pmem_persist(const void* at, size_t size) {
  static const auto next = real<void (*)(const void*, size_t)>("pmem_persist");
  fences++;
  flushes++;
  next(at, size);
}
extern "C" void pmem_flush(const void* at, size_t size) {
  static const auto next = real<void (*)(const void*, size_t)>("pmem_flush");
  flushes++;
  next(at, size);
}
extern "C" void* pmem_memcpy(void* to, const void* from, size_t size, unsigned flags) {
  static const auto next = real<void* (*)(void*, const void*, size_t, unsigned)>("pmem_memcpy");
  copies++;
  if ((flags & (PMEM_F_MEM_NODRAIN | PMEM_F_MEM_NOFLUSH)) == 0) fences++;
  return next(to, from, size, flags);
}

namespace holdfast::test {
namespace {

TEST_CASE("pmem: create, write, close, open again") {
  Place place;
  Segment segment;
  uint8_t uuid[16];
  {
    OpenedMedium opened = open_or_fail(place.path());
    CHECK(opened.created);
    CHECK(opened.format_version == kFormatVersion);
    CHECK(opened.secret != 0);
    std::memcpy(uuid, opened.uuid, sizeof uuid);
    Medium& medium = *opened.medium;
    CHECK(std::string(medium.info().name) == "pmem");
    CHECK(medium.info().barrier_is_per_thread);
    CHECK(medium.info().atom_bytes == 64);
    CHECK(medium.view_end() == kSmall);
    REQUIRE(medium.adopt({}).is_ok());
    Result<Segment> made = medium.allocate(SegmentKind::kLog, kMiB, kMiB);
    REQUIRE(made.is_ok());
    segment = *made;
    CHECK(segment.offset % kPageBytes == 0);
    CHECK(segment.bytes % kPageBytes == 0);
    CHECK(segment.bytes >= kMiB);
    CHECK(medium.append(segment.offset + 128, "twelve bytes", 12).is_ok());
    CHECK(medium.barrier().is_ok());
    CHECK(medium.set_root(root_of(7)).is_ok());
  }
  OpenedMedium opened = open_or_fail(place.path(), options(CreateMode::kNever, 0));
  CHECK(!opened.created);
  CHECK(std::memcmp(uuid, opened.uuid, sizeof uuid) == 0);
  CHECK(std::memcmp(opened.medium->root().bytes, root_of(7).bytes, Root::kBytes) == 0);
  REQUIRE(opened.medium->adopt({segment}).is_ok());
  CHECK(std::memcmp(opened.medium->view() + segment.offset + 128, "twelve bytes", 12) == 0);
  CHECK(fs::file_size(place.path()) == kSmall);
}

TEST_CASE("pmem: forced and volatile memory is never class power") {
  Place place;
  OpenedMedium opened = open_or_fail(place.path());
  CHECK(opened.medium->info().durability == DurabilityClass::kProcess);
  CHECK(opened.medium->info().durability_reason.find("PMEM_IS_PMEM_FORCE") != std::string::npos);
  opened.medium->close();
  MediumOptions strict = options(CreateMode::kNever, 0);
  strict.at_least = DurabilityClass::kPower;
  CHECK(status_of(place.path(), strict).code() == Code::kDurability);
  strict.create = CreateMode::kIfMissing;
  CHECK(status_of(place.path("other"), strict).code() == Code::kDurability);
  CHECK(!fs::exists(place.path("other")));
}

TEST_CASE("pmem: a commit is one copy and one fence") {
  Place place;
  OpenedMedium opened = open_or_fail(place.path());
  Medium& medium = *opened.medium;
  REQUIRE(medium.adopt({}).is_ok());
  Result<Segment> segment = medium.allocate(SegmentKind::kLog, kMiB, kMiB);
  REQUIRE(segment.is_ok());
  const std::string record(8192, 'r');
  for (uint64_t size : {64, 1024, 4096, 8192}) {
    fences = copies = flushes = 0;
    REQUIRE(medium.append(segment->offset, record.data(), size).is_ok());
    CHECK(fences == 0);
    REQUIRE(medium.barrier().is_ok());
    CHECK(fences == 1);
    CHECK(copies == 1);
    CHECK(flushes == 0);
  }
  CHECK(medium.counters().appends == 4);
  CHECK(medium.counters().writes == 4);
  CHECK(medium.counters().barriers == 4);
  CHECK(medium.counters().bytes_appended == 64 + 1024 + 4096 + 8192);
}

TEST_CASE(
    "pmem: a commit whose end is streamed ahead is two copies and one fence, and lies where it was "
    "sent") {
  struct Nothing final : Medium::Meanwhile {
    void run() override { CHECK(fences == 0); }
  } nothing;
  Place place;
  OpenedMedium opened = open_or_fail(place.path());
  Medium& medium = *opened.medium;
  REQUIRE(medium.adopt({}).is_ok());
  Result<Segment> segment = medium.allocate(SegmentKind::kLog, kMiB, kMiB);
  REQUIRE(segment.is_ok());
  std::string record(8192, 'r');
  for (size_t i = 0; i < record.size(); i++) record[i] = static_cast<char>(i * 7 + i / 64);
  uint64_t appended = 0, at = segment->offset;
  for (const uint64_t open : {64, 128, 4096}) {
    fences = copies = flushes = 0;
    REQUIRE(medium.append_ahead(at + open, record.data() + open, record.size() - open).is_ok());
    CHECK(fences == 0);
    REQUIRE(medium.append_fenced(at, record.data(), open, nothing).is_ok());
    CHECK(fences == 1);
    CHECK(copies == 2);
    CHECK(flushes == 0);
    CHECK(std::memcmp(medium.view() + at, record.data(), record.size()) == 0);
    at += record.size();
    CHECK(medium.counters().bytes_appended == (appended += record.size()));
  }
  CHECK(medium.counters().appends == 3);
  CHECK(medium.counters().barriers == 3);
  CHECK_FALSE(medium.append_ahead(medium.view_end() - 4, record.data(), 5).is_ok());
}

TEST_CASE("pmem: the root is durable when set_root returns, and both slots agree") {
  Place place;
  const uint64_t front = make_closed_pool(place.path());
  OpenedMedium opened = open_or_fail(place.path(), options(CreateMode::kNever, 0));
  for (uint8_t byte = 1; byte < 20; ++byte) {
    fences = 0;
    REQUIRE(opened.medium->set_root(root_of(byte)).is_ok());
    CHECK(fences >= 2);
    const Bytes bytes = bytes_of(opened.medium->view() + front, kPmemFrontBytes);
    Result<ChosenRoot> root = choose_root(bytes, opened.secret, "test");
    REQUIRE(root.is_ok());
    CHECK(root->root.bytes[100] == byte);
    const auto slot = [&](int copy) {
      return load<RootSlot>(bytes.data() + kRootSlotOffsets[copy]);
    };
    CHECK(slot(0).sequence == slot(1).sequence);
  }
  CHECK(opened.medium->counters().roots == 19);
}

TEST_CASE("pmem: what is not adopted is free again, whatever was lost") {
  Place place;
  uint64_t all_free = 0;
  std::vector<Segment> kept;
  {
    OpenedMedium opened = open_or_fail(place.path());
    Medium& medium = *opened.medium;
    REQUIRE(medium.adopt({}).is_ok());
    all_free = medium.space().free;
    for (int i = 0; i < 10; ++i) {
      Result<Segment> segment = medium.allocate(SegmentKind::kIndex, kMiB, kMiB);
      REQUIRE(segment.is_ok());
      if (i % 3 == 0) kept.push_back(*segment);
    }
  }
  for (int round = 0; round < 2; ++round) {
    OpenedMedium opened = open_or_fail(place.path(), options(CreateMode::kNever, 0));
    REQUIRE(opened.medium->adopt(kept).is_ok());
    uint64_t held = 0;
    for (const Segment& segment : kept) held += segment.bytes;
    CHECK(opened.medium->space().free == all_free - held);
  }
  OpenedMedium opened = open_or_fail(place.path(), options(CreateMode::kNever, 0));
  REQUIRE(opened.medium->adopt({}).is_ok());
  CHECK(opened.medium->space().free == all_free);
  CHECK(opened.medium->largest_free() == all_free);
}

TEST_CASE("pmem: adopt refuses what is no segment, and frees nothing then") {
  Place place;
  Segment segment;
  {
    OpenedMedium opened = open_or_fail(place.path());
    REQUIRE(opened.medium->adopt({}).is_ok());
    segment = *opened.medium->allocate(SegmentKind::kLog, kMiB, kMiB);
  }
  const Segment wrong[] = {{segment.offset + kPageBytes, segment.bytes},
                           {segment.offset, segment.bytes - kPageBytes},
                           {kSmall, segment.bytes},
                           {~uint64_t{0} - 4095, 4096},
                           {0, 4096}};
  for (const Segment& bad : wrong) {
    OpenedMedium opened = open_or_fail(place.path(), options(CreateMode::kNever, 0));
    CHECK(opened.medium->adopt({segment, bad}).code() == Code::kCorrupt);
  }
  {
    OpenedMedium opened = open_or_fail(place.path(), options(CreateMode::kNever, 0));
    CHECK(opened.medium->adopt({segment, segment}).code() == Code::kCorrupt);
  }
  OpenedMedium opened = open_or_fail(place.path(), options(CreateMode::kNever, 0));
  CHECK(opened.medium->adopt({segment}).is_ok());
}

TEST_CASE("pmem: filled to the end, refused, emptied, filled again with larger pieces") {
  Place place;
  OpenedMedium opened = open_or_fail(place.path());
  Medium& medium = *opened.medium;
  REQUIRE(medium.adopt({}).is_ok());
  const MediumSpace empty = medium.space();
  CHECK(empty.taken == kSmall);
  CHECK(empty.capacity > kSmall - 8 * kMiB);
  CHECK(empty.free == empty.capacity);
  const uint64_t largest = medium.largest_free();
  for (uint64_t piece : {uint64_t{100} * kKiB, uint64_t{700} * kKiB, 3 * kMiB}) {
    std::vector<Segment> held;
    for (;;) {
      Result<Segment> segment = medium.allocate(SegmentKind::kLarge, piece, piece);
      if (!segment) {
        CHECK(segment.status().code() == Code::kPoolFull);
        break;
      }
      CHECK(segment->bytes >= piece);
      for (const Segment& other : held)
        REQUIRE((segment->end() <= other.offset || other.end() <= segment->offset));
      held.push_back(*segment);
    }
    CHECK(medium.largest_free() < piece);
    CHECK(!medium.failed());
    for (size_t i = 0; i < held.size(); i += 2) medium.release(held[i]);
    for (size_t i = 1; i < held.size(); i += 2) medium.release(held[i]);
    CHECK(medium.space().free == empty.free);
    CHECK(medium.largest_free() == largest);
  }
}

TEST_CASE("pmem: less than wanted when there is no such piece, never less than the minimum") {
  Place place;
  OpenedMedium opened = open_or_fail(place.path());
  Medium& medium = *opened.medium;
  REQUIRE(medium.adopt({}).is_ok());
  const uint64_t largest = medium.largest_free();
  CHECK(medium.allocate(SegmentKind::kLarge, largest + 1, largest + 1).status().code() ==
        Code::kPoolFull);
  CHECK(medium.allocate(SegmentKind::kLarge, 80 * kGiB, 90 * kGiB).status().code() ==
        Code::kPoolFull);
  Result<Segment> all = medium.allocate(SegmentKind::kLarge, kMiB, kGiB);
  REQUIRE(all.is_ok());
  CHECK(all->bytes == largest);
  CHECK(medium.space().free == 0);
  medium.release(*all);
  CHECK(medium.largest_free() == largest);
}

TEST_CASE("pmem: release of what is not held fails the medium") {
  Place place;
  OpenedMedium opened = open_or_fail(place.path());
  REQUIRE(opened.medium->adopt({}).is_ok());
  opened.medium->release({kMiB, kMiB});
  CHECK(opened.medium->failed());
  CHECK(opened.medium->barrier().code() == Code::kFailed);
  CHECK(opened.medium->append(kMiB, "x", 1).code() == Code::kFailed);
  CHECK(opened.medium->set_root(root_of(1)).code() == Code::kFailed);
  CHECK(opened.medium->allocate(SegmentKind::kLog, 1, 1).status().code() == Code::kFailed);
}

TEST_CASE("pmem: killed while segments come and go, nothing leaks and the root is whole") {
  Place place;
  make_closed_pool(place.path());
  for (int round = 0; round < 12; ++round) {
    int ready[2];
    REQUIRE(pipe(ready) == 0);
    const pid_t worker = fork();
    if (worker == 0) {
      Result<OpenedMedium> opened = open_pmem_medium(place.path(), options(CreateMode::kNever, 0));
      if (!opened || !opened->medium->adopt({}).is_ok() || write(ready[1], "y", 1) != 1) _exit(1);
      std::vector<Segment> held;
      for (uint8_t i = 1;; ++i) {
        Result<Segment> segment = opened->medium->allocate(SegmentKind::kLog, kMiB, kMiB);
        if (segment) held.push_back(*segment);
        if (held.size() > 5) {
          opened->medium->release(held.front());
          held.erase(held.begin());
        }
        if (!opened->medium->set_root(root_of(i)).is_ok()) _exit(1);
      }
    }
    char answer = 0;
    REQUIRE(read(ready[0], &answer, 1) == 1);
    usleep(static_cast<useconds_t>(500 + 700 * round));
    kill(worker, SIGKILL);
    waitpid(worker, nullptr, 0);
    close(ready[0]);
    close(ready[1]);
    OpenedMedium opened = open_or_fail(place.path(), options(CreateMode::kNever, 0));
    const Root& root = opened.medium->root();
    for (uint8_t byte : root.bytes) REQUIRE(byte == root.bytes[0]);
    REQUIRE(opened.medium->adopt({}).is_ok());
    CHECK(opened.medium->space().free == opened.medium->space().capacity);
    CHECK(opened.medium->largest_free() == opened.medium->space().free);
  }
}

}  // namespace
}  // namespace holdfast::test
