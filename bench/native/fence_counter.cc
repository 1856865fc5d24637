// Preloaded into a process of the benchmark: counts what it asks of persistent memory through
// libpmem (its own calls and those of libpmemobj), and passes everything on.
//
// At each mark of the benchmark, access("/holdfast-bench-mark"), a line "<fences> <flushes>" is
// added to the file that HOLDFAST_BENCH_FENCES names. A fence is one sfence: pmem_drain, and each
// copy, set or persist that does not leave it to the caller.
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr unsigned kNoDrain = 1u << 0, kNoFlush = 1u << 5;
std::atomic<unsigned long> fences, flushes;

template <typename F>
F real(const char* name, bool in_libpmem = true) {
  static void* library = dlopen("libpmem.so.1", RTLD_LAZY);
  void* found =
      in_libpmem ? (library == nullptr ? nullptr : dlsym(library, name)) : dlsym(RTLD_NEXT, name);
  if (found == nullptr) std::abort();
  return reinterpret_cast<F>(found);
}

void count(unsigned flags) {
  if ((flags & kNoFlush) == 0) flushes.fetch_add(1, std::memory_order_relaxed);
  if ((flags & (kNoDrain | kNoFlush)) == 0) fences.fetch_add(1, std::memory_order_relaxed);
}

void write_line() {
  const char* path = std::getenv("HOLDFAST_BENCH_FENCES");
  if (path == nullptr) return;
  char line[64];
  const int size = std::snprintf(line, sizeof line, "%lu %lu\n", fences.load(), flushes.load());
  const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (fd >= 0 && write(fd, line, static_cast<size_t>(size)) < 0) std::perror("fence counter");
  if (fd >= 0) close(fd);
}

}  // namespace

extern "C" {

int access(const char* path, int mode) noexcept {
  if (std::strcmp(path, "/holdfast-bench-mark") == 0) write_line();
  static const auto next = real<int (*)(const char*, int)>("access", false);
  return next(path, mode);
}

void pmem_drain() {
  fences.fetch_add(1, std::memory_order_relaxed);
  static const auto next = real<void (*)()>("pmem_drain");
  next();
}

void pmem_flush(const void* at, size_t size) {
  count(kNoDrain);
  static const auto next = real<void (*)(const void*, size_t)>("pmem_flush");
  next(at, size);
}

void pmem_persist(const void* at, size_t size) {
  count(0);
  static const auto next = real<void (*)(const void*, size_t)>("pmem_persist");
  next(at, size);
}

#define COUNTED_COPY(name, flags)                                                \
  void* name(void* to, const void* from, size_t size) {                          \
    count(flags);                                                                \
    static const auto next = real<void* (*)(void*, const void*, size_t)>(#name); \
    return next(to, from, size);                                                 \
  }
COUNTED_COPY(pmem_memcpy_persist, 0)
COUNTED_COPY(pmem_memmove_persist, 0)
COUNTED_COPY(pmem_memcpy_nodrain, kNoDrain)
COUNTED_COPY(pmem_memmove_nodrain, kNoDrain)

#define COUNTED_COPY_WITH_FLAGS(name)                                                      \
  void* name(void* to, const void* from, size_t size, unsigned flags) {                    \
    count(flags);                                                                          \
    static const auto next = real<void* (*)(void*, const void*, size_t, unsigned)>(#name); \
    return next(to, from, size, flags);                                                    \
  }
COUNTED_COPY_WITH_FLAGS(pmem_memcpy)
COUNTED_COPY_WITH_FLAGS(pmem_memmove)

void* pmem_memset(void* to, int byte, size_t size, unsigned flags) {
  count(flags);
  static const auto next = real<void* (*)(void*, int, size_t, unsigned)>("pmem_memset");
  return next(to, byte, size, flags);
}

}  // extern "C"
