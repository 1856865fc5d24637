// The text of a pool set file, the names of parts, and how a pool's bytes are shared out over
// directories.
#include "medium/pool_set.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace holdfast::test {

TEST_CASE("pool set: what is read and what is not") {
  const std::vector<SetPart> parts = {{"/a/p.part0", 64 * kMiB}, {"/b/p.part1", 4096}};
  auto read = parse_pool_set(pool_set_text(parts), "/x");
  REQUIRE(read.is_ok());
  REQUIRE(read->size() == 2);
  CHECK((*read)[1].path == "/b/p.part1");
  CHECK((*read)[0].bytes == 64 * kMiB);
  CHECK(parse_pool_set("PMEMPOOLSET\n# a note\n\nOPTION SINGLEHDR\n4096 /a\n", "/x").is_ok());
  for (const char* other :
       {"", "PMEM", "PMEMPOOLSETS\nOPTION SINGLEHDR\n4096 /a\n", "PMEMPOOLSET\n4096 /a\n",
        "PMEMPOOLSET\nOPTION SINGLEHDR\n", "PMEMPOOLSET\nOPTION SINGLEHDR\n4096 a\n",
        "PMEMPOOLSET\nOPTION SINGLEHDR\n4097 /a\n",
        "PMEMPOOLSET\nOPTION SINGLEHDR\nAUTO /dev/dax0.0\n",
        "PMEMPOOLSET\nOPTION SINGLEHDR\n1G /a\n",
        "PMEMPOOLSET\nOPTION SINGLEHDR\n4096 /a\nREPLICA\n4096 /b\n",
        "PMEMPOOLSET\nOPTION SINGLEHDR\n4096 /a b\n", "PMEMPOOLSET\nOPTION NOHDRS\n4096 /a\n",
        "PMEMPOOLSET\nOPTION SINGLEHDR\n0 /a\n"}) {
    CAPTURE(other);
    CHECK(parse_pool_set(other, "/x").status().code() == Code::kNotAPool);
  }
  CHECK(is_part_name(part_name("my pool", "0123456789abcdef", 12)));
  CHECK(part_name("my pool", "0123456789abcdef", 12) == "my_pool.0123456789abcdef.part12");
  CHECK(part_name(std::string(300, 'x'), "0123456789abcdef", 3).size() < 256);
  for (const char* foreign :
       {"pool", "pool.part1", "pool.0123456789abcdeg.part1", "pool.0123456789abcdef.part",
        "pool.0123456789abcdef.part1x", ".part1"}) {
    CHECK(!is_part_name(foreign));
  }
}

TEST_CASE("pool set: shares are in proportion to what is free, none too small, and sum up") {
  for (const auto& free : std::vector<std::vector<uint64_t>>{
           {1, 1}, {kGiB, 3 * kGiB}, {0, kGiB, 0}, {UINT64_MAX / 2, 1}, {5}}) {
    for (const uint64_t bytes :
         {kMinPartBytes * free.size(), 777 * kMiB + 4096, uint64_t{1} << 46}) {
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

}  // namespace holdfast::test
