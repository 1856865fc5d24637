// Preloaded into a process that uses a pool on a file: stands before the system calls that change
// files and folders and writes them to the trace, in the order in which they took effect. What is
// durable follows from that: all that was written to a file before a sync of it that succeeded; a
// name, once its folder was synced. Everything else may or may not be there after a power cut: any
// subset of the 512-byte sectors, the old length or the new one.
//
// Only files directly in HOLDFAST_TRACE_FOLDER are traced; what a file holds when it is first
// opened is taken as durable. A write is noted after it has been made and a sync before: what runs
// at the same time is taken as not covered. Stores through a mapping are not seen; the engine makes
// none (docs/decisions, medium/file_medium.h).
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "crash/media/tracer.h"

namespace holdfast::crash {
namespace {

struct Known {
  uint64_t inode, device;
};

SpinLock lock;
TraceFile trace;
Known known[256];
uint64_t known_count;

struct Guard {
  Guard() { lock.lock(); }
  ~Guard() { lock.unlock(); }
};

// Its number, or -1: not one of ours. Under the lock.
int64_t number_of(int fd) {
  struct stat facts;
  if (!trace.on() || syscall(SYS_fstat, fd, &facts) != 0) return -1;
  for (uint64_t i = 0; i < known_count; i++) {
    if (known[i].inode == facts.st_ino && known[i].device == facts.st_dev)
      return static_cast<int64_t>(i);
  }
  return -1;
}

bool absolute(int folder, const char* path, char* out) {
  char parent[PATH_MAX];
  const char* slash = strrchr(path, '/');
  if (folder != AT_FDCWD && path[0] != '/') return false;
  if (slash == nullptr) {
    if (realpath(".", parent) == nullptr) return false;
    slash = path - 1;
  } else {
    const size_t size = slash == path ? 1 : static_cast<size_t>(slash - path);
    if (size >= sizeof parent) return false;
    memcpy(out, path, size);
    out[size] = '\0';
    if (realpath(out, parent) == nullptr) return false;
  }
  if (strlen(parent) + strlen(slash + 1) + 2 > PATH_MAX) return false;
  strcpy(out, parent);
  strcat(out, "/");
  strcat(out, slash + 1);
  return true;
}

// The name in the traced folder, or null.
const char* traced_name(int folder, const char* path) {
  static char resolved[PATH_MAX];
  if (!trace.on() || !absolute(folder, path, resolved) || !directly_in(trace.folder(), resolved))
    return nullptr;
  return strrchr(resolved, '/') + 1;
}

void opened(int fd, int folder, const char* path) {
  struct stat facts;
  const char* name = traced_name(folder, path);
  if (name == nullptr || number_of(fd) >= 0 || syscall(SYS_fstat, fd, &facts) != 0 ||
      !S_ISREG(facts.st_mode))
    return;
  if (known_count == sizeof known / sizeof known[0]) abort();
  known[known_count] = {facts.st_ino, facts.st_dev};
  const uint64_t size = static_cast<uint64_t>(facts.st_size);
  trace.event(EventType::kFile, known_count++, size, strlen(name), strlen(name) + size);
  trace.put(name, strlen(name));
  static char buffer[1 << 16];
  for (uint64_t at = 0; at < size;) {
    const long n =
        syscall(SYS_pread64, fd, buffer, sizeof buffer < size - at ? sizeof buffer : size - at, at);
    if (n <= 0) abort();
    trace.put(buffer, static_cast<size_t>(n));
    at += static_cast<uint64_t>(n);
  }
}

long open_any(int folder, const char* path, int flags, mode_t mode) {
  const Guard guard;  // what the file holds is read before anybody can write to it
  const long fd = syscall(SYS_openat, folder, path, flags, mode);
  const int error = errno;
  const bool unnamed = (flags & O_TMPFILE) == O_TMPFILE;
  if (fd >= 0 && (flags & O_ACCMODE) != O_RDONLY && !unnamed)
    opened(static_cast<int>(fd), folder, path);
  errno = error;
  return fd;
}

void resized(int fd, uint64_t at_least, bool exactly) {
  const int64_t file = number_of(fd);
  struct stat facts;
  if (file < 0 || syscall(SYS_fstat, fd, &facts) != 0) return;
  if (!exactly && static_cast<uint64_t>(facts.st_size) < at_least) return;
  trace.event(EventType::kResize, static_cast<uint64_t>(file), static_cast<uint64_t>(facts.st_size),
              0, 0);
}

// What is given back reads as zeros from now on: written so, as far as a power cut is concerned.
void punched(int fd, uint64_t offset, uint64_t size) {
  static constexpr char zeros[1 << 16] = {};
  const int64_t file = number_of(fd);
  struct stat facts;
  if (file < 0 || syscall(SYS_fstat, fd, &facts) != 0) return;
  const uint64_t length = static_cast<uint64_t>(facts.st_size),
                 end = offset + size < length ? offset + size : length;
  for (uint64_t at = offset; at < end;) {
    const uint64_t piece = sizeof zeros < end - at ? sizeof zeros : end - at;
    trace.event(EventType::kWrite, static_cast<uint64_t>(file), at, 0, piece);
    trace.put(zeros, piece);
    at += piece;
  }
}

long sync_any(int call, int fd) {
  struct stat facts;
  {
    const Guard guard;
    const int64_t file = number_of(fd);
    if (file >= 0) trace.event(EventType::kSync, static_cast<uint64_t>(file), 0, 0, 0);
    struct stat folder;
    if (file < 0 && trace.on() && syscall(SYS_fstat, fd, &facts) == 0 && S_ISDIR(facts.st_mode) &&
        syscall(SYS_stat, trace.folder(), &folder) == 0 && folder.st_ino == facts.st_ino) {
      trace.event(EventType::kFolderSync, 0, 0, 0, 0);
    }
  }
  // Into the page cache of the scratch folder; what it would make durable is the trace's affair.
  return syscall(call, fd);
}

void named(int folder, const char* path) {
  const char* name = traced_name(folder, path);
  struct stat facts;
  if (name == nullptr || syscall(SYS_newfstatat, folder, path, &facts, AT_SYMLINK_NOFOLLOW) != 0)
    return;
  for (uint64_t i = 0; i < known_count; i++) {
    if (known[i].inode != facts.st_ino || known[i].device != facts.st_dev) continue;
    trace.event(EventType::kLink, i, 0, 0, strlen(name));
    trace.put(name, strlen(name));
  }
}

void unnamed(int folder, const char* path) {
  const char* name = traced_name(folder, path);
  if (name == nullptr) return;
  trace.event(EventType::kUnlink, 0, 0, 0, strlen(name));
  trace.put(name, strlen(name));
}

long rename_any(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  const Guard guard;
  const long result = syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
  const int error = errno;
  if (result == 0) named(to_folder, to);
  if (result == 0) unnamed(from_folder, from);
  errno = error;
  return result;
}

}  // namespace
}  // namespace holdfast::crash

