// Preloaded into a process that uses a pool on persistent memory: stands before libpmem's
// functions, and before the system calls by which a pool that grows changes its file, and tells
// pmem_lines.h what they did. With HOLDFAST_TRACE the events go to that file (trace_format.h).
//
// libpmemobj and the engine call libpmem through dynamic symbols only
// (native/medium/pmem/pmem_wrap.h), so nothing is missed. Under Node.js the addon is loaded
// RTLD_LOCAL and RTLD_NEXT does not find libpmem: it is opened by its name.
#include <dlfcn.h>
#include <errno.h>

#include "crash/media/pmem_lines.h"

namespace holdfast::crash {
namespace {

constexpr unsigned kNoDrain = 1u << 0, kNoFlush = 1u << 5, kNonTemporal = 1u << 1;

template <typename F>
F libpmem(const char* name) {
  static void* library = dlopen("libpmem.so.1", RTLD_LAZY);
  void* found = library == nullptr ? nullptr : dlsym(library, name);
  if (found == nullptr) abort();
  return reinterpret_cast<F>(found);
}

// Does the call come from the engine, and not from libpmemobj?
bool from_engine(void* caller) {
  static uintptr_t begin, end;
  if (begin == 0) {
    Dl_info facts;
    void* object = dlopen("libpmemobj.so.1", RTLD_LAZY | RTLD_NOLOAD);
    void* symbol = object == nullptr ? nullptr : dlsym(object, "pmemobj_open");
    if (symbol == nullptr || dladdr(symbol, &facts) == 0) return false;
    begin = reinterpret_cast<uintptr_t>(facts.dli_fbase);
    end = begin + 16 * 1024 * 1024;
  }
  Dl_info facts;
  const uintptr_t at = reinterpret_cast<uintptr_t>(caller);
  if (at < begin || at >= end) return true;
  return dladdr(caller, &facts) == 0 || reinterpret_cast<uintptr_t>(facts.dli_fbase) != begin;
}

void copied(void* to, size_t size, unsigned flags, void* caller) {
  if ((flags & kNoFlush) != 0) return;
  flushed(to, size, (flags & kNonTemporal) != 0 ? DirtyLine::kStreamed : 0);
  if ((flags & kNoDrain) == 0) fenced(from_engine(caller));
}

long sync_any(int call, int fd) {
  const Guard guard;
  const long result = syscall(call, fd);
  const int error = errno;
  if (result == 0 && of_the_pool(fd)) synced();
  errno = error;
  return result;
}

}  // namespace
}  // namespace holdfast::crash

using namespace holdfast::crash;

