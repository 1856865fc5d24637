// A pool that grows comes to a limit of the process: what it says is the limit, not that the disk
// is full; nothing is lost, and it goes on deleting.
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "native/own_mounts.h"
#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

uint64_t address_bytes() {
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

// In a child, under the limit: 0 where the pool refuses a commit by `code` and `errno_is`, has the
// rest, and deletes.
int fills(const std::string& path, int resource, uint64_t most, Code code, int errno_is) {
  const rlimit limit = {most, most};
  ::signal(SIGXFSZ, SIG_IGN);  // as Node.js does
  if (::setrlimit(resource, &limit) != 0) return 1;
  Result<std::shared_ptr<Pool>> opened = Pool::open(path, file_options());
  if (!opened.is_ok()) return 7;
  const std::shared_ptr<Pool> pool = *opened;
  const std::string value(128 << 10, 'v');
  Status refused;
  int written = 0;
  for (; refused.is_ok() && written < 20'000; ++written)
    refused = std::move(try_put(*pool, std::to_string(written), value).status());
  written--;
  if (refused.code() != code || refused.system_errno() != errno_is) return 2;
  if (written < 8 || get(*pool, key_in(1, std::to_string(written - 1))) != value) return 3;
  Batch deletion;
  if (!deletion.remove(key_in(1, "0")).is_ok()) return 4;
  if (!pool->commit(deletion, CommitMode::kDurable).is_ok()) return 5;
  return pool->close().is_ok() ? 0 : 6;
}

}  // namespace

TEST_CASE("a limit on the length of files is told as that") {
  const Scratch scratch = Scratch::on_disk();
  CHECK(in_child([&] {
          return fills(scratch.path("p"), RLIMIT_FSIZE, 8 << 20, Code::kDiskFull, EFBIG);
        }) == 0);
}

TEST_CASE("a limit on the process's addresses is told as that, not as a full disk") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  MESSAGE("skipped: a sanitizer needs more addresses than a limit leaves");
#else
  const Scratch scratch = Scratch::quick();
  CHECK(in_child([&] {
          const uint64_t most = address_bytes() + (uint64_t{448} << 20);
          return fills(scratch.path("p"), RLIMIT_AS, most, Code::kPoolFull, 0);
        }) == 0);
#endif
}
