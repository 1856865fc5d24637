// Pools over several directories at their edges: what a creation syncs, whose parts are swept, what
// is no part or no segment of one; and the mark by which a pool that is in use is known. Not named
// pmem: what runs those under the tracer (the oracle) sees one file of a pool.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "format/layout.h"
#include "format/pmem_layout.h"
#include "medium/pool_parts.h"
#include "medium/pool_set.h"
#include "native/medium/pmem/pmem_parts_fixture.h"
#include "native/system_faults.h"

namespace holdfast::test {

TEST_CASE(
    "parts: each sync of a creation that fails is its error, and leaves nothing in either "
    "directory") {
  if (!Scratch::memory_is_there()) return;
  const SystemFaults::Disarm disarm;
  const Places at;
  int failures = 0;
  for (uint64_t nth = 1;; nth++) {
    SystemFaults::fail(SystemCall::kFsync, nth, EIO);
    auto made = open_medium(at.path, at.both(64 * kMiB).medium);
    SystemFaults::disarm();
    if (made.is_ok()) break;
    failures++;
    CAPTURE(nth);
    CHECK(made.status().code() == Code::kIo);
    if (std::filesystem::exists(at.path)) continue;  // the last: of the folder, behind the renaming
    CHECK(at.parts().empty());
    CHECK(at.scratch.entries() == 2);
  }
  // The set file and its folder before the parts are made; both parts and their folders; the folder
  // of the name.
  CHECK(failures >= 7);
}

TEST_CASE("parts: what a dead creator left stays as long as somebody has a part open") {
  const Scratch scratch = Scratch::on_disk();
  const pid_t dead = ::fork();
  if (dead == 0) ::_exit(0);
  ::waitpid(dead, nullptr, 0);
  const std::string stale = scratch.path(".p.holdfast-new-" + std::to_string(dead));
  std::vector<SetPart> parts;
  for (size_t i = 0; i < 2; i++) {
    parts.push_back({scratch.path(part_name("p", "0123456789abcdef", i)), 4096});
    write_file(parts[i].path, std::string(4096, 'x'));
  }
  write_file(stale, pool_set_text(parts));
  PosixFile part;
  REQUIRE(part.open_existing(parts[1].path, true) == 0);
  REQUIRE(part.try_lock() == 0);
  const auto create = [&] {
    REQUIRE(open_pool(scratch.path("p"))->close().is_ok());
    std::filesystem::remove(scratch.path("p"));
  };
  create();
  CHECK(std::filesystem::exists(stale));
  for (const SetPart& one : parts) CHECK(std::filesystem::exists(one.path));
  part.close();
  create();
  CHECK(!std::filesystem::exists(stale));
  for (const SetPart& one : parts) CHECK(!std::filesystem::exists(one.path));
}

TEST_CASE("parts: a set that names one file twice, by whatever names, is refused") {
  const Scratch scratch = Scratch::on_disk();
  const std::string one = scratch.path("one"), other = scratch.path("other"),
                    set = scratch.path("set");
  write_file(one, std::string(4096, 'x'));
  std::filesystem::create_hard_link(one, other);
  for (const std::string& second : {one, other}) {
    write_file(set, pool_set_text({{one, 4096}, {second, 4096}}));
    auto opened = PoolParts::open(set, false);
    CHECK(opened.status().code() == Code::kCorrupt);
    CHECK(opened.status().message().find("the same file") != std::string::npos);
  }
}

TEST_CASE("parts: a segment's blocks are taken with it, and one that lies in no field is none") {
  if (!Scratch::memory_is_there()) return;
  const Places at;
  auto opened = open_medium(at.path, at.both(64 * kMiB).medium);
  REQUIRE_MESSAGE(opened.is_ok(), opened.status().message());
  Medium& medium = *opened->medium;
  REQUIRE(medium.adopt({}).is_ok());
  const auto taken = [&] { return blocks_of(at.part_in(at.a)) + blocks_of(at.part_in(at.b)); };
  const uint64_t before = taken();
  auto segment = medium.allocate(SegmentKind::kLarge, 8 * kMiB, 8 * kMiB);
  REQUIRE_MESSAGE(segment.is_ok(), segment.status().message());
  CHECK(taken() > before + 4 * kMiB);  // some were there already
  CHECK(medium.adopt({*segment}).is_ok());
  for (const Segment& wrong : {Segment{0, segment->bytes}, Segment{medium.view_end() - 4096, 4096},
                               Segment{segment->offset, 0}}) {
    CAPTURE(wrong.offset);
    CHECK(medium.adopt({wrong}).code() == Code::kCorrupt);
  }
  CHECK(medium.adopt({*segment, *segment}).code() == Code::kCorrupt);
}

// By it the next one who opens it knows that it must be looked at first.
TEST_CASE("in use: a pool says so as long as it is open, and from the moment it is opened again") {
  if (!Scratch::memory_is_there()) return;
  const Scratch scratch = Scratch::in_memory();
  PoolOptions options;
  options.medium.choice = MediumChoice::kPmem;
  options.medium.size = 40 * kMiB;
  options.background = false;
  const auto mark = [&] {
    const std::string bytes = bytes_of_file(scratch.path("p"));
    for (uint64_t at = 0; at + kPmemUseMarkOffset + 8 <= bytes.size(); at += kPageBytes) {
      if (std::memcmp(bytes.data() + at, kSuperblockMagic, sizeof kSuperblockMagic) == 0)
        return load<uint64_t>(bytes.data() + at + kPmemUseMarkOffset);
    }
    return uint64_t{0};
  };
  for (int life = 0; life < 2; life++) {
    CAPTURE(life);
    auto pool = open_pool(scratch.path("p"), options);
    CHECK(mark() == kPmemInUse);
    REQUIRE(pool->close().is_ok());
    CHECK(mark() == kPmemClosed);
  }
}

}  // namespace holdfast::test
