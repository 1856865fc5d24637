// Damage at the places of the log where a careless engine would lose what is whole: a segment that
// is cleaned although it cannot be read to its end, and a link, or a whole segment, without which
// the log looks shorter than it is.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "format/fold.h"
#include "format/layout.h"
#include "format/log_mark.h"
#include "format/record.h"
#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

PoolOptions small_segments() {
  PoolOptions options;
  options.medium.choice = MediumChoice::kFile;
  options.medium.size = 8 * kMiB;
  options.log_segment_bytes = 64 * kKiB;
  options.background = false;
  return options;
}

std::string numbered(int i) { return key_in(1, "key " + std::to_string(i)); }
std::string value_of(int i, char round) { return std::to_string(i) + std::string(1000, round); }

void put(Pool& pool, int i, char round) {
  Batch batch;
  REQUIRE(batch.put(numbered(i), value_of(i, round)).is_ok());
  REQUIRE(pool.commit(batch, CommitMode::kDurable).is_ok());
}

void flip_byte(const std::string& path, uint64_t offset) {
  FILE* file = std::fopen(path.c_str(), "r+b");
  std::fseek(file, static_cast<long>(offset), SEEK_SET);
  const int was = std::fgetc(file);
  std::fseek(file, static_cast<long>(offset), SEEK_SET);
  std::fputc(was ^ 0x40, file);
  std::fclose(file);
}

}  // namespace

TEST_CASE(
    "a mostly dead segment with a damaged record is kept: what lives behind the damage is not lost "
    "by cleaning") {
  const Scratch scratch;
  const std::string path = scratch.path("p");
  uint64_t dead_operation = 0;
  {
    auto pool = Pool::open(path, small_segments());
    REQUIRE_MESSAGE(pool.is_ok(), pool.status().message());
    for (int i = 0; i < 50; i++) put(**pool, i, 'a');
    {
      auto reader = (*pool)->read(nullptr);
      REQUIRE(reader.is_ok());
      auto found = reader->find(numbered(10));
      REQUIRE(found.is_ok());
      dead_operation = (**found).operation_offset;
    }
    for (int i = 0; i < 40; i++) put(**pool, i, 'b');
    REQUIRE((*pool)->close().is_ok());
  }
  flip_byte(path, dead_operation - sizeof(FrameHeader) + offsetof(FrameHeader, epoch));
  auto pool = Pool::open(path, small_segments());
  REQUIRE_MESSAGE(pool.is_ok(), pool.status().message());
  (void)(*pool)->compact().is_ok();
  for (int round = 0; round < 20; round++) {  // whatever was given back is used again
    for (int i = 100; i < 150; i++) put(**pool, i, 'c');
    REQUIRE((*pool)->fold().is_ok());
    (*pool)->maintain(true);
  }
  for (int i = 0; i < 50; i++) {
    CAPTURE(i);
    CHECK(get(**pool, numbered(i)) == value_of(i, i < 40 ? 'b' : 'a'));
  }
  auto report = (*pool)->check(nullptr, nullptr);
  REQUIRE(report.is_ok());
  CHECK(report->damages.size() > 0);
}

TEST_CASE("a damaged link between log segments is damage, not the log's end") {
  const Scratch scratch;
  const std::string path = scratch.path("p"), copy = scratch.path("copy");
  auto pool = Pool::open(path, small_segments());
  REQUIRE_MESSAGE(pool.is_ok(), pool.status().message());
  for (int i = 0; i < 150; i++) put(**pool, i, 'a');  // three segments, no fold
  // What a power cut now would leave.
  REQUIRE(std::filesystem::copy_file(path, copy));
  const std::string bytes = bytes_of_file(copy);
  uint64_t link = 0;
  for (uint64_t at = 64 * kKiB; at + sizeof(FrameHeader) <= bytes.size() && link == 0;
       at += kFrameAlign) {
    const auto header = load<FrameHeader>(bytes.data() + at);
    if (header.magic == FrameHeader::kMagic &&
        header.kind == static_cast<uint16_t>(FrameKind::kLink))
      link = at;
  }
  REQUIRE(link > 0);
  {
    auto whole = Pool::open(copy, small_segments());
    REQUIRE_MESSAGE(whole.is_ok(), whole.status().message());
    CHECK(contents(**whole).size() == 150);
  }
  std::filesystem::remove(copy);
  REQUIRE(std::filesystem::copy_file(path, copy));
  flip_byte(copy, link + offsetof(FrameHeader, epoch));
  auto damaged = Pool::open(copy, small_segments());
  REQUIRE_FALSE(damaged.is_ok());
  CHECK(damaged.status().code() == Code::kCorrupt);
}

