// A page of a mapping that fails: the read gives an error, the process lives. Truncated files on
// both media, poisoned memory, and faults that are none of ours.
#include "medium/mapping_guard.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>

#include "base/test_hooks.h"
#include "native/pool_fixture.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

// A file of `bytes` mapped shared, and a guard over it.
struct Mapped {
  explicit Mapped(const std::string& path, uint64_t bytes_in) : bytes(bytes_in) {
    fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (::ftruncate(fd, static_cast<off_t>(bytes)) != 0) std::abort();
    at = static_cast<volatile uint8_t*>(
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    std::memset(const_cast<uint8_t*>(at), 7, bytes);
  }
  ~Mapped() {
    ::munmap(const_cast<uint8_t*>(at), bytes);
    ::close(fd);
  }
  uint64_t bytes;
  int fd;
  volatile uint8_t* at;
};

// How a forked process ends in which `body` runs: 0 when it returns, else the signal.
int signal_of(const std::function<void()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    const int quiet = ::open("/dev/null", O_WRONLY);
    ::dup2(quiet, 2);
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

// Requires only: in a forked process a mere check would go unheard.
void truncate_under(Pool& pool, const std::string& path, uint64_t left) {
  const std::string key = key_in(1, "key 77");
  REQUIRE(get(pool, key).has_value());
  REQUIRE(::truncate(path.c_str(), static_cast<off_t>(left)) == 0);
  bool failed = false;
  for (int i = 0; i < 100; i++) {
    auto reader = pool.read(nullptr);
    if (!reader.is_ok()) {
      REQUIRE(reader.status().code() == Code::kFailed);
      failed = true;
      break;
    }
    auto found = reader->find(key_in(1, "key " + std::to_string(i)));
    if (found.is_ok()) {
      REQUIRE(found->has_value());  // never: absent
      std::string value((*found)->size, '\0');
      const Status copied = reader->copy(**found, reinterpret_cast<uint8_t*>(value.data()));
      if (copied.is_ok()) REQUIRE(value == std::string(5000, static_cast<char>('a' + i % 26)));
      failed = failed || !copied.is_ok();
    } else {
      REQUIRE((found.status().code() == Code::kFailed || found.status().code() == Code::kCorrupt));
      failed = true;
    }
  }
  REQUIRE(failed);
  Batch batch;
  REQUIRE(batch.put(key, "new").is_ok());
  auto receipt = pool.commit(batch, CommitMode::kDurable);
  REQUIRE_FALSE(receipt.is_ok());
  REQUIRE(receipt.status().code() == Code::kFailed);
  (void)pool.close().is_ok();
}

void fill(Pool& pool) {
  for (int i = 0; i < 100; i++) {
    Batch batch;
    REQUIRE(batch
                .put(key_in(1, "key " + std::to_string(i)),
                     std::string(5000, static_cast<char>('a' + i % 26)))
                .is_ok());
    REQUIRE(pool.commit(batch, CommitMode::kDurable).is_ok());
  }
  REQUIRE(pool.fold().is_ok());
}

std::string memory_file(const char* name) {
  return "/dev/shm/hf-guard-" + std::to_string(::getpid()) + name;
}

}  // namespace

TEST_CASE("mapping: a truncated page reads as zeros and marks its guard only") {
  const Scratch scratch;
  Mapped one(scratch.path("one"), 65536), other(scratch.path("other"), 65536);
  MappingGuard guard, bystander;
  REQUIRE(guard.watch(const_cast<uint8_t*>(one.at), one.bytes));
  REQUIRE(bystander.watch(const_cast<uint8_t*>(other.at), other.bytes));
  REQUIRE(::ftruncate(one.fd, 8192) == 0);
  CHECK(one.at[8191] == 7);
  CHECK_FALSE(guard.failed());
  CHECK(one.at[20000] == 0);
  CHECK(guard.failed());
  CHECK(guard.failed_at() == 20000);
  CHECK_FALSE(bystander.failed());
  one.at[20001] = 5;  // a store goes on as well
  CHECK(one.at[20001] == 5);
  guard.stop();
  CHECK(guard.failed());
  CHECK(other.at[60000] == 7);
}

TEST_CASE(
    "mapping: faults elsewhere, inside libpmemobj, or after the guard has gone end the process as "
    "before") {
  const Scratch scratch;
  const std::string path = scratch.path("p");
  const auto faulty = [&](bool watched, bool inside) {
    return signal_of([&] {
      Mapped mapped(path, 65536);
      MappingGuard guard;
      guard.watch(const_cast<uint8_t*>(mapped.at), mapped.bytes);
      if (!watched) guard.stop();
      (void)!::ftruncate(mapped.fd, 0);
      if (inside) {
        const MappingGuard::InsideLibrary library;
        mapped.at[0] = mapped.at[1];
      } else {
        mapped.at[0] = mapped.at[1];
      }
    });
  };
  CHECK(faulty(true, false) == 0);
  CHECK(faulty(true, true) == SIGBUS);
#ifdef __SANITIZE_ADDRESS__
  CHECK(faulty(false, false) != 0);  // by the sanitizer, which was asked first
#else
  CHECK(faulty(false, false) == SIGBUS);
#endif
}

// In a process of its own, before anything else, where the guard's handler is not in yet.
__attribute__((constructor)) void ask_who_was_before() {
  if (::getenv("HOLDFAST_GUARD_HELPER") == nullptr) return;
  struct sigaction mine = {};
  mine.sa_flags = SA_SIGINFO;
  mine.sa_sigaction = [](int, siginfo_t*, void*) { ::_exit(42); };
  ::sigaction(SIGBUS, &mine, nullptr);
  const Scratch scratch;
  Mapped watched(scratch.path("a"), 65536), foreign(scratch.path("b"), 65536);
  MappingGuard guard;
  guard.watch(const_cast<uint8_t*>(watched.at), watched.bytes);
  (void)!::ftruncate(watched.fd, 0);
  if (watched.at[5] != 0 || !guard.failed()) ::_exit(1);
  (void)!::ftruncate(foreign.fd, 0);
  ::_exit(foreign.at[5] == 0 ? 2 : 3);
}

TEST_CASE("mapping: whoever handled SIGBUS before is asked about foreign faults") {
  const int code = signal_of([] {
    ::setenv("HOLDFAST_GUARD_HELPER", "1", 1);
    ::execl("/proc/self/exe", "native_tests", static_cast<char*>(nullptr));
  });
  CHECK(code == 42);
}

TEST_CASE("mapping: a file pool truncated by somebody fails, and the process lives") {
  const Scratch scratch;
  const std::string path = scratch.path("p");
  PoolOptions options;
  options.medium.choice = MediumChoice::kFile;
  for (const uint64_t left : {uint64_t{0}, uint64_t{70000}, uint64_t{200000}}) {
    std::filesystem::remove(path);
    auto opened = Pool::open(path, options);
    REQUIRE(opened.is_ok());
    fill(**opened);
    truncate_under(**opened, path, left);
    auto again = Pool::open(path, options);
    CHECK_FALSE(again.is_ok());
    CHECK((again.status().code() == Code::kCorrupt || again.status().code() == Code::kNotAPool));
  }
}

#ifdef HOLDFAST_WITH_PMEM
TEST_CASE("mapping: a pmem pool truncated by somebody fails, and the process lives") {
  if (::access("/dev/shm", W_OK) != 0) {
    MESSAGE("skipped: no /dev/shm");
    return;
  }
  const std::string path = memory_file("-truncated");
  const int code = signal_of([&] {
    PoolOptions options;
    options.medium.choice = MediumChoice::kPmem;
    options.medium.size = 40 * kMiB;
    options.background = false;  // a thread that is inside libpmemobj as the file is cut off ends
                                 // the process: mapping_guard.h
    auto opened = Pool::open(path, options);
    if (!opened.is_ok()) ::_exit(2);
    fill(**opened);
    truncate_under(**opened, path, 5 * kMiB);
  });
  ::unlink(path.c_str());
  CHECK(code == 0);
}
#endif

TEST_CASE("control: without its guard a truncated pool ends the process, and these tests notice") {
  const Scratch scratch;
  const std::string path = scratch.path("p");
  const int code = signal_of([&] {
    planted_bug = PlantedBug::kMappingUnguarded;
    PoolOptions options;
    options.medium.choice = MediumChoice::kFile;
    auto opened = Pool::open(path, options);
    if (!opened.is_ok()) ::_exit(2);
    fill(**opened);
    truncate_under(**opened, path, 70000);
  });
#ifdef __SANITIZE_ADDRESS__
  CHECK(code >
        2);  // by the sanitizer, which was asked first; its exit code is of scripts/sanitize.sh
#else
  CHECK(code == SIGBUS);
#endif
}

TEST_CASE("mapping: a media error on one page is an error of one pool") {
  // UFFDIO_POISON, Linux 6.6: the page gives SIGBUS as bad memory does.
  struct Poison {
    uffdio_range range;
    uint64_t mode;
    int64_t updated;
  };
  const std::string path = memory_file("-poisoned");
  if (::access("/dev/shm", W_OK) != 0) {
    MESSAGE("skipped: no /dev/shm");
    return;
  }
  Mapped mapped(path, 65536);
  ::unlink(path.c_str());
  long fault = ::syscall(SYS_userfaultfd, O_CLOEXEC | 1);
  if (fault < 0) fault = ::syscall(SYS_userfaultfd, O_CLOEXEC);
  uffdio_api api = {UFFD_API, 1 << 14, 0};
  if (fault < 0 || ::ioctl(static_cast<int>(fault), UFFDIO_API, &api) != 0) {
    MESSAGE("skipped: this kernel cannot poison pages (userfaultfd with UFFDIO_POISON)");
    return;
  }
  const auto page = reinterpret_cast<uint64_t>(mapped.at) + 8192;
  uffdio_register range = {{page, 4096}, UFFDIO_REGISTER_MODE_MISSING, 0};
  REQUIRE(::ioctl(static_cast<int>(fault), UFFDIO_REGISTER, &range) == 0);
  ::madvise(const_cast<uint8_t*>(mapped.at) + 8192, 4096, MADV_REMOVE);
  Poison poison = {{page, 4096}, 0, 0};
  REQUIRE(::ioctl(static_cast<int>(fault), _IOWR(UFFDIO, 0x08, Poison), &poison) == 0);
  MappingGuard guard;
  REQUIRE(guard.watch(const_cast<uint8_t*>(mapped.at), mapped.bytes));
  CHECK(mapped.at[8191] == 7);
  CHECK_FALSE(guard.failed());
  CHECK(mapped.at[8192] == 0);
  CHECK(guard.failed());
  CHECK(guard.failed_at() == 8192);
  CHECK(mapped.at[12288] == 7);
  ::close(static_cast<int>(fault));
}
