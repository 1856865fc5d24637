#include "native/system_faults.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstring>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "native/kernel_pages.h"
#include "native/next_call.h"

namespace holdfast::test {
namespace {

constexpr int kCalls = static_cast<int>(SystemCall::kFlock) + 1;

struct Armed {
  std::atomic<uint64_t> in{0};  // 0: not armed
  std::atomic<uint64_t> times{0};
  std::atomic<int> error{0};
};

std::atomic<uint64_t> counts[kCalls];
Armed armed[kCalls];
std::atomic<uint64_t> most_bytes{0}, most_read{0};
std::atomic<uint64_t> exit_in{0};
std::function<void()> syncing;  // once
std::function<void()> opened;   // once
uint64_t opened_in = 0;         // 0: not armed
std::atomic<bool> disk_is_full{false};

// What stood where something was written since the last sync.
struct Overwritten {
  int fd;
  off_t offset;
  std::string bytes;
};
std::mutex unsynced_mutex;
std::vector<Overwritten> unsynced;  // guarded by unsynced_mutex
std::atomic<uint64_t> losing{0};    // the seed; 0: nothing is lost

void remember_overwritten(int fd, off_t offset, size_t size) {
  if (losing == 0) return;
  const std::lock_guard guard(unsynced_mutex);
  while (size > 0) {
    const size_t piece = std::min(size, 512 - static_cast<size_t>(offset) % 512);
    std::string bytes(piece, '\0');
    (void)!::syscall(SYS_pread64, fd, bytes.data(), piece, offset);  // behind the end: zeros
    unsynced.push_back({fd, offset, std::move(bytes)});
    offset += static_cast<off_t>(piece);
    size -= piece;
  }
}

void end_sync(bool succeeded) {
  const std::lock_guard guard(unsynced_mutex);
  std::mt19937_64 random(losing);
  // The latest first, so that of two writes to one sector what was there before the first is what
  // stays.
  for (size_t i = unsynced.size(); !succeeded && i-- > 0;) {
    const Overwritten& was = unsynced[i];
    if (random() % 2 == 0)
      (void)!::syscall(SYS_pwrite64, was.fd, was.bytes.data(), was.bytes.size(), was.offset);
  }
  unsynced.clear();
}

// 0, or the errno this call has to fail with.
int struck(SystemCall call) {
  counts[static_cast<int>(call)]++;
  if (call < SystemCall::kAny) {
    counts[static_cast<int>(SystemCall::kAny)]++;
    if (exit_in > 0 && --exit_in == 0) ::_exit(99);
  }
  Armed& fault = armed[static_cast<int>(call)];
  if (fault.in == 0) return 0;
  if (fault.in > 1) {
    --fault.in;
    return 0;
  }
  if (--fault.times == 0) fault.in = 0;
  return fault.error;
}

long answer(SystemCall call, long (*make)(long, long, long, long, long), long a, long b, long c,
            long d, long e) {
  if (const int error = struck(call)) {
    errno = error;
    return -1;
  }
  return make(a, b, c, d, e);
}

// Has every byte of it a block, written or not? Below 0: the disk cannot tell.
int has_blocks(int fd, uint64_t from, uint64_t bytes) {
  while (bytes > 0) {
    alignas(struct fiemap) char room[sizeof(struct fiemap) + sizeof(struct fiemap_extent)] = {};
    auto* const asked = reinterpret_cast<struct fiemap*>(room);
    asked->fm_start = from;
    asked->fm_length = bytes;
    asked->fm_flags = FIEMAP_FLAG_SYNC;
    asked->fm_extent_count = 1;
    if (::ioctl(fd, FS_IOC_FIEMAP, asked) != 0) return -1;
    struct fiemap_extent extent;
    std::memcpy(&extent, room + sizeof(struct fiemap), sizeof extent);
    if (asked->fm_mapped_extents == 0 || extent.fe_logical > from) return 0;
    const uint64_t covered = std::min<uint64_t>(bytes, extent.fe_logical + extent.fe_length - from);
    from += covered;
    bytes -= covered;
  }
  return 1;
}

int sync_answer(SystemCall call, long number, int fd) {
  if (syncing && call == SystemCall::kFdatasync) std::exchange(syncing, nullptr)();
  const long result = answer(
      call, [](long a, long b, long, long, long) { return ::syscall(b, a); }, fd, number, 0, 0, 0);
  const int error = errno;
  if (losing != 0 && (result == 0 || error != EINTR)) end_sync(result == 0);
  errno = error;
  return static_cast<int>(result);
}

}  // namespace

void SystemFaults::fail(SystemCall call, uint64_t nth, int error, uint64_t times) {
  Armed& fault = armed[static_cast<int>(call)];
  fault.error = error;
  fault.times = times;
  fault.in = nth;
}

void SystemFaults::write_at_most(uint64_t bytes) { most_bytes = bytes; }
void SystemFaults::read_at_most(uint64_t bytes) { most_read = bytes; }
void SystemFaults::under_sync(std::function<void()> once) { syncing = std::move(once); }
void SystemFaults::behind_open(uint64_t nth, std::function<void()> once) {
  opened = std::move(once);
  opened_in = nth;
}
void SystemFaults::exit_at(uint64_t nth) { exit_in = nth; }

bool SystemFaults::fill_disk(const std::string& file) {
  const int fd = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, file.c_str(), O_RDONLY, 0));
  disk_is_full = fd >= 0 && has_blocks(fd, 0, 1) >= 0;
  if (fd >= 0) ::close(fd);
  return disk_is_full;
}

