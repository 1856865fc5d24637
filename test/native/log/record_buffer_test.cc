// The form a record has in memory: every operation with its checksum once it is sealed, however its
// operations came in; and what may be on its way to the medium before that.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "log/log_reader.h"
#include "log/log_writer.h"
#include "native/index/memory_medium.h"

namespace holdfast {
namespace {

const std::string kKey = "12345678";
std::string value_of(size_t bytes) {
  return std::string(bytes, static_cast<char>('a' + bytes % 23));
}

// All are whole, as long and as many as were put in, and roll up to what the record says.
void check_sealed(const RecordBuffer& record, const std::vector<size_t>& values) {
  uint64_t at = 0, rolled = 0;
  for (const size_t bytes : values) {
    OperationView operation;
    REQUIRE(read_operation(record.operations() + at, record.bytes() - at, &operation));
    CHECK(operation.key == kKey);
    CHECK(operation.value == value_of(bytes));
    for (size_t i = 8 + kKey.size() + bytes; i < operation.bytes; i++)
      CHECK(record.operations()[at + i] == 0);
    rolled = roll(rolled, operation.checksum);
    at += operation.bytes;
  }
  CHECK(at == record.bytes());
  CHECK(record.count() == values.size());
  CHECK(record.rolled() == rolled);
}

// Around the length from which on the newest operation is sealed late.
const std::vector<size_t> kLengths = {0,   1,   7,   8,   100, 222, 223,  228,  231,
                                      232, 233, 239, 240, 241, 256, 1000, 4096, 8000};

}  // namespace

TEST_CASE("a record is whole once it is sealed, whatever came before and behind") {
  for (const size_t first : kLengths) {
    for (const size_t second : kLengths) {
      RecordBuffer record;
      record.add(OperationType::kPut, kKey, value_of(first));
      record.add(OperationType::kPut, kKey, value_of(second));
      record.seal();
      check_sealed(record, {first, second});
      RecordBuffer other;
      other.add(OperationType::kPut, kKey, value_of(second));
      other.add_encoded(record.operations(), operation_bytes(kKey.size(), first));
      other.seal();
      other.seal();
      check_sealed(other, {second, first});
      other.reroll();
      check_sealed(other, {second, first});
      other.clear();
      other.add(OperationType::kPut, kKey, value_of(second));
      other.reroll();
      check_sealed(other, {second});
    }
  }
}

TEST_CASE("a value that is too long for its operation's head has a length of its own") {
  constexpr size_t kLong = OperationHead::kLongValue;
  for (const size_t bytes : {kLong - 1, kLong, kLong + 1}) {
    CAPTURE(bytes);
    RecordBuffer record;
    record.add(OperationType::kPut, kKey, value_of(bytes));
    record.seal();
    OperationView operation;
    REQUIRE(read_operation(record.operations(), record.bytes(), &operation));
    CHECK(operation.key == kKey);
    CHECK((operation.value == value_of(bytes)));
    CHECK(operation.bytes == record.bytes());
  }
}

TEST_CASE("what is open is all that sealing and the frame's header still change") {
  for (const size_t before : {size_t{0}, size_t{37}, size_t{5000}}) {
    for (const size_t bytes : kLengths) {
      RecordBuffer record;
      if (before > 0) record.add(OperationType::kPut, kKey, value_of(before));
      record.add(OperationType::kPut, kKey, value_of(bytes));
      record.pad();
      const uint64_t frame = RecordBuffer::frame_bytes(record.bytes()), open = record.open_bytes();
      CHECK(open % kFrameAlign == 0);
      CHECK(open <= frame);
      CHECK((open < frame) == (operation_bytes(kKey.size(), bytes) >= 256));
      const std::vector<uint8_t> rest(record.frame() + open, record.frame() + frame);
      std::memset(record.frame(), 0xEE, sizeof(FrameHeader));
      record.seal();
      CHECK(std::equal(rest.begin(), rest.end(), record.frame() + open));
      CHECK(record.open_bytes() == frame);
    }
  }
}

TEST_CASE("a fenced frame is the same as one that was placed at once") {
  struct Nothing final : Medium::Meanwhile {
    void run() override {}
  } nothing;
  for (const bool fresh : {false, true}) {
    for (const size_t bytes : kLengths) {
      MemoryMedium medium(4 * kMiB);
      const Segment segment = *medium.allocate(SegmentKind::kLog, kMiB, kMiB);
      LogWriter writer(medium, 42);
      writer.resume(segment, 1, segment.offset + (fresh ? 0 : sizeof(SegmentHeader)), fresh, 3);
      RecordBuffer record;
      record.add(OperationType::kPut, kKey, value_of(100));
      record.add(OperationType::kPut, kKey, value_of(bytes));
      uint64_t offset = 0;
      REQUIRE(
          writer.write_fenced(&record, {FrameKind::kCommit, 11, 10, 1}, &offset, nothing).is_ok());
      CHECK(offset == segment.offset + sizeof(SegmentHeader) + sizeof(FrameHeader));
      FrameView frame;
      REQUIRE(LogReader(medium, 42).read_frame(segment, 1, offset - sizeof(FrameHeader), &frame));
      CHECK(frame.header.operations == 2);
      CHECK(std::memcmp(medium.view() + offset, record.operations(), record.bytes()) == 0);
      CHECK(writer.position() ==
            offset - sizeof(FrameHeader) + RecordBuffer::frame_bytes(record.bytes()));
      check_sealed(record, {100, bytes});
    }
  }
}

}  // namespace holdfast
