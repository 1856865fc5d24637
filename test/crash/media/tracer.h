// What both tracers share: the trace file, and the rules of a library that is loaded before all
// others. Such a library may be entered before its own constructors have run and after they have
// ended, so nothing here has one.
#pragma once

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crash/media/trace_format.h"

namespace holdfast::crash {

// Held by whoever changes the tracer's state; taken once per intercepted call.
// Constant-initialised.
class SpinLock {
 public:
  void lock() {
    while (__atomic_test_and_set(&taken_, __ATOMIC_ACQUIRE)) sched();
  }
  void unlock() { __atomic_clear(&taken_, __ATOMIC_RELEASE); }

 private:
  static void sched() { syscall(SYS_sched_yield); }
  bool taken_ = false;
};

class TraceFile {
 public:
  // The folder that is traced, resolved; empty: no tracing was asked for.
  const char* folder() {
    if (state_ == 0) open_it();
    return state_ > 0 ? folder_ : "";
  }
  bool on() { return folder()[0] != '\0'; }

  void put(const void* data, size_t size) {
    if (fd_ < 0) return;
    if (size >= sizeof buffer_ - used_) flush();
    if (size >= sizeof buffer_) return write_all(static_cast<const char*>(data), size);
    memcpy(buffer_ + used_, data, size);
    used_ += size;
  }
  void event(EventType type, uint64_t a, uint64_t b, uint64_t count, uint64_t bytes) {
    const EventHeader header = {type, static_cast<uint32_t>(syscall(SYS_gettid)), a, b, count,
                                bytes};
    put(&header, sizeof header);
  }
  // Events must not be lost when the process ends without destructors.
  void flush() {
    if (used_ > 0) write_all(buffer_, used_);
    used_ = 0;
  }

 private:
  void open_it() {
    state_ = -1;
    const char* folder = getenv(kTraceFolderVariable);
    const char* file = getenv(kTraceVariable);
    if (folder == nullptr || realpath(folder, folder_) == nullptr) return;
    if (file != nullptr) {
      fd_ = static_cast<int>(
          syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
      if (fd_ < 0) abort();
    }
    state_ = 1;
  }
  void write_all(const char* data, size_t size) {
    while (size > 0) {
      const long n = syscall(SYS_write, fd_, data, size);
      if (n <= 0) abort();
      data += n;
      size -= static_cast<size_t>(n);
    }
  }

  int state_ = 0;  // 0: not looked yet, 1: on, -1: off
  int fd_ = -1;
  size_t used_ = 0;
  char folder_[PATH_MAX] = {};
  char buffer_[1 << 16] = {};
};

// Is `path` directly in `folder`?
inline bool directly_in(const char* folder, const char* path) {
  const size_t length = strlen(folder);
  return length > 0 && strncmp(path, folder, length) == 0 && path[length] == '/' &&
         strchr(path + length + 1, '/') == nullptr;
}

}  // namespace holdfast::crash
