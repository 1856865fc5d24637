// A small readers-writer lock for sections of nanoseconds to microseconds: one atomic step to enter
// for a reader, and waiting writers are not starved. A reader lets go on the thread on which it
// entered. Not recursive. Usable with std::shared_lock and std::unique_lock.
#pragma once

#include <pthread.h>

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
      enter();
      if (!writer_.load(std::memory_order_seq_cst)) return;
      unlock_shared();
      while (writer_.load(std::memory_order_relaxed)) pause(tries++);
    }
  }

  // For a thread that enters all the time. The first that does so has a word of its own from then
  // on, which it lets go of with a plain store: the processor goes on with what comes behind a read
  // while the read still waits for memory. A locked instruction would have it wait.
  void lock_shared_often() {
    pthread_t nobody{};
    if (often_.load(std::memory_order_relaxed) == nobody)
      often_.compare_exchange_strong(nobody, pthread_self(), std::memory_order_relaxed);
    lock_shared();
  }

  void unlock_shared() {
    if (is_often())
      often_inside_.store(often_inside_.load(std::memory_order_relaxed) - 1,
                          std::memory_order_release);
    else
      readers_.fetch_sub(1, std::memory_order_release);
  }

  void lock() {
    for (int tries = 0; writer_.exchange(true, std::memory_order_seq_cst);) pause(tries++);
    for (int tries = 0; readers_.load(std::memory_order_seq_cst) != 0 ||
                        often_inside_.load(std::memory_order_seq_cst) != 0;)
      pause(tries++);
  }
  void unlock() { writer_.store(false, std::memory_order_release); }

 private:
  bool is_often() const { return often_.load(std::memory_order_relaxed) == pthread_self(); }
  void enter() {
    if (is_often())
      often_inside_.exchange(often_inside_.load(std::memory_order_relaxed) + 1,
                             std::memory_order_seq_cst);
    else
      readers_.fetch_add(1, std::memory_order_seq_cst);
  }
  static void pause(int tries) {
    if (tries < 64) {
      relax();
    } else if (tries < 256) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }
  // A writer lets go with a plain store too, which need not wait for what it has stored before (a
  // commit's bytes, draining). Each side announces itself and then looks at the other's word, in
  // one order for all: at least one of two sees the other.
  std::atomic<uint32_t> readers_{0};
  std::atomic<uint32_t> often_inside_{0};  // written by that thread only
  std::atomic<bool> writer_{false};
  std::atomic<pthread_t>
      often_{};  // set once. Where that thread has ended, the next one of the same number is it
};

}  // namespace holdfast
