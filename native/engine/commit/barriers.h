// How far the pool is appended and how far it is durable, and those who wait for that: one of them
// raises the barrier for all who have appended by then.
//
// What it promises. An epoch is durable only once a barrier behind its bytes was raised and the
// medium had not failed under it. Readers in other processes are told before anybody here may
// acknowledge it. A barrier that failed has failed the pool, and everybody who waits is told that
// the outcome is unknown.
//
// Threads: any. Where barriers are per thread (`at_once`) each is raised, and fenced() called,
// under the append lock by the thread that appended. The lock here is a leaf, but that of Health. A
// crash leaves what was durable, and of the rest whatever bytes landed.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "engine/state/feed_tail.h"
#include "engine/state/health.h"
#include "engine/state/readers.h"

namespace holdfast {

class Barriers {
 public:
  Barriers(Medium& medium, Health& health, Readers& readers, FeedTail& feed_tail)
      : medium_(medium),
        health_(health),
        readers_(readers),
        feed_tail_(feed_tail),
        at_once_(medium.info().barrier_is_per_thread) {}

  bool at_once() const { return at_once_; }  // barriers are per thread

  // As the pool was found, or was made.
  void begin_at(uint64_t epoch) {
    appended_ = epoch;
    durable_ = epoch;
  }

  // Under the append lock. Where barriers are per thread: behind its fence too, for no other thread
  // could raise it.
  void note_appended(uint64_t epoch) { appended_.store(epoch, std::memory_order_release); }
  uint64_t appended() const { return appended_.load(std::memory_order_acquire); }
  uint64_t durable(std::memory_order order = std::memory_order_acquire) const {
    return durable_.load(order);
  }
  const std::atomic<uint64_t>& durable_word() const { return durable_; }

  Status wait_durable(uint64_t epoch);  // not under the append lock
  Status raise(uint64_t covers);        // for all up to epoch `covers`
  // Of a barrier that was raised: believed, or the pool has failed.
  Status conclude(Status barrier, uint64_t covers);
  // The fence behind the epoch was raised, and the medium has looked whether it failed under it.
  // Plain stores: a locked instruction would wait here for what the fence has already put in order.
  // Readers in other processes are told first: whoever finds the commit durable here may
  // acknowledge it; and nobody looks for them in between, which takes the append lock. What a
  // watcher of the feed misses by that it sees under the append lock (LogCursor::behind).
  void fenced(uint64_t epoch) {
    readers_.durable(epoch);
    durable_.store(epoch, std::memory_order_release);
    feed_tail_.durable_moved();
  }

  // The pool has failed: who waits looks again.
  void wake_all() { done_.notify_all(); }
  // In a pool that has failed nothing waited for the last barrier; no other begins.
  void wait_for_the_last() {
    std::unique_lock guard(mutex_);
    done_.wait(guard, [&] { return !running_; });
  }

  uint64_t usual_us() const { return usual_us_.load(std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;
  void note_took(Clock::duration took);

  Medium& medium_;
  Health& health_;
  Readers& readers_;
  FeedTail& feed_tail_;
  const bool at_once_;
  std::atomic<uint64_t> appended_{0}, durable_{0};
  std::mutex mutex_;
  std::condition_variable done_;
  bool running_ = false;                 // guarded by mutex_
  std::atomic<uint64_t> usual_us_{100};  // how long a barrier takes, smoothed
};

}  // namespace holdfast
