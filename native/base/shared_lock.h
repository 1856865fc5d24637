// A small readers-writer lock for sections of nanoseconds to microseconds: one atomic add to enter for a reader, and waiting
// writers are not starved. Not recursive. Usable with std::shared_lock and std::unique_lock.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <shared_mutex>
#include <thread>

namespace holdfast {

class SharedLock {
 public:
  void lock_shared() {
    for (int tries = 0;; tries++) {
      if (!(state_.fetch_add(1, std::memory_order_acquire) & kWriter)) return;
      state_.fetch_sub(1, std::memory_order_release);
      while (state_.load(std::memory_order_relaxed) & kWriter) pause(tries++);
    }
  }
  void unlock_shared() { state_.fetch_sub(1, std::memory_order_release); }

  void lock() {
    for (int tries = 0; state_.fetch_or(kWriter, std::memory_order_acquire) & kWriter;) pause(tries++);
    for (int tries = 0; state_.load(std::memory_order_acquire) != kWriter;) pause(tries++);
  }
  void unlock() { state_.fetch_and(~kWriter, std::memory_order_release); }

 private:
  static constexpr uint32_t kWriter = 1u << 31;
  static void pause(int tries) {
    if (tries < 64) {
      relax();
    } else if (tries < 256) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }
  static void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  std::atomic<uint32_t> state_{0};
};

}  // namespace holdfast
