// What a reader of the log believes: which frame may follow which, where a frame may lie, and what
// proves that a missing one had been durable. Frame by frame, on plain memory, since most of these
// mistakes show in a crash only where two others come together.
#include <doctest/doctest.h>

#include "log/log_reader.h"
#include "log/log_writer.h"
#include "log/tail.h"
#include "native/index/memory_medium.h"

namespace holdfast {
namespace {

constexpr uint64_t kSecret = 42;
constexpr uint32_t kLife = 3;

FrameHeader frame(uint64_t epoch, uint32_t part, bool last, uint32_t incarnation = kLife) {
  FrameHeader header;
  header.kind = static_cast<uint16_t>(FrameKind::kCommit);
  header.epoch = epoch;
  header.part = part;
  header.flags = last ? FrameHeader::kLastPart : 0;
  header.incarnation = incarnation;
  return header;
}

FrameHeader link(uint64_t epoch, uint32_t incarnation = kLife) {
  FrameHeader header = frame(epoch, 0, true, incarnation);
  header.kind = static_cast<uint16_t>(FrameKind::kLink);
  return header;
}

// Behind epoch 10 of the third life and `before`.
bool follows(const std::vector<FrameHeader>& before, const FrameHeader& next) {
  FrameExpectation expected;
  expected.epoch = 10;
  expected.incarnation = kLife;
  for (const FrameHeader& each : before) REQUIRE(LogReader::follows(each, &expected));
  return LogReader::follows(next, &expected);
}

// A log of two segments with a writer that stands at the first one's beginning, as if its header
// were there.
struct TwoSegments {
  TwoSegments() : medium(4 * kMiB), writer(medium, kSecret), reader(medium, kSecret) {
    first = *medium.allocate(SegmentKind::kLog, kMiB, kMiB);
    second = *medium.allocate(SegmentKind::kLog, kMiB, kMiB);
    stand_at(first.offset + sizeof(SegmentHeader));
  }
  void stand_at(uint64_t position) { writer.resume(first, 1, position, false, kLife); }

  // Where its frame lies.
  uint64_t write(uint64_t epoch, uint64_t durable, size_t value_bytes = 100) {
    RecordBuffer record;
    record.add(OperationType::kPut, "12345678", std::string(value_bytes, 'v'));
    std::vector<Placement> placements;
    REQUIRE(writer.write(&record, {FrameKind::kCommit, epoch, durable, 1}, &placements).is_ok());
    return placements[0].pool_offset - sizeof(FrameHeader);
  }
  // A whole frame that says what it likes.
  void place_link(uint64_t at, LinkTarget target, uint64_t epoch, uint32_t incarnation) {
    target.checksum = checksum(&target, offsetof(LinkTarget, checksum));
    FrameHeader header = link(epoch, incarnation);
    header.bytes = kLinkFrameBytes;
    header.checksum = frame_checksum(header, target.checksum, place_seed(kSecret, 1, at));
    store(medium.writable() + at, header);
    store(medium.writable() + at + sizeof header, target);
  }
  void flip(uint64_t at) { medium.writable()[at] ^= 0x40; }
  bool readable(uint64_t at) {
    FrameView view;
    return reader.read_frame(first, 1, at, &view);
  }
  FoldBlock fold() {
    FoldBlock block;
    block.log_sequence = 1;
    block.log_offset = first.offset + sizeof(SegmentHeader);
    block.incarnation = kLife;
    block.log.push_back({first, 1, 0});
    return block;
  }

