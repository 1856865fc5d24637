// What a file keeps of its disk: what is there when the disk is full, and what goes back to it.
#include <doctest/doctest.h>

#include <cerrno>

#include "medium/file_medium.h"
#include "native/scratch.h"
#include "native/system_faults.h"

namespace holdfast::test {
namespace {

struct Opened {
  explicit Opened(const std::string& path) {
    Result<OpenedMedium> made = open_file_medium(path, {});
    REQUIRE_MESSAGE(made.is_ok(), made.status().message());
    opened = std::move(*made);
  }
  Segment take(uint64_t bytes) {
    auto segment = opened.medium->allocate(SegmentKind::kRegion, bytes, bytes);
    REQUIRE_MESSAGE(segment.is_ok(), segment.status().message());
    return *segment;
  }
  Medium* operator->() { return opened.medium.get(); }

  OpenedMedium opened;
};

// Whatever is there from growing is in use.
std::vector<Segment> use_all(Opened& medium) {
  std::vector<Segment> taken;
  while (medium->space().ready > 0)
    taken.push_back(medium.take(std::min<uint64_t>(medium->space().ready, kFileSegmentUnit)));
  return taken;
}

}  // namespace

TEST_CASE("file: of what is free so much stays as is asked for, also where there is less") {
  const Scratch scratch = Scratch::on_disk();
  Opened medium(scratch.path("p"));
  const Segment segment = medium.take(8 * kMiB);
  medium.take(kMiB);
  medium->release(segment);
  const uint64_t ready = medium->space().ready;
  REQUIRE(ready >= 8 * kMiB);
  medium->give_back_free(0, ready + 64 * kMiB);
  CHECK(medium->space().ready == ready);
  medium->give_back_free(0, 3 * kMiB);
  CHECK(medium->space().ready == 3 * kMiB);
  medium->give_back_free(0, 3 * kMiB + 1);
  CHECK(medium->space().ready == 3 * kMiB);
  medium->give_back_free(0, 0);
  CHECK(medium->space().ready == 0);
}

TEST_CASE(
    "file: on a full disk a piece that is there is given though more was wanted, and none that is "
    "not") {
  const Scratch scratch = Scratch::on_disk();
  const SystemFaults::Disarm disarm;
  Opened medium(scratch.path("p"));
  const Segment hole = medium.take(8 * kMiB);
  medium.take(kFileSegmentUnit);
  const Segment there = medium.take(8 * kFileSegmentUnit);
  use_all(medium);
  medium->release(hole);
  medium->give_back_free(0, 0);
  medium->release(there);
  REQUIRE(medium->space().ready == there.bytes);
  SystemFaults::fail(SystemCall::kFallocate, 1, ENOSPC, UINT64_MAX);
  auto none = medium->allocate(SegmentKind::kRegion, there.bytes + 1, 64 * kMiB);
  CHECK(none.status().code() == Code::kDiskFull);
  auto piece = medium->allocate(SegmentKind::kRegion, kFileSegmentUnit, 64 * kMiB);
  REQUIRE_MESSAGE(piece.is_ok(), piece.status().message());
  CHECK(piece->offset == there.offset);
  CHECK(piece->bytes == there.bytes);
  CHECK(medium->allocate(SegmentKind::kRegion, 1, 1).status().code() == Code::kDiskFull);
  SystemFaults::disarm();
  CHECK(medium->allocate(SegmentKind::kRegion, 8 * kMiB, 8 * kMiB).is_ok());
}

TEST_CASE(
    "file: a hole between two pieces counts as one, on a full disk, and when the pool is opened "
    "again") {
  const Scratch scratch = Scratch::on_disk();
  const SystemFaults::Disarm disarm;
  Segment pieces[3];
  std::vector<Segment> held;
  {
    Opened medium(scratch.path("p"));
    for (Segment& piece : pieces) piece = medium.take(kMiB);
    REQUIRE(pieces[2].offset == pieces[0].offset + 2 * kMiB);
    held = use_all(medium);
    held.push_back(medium.take(kFileSegmentUnit));
    for (const Segment& rest : use_all(medium)) held.push_back(rest);
    const std::string bytes(kMiB, 'b');
    for (const Segment& piece : pieces)
      REQUIRE(medium->append(piece.offset, bytes.data(), bytes.size()).is_ok());
    medium->release(pieces[1]);
    medium->give_back_free(0, 0);
    medium->release(pieces[0]);
    medium->release(pieces[2]);
    REQUIRE(medium->space().ready == 2 * kMiB);
  }
  Opened medium(scratch.path("p"));
  REQUIRE(medium->adopt(held).is_ok());
  CHECK(medium->space().ready == 2 * kMiB);
  SystemFaults::fail(SystemCall::kFallocate, 1, ENOSPC, UINT64_MAX);
  for (int i = 0; i < 2; i++) {
    auto piece = medium->allocate(SegmentKind::kRegion, kFileSegmentUnit, 3 * kMiB);
    REQUIRE_MESSAGE(piece.is_ok(), piece.status().message());
    CHECK(piece->bytes == kMiB);
    CHECK((piece->offset == pieces[0].offset || piece->offset == pieces[2].offset));
  }
  CHECK(medium->allocate(SegmentKind::kRegion, 1, 1).status().code() == Code::kDiskFull);
}

TEST_CASE("file: what is a hole in part counts as one in whole units") {
  const Scratch scratch = Scratch::on_disk();
  std::vector<Segment> held;
  Segment free;
  {
    Opened medium(scratch.path("p"));
    for (int i = 0; i < 2; i++) held.push_back(medium.take(kFileSegmentUnit));
    free = medium.take(kFileSegmentUnit);
    for (const Segment& rest : use_all(medium)) held.push_back(rest);
    const std::string bytes(free.bytes, 'b');
    REQUIRE(medium->append(free.offset, bytes.data(), bytes.size()).is_ok());
    REQUIRE(medium->barrier().is_ok());
  }
  PosixFile file;
  REQUIRE(file.open_existing(scratch.path("p"), true) == 0);
  REQUIRE(file.give_back(free.offset + 8192, 16384) == 0);
  uint64_t hole = 0;
  if (file.next_unwritten(free.offset, &hole) != 0 || hole >= free.end()) {
    MESSAGE("skipped: this file system has no holes as short");
    return;
  }
  Opened medium(scratch.path("p"));
  REQUIRE(medium->adopt(held).is_ok());
  CHECK(medium->space().ready == 0);
}

// What was taken and never written looks like a hole at opening, and the disk gives it though it is
// full.
TEST_CASE("file: every hole is asked for before a disk counts as full") {
  const Scratch scratch = Scratch::on_disk();
  const SystemFaults::Disarm disarm;
  Opened medium(scratch.path("p"));
  std::vector<Segment> holes;
  for (int i = 0; i < 4; i++) {
    holes.push_back(medium.take(kMiB));
    medium.take(kFileSegmentUnit);
  }
  use_all(medium);
  for (const Segment& hole : holes) medium->release(hole);
  medium->give_back_free(0, 0);
  REQUIRE(medium->space().ready == 0);
  for (const uint64_t refused : {1, 3, 9}) {
    CAPTURE(refused);
    SystemFaults::fail(SystemCall::kFallocate, 1, ENOSPC, refused);
    const Status made = medium->make_ready(kMiB / 2);
    CHECK_MESSAGE(made.is_ok(), made.message());
    SystemFaults::disarm();
    CHECK(medium->space().ready >= kMiB / 2);
    medium->give_back_free(0, 0);
  }
}

}  // namespace holdfast::test
