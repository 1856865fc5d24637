// A small readers-writer lock for sections of nanoseconds to microseconds: one atomic add to enter for a reader, and waiting
// writers are not starved. Not recursive. Usable with std::shared_lock and std::unique_lock.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <shared_mutex>
#include <thread>

#include "base/relax.h"

namespace holdfast {

class SharedLock {
 public:
  void lock_shared() {
    for (int tries = 0;; tries++) {
      readers_.fetch_add(1, std::memory_order_seq_cst);
      if (!writer_.load(std::memory_order_seq_cst)) return;
      readers_.fetch_sub(1, std::memory_order_release);
      while (writer_.load(std::memory_order_relaxed)) pause(tries++);
    }
  }
  void unlock_shared() { readers_.fetch_sub(1, std::memory_order_release); }

  void lock() {
    for (int tries = 0; writer_.exchange(true, std::memory_order_seq_cst);) pause(tries++);
    for (int tries = 0; readers_.load(std::memory_order_seq_cst) != 0;) pause(tries++);
  }
  void unlock() { writer_.store(false, std::memory_order_release); }

 private:
  static void pause(int tries) {
    if (tries < 64) {
      relax();
    } else if (tries < 256) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }
  // Two words: a writer lets go with a plain store, which need not wait for what it has stored before (a commit's bytes, draining).
  // Each side announces itself and then looks at the other's word, in one order for all: at least one of two sees the other.
  std::atomic<uint32_t> readers_{0};
  std::atomic<bool> writer_{false};
};

}  // namespace holdfast
