#include "crash/media/kept_view.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace holdfast::crash {
namespace {

constexpr uint64_t kPage = 4096;
// Of a word of /proc/self/pagemap.
constexpr uint64_t kThere = uint64_t{3} << 62;  // in memory or in swap
constexpr uint64_t kOfTheFile = uint64_t{1} << 61;

std::mutex lock;  // guards all of these
dev_t device = 0;
ino_t inode = 0;
bool wanted = false;
int in_use = -1;  // while the view is given out: the description it was asked with, since a mapping
                  // holds that (and so the lock of who made it) too
uint8_t* view = nullptr;
uint64_t view_bytes = 0;
const uint8_t* content = nullptr;
int pagemap = -1;
int own = -1;  // the same file, opened by nobody else

void* map_anew(void* hint, size_t bytes, int protection, int flags, int fd, off_t offset) {
  return reinterpret_cast<void*>(::syscall(SYS_mmap, hint, bytes, protection, flags, fd, offset));
}

// Of each page of the view its word; empty: the kernel does not say.
std::vector<uint64_t> words_of_pages() {
  std::vector<uint64_t> words(view_bytes / kPage);
  const size_t bytes = words.size() * sizeof(uint64_t);
  const off_t at = static_cast<off_t>(reinterpret_cast<uint64_t>(view) / kPage * sizeof(uint64_t));
  if (pagemap < 0 || ::pread(pagemap, words.data(), bytes, at) != static_cast<ssize_t>(bytes))
    words.clear();
  return words;
}

bool is_private(uint64_t word) { return (word & kThere) != 0 && (word & kOfTheFile) == 0; }

// Can the pages of this mapping that are the process's own be told? Asked of one that is known.
bool pages_can_be_told() {
  if (pagemap >= 0) ::close(pagemap);  // of a process that we were forked from
  pagemap = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (*const_cast<volatile uint8_t*>(view) == 1)
    return false;  // it begins a pool; looked at, so that its page is there
  const std::vector<uint64_t> before = words_of_pages();
  const uint8_t byte = *view;
  *const_cast<volatile uint8_t*>(view) = byte;  // a store, which makes the page our own
  const std::vector<uint64_t> after = words_of_pages();
  return !before.empty() && !after.empty() && (before[0] & kThere) != 0 && !is_private(before[0]) &&
         is_private(after[0]);
}

void drop() {
  if (view != nullptr) ::syscall(SYS_munmap, view, view_bytes);
  view = nullptr;
  if (own >= 0) ::close(own);
  own = -1;
}

// The view holds what the file does. Pages that are the process's own stay so: to drop them costs
// more than to copy them.
bool renew() {
  constexpr uint64_t kMostOwn = 512;
  const std::vector<uint64_t> words = words_of_pages();
  uint64_t own_pages = 0;
  for (uint64_t page = 0; page < words.size(); page++) {
    if (!is_private(words[page])) continue;
    own_pages++;
    std::memcpy(view + page * kPage, content + page * kPage, kPage);
  }
  if (own_pages > kMostOwn && ::madvise(view, view_bytes, MADV_DONTNEED) != 0) std::abort();
  return !words.empty();
}

// Null: this is to be mapped as asked.
void* kept(size_t bytes, int protection, int flags, int fd, off_t offset) {
  constexpr int kForWriting = PROT_READ | PROT_WRITE;
  if (!wanted || fd < 0 || in_use >= 0 || (flags & MAP_PRIVATE) == 0 || (flags & MAP_FIXED) != 0 ||
      protection != kForWriting || offset != 0)
    return nullptr;
  struct stat facts;
  const int error = errno;
  const bool ours = ::fstat(fd, &facts) == 0 && facts.st_dev == device && facts.st_ino == inode &&
                    static_cast<uint64_t>(facts.st_size) == bytes;
  errno = error;
  if (!ours || bytes % kPage != 0) return nullptr;
  if (view == nullptr) {
    void* mapped = map_anew(nullptr, bytes, protection, flags, own, 0);
    if (mapped == MAP_FAILED) return nullptr;
    view = static_cast<uint8_t*>(mapped);
    view_bytes = bytes;
    if (!pages_can_be_told()) {
      wanted = false;
      drop();
      return nullptr;
    }
  }
  if (view_bytes != bytes) return nullptr;
  if (!renew()) std::abort();
  in_use = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return in_use >= 0 ? view : nullptr;
}

}  // namespace

void keep_view_of(int fd, const uint8_t* bytes) {
  const std::lock_guard guard(lock);
  struct stat facts;
  if (::fstat(fd, &facts) != 0) std::abort();
  drop();
  own = ::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDWR | O_CLOEXEC);
  if (own < 0) std::abort();
  content = bytes;
  device = facts.st_dev;
  inode = facts.st_ino;
  wanted = true;
}

void drop_kept_view() {
  const std::lock_guard guard(lock);
  drop();
  wanted = false;
}

}  // namespace holdfast::crash

extern "C" {

void* mmap(void* hint, size_t bytes, int protection, int flags, int fd, off_t offset) noexcept {
  {
    const std::lock_guard guard(holdfast::crash::lock);
    if (void* same = holdfast::crash::kept(bytes, protection, flags, fd, offset)) return same;
  }
  return holdfast::crash::map_anew(hint, bytes, protection, flags, fd, offset);
}

int munmap(void* at, size_t bytes) noexcept {
  {
    const std::lock_guard guard(holdfast::crash::lock);
    if (holdfast::crash::in_use >= 0 && at == holdfast::crash::view &&
        bytes == holdfast::crash::view_bytes) {
      ::close(std::exchange(holdfast::crash::in_use, -1));
      return 0;
    }
  }
  return static_cast<int>(::syscall(SYS_munmap, at, bytes));
}

}  // extern "C"
