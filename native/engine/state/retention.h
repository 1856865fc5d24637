// How much of the log is kept beyond what the store itself needs: for readers of the change feed,
// and by the wish of who opened the pool (`retain`).
//
// The log is kept as an unbroken row of segments up to the head. `floor()` is the sequence of the
// oldest one that must stay: from there on no segment is cleaned or given back, and large values
// whose record lies there stay too. Three ask for it:
//   the wish        segments younger than so many milliseconds, and (or) the newest so many bytes
//   a cursor        the segment it will read next, as long as that is at most `lag` bytes behind;
//                   then it has lost its place
//   a reading one   the same for the moment of one batch, whatever the lag
// The first two give way (`give_way`) before a commit is refused for want of space; the third is
// short.
//
// Threads: the engine's append lock, for all of it. A crash leaves what the last fold listed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "engine/feed.h"
#include "log/segment_table.h"

namespace holdfast {

struct FeedHold {
  uint64_t sequence = 0;  // of the segment to be read next
  uint64_t lag_bytes = 0;
  bool reading = false;
  bool lost = false;  // nothing is kept for it any more
  size_t at = 0;      // among the holds
};

class Retention {
 public:
  static constexpr uint64_t kNothing = UINT64_MAX;
  // When the segment's first record was made; 0: unknown.
  using BegunAt = std::function<uint64_t(const LogSegment&)>;

  // Everything is kept until the first refresh(): what dies in the replayed tail may be wished for.
  void begin(const RetainWish& wished) {
    wish = wished;
    floor_ = wished.any() ? 0 : kNothing;
  }
  RetainWish wish;

  void add(FeedHold* hold);
  void remove(FeedHold* hold);
  size_t holds() const { return holds_.size(); }
  bool any_reading() const;

  // Looks again at time, bytes and lags.
  void refresh(const SegmentTable& segments, uint64_t head, uint64_t now_ms,
               const BegunAt& begun_at);
  uint64_t times_given_way() const { return times_given_way_; }
  uint64_t floor() const { return floor_; }
  // Space is short: lets go of the oldest eighth of what is kept. False: there was nothing.
  bool give_way(const SegmentTable& segments, uint64_t head);

  // The oldest segment of the unbroken row that ends at the head.
  static uint64_t oldest_unbroken(const SegmentTable& segments, uint64_t head);

 private:
  uint64_t wished_floor(const std::vector<LogSegment>& row, uint64_t now_ms,
                        const BegunAt& begun_at);

  std::vector<FeedHold*> holds_;
  std::map<uint64_t, uint64_t> begun_ms_;  // by sequence; what BegunAt said
  uint64_t given_way_ = 0;                 // below this sequence nothing is kept any more
  uint64_t times_given_way_ = 0;
  uint64_t floor_ = kNothing;
};

}  // namespace holdfast
