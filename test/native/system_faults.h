// Failing system calls, inside the test process: this binary's own pwrite, pread, fdatasync, fsync,
// fallocate, ftruncate and renameat2, open, mmap, posix_fadvise, pthread_create, sync_file_range,
// link and flock stand before libc's. Unarmed they only count (but for pread) and pass on. Armed
// and counted for all threads together.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

namespace holdfast::test {

// kAny: every one of those before it; those behind it are counted by themselves.
enum class SystemCall {
  kPwrite,
  kFdatasync,
  kFsync,
  kFallocate,
  kFtruncate,
  kRename,
  kAny,
  kOpen,
  kMmap,
  kFadvise,
  kThread,
  kSyncRange,
  kLink,
  kFlock
};

struct SystemFaults {
  // The nth such call from now (1: the next) and `times - 1` calls after it do nothing and give
  // this errno.
  static void fail(SystemCall call, uint64_t nth, int error, uint64_t times = 1);
  // pwrite writes at most so many bytes at once (0: all).
  static void write_at_most(uint64_t bytes);
  static void read_at_most(uint64_t bytes);  // the same of pread
  // The nth call of any kind from now ends the process before it is made.
  static void exit_at(uint64_t nth);
  // From now on a failing fdatasync or fsync loses, as the kernel does, what was written since the
  // last one that succeeded: each 512-byte sector of it or not, as the seed decides. Of one file at
  // a time.
  static void lose_unsynced(uint64_t seed);
  // Runs `once` in the next fdatasync, before it is made. What it does must sync nothing. Not for
  // several threads.
  static void under_sync(std::function<void()> once);
  // Runs `once` behind the nth open from now, in which it must not open anything. Not for several
  // threads.
  static void behind_open(uint64_t nth, std::function<void()> once);
  // From now on the disk has no block to give: fallocate is refused what has none yet. False: this
  // file's disk cannot tell what has blocks.
  static bool fill_disk(const std::string& file);
  static void disarm();
  static uint64_t count(SystemCall call);
  struct Disarm {  // at the end of a test, however it ends
    ~Disarm() { disarm(); }
  };
};

}  // namespace holdfast::test
