// Preloaded before libc: one system call of a kind fails, or does half of what it was asked, when
// its number has come.
//
// Counted and failed are calls about what lies below HOLDFAST_CALLS_FOLDER (and mappings of no file
// that the addon makes), of all threads together. Which call fails is told through
// HOLDFAST_CALLS_CONTROL, a file that is mapped here and written by test/storm/failing-calls.mjs:
// 8-byte words, the kind, the number of the first that fails (1: the next), how many do, the errno
// (0: half of the bytes), how many have failed, and from word 8 on how many of each kind were made.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>

namespace {

// In the order of the names in failing-calls.mjs.
enum Kind {
  kOpen,
  kPwrite,
  kPread,
  kFdatasync,
  kFsync,
  kFallocate,
  kFtruncate,
  kMmap,
  kFlock,
  kLockByte,
  kRename,
  kLink,
  kUnlink,
  kFstat,
  kKinds
};

struct Control {
  std::atomic<int64_t> kind, first, times, error, failed, unused[3], made[kKinds];
};

Control* control = nullptr;
char folder[512];

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

__attribute__((constructor)) void begin() {
  const char* below = getenv("HOLDFAST_CALLS_FOLDER");
  const char* words = getenv("HOLDFAST_CALLS_CONTROL");
  if (below == nullptr || words == nullptr) return;
  snprintf(folder, sizeof folder, "%s/", below);
  const int fd = next<int (*)(const char*, int, ...)>("open")(words, O_RDWR | O_CLOEXEC);
  void* mapped = next<void* (*)(void*, size_t, int, int, int, off_t)>("mmap")(
      nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped != MAP_FAILED) control = static_cast<Control*>(mapped);
}

bool is_ours(const char* path) {
  return control != nullptr && strncmp(path, folder, strlen(folder)) == 0;
}

bool is_ours(int fd) {
  if (control == nullptr || fd < 0) return false;
  char link[64], path[1024];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const int before = errno;
  const ssize_t bytes = readlink(link, path, sizeof path - 1);
  errno = before;
  path[bytes < 0 ? 0 : bytes] = '\0';
  return is_ours(path);
}

bool is_the_addons(const void* caller) {
  Dl_info found;
  return control != nullptr && dladdr(caller, &found) != 0 &&
         strstr(found.dli_fname, "holdfast_") != nullptr;
}

enum class Fate { kGoesOn, kHalf, kFails };

// Of one call of ours; where it fails errno is set.
Fate fate(Kind kind) {
  const int64_t number = ++control->made[kind];
  if (control->kind != kind || number < control->first || number >= control->first + control->times)
    return Fate::kGoesOn;
  control->failed++;
  if (control->error == 0) return Fate::kHalf;
  errno = static_cast<int>(control->error.load());
  return Fate::kFails;
}

template <typename What>
bool fails(Kind kind, What what) {
  return is_ours(what) && fate(kind) == Fate::kFails;
}

size_t half_of(size_t bytes) { return bytes > 1 ? bytes / 2 : bytes; }

int open_one(const char* path, int flags, mode_t mode) {
  static const auto real = next<int (*)(const char*, int, ...)>("open");
  return fails(kOpen, path) ? -1 : real(path, flags, mode);
}

ssize_t write_some(int fd, const void* from, size_t bytes, off_t at) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  const Fate how = is_ours(fd) ? fate(kPwrite) : Fate::kGoesOn;
  return how == Fate::kFails ? -1 : real(fd, from, how == Fate::kHalf ? half_of(bytes) : bytes, at);
}

ssize_t read_some(int fd, void* to, size_t bytes, off_t at) {
  static const auto real = next<ssize_t (*)(int, void*, size_t, off_t)>("pread");
  const Fate how = is_ours(fd) ? fate(kPread) : Fate::kGoesOn;
  return how == Fate::kFails ? -1 : real(fd, to, how == Fate::kHalf ? half_of(bytes) : bytes, at);
}

void* map_one(const void* caller, void* at, size_t bytes, int protection, int flags, int fd,
              off_t offset) {
  static const auto real = next<void* (*)(void*, size_t, int, int, int, off_t)>("mmap");
  const bool ours = fd < 0 ? is_the_addons(caller) : is_ours(fd);
  return ours && fate(kMmap) == Fate::kFails ? MAP_FAILED
                                             : real(at, bytes, protection, flags, fd, offset);
}

