// The log's frames as a torn write leaves them: whole or not there.
#include <doctest/doctest.h>

#include "log/log_reader.h"
#include "log/log_writer.h"
#include "native/index/memory_medium.h"

namespace holdfast {

// A line that is copied round the cache is atomic in words of 8 bytes only: any of them may have
// landed without the others.
TEST_CASE("log: a link frame of which any one word is missing is no frame") {
  constexpr uint64_t kSecret = 42;
  MemoryMedium medium(4 * kMiB);
  auto first = medium.allocate(SegmentKind::kLog, kMiB, kMiB);
  auto second = medium.allocate(SegmentKind::kLog, kMiB, kMiB);
  REQUIRE(first.is_ok());
  REQUIRE(second.is_ok());
  LogWriter writer(medium, kSecret);
  writer.resume(*first, 1, first->offset + sizeof(SegmentHeader), false, 1);
  const uint64_t at = writer.position();
  REQUIRE(writer.link_to(*second, 7, 7).is_ok());

  const LogReader reader(medium, kSecret);
  FrameView frame;
  LinkTarget target;
  REQUIRE(reader.read_frame(*first, 1, at, &frame));
  REQUIRE(reader.read_link(frame, &target));
  CHECK(target.offset == second->offset);
  for (uint64_t word = 0; word < sizeof(FrameHeader) + sizeof(LinkTarget); word += 8) {
    CAPTURE(word);
    uint8_t* here = medium.writable() + at + word;
    uint64_t was = load<uint64_t>(here);
    if (was == 0) continue;  // reserved: it holds what was there before
    store(here, uint64_t{0xA5A5A5A5A5A5A5A5});
    CHECK_FALSE(reader.read_frame(*first, 1, at, &frame));
    store(here, was);
  }
}

}  // namespace holdfast
