// Pools on persistent memory over several directories, killed: under load, at each step of taking
// and giving back space, of making a pool and of copying it. Its cases are not named pmem, as those
// of pmem_parts_test.cc are not.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "engine/copies/resize.h"
#include "native/killed_child.h"
#include "native/medium/pmem/pmem_parts_fixture.h"

namespace holdfast::test {

// What is killed at any moment: it commits, deletes and compacts, and says on stdout how far it has
// come. Run by itself (main.cc).
int parts_load_child(const char* path) {
  auto opened = Pool::open(path, as_made());
  if (!opened.is_ok()) return 8;
  const auto last = get(**opened, key_in(1, "last"));
  for (uint64_t i = last ? std::stoull(*last) + 1 : 0;; i++) {
    Batch batch;
    if (!batch.put(key_in(1, "k" + std::to_string(i)), value_of(i)).is_ok() ||
        !batch.put(key_in(1, "last"), std::to_string(i)).is_ok())
      return 9;
    if (i >= 500 && !batch.remove(key_in(1, "k" + std::to_string(i - 500))).is_ok()) return 9;
    if (!(*opened)->commit(batch, CommitMode::kDurable).is_ok()) return 10;
    if (::write(1, &i, sizeof i) != sizeof i) return 11;
    if (i % 200 == 199 && !(*opened)->compact().is_ok()) return 12;
  }
}

// What is killed: it makes the pool of a folder as Places does, or copies it where it is there. Run
// by itself (main.cc).
int parts_child(const char* folder) {
  const std::string path = std::string(folder) + "/pool";
  if (std::filesystem::exists(path))
    return resize_by_copy(path, 20 * kGiB, nullptr, nullptr).is_ok() ? 7 : 8;
  PoolOptions options;
  options.medium.choice = MediumChoice::kPmem;
  options.medium.size = kMost;
  options.medium.grow = true;
  options.medium.directories = {std::string(folder) + "/a", std::string(folder) + "/b"};
  return Pool::open(path, options).is_ok() ? 7 : 8;
}

TEST_CASE("parts: killed under load again and again, nothing that was acknowledged is lost") {
  Places at;
  REQUIRE(open_pool(at.path, at.both(160 * kMiB))->close().is_ok());
  uint64_t acknowledged = 0;
  bool any = false;
  for (int life = 0; life < 6; life++) {
    int said[2];
    REQUIRE(::pipe(said) == 0);
    const pid_t child = fork();
    if (child == 0) {
      ::dup2(said[1], 1);
      ::close(said[0]);
      ::close(said[1]);
      setenv("HOLDFAST_PARTS_LOAD_CHILD", at.path.c_str(), 1);
      execl("/proc/self/exe", "native_tests", static_cast<char*>(nullptr));
      _Exit(7);
    }
    ::close(said[1]);
    uint64_t number = 0, seen = 0;
    while (::read(said[0], &number, sizeof number) == sizeof number) {
      acknowledged = number;
      any = true;
      if (++seen == static_cast<uint64_t>(150 + 97 * life)) ::kill(child, SIGKILL);
    }
    ::close(said[0]);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    REQUIRE(any);
    auto pool = open_pool(at.path, as_made());
    const uint64_t last = std::stoull(get(*pool, key_in(1, "last")).value_or("0"));
    CHECK(last >= acknowledged);
    check_values(*pool, last < 500 ? 0 : last - 499, last + 1);
    CHECK(damages(*pool) == std::vector<std::string>());
    REQUIRE(pool->close().is_ok());
  }
  CHECK(acknowledged > 1500);  // more than the first part holds at once: both have been in use
}

#ifdef HOLDFAST_TEST_POINTS
TEST_CASE(
    "parts: a kill while space is taken or given back leaves a whole pool, and nothing leaks") {
  for (const char* point : {"pmem.before_blocks:1", "pmem.before_blocks:4", "pmem.before_publish:3",
                            "pmem.before_give_back:1", "fold.before_root:2", "pmem.inside_root:1",
                            "pmem.inside_root:3"}) {
    CAPTURE(point);
    Places at;
    auto pool = open_pool(at.path, at.both());
    fill(*pool, 0, 200);
    REQUIRE(pool->close().is_ok());
    pool = nullptr;
    CHECK(killed_at(point, "HOLDFAST_GROWTH_CHILD", at.path));
    pool = open_pool(at.path, at.both());
    check_values(*pool, 0, 200);
    CHECK(damages(*pool) == std::vector<std::string>());
    drop(*pool, 0, 300);
    REQUIRE(pool->compact().is_ok());
    const PoolStats stats = pool->stats();
    CHECK(stats.free_bytes > stats.capacity_bytes - 24 * kMiB);
    REQUIRE(pool->close().is_ok());
  }
}

TEST_CASE(
    "parts: a kill while the pool is made, or copied, leaves nothing that the next one does not "
    "remove") {
  for (const char* point : {"set.before_first:1", "set.before_parts:1", "set.before_publish:1",
                            "create.before_rename:1"}) {
    CAPTURE(point);
    Places at;
    CHECK(killed_at(point, "HOLDFAST_PARTS_CHILD", at.scratch.folder()));
    CHECK(!std::filesystem::exists(at.path));
    write_file(at.a + "/pool.0123456789abcdef.part0", "of another pool");
    auto pool = open_pool(at.path, at.both());
    CHECK(at.parts().size() == 3);
    fill(*pool, 0, 10);
    REQUIRE(pool->close().is_ok());
    std::filesystem::remove(at.path + ".readers");
    CHECK(at.scratch.entries() == 3);
  }
  for (const char* point :
       {"set.before_publish:1", "resize.before_copy:1", "resize.before_rename:1",
        "resize.before_old_parts:1", "resize.after_rename:1"}) {
    CAPTURE(point);
    Places at;
    auto pool = open_pool(at.path, at.both());
    fill(*pool, 0, 50);
    REQUIRE(pool->close().is_ok());
    pool = nullptr;
    CHECK(killed_at(point, "HOLDFAST_PARTS_CHILD", at.scratch.folder()));
    pool = open_pool(at.path, as_made());
    check_values(*pool, 0, 50);
    CHECK(damages(*pool) == std::vector<std::string>());
    REQUIRE(pool->close().is_ok());
    pool = nullptr;
    REQUIRE(resize_by_copy(at.path, kMost, nullptr, nullptr).is_ok());
    CHECK(at.parts().size() == 2);
    pool = open_pool(at.path, as_made());
    check_values(*pool, 0, 50);
    REQUIRE(pool->close().is_ok());
    std::filesystem::remove(at.path + ".readers");
    CHECK(at.scratch.entries() == 3);
  }
}
#endif

}  // namespace holdfast::test
