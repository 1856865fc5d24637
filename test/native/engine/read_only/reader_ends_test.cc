// Readers of a pool whose writer ends badly, and of one whose writer is still on its way: what they
// show, and what they wait for.
#include <doctest/doctest.h>

#include <cerrno>
#include <cstring>

#include "format/fold.h"
#include "format/layout.h"
#include "format/region.h"
#include "medium/readers_table.h"
#include "native/at_point.h"
#include "native/pool_fixture.h"
#include "native/system_faults.h"

namespace holdfast::test {
namespace {

PoolOptions writing() {
  PoolOptions options = file_options();
  options.background = false;
  options.eventual_within_ms = 60000;
  return options;
}

PoolOptions reading() {
  PoolOptions options;
  options.read_only = true;
  options.wait_for_writer_ms = 100;
  return options;
}

}  // namespace

// It lies in the file, as far as anybody can see, and nobody has ever been told of it: the next
// writer may find that it never got to the disk.
TEST_CASE("what was never durable is not shown when its writer is gone, where a write has failed") {
  const SystemFaults::Disarm disarm;
  const Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("p");
  auto writer = open_pool(path, writing());
  put(*writer, "a", "1");
  REQUIRE(ReadersTable::open_or_make(path).is_ok());
  writer->maintain(false);
  auto reader = open_pool(path, reading());
  put(*writer, "a", "2", CommitMode::kEventual);
  SystemFaults::fail(SystemCall::kPwrite, 1, EIO);
  CHECK(try_put(*writer, "a", "3").status().code() == Code::kIo);
  SystemFaults::disarm();
  CHECK(try_put(*writer, "a", "4").status().code() == Code::kFailed);
  (void)writer->close().is_ok();
  writer = nullptr;
  refresh(*reader);
  CHECK(get(*reader, key_in(1, "a")) == "1");
}

#ifdef HOLDFAST_PLANTED_BUGS

TEST_CASE(
    "a reader waits for the writer that is about to recover what another has left half placed") {
  const Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("p"), left = scratch.path("left");
  auto writer = open_pool(path, writing());
  const auto write = [&](uint64_t offset, const std::string& bytes) {
    Batch batch;
    if (offset == 0) REQUIRE(batch.region_size(1, 100'000, "r").is_ok());
    REQUIRE(batch.region_write(1, offset, bytes).is_ok());
    REQUIRE(writer->commit(batch, CommitMode::kDurable).is_ok());
  };
  write(0, std::string(100'000, 'a'));
  REQUIRE(writer->fold().is_ok());
  write(500, "changed");
  {
    const AtPoint point(TestPoint::kRegionsInPlace, [&] { copy_over(path, left); });
    REQUIRE(writer->fold().is_ok());
  }
  const std::string bytes = bytes_of_file(left);
  const RootSlot slots[2] = {load<RootSlot>(bytes.data() + kRootSlotOffsets[0]),
                             load<RootSlot>(bytes.data() + kRootSlotOffsets[1])};
  Root root;
  std::memcpy(root.bytes, slots[slots[0].sequence >= slots[1].sequence ? 0 : 1].root,
              sizeof root.bytes);
  const RootWords words = RootWords::from_root(root);
  REQUIRE(words.placing == 1);
  // As a writer does that begins to open it.
  auto table = ReadersTable::open_or_make(left);
  REQUIRE(table.is_ok());
  REQUIRE((*table)->lock_as_writer());
  (*table)->attach(load<Superblock>(bytes.data()).uuid, words.incarnation, words.incarnation + 1, 0,
                   DurabilityClass::kPower);
  CHECK(Pool::open(left, reading()).status().code() == Code::kLocked);
  (*table)->unlock_as_writer();
  auto reader = open_pool(left, reading());
  std::string read(7, '?');
  REQUIRE(reader->region_read(1, 500, read.size(), reinterpret_cast<uint8_t*>(read.data()), nullptr)
              .is_ok());
  CHECK(read == "changed");
}

#endif

}  // namespace holdfast::test
