// Every system call the media make about files and folders, and nothing else: no policy, no
// wording.
//
// They are made through the plain libc symbols (pwrite, fdatasync, ftruncate, fallocate, rename,
// fsync, ...), so that a preloaded shim sees and can fail each of them. All return 0 or the errno;
// EINTR and short transfers are gone on with here. Threads: any, except that open, map and close
// belong to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace holdfast {

// What stat says about a path. Symbolic links are followed.
struct FileFacts {
  bool regular = false, folder = false, character_device = false;
  uint64_t device = 0, inode = 0, size = 0, names = 0;  // names: hard links
  uint32_t mode = 0, user = 0, group = 0;
  uint32_t device_major = 0, device_minor = 0;    // of the file system the file is on
  uint32_t special_major = 0, special_minor = 0;  // of the device that the file is
  uint64_t mount = 0;  // its number in /proc/self/mountinfo; 0: the kernel or this build cannot say
  bool dax = false;    // the statx attribute: a promise, not a proof
};

struct FileSystemFacts {
  uint64_t type = 0;        // the magic number
  uint64_t free_bytes = 0;  // for an unprivileged user
};

class PosixFile {
 public:
  PosixFile() = default;
  ~PosixFile() { close(); }
  PosixFile(PosixFile&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  PosixFile& operator=(PosixFile&& other) noexcept {
    close();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }

  int open_existing(const std::string& path, bool writable);
  int open_again(
      const PosixFile& other);  // the same file, for reading; not where there is no /proc
  int create_new(const std::string& path);  // EEXIST if the name is taken
  int open_or_create(const std::string& path, uint32_t mode);
  // As far as this user may: each by itself. 0: all of it.
  int give_to(uint32_t user, uint32_t group, uint32_t mode);
  int create_unnamed(const std::string& folder);  // a file without a name, gone when closed
  void close();
  bool is_open() const { return fd_ >= 0; }

  // *writes grows by one for each pwrite made.
  int write_at(uint64_t offset, const void* data, size_t size, uint64_t* writes);
  int write_zeros(uint64_t offset, uint64_t size, uint64_t* writes);
  int read_at(uint64_t offset, void* to, size_t size,
              size_t* got) const;  // *got < size: the file ends there
  // Of a range: what of it waits in memory is handed to the device; all of that has been written,
  // or failed (of any other range too, since this open file was last told). Neither makes anything
  // durable, and both do nothing where the system cannot.
  void begin_writing(uint64_t offset, uint64_t bytes);
  int wait_for_writing(uint64_t offset, uint64_t bytes);
  int sync_data();  // fdatasync
  int sync_all();   // fsync
  int reserve(
      uint64_t offset,
      uint64_t bytes);  // fallocate: real blocks, file made longer; EOPNOTSUPP where there is none
  int give_back(uint64_t offset,
                uint64_t bytes);      // the blocks of a range, which then reads as zeros
  int blocks(uint64_t* bytes) const;  // that it takes of its file system
  int truncate(uint64_t size);
  // Where the first block at or after `offset` begins that was never written (the file's end at the
  // latest).
  int next_unwritten(uint64_t offset, uint64_t* found) const;
  // Where the first byte at or after `offset` is that is not in a hole; the file's end where there
  // is none.
  int next_data(uint64_t offset, uint64_t* found) const;
  // Clean pages of the page cache that nobody has mapped are forgotten, so that the next read asks
  // the device.
  void forget_cached();
  // An extended attribute, which the next process sees as long as the page cache lives. Without
  // effect where a file system has none.
  void mark_failed();
  bool is_marked_failed() const;
  void unmark_failed();

  int try_lock();  // flock, exclusive; EWOULDBLOCK if another open file holds it
  // Shared with other such locks, not with try_lock's; given up by unlock() or close().
  int try_lock_shared();
  void unlock();
  // A lock on one byte, exclusive, of this open file (not of the process: it also excludes other
  // opens of the same process). The kernel drops it with the last descriptor, however the process
  // dies. EAGAIN or EACCES if another holds it.
  int try_lock_byte(uint64_t at);
  void unlock_byte(uint64_t at);
  int byte_is_locked(uint64_t at, bool* locked) const;  // by somebody else
  int facts(FileFacts* facts) const;
  int file_system(FileSystemFacts* facts) const;

  int map_shared(uint64_t bytes, const uint8_t** at) const;  // read-only
  // Over what is mapped at `at`: a stored page is a copy, the file never changes.
  int map_private_over(uint64_t offset, uint64_t bytes, void* at) const;
  int map_shared_over(uint64_t offset, uint64_t bytes,
                      void* at) const;  // read-only, over what is mapped at `at`
  int map_writable(uint64_t bytes,
                   uint8_t** at) const;  // shared; for what need not be durable only
  static void unmap(const uint8_t* at, uint64_t bytes);
  // Of a mapping: a page that is touched is read alone, not with those around it; bytes that will
  // be touched soon are read meanwhile. Advice: nothing is said where it is not taken.
  static void expect_random_reads(const uint8_t* at, uint64_t bytes);
  static void expect_reads(const uint8_t* at, uint64_t bytes);
  // Of a mapping of a file that this process may write to (of others the kernel does not say): the
  // last 512 of its pages are looked at, in one system call. Quicker than to fetch what is there.
  static bool seem_in_memory(const uint8_t* at, uint64_t bytes);
  // Touches of any mapping by this process that had to wait for a disk.
  static uint64_t reads_that_waited();
  static int map_zeros(
      uint64_t bytes,
      const uint8_t** at);  // read-only, no memory taken: addresses to map files over
  int map_sync_works(uint64_t bytes, bool* works) const;  // MAP_SHARED_VALIDATE | MAP_SYNC

 private:
  int fd_ = -1;
};

// flock, exclusive, of a descriptor that is not ours. False: somebody else holds it. Where the file
// system has no locks, true.
bool lock_descriptor(int fd);
int path_facts(const std::string& path, FileFacts* facts);
int path_file_system(const std::string& path, FileSystemFacts* facts);
int path_writable(const std::string& path);
int path_exists_unfollowed(const std::string& path);  // 0 also for a dangling symbolic link
std::string resolved_path(
    const std::string& path);  // symbolic links followed; `path` itself where that fails
int link_target(const std::string& path, std::string* target);
// Gives `from` the name `to` unless that is taken (EEXIST); never replaces. Renames, or links and
// unlinks where the file system cannot rename so, or looks and renames where it can do neither.
int rename_without_replacing(const std::string& from, const std::string& to);
int rename_replacing(const std::string& from, const std::string& to);
int exchange_names(const std::string& one,
                   const std::string& other);  // both at once; EINVAL where the file system cannot
int set_mode(const std::string& path, uint32_t mode);
int remove_file(const std::string& path);
int sync_folder(const std::string& folder);
int list_folder(const std::string& folder, std::vector<std::string>* names);
int read_text(const std::string& path, std::string* text);  // small files, those of /proc too
bool process_is_dead(int64_t pid);
int64_t own_pid();
uint32_t own_user();  // the effective one

// "/a/b" -> "/a", "b" -> ".", "/b" -> "/".
std::string folder_of(const std::string& path);
std::string name_of(const std::string& path);

}  // namespace holdfast
