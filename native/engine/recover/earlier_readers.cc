// What a writer that opens keeps for readers in other processes who were reading before.
//
// A writer that opens knows of the newest fold and its tail only. A reader may still read by an
// older fold; its slot names it, and nothing that fold refers to was given away while the pin
// stood. So the writer reads that fold too, walks the log from there to where its own begins, and
// holds all of it as dead: it goes when the reader does. A reader whose fold can't be read so
// expires.

#include <algorithm>

#include "base/test_hooks.h"
#include "base/test_points.h"
#include "engine/recover/recovery.h"
#include "format/large_value.h"
#include "log/tail.h"

namespace holdfast {

namespace {

// All that a reader by the fold `block` at `at` may look at, but the tail from `until` (a log
// sequence) on.
Status needed_by(const FoldBlock& block, const Segment& at, const Medium& medium, uint64_t secret,
                 const FoldBlock& until, std::vector<Segment>* needed) {
  needed->push_back(at);
  for (const FoldedSegment& s : block.log) needed->push_back(s.segment);
  for (const Segment& s : block.large) needed->push_back(s);
  for (const auto& tables : block.runs) {
    for (const FoldedTable& table : tables) needed->push_back(table.segment);
  }
  for (const FoldedRegion& region : block.regions) {
    for (const FoldedExtent& extent : region.extents) needed->push_back(extent.segment);
  }
  if (block.epoch >= until.epoch) return {};
  const LogReader reader(medium, secret);
  Tail tail(reader, block);
  HOLDFAST_TRY(tail.begins_well());
  HOLDFAST_TRY(tail.walk(
      until.epoch,
      [&](const FrameView& frame) {
        for_each_operation(frame, [&](const OperationView& operation, uint64_t) {
          if (operation.type != OperationType::kPutLarge) return true;
          if (const auto value = LargeValue::decode(operation.value)) {
            for (const LargePiece& piece : value->pieces) needed->push_back(piece.segment);
          }
          return true;
        });
      },
      [&](const Segment& segment, uint64_t) { needed->push_back(segment); }));
  if (tail.epoch() >= until.epoch) return {};
  return Status(Code::kCorrupt, "the log that a reader reads ends before the newest fold");
}

}  // namespace

// Adds to what is held what readers of earlier writers need and this writer does not; it is dead
// from the beginning.
void Recovery::keep_for_readers() {
  const auto by_offset = [](const Segment& a, const Segment& b) { return a.offset < b.offset; };
  for (const ReaderSeen& seen : readers_.list()) {
    if (seen.consistent && seen.fold_bytes == 0)
      continue;  // has not read the root yet, and so will read this one
    RootWords theirs = fold_.root;
    theirs.fold = seen.fold;
    theirs.fold_bytes = seen.fold_bytes;
    theirs.fold_checksum = seen.fold_checksum;
    FoldBlock block;
    std::vector<Segment> needed;
    Status status = seen.consistent ? FoldRoot::read_block(medium_, theirs, &block)
                                    : Status(Code::kCorrupt,
                                             "the reader was stopped while it changed its slot");
    if (status.is_ok())
      status = needed_by(block, seen.fold, medium_, secret_, fold_.block, &needed);
    std::sort(held_.begin(), held_.end(), by_offset);
    std::vector<Segment> fresh;
    for (const Segment& segment : needed) {
      const auto at = std::lower_bound(held_.begin(), held_.end(), segment, by_offset);
      const bool same =
          at != held_.end() && at->offset == segment.offset && at->bytes == segment.bytes;
      const bool clear = (at == held_.end() || segment.end() <= at->offset) &&
                         (at == held_.begin() || std::prev(at)->end() <= segment.offset);
      const bool known = std::any_of(fresh.begin(), fresh.end(),
                                     [&](const Segment& s) { return s.offset == segment.offset; });
      if (same || known) continue;
      if (!clear || segment.end() > medium_.view_end())
        status = Status(Code::kCorrupt, "what a reader reads is held by something else");
      fresh.push_back(segment);
    }
    if (!status.is_ok()) {
      readers_.expire(seen);
      continue;
    }
    for (const Segment& segment : fresh) {
      held_.push_back(segment);
      log_.graveyard.bury(segment, 0, 0);
    }
  }
}

}  // namespace holdfast
