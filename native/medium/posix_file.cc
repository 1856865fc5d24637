#include "medium/posix_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "base/system_page.h"
#include "base/test_hooks.h"

namespace holdfast {
namespace {

// Repeats a call that a signal interrupted; 0 or the errno.
template <typename Call>
int status_of(Call call) {
  for (;;) {
    if (call() >= 0) return 0;
    if (errno != EINTR) return errno;
  }
}

template <typename Call>
int descriptor_of(Call call, int* fd) {
  return status_of([&] { return *fd = call(); });
}

void fill(const struct stat& from, FileFacts* facts) {
  facts->regular = S_ISREG(from.st_mode);
  facts->folder = S_ISDIR(from.st_mode);
  facts->character_device = S_ISCHR(from.st_mode);
  facts->device = from.st_dev;
  facts->inode = from.st_ino;
  facts->size = static_cast<uint64_t>(from.st_size);
  facts->names = from.st_nlink;
  facts->mode = from.st_mode & 07777;
  facts->user = from.st_uid;
  facts->group = from.st_gid;
  facts->device_major = major(from.st_dev);
  facts->device_minor = minor(from.st_dev);
  facts->special_major = major(from.st_rdev);
  facts->special_minor = minor(from.st_rdev);
}

void fill(const struct statfs& from, FileSystemFacts* facts) {
  facts->type = static_cast<uint64_t>(from.f_type) & 0xffffffff;
  // No blocks at all: a file system without a limit of its own (ramfs, tmpfs with size=0).
  facts->free_bytes = from.f_blocks == 0 ? UINT64_MAX / 2
                                         : static_cast<uint64_t>(from.f_bavail) *
                                               static_cast<uint64_t>(from.f_bsize);
}

}  // namespace

int PosixFile::open_existing(const std::string& path, bool writable) {
  close();
  const int flags = (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC |
                    O_NONBLOCK;  // never waits for a FIFO's other end
  return descriptor_of([&] { return ::open(path.c_str(), flags); }, &fd_);
}

int PosixFile::open_again(const PosixFile& other) {
  close();
  const std::string path = "/proc/self/fd/" + std::to_string(other.fd_);
  return descriptor_of([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); }, &fd_);
}

int PosixFile::create_new(const std::string& path) {
  close();
  return descriptor_of(
      [&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644); }, &fd_);
}

// What is there is not opened with O_CREAT: in a folder like /tmp the kernel refuses that for what
// is somebody else's, whatever its mode (fs.protected_regular).
int PosixFile::open_or_create(const std::string& path, uint32_t mode) {
  const int error = open_existing(path, true);
  if (error != ENOENT) return error;
  return descriptor_of([&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, mode); },
                       &fd_);
}

int PosixFile::give_to(uint32_t user, uint32_t group, uint32_t mode) {
  int error = status_of([&] { return ::fchown(fd_, user, group); });
  // Not to another user, but perhaps to a group that this one is in.
  if (error != 0) (void)!::fchown(fd_, static_cast<uid_t>(-1), group);
  if (::fchmod(fd_, mode) != 0) error = errno;
  return error;
}

int PosixFile::create_unnamed(const std::string& folder) {
  close();
  return descriptor_of([&] { return ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600); },
                       &fd_);
}

void PosixFile::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  if (planted(PlantedBug::kDescriptorLeaked)) (void)!::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int PosixFile::write_at(uint64_t offset, const void* data, size_t size, uint64_t* writes) {
  const char* from = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::pwrite(fd_, from, size, static_cast<off_t>(offset));
    ++*writes;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return EIO;  // a disk that takes nothing and gives no reason
    from += n;
    offset += static_cast<uint64_t>(n);
    size -= static_cast<size_t>(n);
  }
  return 0;
}

int PosixFile::write_zeros(uint64_t offset, uint64_t size, uint64_t* writes) {
  static constexpr uint64_t kPiece = 1 << 20;
  static const char zeros[kPiece] = {};
  while (size > 0) {
    const uint64_t piece = std::min(size, kPiece);
    if (const int error = write_at(offset, zeros, piece, writes)) return error;
    offset += piece;
    size -= piece;
  }
  return 0;
}