int control_one(int fd, int command, void* argument) {
  static const auto real = next<int (*)(int, int, ...)>("fcntl");
  const bool locks = command == F_OFD_SETLK || command == F_OFD_GETLK;
  return locks && fails(kLockByte, fd) ? -1 : real(fd, command, argument);
}

}  // namespace

// Large files have names of their own in libc; on 64 bits they are the same calls.
extern "C" {

#define HOLDFAST_OPEN(name)                    \
  int name(const char* path, int flags, ...) { \
    va_list rest;                              \
    va_start(rest, flags);                     \
    const mode_t mode = va_arg(rest, mode_t);  \
    va_end(rest);                              \
    return open_one(path, flags, mode);        \
  }
HOLDFAST_OPEN(open)
HOLDFAST_OPEN(open64)

#define HOLDFAST_FCNTL(name)                   \
  int name(int fd, int command, ...) {         \
    va_list rest;                              \
    va_start(rest, command);                   \
    void* argument = va_arg(rest, void*);      \
    va_end(rest);                              \
    return control_one(fd, command, argument); \
  }
HOLDFAST_FCNTL(fcntl)
HOLDFAST_FCNTL(fcntl64)

ssize_t pwrite(int fd, const void* from, size_t bytes, off_t at) {
  return write_some(fd, from, bytes, at);
}
ssize_t pwrite64(int fd, const void* from, size_t bytes, off_t at) {
  return write_some(fd, from, bytes, at);
}
ssize_t pread(int fd, void* to, size_t bytes, off_t at) { return read_some(fd, to, bytes, at); }
ssize_t pread64(int fd, void* to, size_t bytes, off_t at) { return read_some(fd, to, bytes, at); }
void* mmap(void* at, size_t bytes, int protection, int flags, int fd, off_t offset) noexcept {
  return map_one(__builtin_return_address(0), at, bytes, protection, flags, fd, offset);
}
void* mmap64(void* at, size_t bytes, int protection, int flags, int fd, off_t offset) noexcept {
  return map_one(__builtin_return_address(0), at, bytes, protection, flags, fd, offset);
}

#define HOLDFAST_CALL(name, kind, what, parameters, arguments) \
  int name parameters {                                        \
    static const auto real = next<int(*) parameters>(#name);   \
    return fails(kind, what) ? -1 : real arguments;            \
  }
HOLDFAST_CALL(fdatasync, kFdatasync, fd, (int fd), (fd))
HOLDFAST_CALL(fsync, kFsync, fd, (int fd), (fd))
HOLDFAST_CALL(fallocate, kFallocate, fd, (int fd, int mode, off_t at, off_t bytes),
              (fd, mode, at, bytes))
HOLDFAST_CALL(fallocate64, kFallocate, fd, (int fd, int mode, off_t at, off_t bytes),
              (fd, mode, at, bytes))
HOLDFAST_CALL(ftruncate, kFtruncate, fd, (int fd, off_t bytes) noexcept, (fd, bytes))
HOLDFAST_CALL(ftruncate64, kFtruncate, fd, (int fd, off_t bytes) noexcept, (fd, bytes))
HOLDFAST_CALL(flock, kFlock, fd, (int fd, int operation) noexcept, (fd, operation))
HOLDFAST_CALL(rename, kRename, from, (const char* from, const char* to) noexcept, (from, to))
HOLDFAST_CALL(renameat2, kRename, from,
              (int a, const char* from, int b, const char* to, unsigned flags) noexcept,
              (a, from, b, to, flags))
HOLDFAST_CALL(link, kLink, from, (const char* from, const char* to) noexcept, (from, to))
HOLDFAST_CALL(unlink, kUnlink, path, (const char* path) noexcept, (path))
HOLDFAST_CALL(fstat, kFstat, fd, (int fd, struct stat* facts) noexcept, (fd, facts))
HOLDFAST_CALL(fstat64, kFstat, fd, (int fd, struct stat64* facts) noexcept, (fd, facts))

}  // extern "C"
