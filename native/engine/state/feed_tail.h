// Wakes whoever waits for the next durable commit: one thread per pool, begun when somebody first
// waits.
//
// What a commit pays: nobody waits, one load; somebody does, and has not been woken for a
// millisecond, one exchange and one wake. While commits come one after another the waiters are
// called at most once a millisecond, so a watcher of something that hardly changes costs the
// commits next to nothing however fast they are; when all is quiet the first commit wakes them at
// once.
//
// Threads: any. Waiters run on the feed's own thread, one after the other, and without a lock of
// the pool's.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/status.h"
#include "base/thread.h"
#include "engine/feed.h"

namespace holdfast {

class FeedTail {
 public:
  ~FeedTail() { stop(); }
  // Called once soon, and again with each durable commit, until it says it is done. After stop():
  // at once, as closing. kNoMemory: there is no thread to call it, and it never is.
  Status add(std::shared_ptr<FeedWaiter> waiter);
  // After the durable epoch has risen (with a sequentially consistent store). Hot: inlined into
  // every commit.
  void durable_moved() {
    if (armed_.load(std::memory_order_seq_cst)) ring();
  }
  // Ends the thread and tells the waiters that the pool closes. Idempotent.
  void stop();

 private:
  void ring();
  void main();
  bool call_all(bool closing);

  std::atomic<bool> armed_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::shared_ptr<FeedWaiter>> added_;    // guarded by mutex_
  std::vector<std::shared_ptr<FeedWaiter>> waiting_;  // the thread's own
  bool rung_ = false, stopped_ = false;               // guarded by mutex_
  Thread thread_;                                     // guarded by mutex_
};

}  // namespace holdfast
