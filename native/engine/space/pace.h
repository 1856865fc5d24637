// How quickly commits may go while the cleaner frees what they take.
//
// In a nearly full pool of fixed size space comes back in rounds, and commits that went at full
// speed between two rounds would stand still until the next. So from where free space runs short
// each commit waits a little: as long as its bytes take at the rate that the last rounds allowed,
// less while there is more room left than half of enough, longer while there is less. Commits that
// are slower than the cleaner never wait. It is no guard against a full pool: a commit that finds
// no room waits for it (room.cc).
//
// Relaxed atomics, any thread; nothing of it is on the medium.
#pragma once

#include <atomic>
#include <cstdint>

namespace holdfast {

class Pace {
 public:
  // Users may take `left` more bytes before they must wait, and need not hurry from `enough` on.
  void set(uint64_t left, uint64_t enough);
  // Behind a round of cleaning, by the maintenance thread: commits have appended so many bytes
  // since the pool was opened.
  void learn(uint64_t committed_bytes);
  bool is_on() const { return enough_.load(std::memory_order_relaxed) != 0; }
  // Little is left: cleaning comes before anything else.
  bool is_short() const {
    return left_.load(std::memory_order_relaxed) < enough_.load(std::memory_order_relaxed) / 3;
  }
  // Before a commit of so many bytes, with no lock held. A few milliseconds at most.
  void wait(uint64_t bytes);

 private:
  uint64_t ns_for(uint64_t bytes);

  std::atomic<uint64_t> left_{0}, enough_{0};  // enough: 0 where commits go as quickly as they like
  std::atomic<uint64_t> bytes_per_s_{0};       // of the last rounds; 0: not known yet
  std::atomic<uint64_t> next_ns_{0};           // when the next commit may begin
  uint64_t learned_ns_ = 0, learned_bytes_ = 0;  // maintenance thread
};

}  // namespace holdfast