int PosixFile::read_at(uint64_t offset, void* to, size_t size, size_t* got) const {
  *got = 0;
  while (*got < size) {
    const ssize_t n =
        ::pread(fd_, static_cast<char*>(to) + *got, size - *got, static_cast<off_t>(offset + *got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return 0;
    *got += static_cast<size_t>(n);
  }
  return 0;
}

void PosixFile::begin_writing(uint64_t offset, uint64_t bytes) {
  (void)::sync_file_range(fd_, static_cast<off_t>(offset), static_cast<off_t>(bytes),
                          SYNC_FILE_RANGE_WRITE);
}

int PosixFile::wait_for_writing(uint64_t offset, uint64_t bytes) {
  const int error = status_of([&] {
    return ::sync_file_range(fd_, static_cast<off_t>(offset), static_cast<off_t>(bytes),
                             SYNC_FILE_RANGE_WAIT_BEFORE);
  });
  const bool lost = error == EIO || error == ENOSPC || error == EDQUOT;
  return lost ? error : 0;
}

// Repeated when a signal interrupts it: an interrupted sync has not reported (and so not forgotten)
// a lost page.
int PosixFile::sync_data() {
  return status_of([&] { return ::fdatasync(fd_); });
}

int PosixFile::sync_all() {
  return status_of([&] { return ::fsync(fd_); });
}

int PosixFile::reserve(uint64_t offset, uint64_t bytes) {
  const int error = status_of(
      [&] { return ::fallocate(fd_, 0, static_cast<off_t>(offset), static_cast<off_t>(bytes)); });
  // A kernel, or a sandbox, without the call. What is refused for the file's sake, its writes are
  // too.
  return error == ENOSYS || error == EPERM ? EOPNOTSUPP : error;
}

int PosixFile::give_back(uint64_t offset, uint64_t bytes) {
  return status_of([&] {
    return ::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                       static_cast<off_t>(bytes));
  });
}

int PosixFile::blocks(uint64_t* bytes) const {
  struct stat facts;
  if (::fstat(fd_, &facts) != 0) return errno;
  *bytes = static_cast<uint64_t>(facts.st_blocks) * 512;
  return 0;
}

int PosixFile::truncate(uint64_t size) {
  return status_of([&] { return ::ftruncate(fd_, static_cast<off_t>(size)); });
}

int PosixFile::next_data(uint64_t offset, uint64_t* found) const {
  off_t at = ::lseek(fd_, static_cast<off_t>(offset), SEEK_DATA);
  if (at < 0 && errno == ENXIO) at = ::lseek(fd_, 0, SEEK_END);
  if (at < 0) return errno;
  *found = static_cast<uint64_t>(at);
  return 0;
}

int PosixFile::next_unwritten(uint64_t offset, uint64_t* found) const {
  const off_t at = ::lseek(fd_, static_cast<off_t>(offset), SEEK_HOLE);
  if (at < 0) return errno;
  *found = static_cast<uint64_t>(at);
  return 0;
}

// Advice, which may be ignored without harm: it only narrows the time in which a page that never
// reached the disk is read.
void PosixFile::forget_cached() { ::posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED); }

namespace {
constexpr char kFailedMark[] = "user.holdfast.failed";
}  // namespace

void PosixFile::mark_failed() { (void)::fsetxattr(fd_, kFailedMark, "1", 1, 0); }
bool PosixFile::is_marked_failed() const { return ::fgetxattr(fd_, kFailedMark, nullptr, 0) >= 0; }
void PosixFile::unmark_failed() { (void)::fremovexattr(fd_, kFailedMark); }

int PosixFile::try_lock() {
  return status_of([&] { return ::flock(fd_, LOCK_EX | LOCK_NB); });
}

int PosixFile::try_lock_shared() {
  return status_of([&] { return ::flock(fd_, LOCK_SH | LOCK_NB); });
}

void PosixFile::unlock() { ::flock(fd_, LOCK_UN); }

bool lock_descriptor(int fd) {
  return status_of([&] { return ::flock(fd, LOCK_EX | LOCK_NB); }) != EWOULDBLOCK;
}

namespace {
struct flock one_byte(uint64_t at, short type) {
  struct flock range = {};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(at);
  range.l_len = 1;
  return range;
}
}  // namespace

int PosixFile::try_lock_byte(uint64_t at) {
  struct flock range = one_byte(at, F_WRLCK);
  return status_of([&] { return ::fcntl(fd_, F_OFD_SETLK, &range); });
}

