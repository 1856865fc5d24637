// How quickly commits may go while folds are behind them.
//
// Without it they would go at full speed until the tail is as long as it may be, and then stand
// still until the next fold begins: for seconds, where long merges come before it. So once a fold
// has begun late, each commit waits as long as its operations took the last folds and the merges
// between them, longer the nearer the tail is to its limit. Commits that are slower than folds
// never wait. It is no guard of the limit (Maintenance::throttle).
//
// Relaxed atomics; fold_begins() and caught_up() by the maintenance thread, the rest by any.
// Nothing of it is on the medium.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>

namespace holdfast {

class FoldPace {
 public:
  using Nanoseconds = std::chrono::nanoseconds;

  // `due` operations of the tail make a fold due, and commits wait at `most`. Not `paces`: it is
  // never on.
  FoldPace(uint64_t due, uint64_t most, bool paces) : due_(due), most_(most), paces_(paces) {}

  // A fold of a tail of so many operations begins. Gives the time since the last one began.
  Nanoseconds fold_begins(uint64_t tail, Nanoseconds now);
  // There is nothing left to fold or to merge.
  void caught_up() { caught_up_ = true; }
  bool is_on() const { return on_.load(std::memory_order_relaxed); }
  // Where commits wait for folds anyway, each takes what it can: fewer of them write less.
  uint64_t worth_folding() const { return is_on() ? due_ + (most_ - due_) / 2 : due_; }
  uint64_t most() const { return most_; }
  // How long a commit of so many operations may take, all in all, behind a tail of that length.
  Nanoseconds time_for(uint64_t operations, uint64_t tail) const;
  // Before a commit, with no lock held: waits for its turn, or until `goes_on` is false.
  void wait(Nanoseconds time, const std::function<bool()>& goes_on);

 private:
  uint64_t late_from() const;

  const uint64_t due_, most_;  // operations of the tail
  const bool paces_;
  std::atomic<bool> on_{false}, waited_{false};  // waited: a commit, since the last fold began
  std::atomic<uint64_t> ns_per_operation_{0};    // 0: not known
  std::atomic<uint64_t> next_ns_{0};             // when the next commit may begin
  // Of the maintenance thread: when the last fold began, and whether all was done since.
  uint64_t begun_ns_ = 0;
  bool caught_up_ = true;
};

}  // namespace holdfast
