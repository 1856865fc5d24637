#include "native/system_faults.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace holdfast::test {
namespace {

constexpr int kCalls = static_cast<int>(SystemCall::kAny) + 1;

struct Armed {
  std::atomic<uint64_t> in{0};  // 0: not armed
  std::atomic<uint64_t> times{0};
  std::atomic<int> error{0};
};

std::atomic<uint64_t> counts[kCalls];
Armed armed[kCalls];
std::atomic<uint64_t> most_bytes{0};
std::atomic<uint64_t> exit_in{0};

// 0, or the errno this call has to fail with.
int struck(SystemCall call) {
  counts[static_cast<int>(call)]++;
  counts[static_cast<int>(SystemCall::kAny)]++;
  if (exit_in > 0 && --exit_in == 0) ::_exit(99);
  Armed& fault = armed[static_cast<int>(call)];
  if (fault.in == 0) return 0;
  if (fault.in > 1) {
    --fault.in;
    return 0;
  }
  if (--fault.times == 0) fault.in = 0;
  return fault.error;
}

long answer(SystemCall call, long (*make)(long, long, long, long, long), long a, long b, long c, long d, long e) {
  if (const int error = struck(call)) {
    errno = error;
    return -1;
  }
  return make(a, b, c, d, e);
}

}  // namespace

void SystemFaults::fail(SystemCall call, uint64_t nth, int error, uint64_t times) {
  Armed& fault = armed[static_cast<int>(call)];
  fault.error = error;
  fault.times = times;
  fault.in = nth;
}

void SystemFaults::write_at_most(uint64_t bytes) { most_bytes = bytes; }
void SystemFaults::exit_at(uint64_t nth) { exit_in = nth; }

void SystemFaults::disarm() {
  for (Armed& fault : armed) fault.in = 0;
  most_bytes = 0;
  exit_in = 0;
}

uint64_t SystemFaults::count(SystemCall call) { return counts[static_cast<int>(call)]; }

}  // namespace holdfast::test

using holdfast::test::SystemCall;

extern "C" {

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  const uint64_t most = holdfast::test::most_bytes;
  if (most > 0 && size > most) size = most;
  return holdfast::test::answer(
      SystemCall::kPwrite, [](long a, long b, long c, long d, long) { return ::syscall(SYS_pwrite64, a, b, c, d); }, fd,
      reinterpret_cast<long>(data), static_cast<long>(size), offset, 0);
}

int fdatasync(int fd) {
  return static_cast<int>(holdfast::test::answer(
      SystemCall::kFdatasync, [](long a, long, long, long, long) { return ::syscall(SYS_fdatasync, a); }, fd, 0, 0, 0,
      0));
}

int fsync(int fd) {
  return static_cast<int>(holdfast::test::answer(
      SystemCall::kFsync, [](long a, long, long, long, long) { return ::syscall(SYS_fsync, a); }, fd, 0, 0, 0, 0));
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
  return static_cast<int>(holdfast::test::answer(
      SystemCall::kFallocate, [](long a, long b, long c, long d, long) { return ::syscall(SYS_fallocate, a, b, c, d); },
      fd, mode, offset, size, 0));
}

int ftruncate(int fd, off_t size) noexcept {
  return static_cast<int>(holdfast::test::answer(
      SystemCall::kFtruncate, [](long a, long b, long, long, long) { return ::syscall(SYS_ftruncate, a, b); }, fd, size,
      0, 0, 0));
}

int renameat2(int from_fd, const char* from, int to_fd, const char* to, unsigned flags) noexcept {
  return static_cast<int>(holdfast::test::answer(
      SystemCall::kRename,
      [](long a, long b, long c, long d, long e) { return ::syscall(SYS_renameat2, a, b, c, d, e); }, from_fd,
      reinterpret_cast<long>(from), to_fd, reinterpret_cast<long>(to), flags));
}

}  // extern "C"
