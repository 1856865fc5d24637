#include "engine/damage/salvage_log.h"

#include <algorithm>

namespace holdfast {

namespace {
constexpr uint64_t kMostEpochsAhead =
    uint64_t{1} << 20;  // of a frame that is damaged, behind the last valid one
}  // namespace

Status SalvagedLog::scan() {
  if (source_ == SalvageSource::kChecksums) return scan_everything();
  find_segments();
  return scan_segments();
}

// With a fold: its segments, and those that came after it. A segment that was given back has a
// lower sequence and is not among them, though its header may still be there.
bool SalvagedLog::wanted(uint64_t sequence) const {
  if (source_ != SalvageSource::kIndex || sequence > fold_.log_sequence) return true;
  return std::any_of(fold_.log.begin(), fold_.log.end(),
                     [&](const FoldedSegment& s) { return s.sequence == sequence; });
}

void SalvagedLog::add_segment(const Segment& segment, uint64_t sequence) {
  if (raw_.could_hold(segment) && wanted(sequence))
    segments_.try_emplace(sequence, Found{segment, sequence});
}

void SalvagedLog::find_segments() {
  for (const FoldedSegment& s : fold_.log) add_segment(s.segment, s.sequence);
  for (uint64_t at = raw_.past_hole(kPageBytes); at + kPageBytes <= raw_.view_end();
       at += kPageBytes) {
    if (at % kMiB == 0) at = raw_.past_hole(at);
    if (at + kPageBytes > raw_.view_end()) break;
    if (load<uint32_t>(raw_.view() + at) != SegmentHeader::kMagic) continue;
    const auto header = load<SegmentHeader>(raw_.view() + at);
    if (header.offset == at && header.checksum == segment_checksum(header, secret_))
      add_segment({at, header.bytes}, header.sequence);
  }
  // Segments whose header is damaged, by the links that lead there. What is added is looked at in
  // its turn.
  for (auto it = segments_.begin(); it != segments_.end(); ++it) {
    LinkTarget link;
    const Segment& s = it->second.segment;
    if (reader_.find_link(s, it->second.sequence, s.offset + sizeof(SegmentHeader), 0, &link)) {
      add_segment({link.offset, link.bytes}, link.sequence);
    }
  }
}

Status SalvagedLog::scan_segments() {
  size_t done = 0;
  for (const auto& [sequence, found] : segments_) {
    HOLDFAST_TRY(steps_.aborted());
    scan_segment(found, std::next(segments_.find(sequence)) == segments_.end());
    steps_.tell(0.5 * static_cast<double>(++done) / static_cast<double>(segments_.size()));
  }
  return {};
}

// Frames in a row; across damage to the next frame that can follow. Whole operations found in
// between count too, as scan_gap() says. Behind the last one may be an earlier life: there only
// what a frame's header claims is looked at.
void SalvagedLog::scan_segment(const Found& s, bool newest) {
  const uint64_t end = std::min(s.segment.end(), raw_.view_end());
  uint64_t at = s.segment.offset + sizeof(SegmentHeader);
  uint64_t gap = 0;
  uint32_t incarnation = 0;
  FrameView frame;
  while (at + sizeof(FrameHeader) <= end) {
    if (!reader_.read_frame(s.segment, s.sequence, at, &frame) ||
        frame.header.incarnation < incarnation) {
      if (gap == 0) gap = at;
      at += kFrameAlign;
      continue;
    }
    if (gap != 0) scan_gap(gap, at, frame.header.epoch);
    if (gap != 0 && frame.header.epoch > fold_.epoch) report_gap(gap, at);
    gap = 0;
    incarnation = frame.header.incarnation;
    epoch_ = frame.header.epoch;
    at += frame.header.bytes;
    if (frame.header.kind == static_cast<uint16_t>(FrameKind::kLink)) return;
    if (is_torn(s, frame)) continue;
    for_each_operation(frame, [&](const OperationView& operation, uint64_t offset) {
      note(operation, offset, frame.header.epoch, true);
      return true;
    });
  }
  if (gap == 0) return;
  if (!newest) report_gap(gap, end);  // the log went on in another segment, so this was not its end
  newest ? scan_claimed(gap, end, incarnation) : scan_gap(gap, end, epoch_ + kMostEpochsAhead);
}

// As replay has it (Tail): what was on its way when the machine died is no loss, and what was
// there before counts.
bool SalvagedLog::is_torn(const Found& s, const FrameView& frame) const {
  if (frame.header.epoch <= fold_.epoch || reader_.values_stand(frame)) return false;
  return !reader_.proves_durable(s.segment, s.sequence, frame.offset, frame.header.epoch,
                                 frame.header.incarnation);
}

void SalvagedLog::report_gap(uint64_t begin, uint64_t end) {
  if (gaps_.size() >= kMostLosses) return;
  gaps_.push_back(
      "the records behind commit " + std::to_string(epoch_) + ", at offsets " +
      std::to_string(begin) + " to " + std::to_string(end) +
      ", are damaged: what they changed is as it was before, unless a later record has it");
}

// Whole operations between damaged frames. Bytes may have come here from elsewhere (swapped
// pages, an earlier life), so an operation is only as new as the header of its frame says: if
// that epoch is possible here and all operations between the two are whole. Any other is taken
// only where nothing else is known of its key.
void SalvagedLog::scan_gap(uint64_t begin, uint64_t end, uint64_t last_epoch) {
  uint64_t epoch = 0, frame_end = 0;  // 0: no longer in a row with a frame's header
  for (uint64_t at = begin; at + kLeastOperationBytes <= end;) {
    if (at >= frame_end) epoch = 0;
    if (epoch == 0 && at % kFrameAlign == 0 && at + sizeof(FrameHeader) <= end) {
      const auto header = load<FrameHeader>(raw_.view() + at);
      if (is_frame_magic(header.magic) && header.bytes > sizeof header &&
          header.bytes <= end - at) {
        if (header.epoch >= std::max<uint64_t>(epoch_, 1) && header.epoch <= last_epoch)
          epoch = header.epoch;
        frame_end = at + header.bytes;
        at += sizeof header;
        continue;
      }
    }
    OperationView operation;
    const uint64_t stop = at < frame_end ? frame_end : end;
    const bool whole = plausible(at, stop, OperationForm::kShort, &operation) ||
                       plausible(at, stop, OperationForm::kOlder, &operation);
    if (!whole) epoch = 0;
    at += whole ? take(operation, at, epoch) : kOperationAlign;
  }
}

void SalvagedLog::scan_claimed(uint64_t begin, uint64_t end, uint32_t incarnation) {
  for (uint64_t at = begin; at + sizeof(FrameHeader) <= end; at += kFrameAlign) {
    const auto header = load<FrameHeader>(raw_.view() + at);
    if (!is_frame_magic(header.magic) || header.epoch <= epoch_ ||
        header.incarnation < incarnation || header.bytes > end - at)
      continue;
    if (header.epoch > epoch_ + kMostEpochsAhead) continue;
    scan_gap(at, at + header.bytes, epoch_ + kMostEpochsAhead);
    report_gap(at, at + header.bytes);
  }
}

bool SalvagedLog::plausible(uint64_t at, uint64_t end, OperationForm form,
                            OperationView* out) const {
  if (end - at < kLeastOperationBytes) return false;
  const uint8_t* const bytes = raw_.view() + at;
  const OperationHead head = operation_head(bytes, form);
  if (head.key_bytes < kLeastKeyBytes || head.key_bytes > kMostKeyBytes) return false;
  if (head.bytes() > end - at) return false;
  // Its padding is looked at first: that is quick, and most bytes that are no operation fail it.
  for (uint64_t i = head.used(); i < head.bytes(); i++)
    if (bytes[i] != 0) return false;
  return read_operation(bytes, end - at, form, out);
}

uint64_t SalvagedLog::take(const OperationView& operation, uint64_t at, uint64_t epoch) {
  note(operation, at, epoch, false);
  return operation.bytes;
}

void SalvagedLog::note(const OperationView& operation, uint64_t offset, uint64_t epoch,
                       bool certain) {
  if (is_region_operation(operation.type)) return regions_.note(offset, epoch);
  Version& version = versions_[std::string(operation.key)];
  if (version.offset != 0 &&
      (version.epoch > epoch || (version.epoch == epoch && version.certain && !certain)))
    return;
  version = {epoch, offset, operation.type == OperationType::kDelete, certain};
}

// Without the secret: whole frames of whole operations, anywhere. What lies inside an accepted
// frame (somebody's copy of a pool, as a value) is passed over.
Status SalvagedLog::scan_everything() {
  const uint64_t end = raw_.view_end();
  for (uint64_t at = 0; at + sizeof(FrameHeader) <= end;) {
    if (at % kMiB == 0) {
      HOLDFAST_TRY(steps_.aborted());
      const uint64_t data = raw_.past_hole(at);
      if (data > at) {
        at = data;
        continue;
      }
    }
    if (at % (16 * kMiB) == 0)
      steps_.tell(0.5 * static_cast<double>(at) / static_cast<double>(end));
    const uint64_t whole =
        is_frame_magic(load<uint32_t>(raw_.view() + at)) ? take_frame(at, end) : 0;
    at += whole > 0 ? whole : kFrameAlign;
  }
  return {};
}

uint64_t SalvagedLog::take_frame(uint64_t at, uint64_t end) {
  const auto header = load<FrameHeader>(raw_.view() + at);
  if (header.bytes < sizeof header || header.bytes % kFrameAlign != 0 || header.bytes > end - at)
    return 0;
  if (header.kind != 1 && header.kind != 2) return 0;
  const uint64_t stop = at + header.bytes;
  std::vector<std::pair<OperationView, uint64_t>> operations;
  uint64_t from = at + sizeof header;
  for (uint32_t i = 0; i < header.operations; i++) {
    OperationView operation;
    if (!plausible(from, stop, form_of(header), &operation)) return 0;
    operations.emplace_back(operation, from);
    from += operation.bytes;
  }
  if (operations.empty()) return 0;
  for (const auto& [operation, offset] : operations) note(operation, offset, header.epoch, true);
  return header.bytes;
}

}  // namespace holdfast
