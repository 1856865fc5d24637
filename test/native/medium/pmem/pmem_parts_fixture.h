// What the tests of pools over several directories share: two directories with a pool over them,
// and numbered values large enough to fill one.
#pragma once
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "native/pool_fixture.h"

namespace holdfast::test {

inline constexpr uint64_t kMost = 40 * kGiB;  // three of libpmemobj's zones
inline constexpr uint64_t kValueBytes = 100000;

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
      for (const auto& entry : std::filesystem::directory_iterator(folder))
        found.push_back(entry.path().string());
    }
    return found;
  }
  std::string part_in(const std::string& folder) const {
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      return entry.path().string();
    return {};
  }
};

inline PoolOptions as_made() {
  PoolOptions options;
  options.medium.create = CreateMode::kNever;
  return options;
}

inline std::string value_of(uint64_t number) {
  return std::string(kValueBytes, static_cast<char>('a' + number % 26));
}

inline Status put_one(Pool& pool, uint64_t number) {
  auto receipt = try_put(pool, "k" + std::to_string(number), value_of(number));
  return std::move(receipt.status());
}

inline void fill(Pool& pool, uint64_t from, uint64_t to) {
  for (uint64_t i = from; i < to; i++) {
    const Status done = put_one(pool, i);
    REQUIRE_MESSAGE(done.is_ok(), done.message());
  }
}

inline void drop(Pool& pool, uint64_t from, uint64_t to) {
  Batch batch;
  for (uint64_t i = from; i < to; i++)
    REQUIRE(batch.remove(key_in(1, "k" + std::to_string(i))).is_ok());
  REQUIRE(pool.commit(batch, CommitMode::kDurable).is_ok());
}

inline void check_values(Pool& pool, uint64_t from, uint64_t to) {
  for (uint64_t i = from; i < to; i++) {
    CAPTURE(i);
    REQUIRE(get(pool, key_in(1, "k" + std::to_string(i))) == value_of(i));
  }
}

inline void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace holdfast::test