void PosixFile::unlock_byte(uint64_t at) {
  struct flock range = one_byte(at, F_UNLCK);
  ::fcntl(fd_, F_OFD_SETLK, &range);
}

int PosixFile::byte_is_locked(uint64_t at, bool* locked) const {
  struct flock range = one_byte(at, F_WRLCK);
  if (const int error = status_of([&] { return ::fcntl(fd_, F_OFD_GETLK, &range); })) return error;
  *locked = range.l_type != F_UNLCK;
  return 0;
}

int PosixFile::facts(FileFacts* facts) const {
  struct stat found;
  if (::fstat(fd_, &found) != 0) return errno;
  fill(found, facts);
  return 0;
}

int PosixFile::file_system(FileSystemFacts* facts) const {
  struct statfs found;
  if (const int error = status_of([&] { return ::fstatfs(fd_, &found); })) return error;
  fill(found, facts);
  return 0;
}

int PosixFile::map_shared(uint64_t bytes, const uint8_t** at) const {
  void* mapped = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd_, 0);
  if (mapped == MAP_FAILED) return errno;
  *at = static_cast<const uint8_t*>(mapped);
  return 0;
}

int PosixFile::map_private_over(uint64_t offset, uint64_t bytes, void* at) const {
  void* mapped = ::mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE,
                        fd_, static_cast<off_t>(offset));
  return mapped == MAP_FAILED ? errno : 0;
}

int PosixFile::map_shared_over(uint64_t offset, uint64_t bytes, void* at) const {
  void* mapped = ::mmap(at, bytes, PROT_READ, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd_,
                        static_cast<off_t>(offset));
  return mapped == MAP_FAILED ? errno : 0;
}

int PosixFile::map_zeros(uint64_t bytes, const uint8_t** at) {
  void* mapped =
      ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return errno;
  *at = static_cast<const uint8_t*>(mapped);
  return 0;
}

int PosixFile::map_writable(uint64_t bytes, uint8_t** at) const {
  void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (mapped == MAP_FAILED) return errno;
  *at = static_cast<uint8_t*>(mapped);
  return 0;
}

void PosixFile::expect_random_reads(const uint8_t* at, uint64_t bytes) {
  (void)::madvise(const_cast<uint8_t*>(at), bytes, MADV_RANDOM);
}

void PosixFile::expect_reads(const uint8_t* at, uint64_t bytes) {
  const uint64_t before = reinterpret_cast<uintptr_t>(at) % system_page_bytes();
  (void)::madvise(const_cast<uint8_t*>(at) - before, before + bytes, MADV_WILLNEED);
}

// The call itself takes a microsecond, each page that is mapped 2 ns, each other 60.
bool PosixFile::seem_in_memory(const uint8_t* at, uint64_t bytes) {
  constexpr uint64_t kMostLooks = 512;
  const uint64_t page_bytes = system_page_bytes();
  const auto first = reinterpret_cast<uintptr_t>(at) / page_bytes;
  const uint64_t end = (reinterpret_cast<uintptr_t>(at) + bytes - 1) / page_bytes + 1;
  const uint64_t looks = std::min(kMostLooks, end - first);
  auto* const from = reinterpret_cast<void*>((end - looks) * page_bytes);
  unsigned char there[kMostLooks];
  return ::mincore(from, looks * page_bytes, there) == 0 &&
         std::all_of(there, there + looks, [](unsigned char page) { return (page & 1) != 0; });
}

uint64_t PosixFile::reads_that_waited() {
  struct rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_majflt);
}

void PosixFile::unmap(const uint8_t* at, uint64_t bytes) {
  ::munmap(const_cast<uint8_t*>(at), bytes);
}

int PosixFile::map_sync_works(uint64_t bytes, bool* works) const {
  void* mapped =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, fd_, 0);
  *works = mapped != MAP_FAILED;
  if (*works) {
    ::munmap(mapped, bytes);
    return 0;
  }
  return errno == EOPNOTSUPP || errno == EINVAL ? 0 : errno;
}

