// Failing system calls, inside the test process: this binary's own pwrite, fdatasync, fsync, fallocate, ftruncate and
// renameat2 stand before libc's. Unarmed they only count and pass on. Armed and counted for all threads together.
#pragma once

#include <atomic>
#include <cstdint>

namespace holdfast::test {

enum class SystemCall { kPwrite, kFdatasync, kFsync, kFallocate, kFtruncate, kRename, kAny };

struct SystemFaults {
  // The nth such call from now (1: the next) and `times - 1` calls after it do nothing and give this errno.
  static void fail(SystemCall call, uint64_t nth, int error, uint64_t times = 1);
  // pwrite writes at most so many bytes at once (0: all).
  static void write_at_most(uint64_t bytes);
  // The nth call of any kind from now ends the process before it is made.
  static void exit_at(uint64_t nth);
  static void disarm();
  static uint64_t count(SystemCall call);
};

}  // namespace holdfast::test
