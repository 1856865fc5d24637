// Which commit wrote a key's newest value: read off the log, and not said at all rather than said
// wrong.
#include <doctest/doctest.h>

#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

std::optional<uint64_t> written_at(Pool& pool, const std::string& key) {
  auto epoch = pool.written_at(key_in(1, key));
  REQUIRE_MESSAGE(epoch.is_ok(), epoch.status().message());
  return *epoch;
}

}  // namespace

TEST_CASE(
    "written at: the commit that put the newest value, of many in one segment, folded, reopened, "
    "and no longer once it was carried") {
  Scratch scratch;
  const std::string path = scratch.path("p");
  PoolOptions options = file_options();
  options.background = false;
  options.log_segment_bytes = 64 * kKiB;
  auto pool = open_pool(path, options);
  std::map<std::string, uint64_t> epochs;
  for (int i = 0; i < 300; i++) {
    const std::string key = "k" + std::to_string(i % 120);
    epochs[key] = put(*pool, key, std::string(700, static_cast<char>('a' + i % 26)));
  }
  epochs["large"] = put(*pool, "large", std::string(300'000, 'L'));
  const auto check_all = [&](bool all) {
    for (const auto& [key, epoch] : epochs) {
      CAPTURE(key);
      const auto said = written_at(*pool, key);
      CHECK((said == epoch || (!all && said == std::nullopt)));
    }
  };
  check_all(true);
  REQUIRE(pool->fold().is_ok());
  check_all(true);
  CHECK(written_at(*pool, "absent") == std::nullopt);
  REQUIRE(pool->close().is_ok());
  pool = open_pool(path, options);
  check_all(true);
  for (int i = 0; i < 120; i++) {
    if (i % 10 != 0)
      epochs["k" + std::to_string(i)] = put(*pool, "k" + std::to_string(i), std::string(700, 'z'));
  }
  REQUIRE(pool->fold().is_ok());
  REQUIRE(pool->compact().is_ok());
  CHECK(pool->stats().bytes_moved > 0);
  check_all(false);
  CHECK(written_at(*pool, "k0") ==
        std::nullopt);  // the commit that carried it is not the one that wrote it
}
