// Pools on persistent memory over several directories: what they take where, what they refuse, what they survive. On /dev/shm, and on small
// file systems of their own where mounting is allowed, with PMEM_IS_PMEM_FORCE=1.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "engine/resize.h"
#include "engine/salvage.h"
#include "format/pmem_layout.h"
#include "medium/pool_set.h"
#include "native/pool_fixture.h"
#include "native/system_faults.h"

#ifdef HOLDFAST_WITH_PMEM

namespace holdfast::test {
namespace {

constexpr uint64_t kMost = 40 * kGiB;  // three of libpmemobj's zones
constexpr uint64_t kValueBytes = 100000;

struct Places {
  Scratch scratch = Scratch::in_memory();
  std::string path = scratch.path("pool");
  std::string a = directory("a"), b = directory("b");

  std::string directory(const std::string& name) const {
    std::filesystem::create_directory(scratch.path(name));
    return scratch.path(name);
  }
  PoolOptions over(std::vector<std::string> directories, uint64_t most) const {
    PoolOptions options;
    options.medium.choice = MediumChoice::kPmem;
    options.medium.size = most;
    options.medium.grow = true;
    options.medium.directories = std::move(directories);
    return options;
  }
  PoolOptions both(uint64_t most = kMost) const { return over({a, b}, most); }
  std::vector<std::string> parts() const {
    std::vector<std::string> found;
    for (const std::string& folder : {a, b}) {
      for (const auto& entry : std::filesystem::directory_iterator(folder)) found.push_back(entry.path().string());
    }
    return found;
  }
  std::string part_in(const std::string& folder) const {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) return entry.path().string();
    return {};
  }
};

PoolOptions as_made() {
  PoolOptions options;
  options.medium.create = CreateMode::kNever;
  return options;
}

std::string value_of(uint64_t number) { return std::string(kValueBytes, static_cast<char>('a' + number % 26)); }

Status put_one(Pool& pool, uint64_t number) {
  auto receipt = try_put(pool, "k" + std::to_string(number), value_of(number));
  return std::move(receipt.status());
}

void fill(Pool& pool, uint64_t from, uint64_t to) {
  for (uint64_t i = from; i < to; i++) {
    const Status done = put_one(pool, i);
    REQUIRE_MESSAGE(done.is_ok(), done.message());
  }
}

void drop(Pool& pool, uint64_t from, uint64_t to) {
  Batch batch;
  for (uint64_t i = from; i < to; i++) REQUIRE(batch.remove(key_in(1, "k" + std::to_string(i))).is_ok());
  REQUIRE(pool.commit(batch, CommitMode::kDurable).is_ok());
}

void check_values(Pool& pool, uint64_t from, uint64_t to) {
  for (uint64_t i = from; i < to; i++) {
    CAPTURE(i);
    REQUIRE(get(pool, key_in(1, "k" + std::to_string(i))) == value_of(i));
  }
}

uint64_t taken(const std::string& path) {
  struct stat found;
  REQUIRE(::stat(path.c_str(), &found) == 0);
  return static_cast<uint64_t>(found.st_blocks) * 512;
}

std::vector<std::string> damages(Pool& pool) {
  auto checked = pool.check(nullptr, nullptr);
  return checked.is_ok() ? checked->damages : std::vector<std::string>{checked.status().message()};
}

// The pool's own error of opening it.
Status refused(const std::string& path, const PoolOptions& options = as_made()) {
  auto opened = Pool::open(path, options);
  REQUIRE(!opened.is_ok());
  return opened.status().clone();
}

bool names(const Status& status, const std::string& what) { return status.message().find(what) != std::string::npos; }

}  // namespace

TEST_CASE("pool set: what is read and what is not") {
  const std::vector<SetPart> parts = {{"/a/p.part0", 64 * kMiB}, {"/b/p.part1", 4096}};
  auto read = parse_pool_set(pool_set_text(parts), "/x");
  REQUIRE(read.is_ok());
  REQUIRE(read->size() == 2);
  CHECK((*read)[1].path == "/b/p.part1");
  CHECK((*read)[0].bytes == 64 * kMiB);
  CHECK(parse_pool_set("PMEMPOOLSET\n# a note\n\nOPTION SINGLEHDR\n4096 /a\n", "/x").is_ok());
  for (const char* other : {"", "PMEM", "PMEMPOOLSETS\nOPTION SINGLEHDR\n4096 /a\n", "PMEMPOOLSET\n4096 /a\n", "PMEMPOOLSET\nOPTION SINGLEHDR\n",
                            "PMEMPOOLSET\nOPTION SINGLEHDR\n4096 a\n", "PMEMPOOLSET\nOPTION SINGLEHDR\n4097 /a\n", "PMEMPOOLSET\nOPTION SINGLEHDR\nAUTO /dev/dax0.0\n",
                            "PMEMPOOLSET\nOPTION SINGLEHDR\n1G /a\n", "PMEMPOOLSET\nOPTION SINGLEHDR\n4096 /a\nREPLICA\n4096 /b\n",
                            "PMEMPOOLSET\nOPTION SINGLEHDR\n4096 /a b\n", "PMEMPOOLSET\nOPTION NOHDRS\n4096 /a\n", "PMEMPOOLSET\nOPTION SINGLEHDR\n0 /a\n"}) {
    CAPTURE(other);
    CHECK(parse_pool_set(other, "/x").status().code() == Code::kNotAPool);
  }
  CHECK(is_part_name(part_name("my pool", "0123456789abcdef", 12)));
  CHECK(part_name("my pool", "0123456789abcdef", 12) == "my_pool.0123456789abcdef.part12");
  CHECK(part_name(std::string(300, 'x'), "0123456789abcdef", 3).size() < 256);
  for (const char* foreign : {"pool", "pool.part1", "pool.0123456789abcdeg.part1", "pool.0123456789abcdef.part", "pool.0123456789abcdef.part1x", ".part1"}) {
    CHECK(!is_part_name(foreign));
  }
}