using namespace holdfast::crash;

extern "C" {

void holdfast_trace_mark(uint64_t kind, uint64_t number) {
  const Guard guard;
  if (trace.on()) trace.event(EventType::kMark, kind, number, 0, 0);
}

int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return static_cast<int>(open_any(AT_FDCWD, path, flags, mode));
}
int open64(const char* path, int flags, ...) __attribute__((alias("open")));
int openat(int folder, const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return static_cast<int>(open_any(folder, path, flags, mode));
}
int openat64(int folder, const char* path, int flags, ...) __attribute__((alias("openat")));

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  const long written = syscall(SYS_pwrite64, fd, data, size, offset);
  const int error = errno;
  const Guard guard;
  const int64_t file = written > 0 ? number_of(fd) : -1;
  if (file >= 0) {
    trace.event(EventType::kWrite, static_cast<uint64_t>(file), static_cast<uint64_t>(offset), 0,
                static_cast<uint64_t>(written));
    trace.put(data, static_cast<size_t>(written));
  }
  errno = error;
  return written;
}
ssize_t pwrite64(int fd, const void* data, size_t size, off_t offset)
    __attribute__((alias("pwrite")));

int fdatasync(int fd) { return static_cast<int>(sync_any(SYS_fdatasync, fd)); }
int fsync(int fd) { return static_cast<int>(sync_any(SYS_fsync, fd)); }

int ftruncate(int fd, off_t size) noexcept {
  const Guard guard;
  const long result = syscall(SYS_ftruncate, fd, size);
  const int error = errno;
  if (result == 0) resized(fd, 0, true);
  errno = error;
  return static_cast<int>(result);
}
int ftruncate64(int fd, off_t size) noexcept __attribute__((alias("ftruncate")));

int fallocate(int fd, int mode, off_t offset, off_t size) {
  const Guard guard;
  const long result = syscall(SYS_fallocate, fd, mode, offset, size);
  const int error = errno;
  const bool punches = (mode & FALLOC_FL_PUNCH_HOLE) != 0;
  if (result == 0 && punches)
    punched(fd, static_cast<uint64_t>(offset), static_cast<uint64_t>(size));
  if (result == 0 && !punches) resized(fd, static_cast<uint64_t>(offset + size), false);
  errno = error;
  return static_cast<int>(result);
}
int fallocate64(int fd, int mode, off_t offset, off_t size) __attribute__((alias("fallocate")));

int rename(const char* from, const char* to) noexcept {
  return static_cast<int>(rename_any(AT_FDCWD, from, AT_FDCWD, to, 0));
}
int renameat(int from_folder, const char* from, int to_folder, const char* to) noexcept {
  return static_cast<int>(rename_any(from_folder, from, to_folder, to, 0));
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to,
              unsigned flags) noexcept {
  return static_cast<int>(rename_any(from_folder, from, to_folder, to, flags));
}
int link(const char* from, const char* to) noexcept {
  const Guard guard;
  const long result = syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
  const int error = errno;
  if (result == 0) named(AT_FDCWD, to);
  errno = error;
  return static_cast<int>(result);
}
int unlink(const char* path) noexcept {
  const Guard guard;
  const long result = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
  const int error = errno;
  if (result == 0) unnamed(AT_FDCWD, path);
  errno = error;
  return static_cast<int>(result);
}

__attribute__((destructor)) void holdfast_trace_end(void) {
  const Guard guard;
  trace.flush();
}

}  // extern "C"
