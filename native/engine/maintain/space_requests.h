// Commits that found no room, and what the maintenance thread answers them. Its lock is a leaf. A
// crash leaves nothing of it.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace holdfast {

class SpaceRequests {
 public:
  struct Asked {
    uint64_t newest;  // request
    uint64_t bytes;   // free, wanted by the most demanding of those who wait. 0: nobody does
  };

  Asked asked() {
    std::lock_guard guard(mutex_);
    return {newest_, newest_ > answered_ ? wanted_ : 0};
  }

  // Of all requests up to `newest`: was there so much?
  void answer(uint64_t newest, bool found) {
    std::lock_guard guard(mutex_);
    if (newest == newest_) wanted_ = 0;
    answered_ = newest;
    found_ = found;
    changed_.notify_all();
  }
  void refuse_all() { answer(asked().newest, false); }

  // Waits for the answer, after `wake` has told who gives it, or until `gone` says that nobody
  // will.
  template <typename Wake, typename Gone>
  bool wait(uint64_t bytes, const Wake& wake, const Gone& gone) {
    std::unique_lock guard(mutex_);
    const uint64_t mine = ++newest_;
    wanted_ = std::max(wanted_, bytes);
    wake();
    changed_.wait(guard, [&] { return answered_ >= mine || gone(); });
    return answered_ >= mine && found_;
  }

 private:
  std::mutex mutex_;  // guards the rest
  std::condition_variable changed_;
  uint64_t newest_ = 0, answered_ = 0;
  uint64_t wanted_ = 0;
  bool found_ = false;
};

}  // namespace holdfast
