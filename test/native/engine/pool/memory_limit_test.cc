// What users give may be longer than there is memory for: then the call fails, and nothing else
// does.
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

// No more addresses than this process has now and `more` bytes; until its end.
class AddressLimit {
 public:
  explicit AddressLimit(uint64_t more) {
    uint64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    REQUIRE(::getrlimit(RLIMIT_AS, &before_) == 0);
    rlimit limit = before_;
    limit.rlim_cur = pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)) + more;
    REQUIRE(::setrlimit(RLIMIT_AS, &limit) == 0);
  }
  ~AddressLimit() { CHECK(::setrlimit(RLIMIT_AS, &before_) == 0); }

 private:
  rlimit before_;
};

}  // namespace

TEST_CASE(
    "no memory for a value, a condition or a batch is an error of the call, and the batch is as it "
    "was") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  MESSAGE("skipped: a sanitizer needs more addresses than a limit leaves");
#else
  Scratch scratch = Scratch::on_disk();
  auto pool = open_pool(scratch.path("p"));
  const std::string huge(400 << 20, 'h'), part(200 << 10, 'p');
  Batch batch, long_one;
  REQUIRE(batch.put(key_in(1, "small"), "value").is_ok());
  uint64_t parts = 0;
  {
    const AddressLimit limit(128 << 20);
    CHECK(batch.put(key_in(1, "huge"), huge).code() == Code::kNoMemory);
    CHECK(batch.require_equal(key_in(1, "huge"), huge).code() == Code::kNoMemory);
    Status put;
    while ((put = long_one.put(key_in(1, std::to_string(parts)), part)).is_ok() && parts < 4000)
      parts++;
    CHECK(put.code() == Code::kNoMemory);
  }
  CHECK(pool->commit(batch, CommitMode::kDurable).is_ok());
  CHECK(get(*pool, key_in(1, "small")) == "value");
  CHECK_FALSE(get(*pool, key_in(1, "huge")));
  CHECK(parts > 0);
  CHECK(pool->commit(long_one, CommitMode::kDurable).is_ok());
  CHECK(get(*pool, key_in(1, std::to_string(parts - 1))) == part);
  CHECK_FALSE(get(*pool, key_in(1, std::to_string(parts))));
  CHECK(pool->close().is_ok());
#endif
}
