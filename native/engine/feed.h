// The change feed: the durable commits of a pool in the order of their epochs, read from the log
// itself.
//
// A cursor gives every commit with an epoch above the one it began behind, once and whole, as soon
// as it is behind its barrier; the cleaner's moves are no commits and are passed over. Nothing is
// queued anywhere: what is not read yet lies in the log, and the cursor's place is kept there for
// as long as it is not more than `lag_bytes` behind (engine/state/retention.h). After that its
// segments may go like any other's, and a cursor that then finds its place gone says kForgotten,
// and from where the log is held.
//
// Threads: one at a time per cursor; any. A cursor outlives its pool's closing (it then says
// kClosed). A crash loses cursors and nothing else: a reader remembers the last epoch it was done
// with and begins behind that.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "format/record.h"

namespace holdfast {

// How much of the log is kept for readers of the feed who are yet to come.
struct RetainWish {
  uint64_t ms = 0;     // 0: no wish as to time
  uint64_t bytes = 0;  // 0: no wish as to bytes; with both, a segment stays only while both want it
  bool any() const { return ms > 0 || bytes > 0; }
  bool operator==(const RetainWish& other) const { return ms == other.ms && bytes == other.bytes; }
};

struct FeedOptions {
  static constexpr uint64_t kNow = UINT64_MAX;
  uint64_t after = kNow;  // commits above this epoch; kNow: those made from now on
  std::string low, high;  // only changes of keys in [low, high); an empty high: no end
  uint64_t lag_bytes = 64 * kMiB;
  bool regions = false;  // what was done to regions too: their key is format/region.h's, and low
                         // and high do not apply
  uint32_t region = 0;   // not 0: only what was done to this region
};

// One change. The bytes are in the pool and stay while the callback runs.
struct FeedChange {
  OperationType type = OperationType::kPut;
  Bytes key;    // with the keyspace's number
  Bytes value;  // kPut: the value; kPutLarge: its description, for FeedCursor::read_large()
  uint64_t value_bytes = 0;
};

struct FeedCommit {
  uint64_t epoch = 0;
  uint64_t time_ms = 0;
  uint64_t incarnation = 0;
  std::vector<FeedChange> changes;  // those asked for; in order
};

class FeedCursor {
 public:
  virtual ~FeedCursor() = default;

  // Calls `each` for the next durable commits that have changes asked for; commits without are
  // passed over. Ends after `at_most_bytes` of the log were looked at (but gives a commit whole),
  // when `each` returns an error (that commit counts as not given), or when nothing more is
  // durable. Returns how many were given.
  using Each = std::function<Status(const FeedCommit& commit)>;
  virtual Result<uint64_t> next(uint64_t at_most_bytes, const Each& each) = 0;
  // Is there something durable that next() has not looked at?
  virtual bool behind() const = 0;
  // All commits up to this epoch have been given or passed over.
  virtual uint64_t reached() const = 0;

  // Inside `each`: the bytes of a large value, a chunk at a time, each verified as it is copied.
  // kForgotten: they have been given back since (only where nothing asked to keep them).
  using EachChunk = std::function<Status(const uint8_t* bytes, size_t size)>;
  virtual Status read_large(const FeedChange& change, const EachChunk& each) = 0;
};

// Whoever waits for the next durable commit.
class FeedWaiter {
 public:
  virtual ~FeedWaiter() = default;
  // Something may have become durable, or the pool is `closing`. True: call again; false: done
  // (handed over again it waits anew).
  virtual bool wake(bool closing) = 0;
};

}  // namespace holdfast
