// Pools leave addresses to the rest of the process, however many are open and however few there
// are: else memory, threads and JavaScript, which are had in the same way, come to an end.
#include "medium/address_share.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <fstream>

#include "native/own_mounts.h"
#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

// Not by pages, which system_page_test.cc imitates others of.
uint64_t mapped_bytes() {
  std::ifstream status("/proc/self/status");
  uint64_t kilobytes = 0;
  for (std::string word; kilobytes == 0 && status >> word;) {
    if (word == "VmSize:") status >> kilobytes;
  }
  return kilobytes * kKiB;
}

bool addresses_are_left(uint64_t bytes) {
  void* const at =
      ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return false;
  ::munmap(at, bytes);
  return true;
}

}  // namespace

TEST_CASE("many pools leave half of the process's addresses, and can grow all the same") {
  const Scratch scratch = Scratch::quick();
  CHECK(in_child([&] {
          std::vector<std::shared_ptr<Pool>> pools;
          for (int i = 0; i < 40; i++) {
            Result<std::shared_ptr<Pool>> opened =
                Pool::open(scratch.path(std::to_string(i)), file_options(i % 4 == 3 ? kMiB : 0));
            if (!opened.is_ok()) return 1;
            pools.push_back(*opened);
          }
          if (!addresses_are_left(64 * 1024 * kGiB)) return 2;
          const std::string value(kMiB, 'v');
          for (int i = 0; i < 20; i++) {
            if (!try_put(*pools[38], std::to_string(i), value).is_ok()) return 3;
          }
          return 0;
        }) == 0);
}

TEST_CASE("the share of a pool is given back with it") {
  const uint64_t alone = AddressShare().bytes();
  for (int i = 0; i < 100; i++) CHECK(AddressShare().bytes() == alone);
  std::vector<std::unique_ptr<AddressShare>> many;
  uint64_t all = 0;
  for (int i = 0; i < 2000; i++) {
    many.push_back(std::make_unique<AddressShare>());
    all += many.back()->bytes();
  }
  CHECK(all < 80 * 1024 * kGiB);
  CHECK(many.back()->bytes() > kGiB);
}

TEST_CASE("under a limit of addresses a pool leaves half of what there is") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  MESSAGE("skipped: a sanitizer needs more addresses than a limit leaves");
#else
  const Scratch scratch = Scratch::quick();
  CHECK(in_child([&] {
          const uint64_t most = mapped_bytes() + 1100 * kMiB;
          const rlimit limit = {most, most};
          if (::setrlimit(RLIMIT_AS, &limit) != 0) return 1;
          Result<std::shared_ptr<Pool>> pool = Pool::open(scratch.path("p"), file_options());
          if (!pool.is_ok()) return 2;
          if (!addresses_are_left(400 * kMiB)) return 3;
          PoolOptions reading = file_options();
          reading.read_only = true;
          Result<std::shared_ptr<Pool>> reader = Pool::open(scratch.path("p"), reading);
          if (!reader.is_ok()) return 4;
          return addresses_are_left(200 * kMiB) ? 0 : 5;
        }) == 0);
#endif
}

TEST_CASE("a reader says that its pool has outgrown the addresses it had for it") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  MESSAGE("skipped: a sanitizer needs more addresses than a limit leaves");
#else
  const Scratch scratch = Scratch::quick();
  CHECK(in_child([&] {
          Result<std::shared_ptr<Pool>> writer = Pool::open(scratch.path("p"), file_options());
          if (!writer.is_ok() || !try_put(**writer, "a", "b").is_ok()) return 1;
          rlimit before;
          ::getrlimit(RLIMIT_AS, &before);
          const rlimit limit = {mapped_bytes() + 200 * kMiB, before.rlim_max};
          if (::setrlimit(RLIMIT_AS, &limit) != 0) return 2;
          PoolOptions reading = file_options();
          reading.read_only = true;
          Result<std::shared_ptr<Pool>> reader = Pool::open(scratch.path("p"), reading);
          if (!reader.is_ok() || ::setrlimit(RLIMIT_AS, &before) != 0) return 3;
          const std::string value(4 * kMiB, 'v');
          for (int i = 0; i < 40; i++) {
            if (!try_put(**writer, std::to_string(i), value).is_ok()) return 4;
          }
          if ((*reader)->refresh().status().code() != Code::kFailed) return 5;
          if (get(**reader, key_in(1, "a")) != "b") return 6;
          reader = Pool::open(scratch.path("p"), reading);
          return reader.is_ok() && get(**reader, key_in(1, "39")) == value ? 0 : 7;
        }) == 0);
#endif
}
