#include "engine/state/feed_tail.h"

#include <chrono>

namespace holdfast {

namespace {
constexpr auto kRest =
    std::chrono::milliseconds(1);  // between two calls while commits come one after another
}

Status FeedTail::add(std::shared_ptr<FeedWaiter> waiter) {
  std::unique_lock guard(mutex_);
  if (stopped_) {
    guard.unlock();
    (void)waiter->wake(true);
    return {};
  }
  if (!thread_.joinable()) HOLDFAST_TRY(thread_.start("the change feed", [this] { main(); }));
  added_.push_back(std::move(waiter));
  wake_.notify_one();
  return {};
}

void FeedTail::ring() {
  if (!armed_.exchange(false)) return;
  std::lock_guard guard(mutex_);
  rung_ = true;
  wake_.notify_one();
}

// True: somebody goes on waiting.
bool FeedTail::call_all(bool closing) {
  size_t kept = 0;
  for (size_t i = 0; i < waiting_.size(); i++) {
    if (waiting_[i]->wake(closing) && !closing) waiting_[kept++] = std::move(waiting_[i]);
  }
  waiting_.resize(kept);
  return kept > 0;
}

// Armed before the last look: a commit that becomes durable after that look sees it, one before is
// seen by the look.
void FeedTail::main() {
  std::unique_lock guard(mutex_);
  while (!stopped_) {
    wake_.wait(guard, [&] { return stopped_ || rung_ || !added_.empty(); });
    rung_ = false;
    for (auto& waiter : added_) waiting_.push_back(std::move(waiter));
    added_.clear();
    if (stopped_) break;
    guard.unlock();
    if (call_all(false)) {
      std::unique_lock resting(mutex_);
      wake_.wait_for(resting, kRest, [&] { return stopped_ || !added_.empty(); });
      resting.unlock();
      armed_.store(true, std::memory_order_seq_cst);
      if (!call_all(false)) armed_.store(false, std::memory_order_seq_cst);
    }
    guard.lock();
  }
  guard.unlock();
  call_all(true);
}

void FeedTail::stop() {
  Thread thread;
  {
    std::lock_guard guard(mutex_);
    stopped_ = true;
    wake_.notify_all();
    thread.swap(thread_);
  }
  if (thread.joinable()) thread.join();
  std::vector<std::shared_ptr<FeedWaiter>> late;
  {
    std::lock_guard guard(mutex_);
    late.swap(added_);
  }
  for (auto& waiter : late) (void)waiter->wake(true);
}

}  // namespace holdfast
