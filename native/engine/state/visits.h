// Work on the medium that holds no lock: from begin() to its end close() waits for it, also if it
// still writes or gives back. Whoever visits for long asks whether the pool is closing now and
// then.
//
// Any thread; counted under the append lock, under which closing begins too. A crash leaves nothing
// of it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "base/short_lock.h"
#include "engine/state/health.h"

namespace holdfast {

class Visits {
 public:
  Visits(ShortLock& append, const Health& health) : append_(append), health_(health) {}
  void wait_for_all(std::unique_lock<ShortLock>& append) {
    ended_.wait(append, [&] { return under_way_ == 0; });
  }

 private:
  friend class Visit;
  ShortLock& append_;
  const Health& health_;
  uint64_t under_way_ = 0;             // guarded by append_
  std::condition_variable_any ended_;  // with append_
};

class Visit {
 public:
  explicit Visit(Visits& visits) : visits_(visits) {}
  Visit(const Visit&) = delete;
  ~Visit() {
    if (!begun_) return;
    std::lock_guard append(visits_.append_);
    visits_.under_way_--;
    visits_.ended_.notify_all();
  }
  // kClosed: close() came first; `queued`: was handed over before it, and it has not ended.
  Status begin(bool queued = false) {
    std::lock_guard append(visits_.append_);
    if (visits_.health_.refuses_new(queued)) return visits_.health_.closed_status();
    visits_.under_way_++;
    begun_ = true;
    return {};
  }

 private:
  Visits& visits_;
  bool begun_ = false;
};

}  // namespace holdfast