  MemoryMedium medium;
  Segment first, second;
  LogWriter writer;
  LogReader reader;
};

struct Walked {
  std::vector<uint64_t> epochs, linked;
  Status status;
};

Walked walk(Tail* tail, uint64_t limit) {
  Walked out;
  out.status = tail->walk(
      limit, [&](const FrameView& view) { out.epochs.push_back(view.header.epoch); },
      [&](const Segment&, uint64_t sequence) { out.linked.push_back(sequence); });
  return out;
}

}  // namespace

TEST_CASE("log order: a record follows the one before it, of the same life or a later one") {
  CHECK(follows({}, frame(11, 0, true)));
  CHECK(follows({}, frame(11, 0, true, kLife + 1)));
  CHECK_FALSE(follows({}, frame(9, 0, true)));
  CHECK_FALSE(follows({}, frame(10, 0, true)));
  CHECK_FALSE(follows({}, frame(12, 0, true)));
  CHECK_FALSE(follows({}, frame(11, 1, true)));
  CHECK_FALSE(follows({}, frame(11, 0, true, kLife - 1)));
  CHECK(follows({frame(11, 0, true)}, frame(12, 0, true)));
  CHECK_FALSE(follows({frame(11, 0, true)}, frame(11, 0, true)));
  CHECK_FALSE(follows({frame(11, 0, true, kLife + 1)}, frame(12, 0, true)));
}

TEST_CASE("log order: the parts of a record come one after another, and are of one life") {
  const FrameHeader begun = frame(11, 0, false);
  CHECK(follows({begun}, frame(11, 1, true)));
  CHECK_FALSE(follows({begun}, frame(11, 0, true)));
  CHECK_FALSE(follows({begun}, frame(11, 2, true)));
  CHECK_FALSE(follows({begun}, frame(12, 1, true)));
  CHECK_FALSE(follows({begun}, frame(12, 0, true)));
  CHECK_FALSE(follows({begun}, frame(11, 1, true, kLife + 1)));
  CHECK(follows({begun, frame(11, 1, false)}, frame(11, 2, true)));
  CHECK(follows({begun, frame(11, 1, true)}, frame(12, 0, true)));
  CHECK_FALSE(follows({begun, frame(11, 1, true)}, frame(11, 2, true)));
}

TEST_CASE("log order: a link is of the record it stands behind or in") {
  CHECK(follows({}, link(10)));
  CHECK(follows({link(10)}, frame(11, 0, true)));
  CHECK_FALSE(follows({}, link(9)));
  CHECK_FALSE(follows({}, link(11)));
  CHECK_FALSE(follows({}, link(10, kLife - 1)));
  CHECK_FALSE(follows({link(10, kLife + 1)}, frame(11, 0, true)));
  CHECK(follows({frame(11, 0, false)}, link(11)));
  CHECK_FALSE(follows({frame(11, 0, false)}, link(10)));
  CHECK(follows({frame(11, 0, false), link(11)}, frame(11, 1, true)));
}

TEST_CASE("a frame is read at its place in its segment, and nowhere else") {
  TwoSegments log;
  const uint64_t at = log.write(1, 0, 48);  // its operation fills the frame to the last byte
  FrameView view;
  REQUIRE(log.reader.read_frame(log.first, 1, at, &view));
  CHECK(view.header.bytes == 128);
  CHECK(view.operations_bytes == 64);
  CHECK_FALSE(log.reader.read_frame(log.first, 2, at, &view));
  CHECK_FALSE(log.reader.read_frame(log.first, 1, at + 8, &view));
  CHECK_FALSE(log.reader.read_frame(log.second, 1, at, &view));
  CHECK(log.reader.read_frame({log.first.offset, at + 128 - log.first.offset}, 1, at, &view));
  CHECK_FALSE(log.reader.read_frame({log.first.offset, at + 64 - log.first.offset}, 1, at, &view));
  std::memcpy(log.medium.writable() + at + 256, log.medium.view() + at, 128);
  CHECK_FALSE(log.readable(at + 256));
  const FrameHeader header = load<FrameHeader>(log.medium.view() + at);
  for (uint64_t byte = 0; byte < 128; byte++) {
    CAPTURE(byte);
    log.flip(at + byte);
    CHECK_FALSE(log.readable(at));
    log.flip(at + byte);
  }
  CHECK(header.behind == 1);
}

TEST_CASE("a segment's header is believed where it was written, whole") {
  TwoSegments log;
  SegmentHeader found;
  const SegmentHeader header =
      make_segment_header(log.first.offset, log.first.bytes, 1, 7, kSecret);
  store(log.medium.writable() + log.first.offset, header);
  REQUIRE(log.reader.read_segment_header(log.first, &found));
  CHECK(found.first_epoch == 7);
  store(log.medium.writable() + log.second.offset, header);
  CHECK_FALSE(log.reader.read_segment_header(log.second, &found));
  for (uint64_t byte = 0; byte < sizeof header; byte++) {
    CAPTURE(byte);
    log.flip(log.first.offset + byte);
    CHECK_FALSE(log.reader.read_segment_header(log.first, &found));
    log.flip(log.first.offset + byte);
  }
}

TEST_CASE("a fresh segment begins with a header that names its first record") {
  TwoSegments log;
  log.writer.resume(log.first, 1, log.first.offset, true, kLife);
  CHECK(log.write(5, 4) == log.first.offset + sizeof(SegmentHeader));
  SegmentHeader found;
  REQUIRE(log.reader.read_segment_header(log.first, &found));
  CHECK(found.first_epoch == 5);
  CHECK(found.sequence == 1);
  CHECK(log.readable(log.first.offset + sizeof(SegmentHeader)));
}

TEST_CASE(
    "what proves that a missing record was durable is a later frame of the same life that says "
    "so") {
  TwoSegments log;
  const uint64_t one = log.write(1, 0);
  const uint64_t two = log.write(2, 1);
  const auto proven = [&](uint64_t at, uint64_t epoch, uint32_t life = kLife) {
    return log.reader.proves_durable(log.first, 1, at, epoch, life);
  };
  CHECK(proven(one, 1));
  CHECK_FALSE(proven(one, 2));
  CHECK_FALSE(proven(two, 1));  // it lies at the place itself
  CHECK_FALSE(proven(one, 1, kLife + 1));
  log.flip(two + 60);
  CHECK_FALSE(proven(one, 1));
}

TEST_CASE("the proof may lie at the very end of what is read at once") {
  for (const uint64_t gap :
       {64 * kKiB - kFrameAlign, 64 * kKiB, 64 * kKiB + kFrameAlign, 128 * kKiB}) {
    CAPTURE(gap);
    TwoSegments log;
    const uint64_t at = log.first.offset + sizeof(SegmentHeader);
    log.stand_at(at + gap);
    log.write(3, 2);
    CHECK(log.reader.proves_durable(log.first, 1, at, 2, kLife));
  }
}

TEST_CASE(
    "the proof may lie in the segment that the log went on in, found by the link or by its copy") {
  TwoSegments log;
  const uint64_t one = log.write(1, 0);
  const uint64_t link_at = log.writer.position();
  REQUIRE(log.writer.link_to(log.second, 1, 0).is_ok());
  log.write(2, 1);
  const uint64_t copy_at = log.first.end() - kLinkFrameBytes;
  const auto proven = [&] { return log.reader.proves_durable(log.first, 1, one, 1, kLife); };
  LinkTarget target;
  CHECK(log.readable(link_at));
  CHECK(log.readable(copy_at));
  CHECK(proven());
  log.flip(link_at + 70);
  CHECK(proven());
  CHECK(log.reader.find_link(log.first, 1, one, kLife, &target));
  CHECK_FALSE(log.reader.find_link(log.first, 1, one, kLife + 1, &target));
  log.flip(copy_at + 70);
  CHECK_FALSE(proven());
  log.flip(link_at + 70);
  CHECK(proven());
  CHECK_FALSE(log.reader.find_link(log.first, 1, one, kLife + 1, &target));
}

TEST_CASE("a link leads to the segment with the next number only") {
  TwoSegments log;
  const uint64_t at = log.writer.position();
  LinkTarget target;
  log.place_link(at, {log.second.offset, log.second.bytes, 2, 0}, 0, kLife);
  CHECK(log.reader.find_link(log.first, 1, at, kLife, &target));
  CHECK(target.offset == log.second.offset);
  log.place_link(at, {log.second.offset, log.second.bytes, 3, 0}, 0, kLife);
  CHECK_FALSE(log.reader.find_link(log.first, 1, at, kLife, &target));
  log.place_link(at, {log.second.offset + 512, log.second.bytes, 2, 0}, 0, kLife);
  CHECK_FALSE(log.reader.find_link(log.first, 1, at, kLife, &target));
}

TEST_CASE("a tail is walked as far as is asked, and goes on behind the last whole record") {
  TwoSegments log;
  for (uint64_t epoch = 1; epoch <= 3; epoch++) log.write(epoch, 0);
  REQUIRE(log.writer.link_to(log.second, 3, 0).is_ok());
  for (uint64_t epoch = 4; epoch <= 5; epoch++) log.write(epoch, 0);
  const FoldBlock fold = log.fold();
  Tail tail(log.reader, fold);
  REQUIRE(tail.begins_well().is_ok());
  CHECK(walk(&tail, 0).epochs.empty());
  CHECK(walk(&tail, 2).epochs == std::vector<uint64_t>{1, 2});
  CHECK(tail.epoch() == 2);
  CHECK(walk(&tail, 2).epochs.empty());
  Walked rest = walk(&tail, UINT64_MAX);
  CHECK(rest.epochs == std::vector<uint64_t>{3, 4, 5});
  CHECK(rest.linked == std::vector<uint64_t>{2});
  CHECK(tail.sequence() == 2);
  log.write(6, 5);
  rest = walk(&tail, UINT64_MAX);
  CHECK(rest.epochs == std::vector<uint64_t>{6});
  CHECK(rest.linked.empty());
  CHECK(tail.position() == log.writer.position());
}

TEST_CASE(
    "of a record whose last part is missing nothing is given, and the log goes on in front of it") {
  TwoSegments log;
  log.write(1, 0);
  const uint64_t before = log.writer.position();
  RecordBuffer record;
  for (char c = 'a'; c < 'a' + 20; c++)
    record.add(OperationType::kPut, std::string(5, c), std::string(60000, c));
  record.seal();
  std::vector<Placement> placements;
  size_t taken = 0;
  REQUIRE(log.writer
              .write_parts(record, {FrameKind::kCommit, 2, 1, 1}, {log.second}, &taken, &placements)
              .is_ok());
  REQUIRE(taken == 1);
  REQUIRE(placements.size() == 2);
  const FoldBlock fold = log.fold();
  {
    Tail tail(log.reader, fold);
    const Walked all = walk(&tail, UINT64_MAX);
    CHECK(all.epochs == std::vector<uint64_t>{1, 2, 2});
    CHECK(all.linked == std::vector<uint64_t>{2});
    CHECK(tail.epoch() == 2);
  }
  log.flip(placements[1].pool_offset + 20);
  Tail tail(log.reader, fold);
  for (int times = 0; times < 2; times++) {
    const Walked some = walk(&tail, UINT64_MAX);
    CHECK(some.status.is_ok());
    CHECK(some.epochs == (times == 0 ? std::vector<uint64_t>{1} : std::vector<uint64_t>{}));
    CHECK(some.linked.empty());
    CHECK(tail.position() == before);
    CHECK(tail.head().offset == log.first.offset);
    CHECK(tail.epoch() == 1);
  }
  log.flip(placements[1].pool_offset + 20);  // as if it had only now been appended
  const Walked rest = walk(&tail, UINT64_MAX);
  CHECK(rest.epochs == std::vector<uint64_t>{2, 2});
  CHECK(rest.linked == std::vector<uint64_t>{2});
}

TEST_CASE("a tail begins at a frame's place inside of its segment") {
  TwoSegments log;
  const auto begins = [&](uint64_t offset) {
    FoldBlock fold = log.fold();
    fold.log_offset = offset;
    return Tail(log.reader, fold).begins_well().is_ok();
  };
  CHECK(begins(log.first.offset));
  CHECK(begins(log.first.end()));
  CHECK_FALSE(begins(log.first.offset - kFrameAlign));
  CHECK_FALSE(begins(log.first.end() + kFrameAlign));
  CHECK_FALSE(begins(log.first.offset + 8));
}

}  // namespace holdfast
