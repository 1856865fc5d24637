// What waits to be committed asynchronously, the thread that takes it, and the bound within which
// eventual commits are behind a barrier.
//
// Any thread adds; a group, all that waits at one time, is taken by one thread, in order. Holds
// nothing that a crash could leave: what waits here was not appended.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/thread.h"
#include "engine/commit/batch.h"
#include "engine/pool.h"

namespace holdfast {

// One environment that commits asynchronously.
class Client {
 public:
  struct Queued {
    uint64_t ticket;
    Batch batch;
    CommitMode mode;
  };

  explicit Client(Pool::OnCompleted on_completed_in) : on_completed(std::move(on_completed_in)) {}
  uint64_t submit(Batch&& batch, CommitMode mode);
  std::vector<Queued> take();  // what was submitted since
  void refuse(std::vector<Queued>&& queued, const Status& why) const;

  const Pool::OnCompleted on_completed;

 private:
  std::mutex mutex_;            // guards the rest
  std::vector<Queued> queued_;  // submitted, not yet flushed
  uint64_t next_ticket_ = 1;
};

using Waiting = std::deque<std::pair<std::shared_ptr<Client>, Client::Queued>>;

class CommitQueue {
 public:
  // Called by whoever takes a group, never under the queue's lock.
  struct Work {
    std::function<void(Waiting&&)> commit_group;
    std::function<void()> raise_barrier;  // for the eventual commits before it
  };
  CommitQueue(Work work, uint32_t eventual_within_ms)
      : work_(std::move(work)), eventual_within_(eventual_within_ms) {}

  Status start();  // its thread; kNoMemory: there is none
  void stop();     // when what waits is committed; from then on add() says false
  bool is_idle();  // nothing waits, is being committed, or is refused
  bool add(const std::shared_ptr<Client>& client,
           std::vector<Client::Queued>* queued);  // false: it is stopped, and they are the caller's
  void arm_eventual();                            // a barrier is due within the bound
  void work_off(bool raise_barrier);  // in place of the thread: what waits, and the barrier if one
                                      // is due at all and wanted

 private:
  using Clock = std::chrono::steady_clock;
  void run();
  void take_group(std::unique_lock<std::mutex>* guard, bool barrier_due);

  const Work work_;
  const std::chrono::milliseconds eventual_within_;
  std::mutex mutex_;  // guards the rest but the thread
  std::condition_variable wake_;
  Waiting waiting_;
  bool busy_ = false, stopped_ = false;
  bool eventual_armed_ = false;
  Clock::time_point eventual_due_;
  Thread thread_;
};

}  // namespace holdfast
