// The tail of the log: what lies behind a fold, walked record by record. Recovery replays all of
// it; a reader in another process walks as far as is known to be durable, and goes on from there
// later (engine/read_only/read_only_pool.h).
//
// It changes nothing, and gives frames of whole records only. One thread.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "base/test_hooks.h"
#include "format/fold.h"
#include "log/log_reader.h"

namespace holdfast {

// Replays frames; what it has found is plain data, so that nothing is adopted before all of it is
// known.
class Tail {
 public:
  static constexpr uint64_t kToItsEnd = UINT64_MAX;

  Tail(const LogReader& reader, const FoldBlock& fold) : reader_(reader) {
    expected_.epoch = fold.epoch;
    if (!planted(PlantedBug::kFoldForgetsIncarnation))
      expected_.incarnation = static_cast<uint32_t>(fold.incarnation);
    for (const FoldedSegment& s : fold.log) {
      if (s.sequence == fold.log_sequence) segment_ = s.segment;
    }
    sequence_ = fold.log_sequence;
    position_ = fold.log_offset;
    mark();
  }

  // Is the place where the fold says that the tail begins one where it can begin?
  Status begins_well() const {
    if (segment_.bytes == 0)
      return Status(Code::kCorrupt, "the fold names a log segment it does not list");
    if (position_ >= segment_.offset && position_ <= segment_.end() && position_ % kFrameAlign == 0)
      return {};
    return Status(Code::kCorrupt, "the fold says that the log goes on at offset " +
                                      std::to_string(position_) +
                                      ", which is outside of its log segment");
  }

  // Calls `each(frame)` for every frame of a whole record up to epoch `limit`, in order, and
  // `linked(segment, sequence)` for each new segment. Ends early at the first frame that is not
  // valid; kCorrupt if that one had been durable. May be called again, with a higher limit or when
  // more has been appended: it goes on behind the last whole record. `limit` kToItsEnd: nobody
  // knows what was durable, so of a record that nothing behind it proves to have been, large values
  // must be whole too.
  template <typename Each, typename Linked>
  Status walk(uint64_t limit, Each&& each, Linked&& linked) {
    std::vector<FrameView> parts;
    std::vector<std::pair<Segment, uint64_t>> links;
    rewind();
    while (expected_.epoch < limit || expected_.pending_epoch) {
      FrameView frame;
      const uint64_t at =
          position_ == segment_.offset ? position_ + sizeof(SegmentHeader) : position_;
      if (!reader_.read_frame(segment_, sequence_, at, &frame) ||
          !LogReader::follows(frame.header, &expected_)) {
        const uint64_t missing =
            expected_.pending_epoch ? expected_.pending_epoch : expected_.epoch + 1;
        if (reader_.proves_durable(segment_, sequence_, at, missing, expected_.incarnation)) {
          return reader_.is_inside(segment_)
                     ? Status(Code::kCorrupt, "the record of commit " + std::to_string(missing) +
                                                  " at offset " + std::to_string(at) +
                                                  " was acknowledged as durable and is damaged")
                     : Status(Code::kCorrupt,
                              "the log goes on in the segment at offset " +
                                  std::to_string(segment_.offset) +
                                  ", which lies beyond the pool's end; was the file truncated?");
        }
        return {};
      }
      position_ = at + frame.header.bytes;
      if (frame.header.kind == static_cast<uint16_t>(FrameKind::kLink)) {
        LinkTarget target;
        if (!reader_.read_link(frame, &target) ||
            target.sequence != sequence_ + 1) {  // else links could lead in a circle
          return Status(Code::kCorrupt, "the link at offset " + std::to_string(at) + " is damaged");
        }
        segment_ = {target.offset, target.bytes};
        sequence_ = target.sequence;
        position_ = target.offset;
        links.emplace_back(segment_, sequence_);
        continue;
      }
      parts.push_back(frame);
      if (expected_.pending_epoch && !planted(PlantedBug::kPartialRecordAccepted)) continue;
      if (limit == kToItsEnd && is_torn(parts)) return {};
      for (const auto& [segment, sequence] : links) linked(segment, sequence);
      links.clear();
      for (const FrameView& part : parts) each(part);
      parts.clear();
      reader_.release();
      mark();
    }
    return {};
  }

  // Where to go on writing: behind the last whole record.
  Segment head() const { return good_segment_; }
  uint64_t sequence() const { return good_sequence_; }
  uint64_t position() const { return good_position_; }
  uint64_t epoch() const { return good_expected_.epoch; }

 private:
  // A record of which a large value is not whole, and that was not durable. If it had been, the
  // value is damaged and the record stands.
  bool is_torn(const std::vector<FrameView>& parts) const {
    if (planted(PlantedBug::kLargeNotVerified) ||
        parts.back().header.kind != static_cast<uint16_t>(FrameKind::kCommit))
      return false;
    if (std::all_of(parts.begin(), parts.end(),
                    [&](const FrameView& part) { return names_no_value(part); }))
      return false;
    const FrameView& last = parts.back();
    if (reader_.proves_durable(segment_, sequence_, last.offset, last.header.epoch,
                               expected_.incarnation))
      return false;
    return !std::all_of(parts.begin(), parts.end(),
                        [&](const FrameView& part) { return reader_.values_stand(part); });
  }
  static bool names_no_value(const FrameView& frame) {
    bool none = true;
    for_each_operation(frame, [&](const OperationView& operation, uint64_t) {
      return none = operation.type != OperationType::kPutLarge;
    });
    return none;
  }
  void mark() {
    good_segment_ = segment_;
    good_sequence_ = sequence_;
    good_position_ = position_;
    good_expected_ = expected_;
  }
  void rewind() {
    segment_ = good_segment_;
    sequence_ = good_sequence_;
    position_ = good_position_;
    expected_ = good_expected_;
  }
  const LogReader& reader_;
  FrameExpectation expected_, good_expected_;
  Segment segment_, good_segment_;
  uint64_t sequence_ = 0, good_sequence_ = 0;
  uint64_t position_ = 0, good_position_ = 0;
};

}  // namespace holdfast
