// Appends records to the log's head segment. Knows frames, parts and links; knows nothing of the
// index or of barriers.
//
// What a crash leaves: of the frames placed since the last barrier any subset, torn. Recovery stops
// before the first that is not valid and goes on writing at that very place: an incarnation number,
// higher each time the pool is opened, keeps older frames that may lie behind it from ever being
// taken for its successors.
//
// Threads: the owner's lock (the engine's append lock).
#pragma once

#include <cstdint>
#include <vector>

#include "log/record_buffer.h"
#include "log/segment_table.h"
#include "medium/medium.h"

namespace holdfast {

// Where a stretch of a record's operations went.
struct Placement {
  uint64_t buffer_offset = 0;  // in the record's operations
  uint64_t bytes = 0;
  uint64_t pool_offset = 0;
  uint32_t count = 0;
};

struct RecordStamp {
  FrameKind kind = FrameKind::kCommit;
  uint64_t epoch = 0;
  uint64_t durable_epoch = 0;
  uint64_t time_ms = 0;
};

class LogWriter {
 public:
  LogWriter(Medium& medium, uint64_t secret) : medium_(medium), secret_(secret) {}

  // Where to go on: in `head`, at `position`. `fresh`: nothing of this segment has been written in
  // its present life.
  void resume(const Segment& head, uint64_t sequence, uint64_t position, bool fresh,
              uint32_t incarnation);

  // Bytes of operations that one more frame could hold in the head segment.
  uint64_t room() const;
  static uint64_t room_of(uint64_t segment_bytes);
  static uint64_t segment_for(uint64_t room) {
    return round_up(room + kKiB, 4 * kKiB);
  }  // room_of() >= room

  // Places a record whose operations fit into room(). While staging, bytes go out with flush();
  // else at once (one append). The buffer's header room is overwritten.
  Status write(RecordBuffer* record, const RecordStamp& stamp, std::vector<Placement>* placements);
  // The same where the medium's barrier is per thread: the record is durable when it returns.
  // `meanwhile` runs while its bytes drain; *pool_offset, where its operations begin, is set
  // before. Not while staging.
  Status write_fenced(RecordBuffer* record, const RecordStamp& stamp, uint64_t* pool_offset,
                      Medium::Meanwhile& meanwhile);
  // Places a sealed record that needs more than one frame: `next` are the fresh segments it may go
  // on in, in order (as many as needed are taken).
  Status write_parts(const RecordBuffer& record, const RecordStamp& stamp,
                     const std::vector<Segment>& next, size_t* taken,
                     std::vector<Placement>* placements);
  // Goes on in a fresh segment, and notes that in the pool's front. `epoch`: of the record last
  // placed (or being placed).
  Status link_to(const Segment& next, uint64_t epoch, uint64_t durable_epoch);

  void set_staging(bool on) { staging_on_ = on; }
  Status flush();

  const Segment& head() const { return head_; }
  uint64_t sequence() const { return sequence_; }
  uint64_t position() const { return position_; }
  uint64_t next_sequence() const { return sequence_ + 1; }

 private:
  void seal_frame(uint8_t* frame, uint64_t frame_bytes, uint32_t operations, uint64_t rolled,
                  uint16_t flags, uint32_t part, const RecordStamp& stamp);
  Status place(const uint8_t* frame, uint64_t bytes);
  void stage(const uint8_t* frame, uint64_t bytes);
  Status place_mark(uint64_t durable_epoch);

  Medium& medium_;
  const uint64_t secret_;
  Segment head_;
  uint64_t sequence_ = 0;
  uint64_t position_ = 0;
  uint32_t incarnation_ = 0;
  bool header_due_ = false;  // the segment's header goes out with its first frame
  bool staging_on_ = false;
  std::vector<uint8_t> staged_;
  uint64_t staged_at_ = 0;
};

}  // namespace holdfast
