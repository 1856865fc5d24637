// What is read of a file that is not in memory: of a key the pages it lies in, not those around it;
// of a walk many pages at once. Counted: pages that came into the cache, and faults that waited for
// the disk. Where no file leaves the cache (a tmpfs, an overlay) there is nothing to count.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>

#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

constexpr uint64_t kKeys = 40'000, kPage = 4096;

class Cached {
 public:
  explicit Cached(const std::string& path) : fd_(::open(path.c_str(), O_RDWR)) {
    REQUIRE(fd_ >= 0);
    bytes_ = static_cast<uint64_t>(::lseek(fd_, 0, SEEK_END));
    at_ = ::mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, fd_, 0);
    REQUIRE(at_ != MAP_FAILED);
  }
  ~Cached() {
    ::munmap(at_, bytes_);
    ::close(fd_);
  }
  // Has it leave memory. False: it does not, which is said.
  bool forgotten() const {
    REQUIRE(::fsync(fd_) == 0);
    REQUIRE(::posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED) == 0);
    if (pages() <= all() / 10) return true;
    MESSAGE("skipped: this file system keeps files in memory");
    return false;
  }
  // Every page but each so-manieth, each by itself.
  void bring_in(uint64_t all_but) const {
    REQUIRE(::posix_fadvise(fd_, 0, 0, POSIX_FADV_RANDOM) == 0);
    for (uint64_t page = 0; page < all(); page++) {
      char byte;
      if (page % all_but != 0)
        REQUIRE(::pread(fd_, &byte, 1, static_cast<off_t>(page * kPage)) == 1);
    }
  }
  uint64_t pages() const {
    std::vector<unsigned char> there((bytes_ + kPage - 1) / kPage);
    REQUIRE(::mincore(at_, bytes_, there.data()) == 0);
    return static_cast<uint64_t>(
        std::count_if(there.begin(), there.end(), [](unsigned char page) { return page & 1; }));
  }
  uint64_t all() const { return bytes_ / kPage; }

 private:
  const int fd_;
  uint64_t bytes_ = 0;
  void* at_ = nullptr;
};

uint64_t waited_faults() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_majflt);
}

PoolOptions quiet() {
  PoolOptions options = file_options();
  options.background = false;
  return options;
}

// `scattered`: the values do not lie in the order of their keys.
void fill(const std::string& path, bool scattered = false) {
  auto pool = open_pool(path, quiet());
  const std::string value(1000, 'v');
  Batch batch;
  for (uint64_t i = 0; i < kKeys; i++) {
    REQUIRE(batch.put(numbered_key(scattered ? i * 7919 % kKeys : i), value).is_ok());
    if (batch.operations() < 50) continue;
    REQUIRE(pool->commit(batch, CommitMode::kEventual).is_ok());
    batch.clear();
  }
  REQUIRE(pool->close().is_ok());
}

}  // namespace

TEST_CASE("a key that is read brings its own pages into memory; a walk is read in stretches") {
  const Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("p");
  fill(path);
  const Cached cached(path);
  if (!cached.forgotten()) return;
  auto pool = open_pool(path, quiet());
  const uint64_t opened = cached.pages();
  constexpr uint64_t kReads = 50;
  {
    auto reader = pool->read(nullptr);
    REQUIRE(reader.is_ok());
    for (uint64_t i = 0; i < kReads; i++) {
      auto found = reader->find(numbered_key(i * 7919 % kKeys));
      REQUIRE(found.is_ok());
      REQUIRE(found->has_value());
    }
  }
  CHECK(cached.pages() - opened <= 6 * kReads);
  const uint64_t before = waited_faults();
  CHECK(contents(*pool).size() == kKeys);
  CHECK(cached.pages() > kKeys * 1000 / kPage);
  CHECK(waited_faults() - before < cached.all() / 16);
}

TEST_CASE(
    "a walk is read in stretches backwards too, and where values lie anywhere many together") {
  for (const bool scattered : {false, true}) {
    for (const bool reverse : {false, true}) {
      CAPTURE(scattered);
      CAPTURE(reverse);
      const Scratch scratch = Scratch::on_disk();
      const std::string path = scratch.path("p");
      fill(path, scattered);
      const Cached cached(path);
      if (!cached.forgotten()) return;
      auto pool = open_pool(path, quiet());
      RangeOptions options;
      options.high = std::string(4, '\xff');
      options.reverse = reverse;
      options.limit = kKeys / 8;
      auto range = pool->range(options, nullptr);
      REQUIRE(range.is_ok());
      const uint64_t before = waited_faults();
      uint64_t given = 0;
      while (true) {
        auto some = (*range)->next(100, [](Bytes, const FoundValue&, Reader&) { return true; });
        REQUIRE(some.is_ok());
        if (*some == 0) break;
        given += *some;
      }
      CHECK(given == kKeys / 8);
      // Each value by itself: one for four of them, or for each where they lie anywhere.
      CHECK(waited_faults() - before < kKeys / 8 / (scattered ? 3 : 16));
    }
  }
}

// It is asked of all pages of a stretch whether they are in memory, not of some.
TEST_CASE("a walk over a file of which each fourth page is not in memory hardly waits") {
  const Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("p");
  fill(path);
  const Cached cached(path);
  if (!cached.forgotten()) return;
  cached.bring_in(4);
  auto pool = open_pool(path, quiet());
  const uint64_t missing = cached.all() - cached.pages(), before = waited_faults();
  REQUIRE(missing > 1000);
  CHECK(contents(*pool).size() == kKeys);
  CHECK(waited_faults() - before < missing / 8);
}

// A pool that does not fit into memory would be checked value by value, each at a disk's pace.
TEST_CASE("a check reads values that lie anywhere many together") {
  const Scratch scratch = Scratch::on_disk();
  const std::string path = scratch.path("p");
  fill(path, true);
  const Cached cached(path);
  if (!cached.forgotten()) return;
  auto pool = open_pool(path, quiet());
  const uint64_t before = waited_faults();
  auto report = pool->check(nullptr, nullptr);
  REQUIRE(report.is_ok());
  CHECK(report->entries == kKeys);
  CHECK(report->damages.empty());
  // Of 12,240 pages: 10,128 when each was read by itself, 289 now.
  CHECK(waited_faults() - before < cached.all() / 4);
}
