#include "log/log_writer.h"

#include <algorithm>

#include "format/log_mark.h"

namespace holdfast {

void LogWriter::resume(const Segment& head, uint64_t sequence, uint64_t position, bool fresh,
                       uint32_t incarnation) {
  head_ = head;
  sequence_ = sequence;
  position_ = position;
  header_due_ = fresh;
  incarnation_ = incarnation;
  staged_.clear();
}

uint64_t LogWriter::room() const {
  const uint64_t needed =
      (header_due_ ? sizeof(SegmentHeader) : 0) + kLinkRoomBytes + sizeof(FrameHeader);
  const uint64_t left = head_.end() - position_;
  return left > needed ? left - needed : 0;
}

uint64_t LogWriter::room_of(uint64_t segment_bytes) {
  return segment_bytes - sizeof(SegmentHeader) - kLinkRoomBytes - sizeof(FrameHeader);
}

// Word by word, as the checksum reads it: what is stored in narrow pieces and read back at once in
// wide ones waits until the pieces have left the store buffer. So it is not put together in an
// array first either, which the compiler copies in pieces of two words.
static void store_sealed(uint8_t* to, const FrameHeader& header, uint64_t rolled, uint64_t seed) {
  const auto word = [to](size_t at, uint64_t value) { store(to + 8 * at, value); };
  word(0, header.magic | uint64_t{header.bytes} << 32);
  word(1, header.epoch);
  word(2, header.incarnation | uint64_t{header.operations} << 32);
  word(3, header.kind | uint64_t{header.flags} << 16 | uint64_t{header.part} << 32);
  word(4, header.behind | uint64_t{header.reserved0} << 32);
  word(5, header.time_ms);
  word(6, header.reserved1);
  word(7, rolled);
  static_assert(sizeof header == 64 && offsetof(FrameHeader, bytes) == 4 &&
                offsetof(FrameHeader, incarnation) == 16 &&
                offsetof(FrameHeader, operations) == 20 && offsetof(FrameHeader, flags) == 26 &&
                offsetof(FrameHeader, part) == 28 && offsetof(FrameHeader, behind) == 32 &&
                offsetof(FrameHeader, reserved1) == 48);
  store(to + offsetof(FrameHeader, checksum), checksum_seeded(to, sizeof header, seed));
}

void LogWriter::seal_frame(uint8_t* frame, uint64_t frame_bytes, uint32_t operations,
                           uint64_t rolled, uint16_t flags, uint32_t part,
                           const RecordStamp& stamp) {
  FrameHeader header;
  header.bytes = static_cast<uint32_t>(frame_bytes);
  header.epoch = stamp.epoch;
  header.incarnation = incarnation_;
  header.operations = operations;
  header.kind = static_cast<uint16_t>(stamp.kind);
  header.flags = flags;
  header.part = part;
  header.behind =
      static_cast<uint32_t>(std::min<uint64_t>(stamp.epoch - stamp.durable_epoch, UINT32_MAX));
  header.time_ms = stamp.time_ms;
  const uint64_t at = position_ + (header_due_ ? sizeof(SegmentHeader) : 0);
  store_sealed(frame, header, rolled, place_seed(secret_, sequence_, at));
}

// The bytes at position_: behind what is staged, or straight to the medium.
Status LogWriter::place(const uint8_t* frame, uint64_t bytes) {
  const bool direct = !staging_on_ && !header_due_ && staged_.empty();
  if (direct) {
    HOLDFAST_TRY(medium_.append(position_, frame, bytes));
    position_ += bytes;
    return {};
  }
  stage(frame, bytes);
  return staging_on_ ? Status() : flush();
}

void LogWriter::stage(const uint8_t* frame, uint64_t bytes) {
  if (staged_.empty()) staged_at_ = position_;
  if (header_due_) {
    const SegmentHeader header = make_segment_header(head_.offset, head_.bytes, sequence_,
                                                     load<FrameHeader>(frame).epoch, secret_);
    const auto* raw = reinterpret_cast<const uint8_t*>(&header);
    staged_.insert(staged_.end(), raw, raw + sizeof header);
    position_ += sizeof header;
    header_due_ = false;
  }
  staged_.insert(staged_.end(), frame, frame + bytes);
  position_ += bytes;
}

Status LogWriter::flush() {
  if (staged_.empty()) return {};
  Status placed = medium_.append(staged_at_, staged_.data(), staged_.size());
  staged_.clear();
  return placed;
}

Status LogWriter::write(RecordBuffer* record, const RecordStamp& stamp,
                        std::vector<Placement>* placements) {
  const uint64_t bytes = RecordBuffer::frame_bytes(record->bytes());
  record->pad();
  record->seal();
  seal_frame(record->frame(), bytes, record->count(), record->rolled(), FrameHeader::kLastPart, 0,
             stamp);
  HOLDFAST_TRY(place(record->frame(), bytes));
  placements->push_back(
      {0, record->bytes(), position_ - bytes + sizeof(FrameHeader), record->count()});
  return {};
}

// Fewer are with the others sooner than on their own: a call more takes 20 ns.
constexpr uint64_t kWorthAhead = 768;

// The lines that are as they will stay are on their way to the medium while the checksums of the
// others are made. In which order they land is all the same: until the header has, with its
// checksum over the operations', there is no frame.
Status LogWriter::write_fenced(RecordBuffer* record, const RecordStamp& stamp,
                               uint64_t* pool_offset, Medium::Meanwhile& meanwhile) {
  const uint64_t bytes = RecordBuffer::frame_bytes(record->bytes());
  record->pad();
  const uint64_t closed = header_due_ ? 0 : bytes - record->open_bytes();
  const uint64_t open = closed < kWorthAhead ? bytes : bytes - closed;
  if (open < bytes)
    HOLDFAST_TRY(medium_.append_ahead(position_ + open, record->frame() + open, bytes - open));
  record->seal();
  seal_frame(record->frame(), bytes, record->count(), record->rolled(), FrameHeader::kLastPart, 0,
             stamp);
  if (!header_due_) {
    const uint64_t at = position_;
    position_ += bytes;
    *pool_offset = at + sizeof(FrameHeader);
    return medium_.append_fenced(at, record->frame(), open, meanwhile);
  }
  stage(record->frame(), bytes);  // the segment's first frame goes with its header
  *pool_offset = position_ - bytes + sizeof(FrameHeader);
  Status placed = medium_.append_fenced(staged_at_, staged_.data(), staged_.size(), meanwhile);
  staged_.clear();
  return placed;
}

Status LogWriter::write_parts(const RecordBuffer& record, const RecordStamp& stamp,
                              const std::vector<Segment>& next, size_t* taken,
                              std::vector<Placement>* placements) {
  *taken = 0;
  std::vector<uint8_t> frame;
  uint32_t part = 0;
  uint64_t done = 0;
  while (done < record.bytes()) {
    uint64_t bytes = 0;
    uint64_t rolled = 0;
    uint32_t count = 0;
    const uint64_t limit = room();
    while (done + bytes < record.bytes()) {
      const uint8_t* operation = record.operations() + done + bytes;
      const uint64_t size = operation_head(operation).bytes();
      if (bytes + size > limit) break;
      bytes += size;
      rolled = roll(rolled, load<uint32_t>(operation));
      count++;
    }
    if (count == 0) {
      if (*taken == next.size())
        return Status(Code::kPoolFull, "the record does not fit into the segments at hand");
      // Before its first part the record has not begun: the link belongs to the one before.
      HOLDFAST_TRY(link_to(next[(*taken)++], part == 0 ? stamp.epoch - 1 : stamp.epoch,
                           stamp.durable_epoch));
      continue;
    }
    const uint64_t frame_bytes = RecordBuffer::frame_bytes(bytes);
    frame.assign(frame_bytes, 0);
    std::memcpy(frame.data() + sizeof(FrameHeader), record.operations() + done, bytes);
    const bool last = done + bytes == record.bytes();
    seal_frame(frame.data(), frame_bytes, count, rolled, last ? FrameHeader::kLastPart : 0, part++,
               stamp);
    HOLDFAST_TRY(place(frame.data(), frame_bytes));
    placements->push_back({done, bytes, position_ - frame_bytes + sizeof(FrameHeader), count});
    done += bytes;
  }
  return {};
}

Status LogWriter::link_to(const Segment& next, uint64_t epoch, uint64_t durable_epoch) {
  LinkTarget target{next.offset, next.bytes, next_sequence(), 0};
  target.checksum = checksum(&target, offsetof(LinkTarget, checksum));
  alignas(64) uint8_t frame[kLinkFrameBytes] = {};
  store(frame + sizeof(FrameHeader), target);
  seal_frame(frame, sizeof frame, 0, target.checksum, FrameHeader::kLastPart, 0,
             {FrameKind::kLink, epoch, std::min(durable_epoch, epoch), 0});
  HOLDFAST_TRY(place(frame, sizeof frame));
  HOLDFAST_TRY(flush());  // what follows lies elsewhere
  // The copy at the segment's end. It may land or not: it is read only where the link itself cannot
  // be.
  const uint64_t copy_at = head_.end() - kLinkFrameBytes;
  if (position_ <= copy_at) {
    position_ = copy_at;
    seal_frame(frame, sizeof frame, 0, target.checksum, FrameHeader::kLastPart, 0,
               {FrameKind::kLink, epoch, std::min(durable_epoch, epoch), 0});
    HOLDFAST_TRY(medium_.append(copy_at, frame, sizeof frame));
  }
  head_ = next;
  sequence_++;
  position_ = next.offset;
  header_due_ = true;
  return place_mark(durable_epoch);
}

// Like the copy it may land or not.
Status LogWriter::place_mark(uint64_t durable_epoch) {
  const uint64_t pages = medium_.log_marks();
  if (pages == 0) return {};
  const LogMark mark =
      make_log_mark(sequence_, head_.offset, head_.bytes, durable_epoch, incarnation_, secret_);
  return medium_.append(pages + sequence_ % 2 * kPageBytes, &mark, sizeof mark);
}

}  // namespace holdfast
