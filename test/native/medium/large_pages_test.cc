// Pools in memory (tmpfs) are mapped in large pages where their log is sealed, once they are idle;
// holes are left alone.
#include "medium/large_pages.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/pool.h"
#include "native/scratch.h"

namespace holdfast::test {
namespace {

// A file of several large pages on tmpfs, mapped.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path, uint64_t pages)
      : bytes_(pages * kHugePageBytes), fd_(::open(path.c_str(), O_RDWR | O_CREAT, 0600)) {
    REQUIRE(fd_ >= 0);
    REQUIRE(::ftruncate(fd_, static_cast<off_t>(bytes_)) == 0);
    void* const room =
        ::mmap(nullptr, bytes_ + kHugePageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(room != MAP_FAILED);
    at_ = reinterpret_cast<uint8_t*>(round_up(reinterpret_cast<uintptr_t>(room), kHugePageBytes));
    REQUIRE(::mmap(at_, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd_, 0) == at_);
  }
  ~MappedFile() {
    ::munmap(at_, bytes_);
    ::close(fd_);
  }
  uint8_t* page(uint64_t n) { return at_ + n * kHugePageBytes; }
  uint64_t taken() const {
    struct stat facts {};
    return ::fstat(fd_, &facts) == 0 ? static_cast<uint64_t>(facts.st_blocks) * 512 : 0;
  }

 private:
  const uint64_t bytes_;
  const int fd_;
  uint8_t* at_ = nullptr;
};

// KiB that this process has mapped in large pages of files whose name ends so.
uint64_t mapped_large(const std::string& name) {
  std::ifstream maps("/proc/self/smaps");
  uint64_t kib = 0;
  bool ours = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find('-') < line.find(' ')) ours = line.ends_with(name);
    if (ours && line.starts_with("ShmemPmdMapped:"))
      kib += std::strtoull(line.c_str() + line.find(':') + 1, nullptr, 10);
  }
  return kib;
}

void skipped(const char* why) { MESSAGE("skipped: ", why); }

bool large_pages_are_had(const Scratch& scratch) {
  MappedFile file(scratch.path("asked"), 1);
  std::memset(file.page(0), 1, kHugePageBytes);
  return take_large_page(file.page(0)) && mapped_large("asked") > 0;
}

std::string key_of(int number) { return std::string("\0\0\0\1", 4) + std::to_string(number); }
std::string value_of(int number) {
  return std::string(1000, static_cast<char>('a' + number % 26)) + std::to_string(number);
}

}  // namespace

TEST_CASE("large pages: bytes stay, what has a hole is left alone") {
  if (!Scratch::memory_is_there()) return skipped("no /dev/shm");
  const Scratch scratch = Scratch::in_memory();
  if (!large_pages_are_had(scratch))
    return skipped("this kernel gives no large pages of a file in memory");
  MappedFile file(scratch.path("file"), 2);
  for (uint64_t i = 0; i < kHugePageBytes; i++)
    file.page(0)[i] = static_cast<uint8_t>(i * 7 + i / 4096);
  file.page(1)[5] = 1;
  const uint64_t taken = file.taken();
  CHECK(take_large_page(file.page(0)));
  CHECK(take_large_page(file.page(1)));
  CHECK(mapped_large("file") <= kHugePageBytes / 1024);  // there may just be none
  CHECK(file.taken() == taken);
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < kHugePageBytes; i++)
    wrong += file.page(0)[i] != static_cast<uint8_t>(i * 7 + i / 4096);
  CHECK(wrong == 0);
}

#ifdef HOLDFAST_WITH_PMEM
TEST_CASE("large pages: an idle pool's sealed log is in them, and is read and written on") {
  if (!Scratch::memory_is_there()) return skipped("no /dev/shm");
  const Scratch scratch = Scratch::in_memory();
  if (!large_pages_are_had(scratch))
    return skipped("this kernel gives no large pages of a file in memory");
  PoolOptions options;
  options.medium.choice = MediumChoice::kPmem;
  options.medium.size = 64 * kMiB;
  options.background = false;
  auto opened = Pool::open(scratch.path("pool"), options);
  REQUIRE_MESSAGE(opened.is_ok(), opened.status().message());
  Pool& pool = **opened;
  constexpr int kKeys = 12'000;
  const auto put = [&](int number) {
    Batch batch;
    REQUIRE(batch.put(key_of(number), value_of(number)).is_ok());
    REQUIRE(pool.commit(batch, CommitMode::kDurable).is_ok());
  };
  for (int i = 0; i < kKeys; i++) put(i);
  pool.maintain(false);
  CHECK(mapped_large("pool") == 0);
  // The kernel may refuse for the moment: a log that has grown is looked at anew.
  int keys = kKeys;
  for (int tries = 0; tries < 20 && mapped_large("pool") == 0; tries++) {
    for (int i = 0; i < 20; i++) pool.maintain(true);
    for (int i = 0; i < 700; i++) put(keys++);
  }
  CHECK(mapped_large("pool") > 0);
  for (int i = 0; i < 2000; i++) put(keys++);
  for (int i = 0; i < keys; i++) {
    auto reader = pool.read(nullptr);
    REQUIRE(reader.is_ok());
    auto found = reader->find(key_of(i));
    REQUIRE(found.is_ok());
    REQUIRE(found->has_value());
    const FoundValue& value = **found;
    REQUIRE(Bytes(reinterpret_cast<const char*>(value.inline_bytes), value.size) == value_of(i));
  }
  CHECK(pool.close().is_ok());
}
#endif

}  // namespace holdfast::test
