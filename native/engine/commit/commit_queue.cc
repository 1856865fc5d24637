#include "engine/commit/commit_queue.h"

namespace holdfast {

uint64_t Client::submit(Batch&& batch, CommitMode mode) {
  std::lock_guard guard(mutex_);
  const uint64_t ticket = next_ticket_++;
  queued_.push_back({ticket, std::move(batch), mode});
  return ticket;
}

std::vector<Client::Queued> Client::take() {
  std::lock_guard guard(mutex_);
  return std::exchange(queued_, {});
}

void Client::refuse(std::vector<Queued>&& queued, const Status& why) const {
  if (queued.empty()) return;
  std::vector<Completion> refused;
  for (const Queued& one : queued) refused.push_back({one.ticket, 0, why.clone()});
  on_completed(std::move(refused));
}

Status CommitQueue::start() {
  return thread_.start("committing", [this] { run(); });
}

void CommitQueue::stop() {
  {
    std::lock_guard guard(mutex_);
    stopped_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

bool CommitQueue::is_idle() {
  std::lock_guard guard(mutex_);
  return waiting_.empty() && !busy_ && !stopped_;
}

bool CommitQueue::add(const std::shared_ptr<Client>& client, std::vector<Client::Queued>* queued) {
  std::lock_guard guard(mutex_);
  if (stopped_) return false;
  for (Client::Queued& one : *queued) waiting_.emplace_back(client, std::move(one));
  wake_.notify_one();
  return true;
}

void CommitQueue::arm_eventual() {
  std::lock_guard guard(mutex_);
  if (eventual_armed_) return;
  eventual_armed_ = true;
  eventual_due_ = Clock::now() + eventual_within_;
  wake_.notify_one();
}

void CommitQueue::work_off(bool raise_barrier) {
  std::unique_lock guard(mutex_);
  take_group(&guard, raise_barrier && std::exchange(eventual_armed_, false));
}

void CommitQueue::run() {
  std::unique_lock guard(mutex_);
  while (true) {
    const auto ready = [&] { return stopped_ || !waiting_.empty(); };
    if (eventual_armed_) {
      wake_.wait_until(guard, eventual_due_, ready);
    } else {
      wake_.wait(guard, [&] { return ready() || eventual_armed_; });
    }
    const bool barrier_due = eventual_armed_ && (Clock::now() >= eventual_due_ || stopped_);
    if (barrier_due) eventual_armed_ = false;
    if (waiting_.empty() && !barrier_due && stopped_) return;
    take_group(&guard, barrier_due);
  }
}

// Commits all that waits, then raises the barrier. Lets go of the queue meanwhile.
void CommitQueue::take_group(std::unique_lock<std::mutex>* guard, bool barrier_due) {
  Waiting group = std::exchange(waiting_, {});
  if (group.empty() && !barrier_due) return;
  busy_ = true;
  guard->unlock();
  if (!group.empty()) work_.commit_group(std::move(group));
  if (barrier_due) work_.raise_barrier();
  guard->lock();
  busy_ = false;
}

}  // namespace holdfast