namespace {

// Killed with a log of several segments, no fold.
void make_crashed(const std::string& path, const PoolOptions& options, int commits) {
  const pid_t child = fork();
  if (child == 0) {
    auto pool = Pool::open(path, options);
    if (!pool.is_ok()) _Exit(7);
    for (int i = 0; i < commits; i++) {
      Batch batch;
      if (!batch.put(numbered(i), value_of(i, 'a')).is_ok() ||
          !(*pool)->commit(batch, CommitMode::kDurable).is_ok())
        _Exit(8);
    }
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
}

struct Linked {
  uint64_t link = 0, copy = 0;      // offsets of both frames
  uint64_t segment = 0, bytes = 0;  // where they lead to
};

std::vector<Linked> links_of(const std::string& bytes) {
  std::vector<Linked> links;
  for (uint64_t at = 0; at + kLinkFrameBytes <= bytes.size(); at += kFrameAlign) {
    const auto header = load<FrameHeader>(bytes.data() + at);
    if (header.magic != FrameHeader::kMagic ||
        header.kind != static_cast<uint16_t>(FrameKind::kLink))
      continue;
    const auto target = load<LinkTarget>(bytes.data() + at + sizeof header);
    if (links.empty() || links.back().segment != target.offset)
      links.push_back({at, at, target.offset, target.bytes});
    links.back().copy = at;
  }
  return links;
}

}  // namespace

TEST_CASE(
    "a link lost with its copy, a whole segment, or the file's end, is damage: the log has been "
    "further") {
  const Scratch scratch;
  const std::string path = scratch.path("p");
  std::vector<PoolOptions> media{small_segments()};
#ifdef HOLDFAST_WITH_PMEM
  media.push_back(small_segments());
  media.back().medium.choice = MediumChoice::kPmem;
  media.back().medium.size = 40 * kMiB;
#endif
  for (const PoolOptions& options : media) {
    const bool pmem = options.medium.choice == MediumChoice::kPmem;
    CAPTURE(pmem);
    std::filesystem::remove(path);
    const int commits = pmem ? 3000 : 250;
    make_crashed(path, options, commits);
    const std::string whole = bytes_of_file(path);
    std::vector<Linked> links = links_of(whole);
    REQUIRE(links.size() >= 3);
    const auto open_with = [&](const std::string& bytes, bool read_only) {
      std::ofstream(path, std::ios::binary) << bytes;
      PoolOptions again = options;
      again.medium.size = 0;
      again.read_only = read_only;
      auto pool = Pool::open(path, again);
      return pool.is_ok() ? contents(**pool).size() == static_cast<size_t>(commits) ? Code::kOk
                                                                                    : Code::kFailed
                          : pool.status().code();
    };
    CHECK(open_with(whole, false) == Code::kOk);
    for (const bool read_only : {false, true}) {
      for (const Linked& lost : links) {
        CAPTURE(lost.segment);
        std::string damaged = whole;
        damaged.replace(lost.link, lost.copy + kLinkFrameBytes - lost.link,
                        lost.copy + kLinkFrameBytes - lost.link, '\0');
        CHECK(open_with(damaged, read_only) == Code::kCorrupt);
        if (lost.segment == links.back().segment) continue;  // the end of the log itself
        damaged = whole;
        damaged.replace(lost.segment, lost.bytes, lost.bytes, '\0');
        CHECK(open_with(damaged, read_only) == Code::kCorrupt);
        // And the last one with it: then only what a mark itself says is left.
        damaged.replace(links.back().segment, links.back().bytes, links.back().bytes, '\0');
        CHECK(open_with(damaged, read_only) == Code::kCorrupt);
      }
    }
    if (!pmem) {  // libpmemobj notices by itself
      // In the last segment, and just before it.
      for (const uint64_t end :
           {links.back().segment + links.back().bytes - 4096, links.back().segment}) {
        CAPTURE(end);
        CHECK(open_with(whole.substr(0, end), false) == Code::kCorrupt);
        CHECK(open_with(whole.substr(0, end), true) == Code::kCorrupt);
      }
    }
    // Nothing else is ever read by the marks, and a pool of an older build has none.
    std::string unmarked = whole;
    for (size_t at = 0; (at = unmarked.find("HF-MARK\n", at)) != std::string::npos;)
      unmarked.replace(at, 64, 64, '\0');
    REQUIRE(unmarked != whole);
    CHECK(open_with(unmarked, false) == Code::kOk);
    // Nor by one that is damaged itself: "all of it was durable, and much more".
    std::string wrong = whole;
    wrong.replace(wrong.find("HF-MARK\n") + offsetof(LogMark, durable_epoch), 8, 8, '\x7f');
    CHECK(open_with(wrong, false) == Code::kOk);
  }
}

TEST_CASE("a feed of what comes now begins behind a damaged record, wherever that is") {
  const Scratch scratch;
  const std::string path = scratch.path("p");
  uint64_t operation = 0;
  {
    auto pool = Pool::open(path, small_segments());
    REQUIRE_MESSAGE(pool.is_ok(), pool.status().message());
    put(**pool, 0, 'a');  // the first record of the newest segment
    auto reader = (*pool)->read(nullptr);
    REQUIRE(reader.is_ok());
    auto found = reader->find(numbered(0));
    REQUIRE(found.is_ok());
    operation = (**found).operation_offset;
  }
  {
    auto pool = Pool::open(path, small_segments());
    REQUIRE(pool.is_ok());
    REQUIRE((*pool)->close().is_ok());  // folded: the record is not needed for opening any more
  }
  flip_byte(path, operation - sizeof(FrameHeader) + offsetof(FrameHeader, epoch));
  auto pool = Pool::open(path, small_segments());
  REQUIRE_MESSAGE(pool.is_ok(), pool.status().message());
  auto feed = (*pool)->feed({});
  REQUIRE_MESSAGE(feed.is_ok(), feed.status().message());
  put(**pool, 1, 'b');
  std::vector<std::string> keys;
  auto given = (*feed)->next(kMiB, [&](const FeedCommit& commit) {
    for (const FeedChange& change : commit.changes) keys.emplace_back(change.key);
    return Status();
  });
  REQUIRE_MESSAGE(given.is_ok(), given.status().message());
  CHECK(keys == std::vector<std::string>{numbered(1)});
}

// What no reader would touch: the pool has it in memory, or needs it only when it is opened again
// after a crash.
TEST_CASE("check names a damaged fold, and a damaged header of a segment, while the pool goes on") {
  const Scratch scratch;
  const std::string path = scratch.path("p"), copy = scratch.path("copy");
  {
    auto pool = Pool::open(path, small_segments());
    REQUIRE_MESSAGE(pool.is_ok(), pool.status().message());
    for (int i = 0; i < 200; i++) put(**pool, i, 'a');
    REQUIRE((*pool)->close().is_ok());
  }
  const std::string bytes = bytes_of_file(path);
  const auto named = [&](uint64_t offset, const std::string& what) {
    CAPTURE(what);
    std::filesystem::copy_file(path, copy, std::filesystem::copy_options::overwrite_existing);
    auto pool = Pool::open(copy, small_segments());
    REQUIRE_MESSAGE(pool.is_ok(), pool.status().message());
    CHECK(damages(**pool) == std::vector<std::string>());
    flip_byte(copy, offset);
    const auto found = damages(**pool);
    CHECK(found.size() == 1);
    CHECK((!found.empty() && found[0].find(what) != std::string::npos));
    for (int i = 0; i < 200; i++) REQUIRE(get(**pool, numbered(i)) == value_of(i, 'a'));
  };
  const RootWords root = [&] {
    Root raw;
    std::memcpy(raw.bytes, bytes.data() + kRootSlotOffsets[0] + offsetof(RootSlot, root),
                sizeof raw.bytes);
    return RootWords::from_root(raw);
  }();
  REQUIRE(root.fold_bytes > 100);
  named(root.fold.offset + 100, "the fold at offset");
  int headers = 0;
  for (uint64_t at = kSegmentsOffset; at + kPageBytes <= bytes.size() && headers < 2;
       at += kPageBytes) {
    if (load<uint32_t>(bytes.data() + at) != SegmentHeader::kMagic) continue;
    named(at + offsetof(SegmentHeader, first_epoch), "the header of log segment");
    headers++;
  }
  CHECK(headers == 2);
}
