// What the log still holds of the feed: where a reader may begin, and who is reading.
//
// Any thread; what is said to be under the append lock is asked by who has it. A crash leaves
// nothing of it: what is kept for the feed the fold lists.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include "engine/commit/barriers.h"
#include "engine/feed.h"
#include "engine/state/health.h"
#include "engine/state/index_state.h"
#include "engine/state/log_state.h"
#include "engine/state/operations.h"

namespace holdfast {

class FeedSource {
 public:
  struct Parts {
    const Medium& medium;
    const std::string& name;
    const Health& health;
    const Operations& operations;
    const IndexState& index;
    LogState& log;
    const Barriers& barriers;
    const uint64_t secret;
  };
  explicit FeedSource(const Parts& parts)
      : medium_(parts.medium),
        name_(parts.name),
        health_(parts.health),
        operations_(parts.operations),
        index_(parts.index),
        log_(parts.log),
        barriers_(parts.barriers),
        secret_(parts.secret) {}

  // `pool`: this is a part of it; held by the cursor. kForgotten, kOutOfRange.
  Result<std::unique_ptr<FeedCursor>> open(std::shared_ptr<const void> pool,
                                           const FeedOptions& options);
  // The oldest epoch whose changes are held; the next one to come when none is. Under the append
  // lock.
  uint64_t oldest_change() const;
  // Is the description the newest value of its key, or one that is kept for readers of the log?
  bool large_is_held(Bytes key, Bytes description) const;
  // Returns when no cursor reads. Under the append lock, once none can begin.
  void wait_until_idle(std::unique_lock<ShortLock>& append) {
    idle_.wait(append, [&] { return !log_.retention.any_reading(); });
  }

 private:
  friend class LogCursor;
  struct Start {
    Segment segment;
    uint64_t sequence = 0, position = 0;
    uint64_t reached = 0;  // the epoch before the first whole record there
  };
  // The last segment in which the record behind `after`, or one before it, begins. Under the append
  // lock.
  Status find_start(uint64_t after, Start* start) const;
  Status forgotten(uint64_t after) const;  // under the append lock

  const Medium& medium_;
  const std::string& name_;
  const Health& health_;
  const Operations& operations_;
  const IndexState& index_;
  LogState& log_;
  const Barriers& barriers_;
  const uint64_t secret_;
  std::condition_variable_any idle_;  // with the append lock: a cursor has stopped reading
};

}  // namespace holdfast