TEST_CASE("pool set: shares are in proportion to what is free, none too small, and sum up") {
  for (const auto& free : std::vector<std::vector<uint64_t>>{{1, 1}, {kGiB, 3 * kGiB}, {0, kGiB, 0}, {UINT64_MAX / 2, 1}, {5}}) {
    for (const uint64_t bytes : {kMinPartBytes * free.size(), 777 * kMiB + 4096, uint64_t{1} << 46}) {
      const std::vector<uint64_t> shares = share_out(bytes, free);
      REQUIRE(shares.size() == free.size());
      uint64_t sum = 0;
      for (size_t i = 0; i < shares.size(); i++) {
        CHECK(shares[i] >= kMinPartBytes);
        CHECK((i + 1 == shares.size() || shares[i] % kPartUnit == 0));
        sum += shares[i];
      }
      CHECK(sum == bytes);
    }
  }
  CHECK(share_out(64 * kMiB, {kGiB, kGiB}) == std::vector<uint64_t>{32 * kMiB, 32 * kMiB});
  CHECK(share_out(4 * kGiB, {kGiB, 3 * kGiB})[0] < 11 * kGiB / 10);
  CHECK(share_out(2 * kMinPartBytes - 1, {1, 1}).empty());
}

TEST_CASE("pmem parts: a pool begins small in each directory, fills one after the other, gives back, and is opened by its path alone") {
  Places at;
  const uint64_t most = 512 * kMiB;
  auto pool = open_pool(at.path, at.both(most));
  REQUIRE(at.parts().size() == 2);
  CHECK(bytes_of_file(at.path).rfind("PMEMPOOLSET\nOPTION SINGLEHDR\n", 0) == 0);
  CHECK(taken(at.part_in(at.a)) < 24 * kMiB);
  CHECK(taken(at.part_in(at.b)) < kMiB);
  CHECK(pool->stats().grows);
  CHECK(pool->stats().parts.size() == 2);
  CHECK(pool->facts().durability_reason.find(at.a) != std::string::npos);
  fill(*pool, 0, 1500);  // 150 MB
  CHECK(taken(at.part_in(at.b)) < 8 * kMiB);
  fill(*pool, 1500, 3500);  // 350 MB: more than the first share
  CHECK(taken(at.part_in(at.a)) > 200 * kMiB);
  CHECK(taken(at.part_in(at.b)) > 60 * kMiB);
  check_values(*pool, 0, 3500);
  CHECK(damages(*pool) == std::vector<std::string>());
  REQUIRE(pool->close().is_ok());
  pool = open_pool(at.path, as_made());
  check_values(*pool, 0, 3500);
  fill(*pool, 0, 200);
  drop(*pool, 100, 3500);
  REQUIRE(pool->compact().is_ok());
  CHECK(taken(at.part_in(at.a)) < 100 * kMiB);
  CHECK(taken(at.part_in(at.b)) < 40 * kMiB);
  check_values(*pool, 0, 100);
  REQUIRE(pool->close().is_ok());
  pool = open_pool(at.path, at.both(most));
  check_values(*pool, 0, 100);
  const PoolStats stats = pool->stats();
  CHECK(stats.parts[0].path == at.part_in(at.a));
  CHECK(stats.parts[0].bytes + stats.parts[1].bytes == most);
  CHECK(stats.parts[1].taken == taken(at.part_in(at.b)));
  CHECK(stats.capacity_bytes > 500 * kMiB);
  CHECK(damages(*pool) == std::vector<std::string>());
}

TEST_CASE("pmem parts: large values and regions of more than one part, views of them, a full pool") {
  Places at;
  auto pool = open_pool(at.path, at.over({at.a, at.b, at.directory("c"), at.directory("d")}, 128 * kMiB));
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
}  // namespace holdfast::test

#endif
