// The thread that maintenance runs on: asleep until somebody wakes it or its time has come. What it
// does then is maintenance.cc's.
//
// wake() from any thread, with any lock held: its own is a leaf. A crash leaves nothing of it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <utility>

#include "base/thread.h"

namespace holdfast {

class MaintenanceThread {
 public:
  Status start(std::function<void()> main) { return thread_.start("maintenance", std::move(main)); }

  void wake() {
    {
      std::lock_guard guard(mutex_);
      if (std::exchange(woken_, true)) return;
    }
    wake_.notify_one();
  }

  // On the thread itself. False: it is to end.
  bool sleep(std::chrono::steady_clock::duration most) {
    std::unique_lock guard(mutex_);
    wake_.wait_for(guard, most, [&] { return woken_ || stop_; });
    woken_ = false;
    return !stop_;
  }

  // Returns when it has ended.
  void stop() {
    {
      std::lock_guard guard(mutex_);
      stop_ = true;
      wake_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool woken_ = false, stop_ = false;  // guarded by mutex_
  Thread thread_;
};

}  // namespace holdfast
