// Walks the frames of the log and says of each whether it is valid. Replay, the cleaner and check
// all read through it.
//
// It trusts nothing: every length is checked against the segment before it is followed, so bytes of
// any kind end the walk but cannot lead it astray. It reads through the medium's mapping, or a
// copy, and changes nothing. One thread per reader.
#pragma once

#include <cstdint>
#include <functional>

#include "format/record.h"
#include "log/log_copy.h"
#include "medium/medium.h"

namespace holdfast {

// One valid frame. Pointers are into the mapping, or into the copy until that is released.
struct FrameView {
  FrameHeader header;
  uint64_t offset = 0;  // of the frame in the pool
  const uint8_t* operations = nullptr;
  uint64_t operations_bytes = 0;  // room for them, padding included
};

// What must be true of the next frame besides its checksum.
struct FrameExpectation {
  uint64_t epoch = 0;          // of the last whole record
  uint64_t pending_epoch = 0;  // of a record of which only the first parts have been seen; 0: none
  uint32_t next_part = 0;
  uint32_t incarnation = 0;  // of the last frame
};

class LogReader {
 public:
  LogReader(const Medium& medium, uint64_t secret, LogCopy* copy = nullptr)
      : medium_(medium), secret_(secret), copy_(copy) {}

  // Is all of it before the pool's end?
  bool is_inside(const Segment& segment) const {
    return segment.end() >= segment.offset && segment.end() <= medium_.view_end();
  }
  // Is there a frame at `offset` that is whole in itself (whatever its epoch)?
  bool read_frame(const Segment& segment, uint64_t sequence, uint64_t offset, FrameView* out) const;
  // The header of what says that it is a frame at `offset`. Nothing of it is verified.
  bool peek_frame(const Segment& segment, uint64_t offset, FrameHeader* out) const;
  bool read_segment_header(const Segment& segment, SegmentHeader* out) const;
  // Does the frame follow what was seen before? Updates the expectation if so.
  static bool follows(const FrameHeader& header, FrameExpectation* expected);
  // The target of a link frame; false if it is not one of this pool's possible segments.
  bool read_link(const FrameView& frame, LinkTarget* out) const;
  // Are the bytes there of the large values of a commit's frame, as far as they may have shared its
  // record's barrier?
  bool values_stand(const FrameView& frame) const;
  // The frames given so far are not used any more.
  void release() const {
    if (copy_ != nullptr) copy_->release();
  }
  // Is there, anywhere behind `offset` in the segment or in those that the log went on in, a frame
  // that proves that the record `epoch` had been durable, or does a log mark? Then what stands at
  // `offset` is damage, not a torn tail.
  bool proves_durable(const Segment& segment, uint64_t sequence, uint64_t offset, uint64_t epoch,
                      uint32_t incarnation) const;

  // Where the log goes on after `segment`: by its link frame at or behind `offset`, or by the copy
  // at its end.
  bool find_link(const Segment& segment, uint64_t sequence, uint64_t offset, uint32_t incarnation,
                 LinkTarget* out) const;

 private:
  bool chain_proves(const Segment& segment, uint64_t sequence, uint64_t offset, uint64_t epoch,
                    uint32_t incarnation) const;
  bool link_at_end(const Segment& segment, uint64_t sequence, uint32_t incarnation,
                   LinkTarget* out) const;
  bool link_at(const Segment& segment, uint64_t sequence, uint64_t offset, uint32_t incarnation,
               LinkTarget* out) const;
  template <typename Each>
  bool any_frame_mark(uint64_t from, uint64_t end, Each&& each) const;
  const uint8_t* bytes_at(uint64_t offset, uint64_t size, uint64_t end) const {
    return copy_ != nullptr ? copy_->at(offset, size, end) : medium_.view() + offset;
  }
  const Medium& medium_;
  uint64_t secret_;
  LogCopy* const copy_;  // null: frames are read through the mapping
};

// Calls `each(view, offset of the operation)` for the operations of a valid frame, until it returns
// false.
template <typename Each>
void for_each_operation(const FrameView& frame, Each&& each) {
  const uint8_t* at = frame.operations;
  for (uint32_t i = 0; i < frame.header.operations; i++) {
    const OperationView view = view_operation(at, form_of(frame.header));
    if (!each(view,
              frame.offset + sizeof(FrameHeader) + static_cast<uint64_t>(at - frame.operations)))
      return;
    at += view.bytes;
  }
}

}  // namespace holdfast