extern "C" {

void holdfast_trace_mark(uint64_t kind, uint64_t number) {
  const Guard guard;
  marked(kind, number);
}

void pmem_flush(const void* at, size_t size) {
  static const auto real = libpmem<void (*)(const void*, size_t)>("pmem_flush");
  real(at, size);
  const Guard guard;
  flushed(at, size, 0);
}
void pmem_deep_flush(const void* at, size_t size) {
  static const auto real = libpmem<void (*)(const void*, size_t)>("pmem_deep_flush");
  real(at, size);
  const Guard guard;
  flushed(at, size, 0);
}
void pmem_drain(void) {
  static const auto real = libpmem<void (*)()>("pmem_drain");
  real();
  const Guard guard;
  fenced(from_engine(__builtin_return_address(0)));
}
int pmem_deep_drain(const void* at, size_t size) {
  static const auto real = libpmem<int (*)(const void*, size_t)>("pmem_deep_drain");
  const int result = real(at, size);
  const Guard guard;
  fenced(false);
  return result;
}
void pmem_persist(const void* at, size_t size) {
  static const auto real = libpmem<void (*)(const void*, size_t)>("pmem_persist");
  real(at, size);
  const Guard guard;
  flushed(at, size, 0);
  fenced(from_engine(__builtin_return_address(0)));
}
int pmem_deep_persist(const void* at, size_t size) {
  static const auto real = libpmem<int (*)(const void*, size_t)>("pmem_deep_persist");
  const int result = real(at, size);
  const Guard guard;
  flushed(at, size, 0);
  fenced(false);
  return result;
}
int pmem_msync(const void* at, size_t size) {
  static const auto real = libpmem<int (*)(const void*, size_t)>("pmem_msync");
  const int result = real(at, size);
  const Guard guard;
  flushed(at, size, 0);
  fenced(false);
  return result;
}

// The copies are made here, under the lock: no fence of another thread can come between the copy
// and the note of it.
void* pmem_memcpy(void* to, const void* from, size_t size, unsigned flags) {
  const Guard guard;
  memcpy(to, from, size);
  copied(to, size, flags, __builtin_return_address(0));
  return to;
}
void* pmem_memmove(void* to, const void* from, size_t size, unsigned flags) {
  const Guard guard;
  memmove(to, from, size);
  copied(to, size, flags, __builtin_return_address(0));
  return to;
}
void* pmem_memset(void* to, int byte, size_t size, unsigned flags) {
  const Guard guard;
  memset(to, byte, size);
  copied(to, size, flags, __builtin_return_address(0));
  return to;
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to,
              unsigned flags) noexcept {
  const long result = syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
  const Guard guard;
  if (result == 0) named(to);
  return static_cast<int>(result);
}

int ftruncate(int fd, off_t size) noexcept {
  const Guard guard;
  const long result = syscall(SYS_ftruncate, fd, size);
  const int error = errno;
  if (result == 0 && of_the_pool(fd)) resized(static_cast<uint64_t>(size));
  errno = error;
  return static_cast<int>(result);
}
int ftruncate64(int fd, off_t size) noexcept __attribute__((alias("ftruncate")));

// No other thread stores to a range that is given back, so that the call and the note of it are
// one.
int fallocate(int fd, int mode, off_t offset, off_t size) {
  const Guard guard;
  const long result = syscall(SYS_fallocate, fd, mode, offset, size);
  const int error = errno;
  if (result == 0 && (mode & FALLOC_FL_PUNCH_HOLE) != 0 && of_the_pool(fd))
    punched(static_cast<uint64_t>(offset), static_cast<uint64_t>(size));
  errno = error;
  return static_cast<int>(result);
}
int fallocate64(int fd, int mode, off_t offset, off_t size) __attribute__((alias("fallocate")));

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  const Guard guard;
  const long result = syscall(SYS_pwrite64, fd, data, size, offset);
  const int error = errno;
  if (result > 0 && of_the_pool(fd))
    written(data, static_cast<uint64_t>(offset), static_cast<uint64_t>(result));
  errno = error;
  return result;
}
ssize_t pwrite64(int fd, const void* data, size_t size, off_t offset)
    __attribute__((alias("pwrite")));

int fdatasync(int fd) { return static_cast<int>(sync_any(SYS_fdatasync, fd)); }
int fsync(int fd) { return static_cast<int>(sync_any(SYS_fsync, fd)); }

int munmap(void* at, size_t size) noexcept {
  const Guard guard;
  unmapped(at);
  return static_cast<int>(syscall(SYS_munmap, at, size));
}

void* pmem_memcpy_persist(void* to, const void* from, size_t size) {
  return pmem_memcpy(to, from, size, 0);
}
void* pmem_memmove_persist(void* to, const void* from, size_t size) {
  return pmem_memmove(to, from, size, 0);
}
void* pmem_memset_persist(void* to, int byte, size_t size) {
  return pmem_memset(to, byte, size, 0);
}
void* pmem_memcpy_nodrain(void* to, const void* from, size_t size) {
  return pmem_memcpy(to, from, size, kNoDrain);
}
void* pmem_memmove_nodrain(void* to, const void* from, size_t size) {
  return pmem_memmove(to, from, size, kNoDrain);
}
void* pmem_memset_nodrain(void* to, int byte, size_t size) {
  return pmem_memset(to, byte, size, kNoDrain);
}

__attribute__((destructor)) void holdfast_trace_end(void) {
  const Guard guard;
  ended();
}

}  // extern "C"
