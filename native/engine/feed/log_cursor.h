// Cursors over the log. See engine/feed.h for what they promise.
//
// Why a cursor cannot be led astray by what an earlier life left in the log: it goes from frame to
// frame by their lengths, from a place where a frame was known to begin, and looks at a frame only
// when the epoch that must come next is durable, so that what stands there is that frame or damage.
// Recovery goes on writing exactly behind the last whole record.
#pragma once

#include <memory>

#include "engine/feed/feed_source.h"
#include "log/log_reader.h"
#include "medium/read_ahead.h"

namespace holdfast {

class LogCursor final : public FeedCursor {
 public:
  // `pool`: of which `source` is a part; held as long as the cursor lives.
  LogCursor(std::shared_ptr<const void> pool, FeedSource& source, const FeedOptions& options);
  ~LogCursor() override;
  Status begin();

  Result<uint64_t> next(uint64_t at_most_bytes, const Each& each) override;
  bool behind() const override;
  uint64_t reached() const override {
    return reached_ > options_.after ? reached_ : options_.after;
  }
  Status read_large(const FeedChange& change, const EachChunk& each) override;

 private:
  Status begin_reading();
  void end_reading();
  Status damaged(uint64_t at) const;
  Result<uint64_t> walk(uint64_t at_most_bytes, const Each& each);
  void gather(const FrameView& frame);

  const std::shared_ptr<const void> pool_;
  FeedSource& source_;
  const Health& health_;
  LogState& log_;
  FeedOptions options_;
  const LogReader reader_;
  ReadAhead ahead_;
  FeedHold hold_;  // guarded by the append lock
  Segment segment_;
  uint64_t sequence_ = 0, position_ = 0;
  uint64_t reached_ = 0;  // of the last record that was passed
  FeedCommit commit_;     // scratch
};

}  // namespace holdfast