int path_facts(const std::string& path, FileFacts* facts) {
  struct stat found;
  if (::stat(path.c_str(), &found) != 0) return errno;
  fill(found, facts);
#ifdef STATX_MNT_ID
  constexpr unsigned kMount = STATX_MNT_ID;
#else
  constexpr unsigned kMount = 0;
#endif
  struct statx more;
  if (::statx(AT_FDCWD, path.c_str(), 0, kMount, &more) != 0) return 0;
  facts->dax = (more.stx_attributes & STATX_ATTR_DAX) != 0;
#ifdef STATX_MNT_ID
  if ((more.stx_mask & kMount) != 0) facts->mount = more.stx_mnt_id;
#endif
  return 0;
}

int path_file_system(const std::string& path, FileSystemFacts* facts) {
  struct statfs found;
  if (const int error = status_of([&] { return ::statfs(path.c_str(), &found); })) return error;
  fill(found, facts);
  return 0;
}

int path_writable(const std::string& path) {
  return ::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) == 0 ? 0 : errno;
}

int path_exists_unfollowed(const std::string& path) {
  struct stat found;
  return ::lstat(path.c_str(), &found) == 0 ? 0 : errno;
}

int link_target(const std::string& path, std::string* target) {
  char buffer[4096];
  const ssize_t n = ::readlink(path.c_str(), buffer, sizeof buffer);
  if (n < 0) return errno;
  target->assign(buffer, static_cast<size_t>(n));
  return 0;
}

std::string resolved_path(const std::string& path) {
  char resolved[PATH_MAX];
  return ::realpath(path.c_str(), resolved) != nullptr ? std::string(resolved) : path;
}

namespace {

// Where neither can be asked for (exFAT in user space): one after the other of those who do this.
int rename_where_nothing_is(const std::string& from, const std::string& to) {
  int folder = -1;
  int error = descriptor_of(
      [&] { return ::open(folder_of(to).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }, &folder);
  if (error != 0) return error;
  error = status_of([&] { return ::flock(folder, LOCK_EX); });
  if (error == 0 && path_exists_unfollowed(to) == 0) error = EEXIST;
  if (error == 0) error = rename_replacing(from, to);
  ::close(folder);
  return error;
}

}  // namespace

int rename_without_replacing(const std::string& from, const std::string& to) {
  const int error = status_of(
      [&] { return ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE); });
  if (error != EINVAL && error != ENOSYS) return error;
  const int failed = status_of([&] { return ::link(from.c_str(), to.c_str()); });
  if (failed == 0) return remove_file(from);
  const bool no_links = failed == EPERM || failed == EOPNOTSUPP || failed == ENOSYS;
  return no_links ? rename_where_nothing_is(from, to) : failed;
}

int set_mode(const std::string& path, uint32_t mode) {
  return status_of([&] { return ::chmod(path.c_str(), mode); });
}

int exchange_names(const std::string& one, const std::string& other) {
  return status_of(
      [&] { return ::renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE); });
}

int rename_replacing(const std::string& from, const std::string& to) {
  return status_of([&] { return ::rename(from.c_str(), to.c_str()); });
}

int remove_file(const std::string& path) {
  return status_of([&] { return ::unlink(path.c_str()); });
}

int sync_folder(const std::string& folder) {
  int fd = -1;
  if (const int error = descriptor_of(
          [&] { return ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }, &fd)) {
    return error;
  }
  const int error = status_of([&] { return ::fsync(fd); });
  ::close(fd);
  return error;
}

int list_folder(const std::string& folder, std::vector<std::string>* names) {
  DIR* stream = ::opendir(folder.c_str());
  if (!stream) return errno;
  errno = 0;
  while (const dirent* entry = ::readdir(stream)) names->emplace_back(entry->d_name);
  const int error = errno;
  ::closedir(stream);
  return error;
}

int read_text(const std::string& path, std::string* text) {
  PosixFile file;
  if (const int error = file.open_existing(path, false)) return error;
  text->clear();
  char buffer[16384];
  for (;;) {
    size_t got = 0;
    if (const int error = file.read_at(text->size(), buffer, sizeof buffer, &got)) return error;
    if (got == 0) return 0;
    text->append(buffer, got);
  }
}

bool process_is_dead(int64_t pid) {
  return ::kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH;
}

int64_t own_pid() { return ::getpid(); }

uint32_t own_user() { return ::geteuid(); }

std::string folder_of(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string name_of(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

}  // namespace holdfast
