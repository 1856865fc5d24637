// Opening: what it believes of the root and of the fold, what it makes whole, and what closing
// leaves for it.
#include <doctest/doctest.h>

#include <filesystem>

#include "base/test_hooks.h"
#include "format/fold.h"
#include "format/layout.h"
#include "format/record.h"
#include "format/region.h"
#include "native/pool_fixture.h"
#include "native/system_faults.h"

namespace holdfast::test {
namespace {

PoolOptions quiet(uint64_t log_segment_bytes = 0) {
  PoolOptions options = file_options();
  options.background = false;
  if (log_segment_bytes > 0) options.log_segment_bytes = log_segment_bytes;
  return options;
}

OpenedMedium medium_of(const std::string& path) {
  MediumOptions options;
  options.choice = MediumChoice::kFile;
  auto opened = open_medium(path, options);
  REQUIRE_MESSAGE(opened.is_ok(), opened.status().message());
  return std::move(*opened);
}

// Of a copy, so that it may be asked while a pool is open.
RootWords root_of(const std::string& path) {
  copy_over(path, path + ".copy");
  return RootWords::from_root(medium_of(path + ".copy").medium->root());
}

// What opening says when the root is what `change` makes of it.
template <typename Change>
Status opened_with(const std::string& path, Change&& change) {
  copy_over(path, path + ".copy");
  {
    auto opened = medium_of(path + ".copy");
    RootWords root = RootWords::from_root(opened.medium->root());
    change(root);
    REQUIRE(opened.medium->set_root(root.to_root()).is_ok());
  }
  auto pool = Pool::open(path + ".copy", quiet());
  return std::move(pool.status());
}

}  // namespace

TEST_CASE(
    "each opening raises the incarnation, in the root, in its folds, and in the root that closing "
    "leaves") {
  Scratch scratch;
  const std::string path = scratch.path("p");
  uint32_t last = 0;
  for (int i = 0; i < 4; i++) {
    auto pool = open_pool(path, quiet());
    const uint32_t now = root_of(path).incarnation;
    CHECK(now > last);
    put(*pool, "a", std::to_string(i));
    REQUIRE(pool->fold().is_ok());
    put(*pool, "b", std::to_string(i));
    const RootWords root = root_of(path);
    CHECK(root.incarnation == now);
    auto fold =
        FoldBlock::decode(Bytes(bytes_of_file(path)).substr(root.fold.offset, root.fold_bytes));
    REQUIRE(fold);
    CHECK(fold->incarnation == now);
    if (i % 2)
      REQUIRE(pool->close().is_ok());
    else
      copy_over(path, scratch.path("left")), pool = nullptr, copy_over(scratch.path("left"), path);
    CHECK(root_of(path).incarnation == now);
    last = now;
  }
}

TEST_CASE("the clean mark stands after a close in order, and only then") {
  const SystemFaults::Disarm disarm;
  Scratch scratch;
  const std::string path = scratch.path("p");
  auto pool = open_pool(path, quiet());
  put(*pool, "a", "1");
  CHECK(root_of(path).clean == 0);
  REQUIRE(pool->close().is_ok());
  CHECK(root_of(path).clean == 1);
  pool = open_pool(path, quiet());
  CHECK(root_of(path).clean == 0);
  CHECK(pool->stats().replayed_operations == 0);
  put(*pool, "a", "2");
  SystemFaults::fail(SystemCall::kFdatasync, 1, EIO);
  Batch batch;
  REQUIRE(batch.put(key_in(1, "a"), "3").is_ok());
  CHECK(!pool->commit(batch, CommitMode::kDurable).is_ok());
  SystemFaults::disarm();
  (void)pool->close().is_ok();
  CHECK(root_of(path).clean == 0);
}

TEST_CASE(
    "a root that says what cannot be, or what is newer, is refused, and so is a fold of which a "
    "byte is damaged") {
  Scratch scratch;
  const std::string path = scratch.path("p");
  auto pool = open_pool(path, quiet());
  for (int i = 0; i < 100; i++) put(*pool, "k" + std::to_string(i), "v", CommitMode::kEventual);
  REQUIRE(pool->close().is_ok());
  CHECK(opened_with(path, [](RootWords&) {}).is_ok());
  CHECK(opened_with(path, [](RootWords& root) { root.version = kRootVersion + 1; }).code() ==
        Code::kNewerFormat);
  // What older builds made is opened, and theirs no longer from then on.
  CHECK(opened_with(path, [](RootWords& root) { root.version = 1; }).is_ok());
  CHECK(root_of(path + ".copy").version == kRootVersion);
  CHECK(opened_with(path, [](RootWords& root) { root.fold_checksum ^= 1; }).code() ==
        Code::kCorrupt);
  const Status beyond = opened_with(
      path, [&](RootWords& root) { root.fold.bytes = std::filesystem::file_size(path); });
  CHECK(beyond.code() == Code::kCorrupt);
  CHECK(beyond.message().find("beyond") != std::string::npos);
  const Status longer = opened_with(path, [&](RootWords& root) {
    root.fold.bytes = root.fold_bytes = 2 * std::filesystem::file_size(path);
  });
  CHECK(longer.code() == Code::kCorrupt);
  CHECK(longer.message().find("beyond") != std::string::npos);
  const RootWords root = root_of(path);
  for (const uint64_t at : {uint64_t{0}, root.fold_bytes / 2, root.fold_bytes - 1}) {
    copy_over(path, path + ".copy");
    const std::string was = bytes_of_file(path).substr(root.fold.offset + at, 1);
    write_at(path + ".copy", root.fold.offset + at, std::string(1, static_cast<char>(was[0] ^ 4)));
    CHECK(Pool::open(path + ".copy", quiet()).status().code() == Code::kCorrupt);
  }
}

TEST_CASE("a fold of more than a megabyte is whole") {
  Scratch scratch;
  const std::string path = scratch.path("p");
  const std::string name(200, 'n');
  constexpr uint32_t kRegions = 6000;
  auto pool = open_pool(path, quiet());
  for (uint32_t from = 1; from <= kRegions; from += 500) {
    Batch batch;
    for (uint32_t i = from; i < from + 500; i++)
      REQUIRE(batch.region_size(i, 8 * i, name + std::to_string(i)).is_ok());
    REQUIRE(pool->commit(batch, CommitMode::kEventual).is_ok());
  }
  REQUIRE(pool->close().is_ok());
  CHECK(root_of(path).fold_bytes > kMiB);
  pool = open_pool(path, quiet());
  auto regions = pool->regions(nullptr);
  REQUIRE(regions.is_ok());
  REQUIRE(regions->size() == kRegions);
  for (const RegionInfo& region : *regions)
    CHECK(
        (region.size == 8 * region.region && region.name == name + std::to_string(region.region)));
}

// A crash lost the first sector of a segment, not its first record: both were on their way
// together.
TEST_CASE("a segment's header that a crash has lost is written again") {
  Scratch scratch;
  const std::string path = scratch.path("p"), left = scratch.path("left");
  auto pool = open_pool(path, quiet(64 * kKiB));
  for (int i = 0; i < 60; i++) put(*pool, "k" + std::to_string(i), std::string(3000, 'v'));
  copy_over(path, left);
  const std::string bytes = bytes_of_file(left);
  std::vector<uint64_t> headers;
  for (uint64_t at = kSegmentsOffset; at + sizeof(SegmentHeader) <= bytes.size(); at += 4096) {
    const auto header = load<SegmentHeader>(reinterpret_cast<const uint8_t*>(bytes.data()) + at);
    if (header.magic == SegmentHeader::kMagic && header.offset == at && header.sequence > 1)
      headers.push_back(at);
  }
  REQUIRE(headers.size() >= 2);
  write_at(left, headers[0], std::string(sizeof(SegmentHeader), '\0'));
  auto again = open_pool(left, quiet(64 * kKiB));
  CHECK(bytes_of_file(left).substr(headers[0], sizeof(SegmentHeader)) ==
        bytes.substr(headers[0], sizeof(SegmentHeader)));
  CHECK(contents(*again) == contents(*pool));
  CHECK(again->check(nullptr, nullptr)->damages == std::vector<std::string>());
}

// One that says 0 says that its block was never written. Its sector is damaged, and stays so when a
// fold changes what is beside it.
TEST_CASE("a block whose sum was lost is not zeros, also when a fold has written its sums again") {
  Scratch scratch;
  const std::string path = scratch.path("p");
  auto pool = open_pool(path, quiet());
  Batch batch;
  REQUIRE(batch.region_size(1, 100000, "r").is_ok());
  REQUIRE(batch.region_write(1, 0, std::string(8 * kRegionBlockBytes, 'a')).is_ok());
  REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
  REQUIRE(pool->close().is_ok());
  const RootWords root = root_of(path);
  auto fold =
      FoldBlock::decode(Bytes(bytes_of_file(path)).substr(root.fold.offset, root.fold_bytes));
  REQUIRE(fold);
  REQUIRE(fold->regions.at(0).extents.size() == 1);
  write_at(
      path,
      fold->regions[0].extents[0].segment.offset + offsetof(SumSector, sums) + 3 * sizeof(uint64_t),
      std::string(8, '\0'));
  pool = open_pool(path, quiet());
  uint8_t byte = 0;
  CHECK(pool->region_read(1, 3 * kRegionBlockBytes, 1, &byte, nullptr).code() == Code::kCorrupt);
  for (int round = 0; round < 2; round++) {
    auto snapshot = pool->snapshot();  // the second one has the extent copied
    REQUIRE(snapshot.is_ok());
    if (round == 0) *snapshot = nullptr;
    Batch whole;
    REQUIRE(whole.region_write(1, 0, std::string(kRegionBlockBytes, static_cast<char>('b' + round)))
                .is_ok());
    REQUIRE(pool->commit(whole, CommitMode::kDurable).is_ok());
    REQUIRE(pool->fold().is_ok());
    CHECK(pool->region_read(1, 3 * kRegionBlockBytes, 1, &byte, nullptr).code() == Code::kCorrupt);
    CHECK(pool->region_read(1, 0, 1, &byte, nullptr).is_ok());
  }
  CHECK(!pool->check(nullptr, nullptr)->damages.empty());
}

#ifdef HOLDFAST_PLANTED_BUGS

// What a fold was placing may be torn where its tail writes, and while that is replayed. Everything
// else is damage as always.
TEST_CASE("a damaged block is damage also in a pool that a crash left while regions were placed") {
  Scratch scratch;
  const std::string path = scratch.path("p"), left = scratch.path("left");
  auto pool = open_pool(path, quiet());
  Batch batch;
  REQUIRE(batch.region_size(1, 100000, "r").is_ok());
  REQUIRE(
      batch.region_write(1, 0, std::string(50000, 'a') + "here" + std::string(49996, 'b')).is_ok());
  REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
  REQUIRE(pool->fold().is_ok());
  Batch change;
  REQUIRE(change.region_write(1, 10, "changed").is_ok());
  REQUIRE(pool->commit(change, CommitMode::kDurable).is_ok());
  at_test_point = [&](TestPoint point) {
    if (point == TestPoint::kRegionsInPlace) copy_over(path, left);
  };
  REQUIRE(pool->fold().is_ok());
  at_test_point = nullptr;
  REQUIRE(std::filesystem::exists(left));
  CHECK(root_of(left).placing == 1);
  const std::string bytes = bytes_of_file(left);
  for (size_t at = bytes.find("ahereb"); at != std::string::npos; at = bytes.find("ahereb", at + 1))
    write_at(left, at + 1, "HERE");
  auto again = open_pool(left, quiet());
  std::string read(100, '?');
  auto* to = reinterpret_cast<uint8_t*>(read.data());
  CHECK(again->region_read(1, 0, 100, to, nullptr).is_ok());
  CHECK(read.substr(8, 10) == "aachangeda");
  CHECK(again->region_read(1, 50000, 4, to, nullptr).code() == Code::kCorrupt);
  Batch beside;
  REQUIRE(beside.region_write(1, 50006, "x").is_ok());  // which makes no whole block of it
  REQUIRE(again->commit(beside, CommitMode::kDurable).is_ok());
  CHECK(again->region_read(1, 50000, 4, to, nullptr).code() == Code::kCorrupt);
}

#endif

}  // namespace holdfast::test