void SystemFaults::disarm() {
  disk_is_full = false;
  for (Armed& fault : armed) fault.in = 0;
  most_bytes = most_read = 0;
  exit_in = opened_in = 0;
  syncing = opened = nullptr;
  losing = 0;
  end_sync(true);
}

void SystemFaults::lose_unsynced(uint64_t seed) { losing = seed; }

uint64_t SystemFaults::count(SystemCall call) { return counts[static_cast<int>(call)]; }

}  // namespace holdfast::test

using holdfast::test::SystemCall;

extern "C" {

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  const uint64_t most = holdfast::test::most_bytes;
  if (most > 0 && size > most) size = most;
  holdfast::test::remember_overwritten(fd, offset, size);
  return holdfast::test::answer(
      SystemCall::kPwrite,
      [](long a, long b, long c, long d, long) { return ::syscall(SYS_pwrite64, a, b, c, d); }, fd,
      reinterpret_cast<long>(data), static_cast<long>(size), offset, 0);
}

ssize_t pread(int fd, void* to, size_t size, off_t offset) {
  const uint64_t most = holdfast::test::most_read;
  return ::syscall(SYS_pread64, fd, to, most > 0 ? std::min<uint64_t>(size, most) : size, offset);
}

int fdatasync(int fd) {
  return holdfast::test::sync_answer(SystemCall::kFdatasync, SYS_fdatasync, fd);
}
int fsync(int fd) { return holdfast::test::sync_answer(SystemCall::kFsync, SYS_fsync, fd); }

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  const int fd = static_cast<int>(holdfast::test::answer(
      SystemCall::kOpen,
      [](long a, long b, long c, long d, long) { return ::syscall(SYS_openat, a, b, c, d); },
      AT_FDCWD, reinterpret_cast<long>(path), flags, mode, 0));
  const int error = errno;
  if (holdfast::test::opened_in > 0 && --holdfast::test::opened_in == 0)
    std::exchange(holdfast::test::opened, nullptr)();
  errno = error;
  return fd;
}

// Only mappings of files: the allocator's own are not ours to fail.
void* mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) noexcept {
  const int error = fd < 0 ? 0 : holdfast::test::struck(SystemCall::kMmap);
  if (error != 0) {
    errno = error;
    return MAP_FAILED;
  }
  return holdfast::test::map_pages(at, size, protection, flags, fd, offset);
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
  if (holdfast::test::disk_is_full && mode == 0 &&
      holdfast::test::has_blocks(fd, static_cast<uint64_t>(offset), static_cast<uint64_t>(size)) !=
          1) {
    errno = ENOSPC;
    return -1;
  }
  return static_cast<int>(holdfast::test::answer(
      SystemCall::kFallocate,
      [](long a, long b, long c, long d, long) {
        static const auto next =
            holdfast::test::next_of<int (*)(int, int, off_t, off_t)>("fallocate");
        return static_cast<long>(next(static_cast<int>(a), static_cast<int>(b), c, d));
      },
      fd, mode, offset, size, 0));
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*main)(void*),
                   void* argument) noexcept {
  static const auto next =
      holdfast::test::next_of<int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>(
          "pthread_create");
  const int error = holdfast::test::struck(SystemCall::kThread);
  return error != 0 ? error : next(thread, attributes, main, argument);
}

int posix_fadvise(int fd, off_t offset, off_t size, int advice) noexcept {
  holdfast::test::struck(SystemCall::kFadvise);
  return ::syscall(SYS_fadvise64, fd, offset, size, advice) == 0 ? 0 : errno;
}

int sync_file_range(int fd, off_t offset, off_t size, unsigned flags) {
  return static_cast<int>(holdfast::test::answer(
      SystemCall::kSyncRange,
      [](long a, long b, long c, long d, long) {
        return ::syscall(SYS_sync_file_range, a, b, c, d);
      },
      fd, offset, size, flags, 0));
}

int flock(int fd, int operation) noexcept {
  return static_cast<int>(holdfast::test::answer(
      SystemCall::kFlock,
      [](long a, long b, long, long, long) { return ::syscall(SYS_flock, a, b); }, fd, operation, 0,
      0, 0));
}

int ftruncate(int fd, off_t size) noexcept {
  return static_cast<int>(holdfast::test::answer(
      SystemCall::kFtruncate,
      [](long a, long b, long, long, long) {
        static const auto next = holdfast::test::next_of<int (*)(int, off_t)>("ftruncate");
        return static_cast<long>(next(static_cast<int>(a), b));
      },
      fd, size, 0, 0, 0));
}

int link(const char* from, const char* to) noexcept {
  return static_cast<int>(holdfast::test::answer(
      SystemCall::kLink, [](long a, long b, long, long, long) { return ::syscall(SYS_link, a, b); },
      reinterpret_cast<long>(from), reinterpret_cast<long>(to), 0, 0, 0));
}

int renameat2(int from_fd, const char* from, int to_fd, const char* to, unsigned flags) noexcept {
  return static_cast<int>(holdfast::test::answer(
      SystemCall::kRename,
      [](long a, long b, long c, long d, long e) {
        return ::syscall(SYS_renameat2, a, b, c, d, e);
      },
      from_fd, reinterpret_cast<long>(from), to_fd, reinterpret_cast<long>(to), flags));
}

}  // extern "C"
