// Pools on persistent memory over several directories: what they take where, what they refuse, what
// they survive but for kills. On /dev/shm and small tmpfs mounted for it, with
// PMEM_IS_PMEM_FORCE=1. Not named pmem: what runs those under the tracer (the oracle) sees one file
// of a pool.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "engine/copies/resize.h"
#include "engine/damage/salvage.h"
#include "medium/pool_set.h"
#include "native/medium/pmem/pmem_parts_fixture.h"
#include "native/own_mounts.h"
#include "native/system_faults.h"

namespace holdfast::test {
namespace {

Status refused(const std::string& path, const PoolOptions& options = as_made()) {
  auto opened = Pool::open(path, options);
  REQUIRE(!opened.is_ok());
  return opened.status().clone();
}

bool names(const Status& status, const std::string& what) {
  return status.message().find(what) != std::string::npos;
}

}  // namespace

TEST_CASE(
    "parts: a pool begins small in each directory, fills one after the other, gives back, and is "
    "opened by its path alone") {
  Places at;
  const uint64_t most = 512 * kMiB;
  auto pool = open_pool(at.path, at.both(most));
  REQUIRE(at.parts().size() == 2);
  CHECK(bytes_of_file(at.path).rfind("PMEMPOOLSET\nOPTION SINGLEHDR\n", 0) == 0);
  CHECK(blocks_of(at.part_in(at.a)) < 24 * kMiB);
  CHECK(blocks_of(at.part_in(at.b)) < kMiB);
  CHECK(pool->stats().grows);
  CHECK(pool->stats().parts.size() == 2);
  CHECK(pool->facts().durability_reason.find(at.a) != std::string::npos);
  fill(*pool, 0, 1500);  // 150 MB
  CHECK(blocks_of(at.part_in(at.b)) < 8 * kMiB);
  fill(*pool, 1500, 3500);  // 350 MB: more than the first share
  CHECK(blocks_of(at.part_in(at.a)) > 200 * kMiB);
  CHECK(blocks_of(at.part_in(at.b)) > 60 * kMiB);
  check_values(*pool, 0, 3500);
  CHECK(damages(*pool) == std::vector<std::string>());
  REQUIRE(pool->close().is_ok());
  pool = open_pool(at.path, as_made());
  check_values(*pool, 0, 3500);
  fill(*pool, 0, 200);
  drop(*pool, 100, 3500);
  REQUIRE(pool->compact().is_ok());
  CHECK(blocks_of(at.part_in(at.a)) < 100 * kMiB);
  CHECK(blocks_of(at.part_in(at.b)) < 40 * kMiB);
  check_values(*pool, 0, 100);
  REQUIRE(pool->close().is_ok());
  pool = open_pool(at.path, at.both(most));
  check_values(*pool, 0, 100);
  const PoolStats stats = pool->stats();
  CHECK(stats.parts[0].bytes + stats.parts[1].bytes == most);
  CHECK(stats.capacity_bytes > 500 * kMiB);
  CHECK(damages(*pool) == std::vector<std::string>());
}

TEST_CASE("parts: large values and regions of more than one part, views of them, a full pool") {
  Places at;
  auto pool =
      open_pool(at.path, at.over({at.a, at.b, at.directory("c"), at.directory("d")}, 128 * kMiB));
  std::string large(40 * kMiB, '\0');  // more than a part
  for (size_t i = 0; i < large.size(); i++) large[i] = static_cast<char>(i * 7 >> 8);
  put(*pool, "large", large);
  Batch batch;
  REQUIRE(batch.region_size(1, 40 * kMiB, "r").is_ok());
  REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
  for (uint64_t from = 0; from < large.size(); from += kMiB) {
    batch.clear();
    REQUIRE(batch.region_write(1, from, large.substr(from, kMiB)).is_ok());
    REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
  }
  REQUIRE(pool->compact().is_ok());
  for (int round = 0; round < 2; round++) {
    CHECK(get(*pool, key_in(1, "large")) == large);
    auto value = pool->view_value(key_in(1, "large"), nullptr);
    REQUIRE(value.is_ok());
    auto region = pool->view_region(1, 0, large.size(), nullptr);
    REQUIRE(region.is_ok());
    CHECK(Bytes(reinterpret_cast<const char*>((*region)->data), large.size()) == large);
    CHECK(Bytes(reinterpret_cast<const char*>((*value)->data), large.size()) == large);
    CHECK(damages(*pool) == std::vector<std::string>());
    value = Status();
    region = Status();
    REQUIRE(pool->close().is_ok());
    pool = open_pool(at.path, as_made());
  }
  uint64_t number = 0;
  Status full;
  while (number < 2000 && (full = put_one(*pool, number)).is_ok()) number++;
  CHECK(full.code() == Code::kPoolFull);
  check_values(*pool, 0, number);
  drop(*pool, 0, number);
  REQUIRE(pool->compact().is_ok());
  fill(*pool, 0, number / 2);
  check_values(*pool, 0, number / 2);
  CHECK(damages(*pool) == std::vector<std::string>());
}

TEST_CASE("parts: what cannot be made is refused, and leaves nothing") {
  Places at;
  const std::string file = at.scratch.path("file");
  write_file(file, "x");
  const auto making = [&](std::vector<std::string> directories, uint64_t most = kMost) {
    return refused(at.path, at.over(std::move(directories), most));
  };
  CHECK(making({at.a, at.scratch.path("absent")}).code() == Code::kNotFound);
  CHECK(names(making({at.a, at.scratch.path("absent")}), at.scratch.path("absent")));
  CHECK(making({at.a, file}).code() == Code::kInvalidArgument);
  CHECK(making({at.a, "/dev/null"}).code() == Code::kInvalidArgument);
  CHECK(making({at.a, at.b, at.a + "/."}).code() == Code::kInvalidArgument);
  CHECK(names(making({at.a, at.a}), "same directory"));
  CHECK(making({at.a, at.directory("with a blank")}).code() == Code::kInvalidArgument);
  CHECK(making({at.a, at.b}, 31 * kMiB).code() == Code::kOutOfRange);
  CHECK(making({at.a, at.b, at.directory("c")}, 40 * kMiB).code() == Code::kOutOfRange);
  CHECK(making({at.a + "/" + std::string(5000, 'x')}).code() == Code::kInvalidArgument);
  CHECK(making(std::vector<std::string>(65, at.a)).code() == Code::kInvalidArgument);
  PoolOptions wrong = at.both();
  wrong.medium.grow = false;
  CHECK(refused(at.path, wrong).code() == Code::kInvalidArgument);
  wrong = at.both();
  wrong.medium.choice = MediumChoice::kFile;
  CHECK(refused(at.path, wrong).code() == Code::kInvalidArgument);
  wrong = at.both();
  wrong.medium.at_least = DurabilityClass::kPower;
  CHECK(refused(at.path, wrong).code() == Code::kDurability);
  CHECK(at.parts().empty());
  // Whatever fails on the way: nothing stays.
  SystemFaults::Disarm disarm;
  for (const SystemCall call : {SystemCall::kFtruncate, SystemCall::kFallocate, SystemCall::kFsync,
                                SystemCall::kRename, SystemCall::kPwrite}) {
    for (uint64_t nth = 1; nth < 40; nth++) {
      SystemFaults::fail(call, nth, ENOSPC);
      auto opened = Pool::open(at.path, at.both());
      const bool fails_at_last = opened.is_ok();
      SystemFaults::disarm();
      if (fails_at_last) {
        REQUIRE((*opened)->close().is_ok());
        REQUIRE(resize_by_copy(at.path, 64 * kMiB, nullptr, nullptr, std::vector<std::string>{})
                    .is_ok());
        std::filesystem::remove(at.path);
        break;
      }
      CAPTURE(static_cast<int>(call));
      CAPTURE(nth);
      const bool published =
          std::filesystem::exists(at.path);  // a sync behind the renaming failed: the pool is whole
      if (published) {
        REQUIRE(open_pool(at.path, as_made())->close().is_ok());
        for (const std::string& part : at.parts()) std::filesystem::remove(part);
        std::filesystem::remove(at.path);
      }
      REQUIRE(at.parts().empty());
    }
  }
  std::filesystem::remove(at.path + ".readers");
  CHECK(at.scratch.entries() == 5);  // the four directories and the file
}

TEST_CASE(
    "parts: a part that is missing, cut off, of another pool or in another's place is named; "
    "salvage takes what is there") {
  Places at;
  const uint64_t most = 128 * kMiB;
  auto pool = open_pool(at.path, at.both(most));
  fill(*pool, 0, 900);
  REQUIRE(pool->close().is_ok());
  pool = nullptr;
  const std::string first = at.part_in(at.a), second = at.part_in(at.b),
                    away = at.scratch.path("away");
  PoolOptions reading = as_made();
  reading.read_only = true;
  const auto both_refuse = [&](Code code, const std::string& what) {
    for (const PoolOptions& options : {as_made(), reading}) {
      const Status status = refused(at.path, options);
      INFO(status.message());
      CHECK(status.code() == code);
      CHECK(names(status, what));
    }
  };
  CHECK(names(refused(first), "set file"));  // a part is no pool
  std::filesystem::rename(second, away);
  both_refuse(Code::kNotFound, second);
  auto saved = salvage(at.path, at.scratch.path("saved"), file_options(), nullptr, nullptr);
  REQUIRE_MESSAGE(saved.is_ok(), saved.status().message());
  CHECK(saved->entries > 300);
  CHECK(saved->entries < 900);
  auto some = open_pool(at.scratch.path("saved"));
  for (const auto& [key, value] : contents(*some))
    CHECK(value == value_of(std::stoull(key.substr(5))));
  REQUIRE(some->close().is_ok());
  some = nullptr;
  // The same where the second is cut off in the middle, and where the first with all that leads
  // anywhere is gone.
  copy_over(away, second);
  std::filesystem::resize_file(second, 32 * kMiB + 1000);
  const auto saves = [&](const std::string& to) {
    auto report = salvage(at.path, at.scratch.path(to), file_options(), nullptr, nullptr);
    REQUIRE_MESSAGE(report.is_ok(), report.status().message());
    auto pool_again = open_pool(at.scratch.path(to));
    for (const auto& [key, value] : contents(*pool_again))
      CHECK(value == value_of(std::stoull(key.substr(5))));
    return report->entries;
  };
  CHECK(saves("saved of a cut part") >= saved->entries);
  std::filesystem::remove(second);
  std::filesystem::rename(away, second);
  std::filesystem::rename(first, away);
  const uint64_t of_the_second = saves("saved of the second");
  CHECK(of_the_second > 100);
  CHECK(of_the_second < 800);
  std::filesystem::rename(second, at.scratch.path("away too"));
  CHECK(salvage(at.path, at.scratch.path("nothing"), file_options(), nullptr, nullptr)
            .status()
            .code() == Code::kNotFound);
  std::filesystem::rename(at.scratch.path("away too"), second);
  std::filesystem::rename(away, first);
  std::filesystem::rename(second, away);
  // Another file of that length.
  write_file(second, "");
  std::filesystem::resize_file(second, std::filesystem::file_size(away));
  both_refuse(Code::kCorrupt, second);
  std::filesystem::resize_file(second, 4096);
  both_refuse(Code::kCorrupt, "truncated");
  std::filesystem::remove(second);
  std::filesystem::create_symlink(first, second);
  both_refuse(Code::kCorrupt, second);
  std::filesystem::remove(second);
  // A part of another pool, and the parts in another order.
  Places other;
  REQUIRE(open_pool(other.path, other.both(most))->close().is_ok());
  copy_over(other.part_in(other.b), second);
  both_refuse(Code::kCorrupt, "another pool");
  std::filesystem::remove(second);
  std::filesystem::rename(away, second);
  const std::string set = bytes_of_file(at.path);
  auto listed = parse_pool_set(set, at.path);
  REQUIRE(listed.is_ok());
  write_file(at.path, pool_set_text({(*listed)[1], (*listed)[0]}));
  const Status swapped = refused(at.path);
  CHECK((swapped.code() == Code::kNotAPool || swapped.code() == Code::kCorrupt));
  write_file(at.path,
             "PMEMPOOLSET\nOPTION SINGLEHDR\n" + std::to_string(most) + " " + at.a + "\nREPLICA\n");
  both_refuse(Code::kNotAPool, "REPLICA");
  // A set file may be anywhere, and name a part that was moved.
  std::filesystem::rename(second, away);
  write_file(at.path, pool_set_text({(*listed)[0], {away, (*listed)[1].bytes}}));
  pool = open_pool(at.path, as_made());
  check_values(*pool, 0, 900);
  auto reader = open_pool(at.path, reading);
  check_values(*reader, 0, 900);
}

TEST_CASE("parts: one owner, readers beside it, directories as they were made") {
  Places at;
  const uint64_t most = 256 * kMiB;
  auto pool = open_pool(at.path, at.both(most));
  fill(*pool, 0, 30);
  CHECK(refused(at.path).code() == Code::kLocked);
  PoolOptions reading = as_made();
  reading.read_only = true;
  auto reader = open_pool(at.path, reading);
  check_values(*reader, 0, 30);
  CHECK(reader->stats().parts.size() == 2);
  fill(*pool, 30, 1800);  // into the second part
  CHECK(blocks_of(at.part_in(at.b)) > 16 * kMiB);
  REQUIRE(reader->refresh().is_ok());
  check_values(*reader, 0, 1800);
  REQUIRE(reader->close().is_ok());
  REQUIRE(pool->close().is_ok());
  reader = pool = nullptr;
  CHECK(refused(at.path, at.over({at.b, at.a}, most)).code() == Code::kInvalidArgument);
  CHECK(refused(at.path, at.over({at.a}, most)).code() == Code::kInvalidArgument);
  CHECK(refused(at.path, at.both(2 * most)).code() == Code::kOutOfRange);
  PoolOptions as_file = as_made();
  as_file.medium.choice = MediumChoice::kFile;
  CHECK(refused(at.path, as_file).code() == Code::kMediumUnavailable);
  PoolOptions exclusive = at.both(most);
  exclusive.medium.create = CreateMode::kExclusive;
  CHECK(refused(at.path, exclusive).code() == Code::kExists);
  const std::string single = at.scratch.path("single");
  REQUIRE(open_pool(single, at.over({}, most))->close().is_ok());
  CHECK(refused(single, at.both(most)).code() == Code::kInvalidArgument);
  pool = open_pool(at.path, at.both(most));
  check_values(*pool, 0, 1800);
}

TEST_CASE("parts: resized by copying from one file into directories, into others, and back") {
  Places at;
  PoolOptions fixed = at.over({}, 64 * kMiB);
  fixed.medium.grow = false;
  auto pool = open_pool(at.path, fixed);
  fill(*pool, 0, 100);
  CHECK(pool->resize(128 * kMiB).code() == Code::kMediumUnavailable);
  REQUIRE(pool->close().is_ok());
  pool = nullptr;
  const std::string c = at.directory("c");
  const auto to = [&](uint64_t bytes, const WantedDirectories& directories) {
    auto copied = resize_by_copy(at.path, bytes, nullptr, nullptr, directories);
    REQUIRE_MESSAGE(copied.is_ok(), copied.status().message());
    auto opened = open_pool(at.path, as_made());
    check_values(*opened, 0, 100);
    CHECK(damages(*opened) == std::vector<std::string>());
    PoolStats stats = opened->stats();
    REQUIRE(opened->close().is_ok());
    return stats;
  };
  CHECK(to(kMost, std::vector<std::string>{at.a, at.b}).parts.size() == 2);
  CHECK(at.parts().size() == 2);
  const auto before = at.parts();
  CHECK(to(256 * kMiB, std::nullopt).parts.size() == 2);  // as it lies
  CHECK(at.parts().size() == 2);
  CHECK(at.parts() != before);
  CHECK(to(256 * kMiB, std::vector<std::string>{c, at.a, at.b}).parts.size() == 3);
  CHECK(at.parts().size() == 2);
  CHECK(resize_by_copy(at.path, kMost, nullptr, nullptr,
                       std::vector<std::string>{at.scratch.path("absent")})
            .status()
            .code() == Code::kNotFound);
  const PoolStats last = to(0, std::vector<std::string>{});
  CHECK(last.parts.empty());
  CHECK(last.grows);
  CHECK(at.parts().empty());
  CHECK(std::filesystem::is_empty(c));
  CHECK(std::filesystem::file_size(at.path) == 64 * kGiB);
  std::filesystem::remove(at.path + ".readers");
  CHECK(at.scratch.entries() == 4);  // the pool and three directories: no temporary file stays
}

TEST_CASE("parts: a small file system that is full is passed over, for a time or for good") {
  Places at;
  const int answer = in_child([&] {
    if (!has_own_mounts() || ::mount("tmpfs", at.a.c_str(), "tmpfs", 0, "size=24m") != 0 ||
        ::mount("tmpfs", at.b.c_str(), "tmpfs", 0, "size=80m") != 0)
      return kMayNotMount;
    auto opened = Pool::open(at.path, at.both(kGiB));
    if (!opened.is_ok()) return 1;
    uint64_t number = 0;
    Status full;
    while (number < 2000 && (full = put_one(**opened, number)).is_ok()) number++;
    if (full.code() != Code::kDiskFull || number < 600 || number > 1100) return 2;
    const std::vector<MediumPart> parts = (*opened)->stats().parts;
    if (parts[0].taken < 16 * kMiB || parts[1].taken < 40 * kMiB || parts[0].left < kMiB) return 3;
    for (uint64_t i = 0; i < number; i++) {
      if (get(**opened, key_in(1, "k" + std::to_string(i))) != value_of(i)) return 4;
    }
    // Full to the last byte by somebody else: nothing is stored there any more, and what is there
    // can still be read and deleted.
    std::ofstream filler(at.a + "/filler", std::ios::binary);
    filler << std::string(2 * kMiB, 'f') << std::flush;
    Batch batch;
    for (uint64_t i = 0; i < number; i++) {
      if (i % 4 != 0 && !batch.remove(key_in(1, "k" + std::to_string(i))).is_ok()) return 5;
    }
    if (!(*opened)->commit(batch, CommitMode::kDurable).is_ok() || !(*opened)->compact().is_ok())
      return 6;
    for (uint64_t i = 0; i < 100; i++) {
      if (!put_one(**opened, 4 * i + 1).is_ok()) return 7;
    }
    if (!(*opened)->close().is_ok()) return 8;
    opened = Pool::open(at.path, as_made());
    if (!opened.is_ok()) return 9;
    for (uint64_t i = 0; i < 400; i++) {
      const auto found = get(**opened, key_in(1, "k" + std::to_string(i)));
      const bool there = i % 4 == 1 || i % 4 == 0;
      if (there ? found != value_of(i) : found.has_value()) return 10;
    }
    return (*opened)->close().is_ok() ? 0 : 11;
  });
  if (answer == kMayNotMount)
    MESSAGE("skipped: this user may not mount");
  else
    CHECK(answer == 0);
}

}  // namespace holdfast::test
