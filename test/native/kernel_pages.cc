#include "native/kernel_pages.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "base/bytes.h"
#include "native/next_call.h"

namespace holdfast::test {
namespace {

constexpr uint64_t kRealPage = 4096;

// 0: this kernel's own. A sanitizer asks before there is an environment, and that is not kept.
uint64_t larger_page() {
  constexpr uint64_t kUnknown = UINT64_MAX;
  static std::atomic<uint64_t> bytes{kUnknown};
  if (bytes.load(std::memory_order_relaxed) == kUnknown) {
    if (::environ == nullptr) return 0;
    const char* const text = std::getenv("HOLDFAST_TEST_PAGE_BYTES");
    bytes.store(text == nullptr ? 0 : std::strtoull(text, nullptr, 10), std::memory_order_relaxed);
  }
  return bytes.load(std::memory_order_relaxed);
}

bool is_refused(const void* at) {
  const uint64_t page = larger_page();
  if (page == 0 || reinterpret_cast<uintptr_t>(at) % page == 0) return false;
  errno = EINVAL;
  return true;
}

uint64_t whole_pages(uint64_t size) {
  return larger_page() == 0 ? size : round_up(size, larger_page());
}

void* really_map(void* at, size_t size, int protection, int flags, int fd, off_t offset) {
  return reinterpret_cast<void*>(::syscall(SYS_mmap, at, size, protection, flags, fd, offset));
}

}  // namespace

void* map_pages(void* at, size_t size, int protection, int flags, int fd, off_t offset) {
  const uint64_t page = larger_page();
  if (page == 0) return really_map(at, size, protection, flags, fd, offset);
  const bool fixed = (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) != 0;
  if (static_cast<uint64_t>(offset) % page != 0 || (fixed && is_refused(at))) {
    errno = EINVAL;
    return MAP_FAILED;
  }
  size = whole_pages(size);
  if (fixed) return really_map(at, size, protection, flags, fd, offset);
  constexpr int kNothing = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* const room = really_map(nullptr, size + page, PROT_NONE, kNothing, -1, 0);
  if (room == MAP_FAILED) return room;
  const auto from = reinterpret_cast<uintptr_t>(room), begin = round_up(from, page);
  const auto end = from + size + page;
  if (begin > from) ::syscall(SYS_munmap, from, begin - from);
  if (end > begin + size) ::syscall(SYS_munmap, begin + size, end - begin - size);
  void* const mapped =
      really_map(reinterpret_cast<void*>(begin), size, protection, flags | MAP_FIXED, fd, offset);
  const int error = errno;
  if (mapped == MAP_FAILED) ::syscall(SYS_munmap, begin, size);
  errno = error;
  return mapped;
}

}  // namespace holdfast::test

using holdfast::test::is_refused;
using holdfast::test::larger_page;
using holdfast::test::next_of;
using holdfast::test::whole_pages;

extern "C" {

long sysconf(int name) noexcept {
  if (name == _SC_PAGESIZE && larger_page() != 0) return static_cast<long>(larger_page());
  static const auto next = next_of<long (*)(int)>("sysconf");
  return next(name);
}

int munmap(void* at, size_t size) noexcept {
  static const auto next = next_of<int (*)(void*, size_t)>("munmap");
  return is_refused(at) ? -1 : next(at, whole_pages(size));
}

int madvise(void* at, size_t size, int advice) noexcept {
  static const auto next = next_of<int (*)(void*, size_t, int)>("madvise");
  return is_refused(at) ? -1 : next(at, whole_pages(size), advice);
}

int mprotect(void* at, size_t size, int protection) noexcept {
  static const auto next = next_of<int (*)(void*, size_t, int)>("mprotect");
  return is_refused(at) ? -1 : next(at, whole_pages(size), protection);
}

int mincore(void* at, size_t size, unsigned char* there) noexcept {
  static const auto next = next_of<int (*)(void*, size_t, unsigned char*)>("mincore");
  const uint64_t page = larger_page();
  if (page == 0) return next(at, size, there);
  if (is_refused(at)) return -1;
  size = whole_pages(size);
  std::vector<unsigned char> pieces(size / holdfast::test::kRealPage);
  if (next(at, size, pieces.data()) != 0) return -1;
  const size_t each = page / holdfast::test::kRealPage;
  for (size_t i = 0; i < size / page; i++) {
    there[i] = 1;
    for (size_t k = 0; k < each; k++) there[i] &= pieces[i * each + k];
  }
  return 0;
}

}  // extern "C"
