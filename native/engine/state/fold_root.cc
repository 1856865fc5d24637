#include "engine/state/fold_root.h"

#include "base/test_hooks.h"
#include "base/test_points.h"
#include "engine/state/clock.h"
#include "log/log_reader.h"

namespace holdfast {

std::vector<std::vector<FoldedTable>> folded_runs(const std::vector<RunPtr>& runs) {
  std::vector<std::vector<FoldedTable>> out;
  for (const RunPtr& run : runs) {
    auto& tables = out.emplace_back();
    for (const TableRef& t : run->tables())
      tables.push_back({t.segment, t.entries, t.nodes, t.root, t.depth, t.first_key, t.last_key});
  }
  return out;
}

Status FoldRoot::read_block(const Medium& medium, const RootWords& root, FoldBlock* block) {
  const Segment& at = root.fold;
  const std::string place = "the fold at offset " + std::to_string(at.offset);
  if (at.offset % 4096 != 0 || at.end() < at.offset || at.end() > medium.view_end() ||
      root.fold_bytes > at.bytes) {
    return Status(Code::kCorrupt, place + " lies beyond the pool's end; was the file truncated?");
  }
  medium.expect_reads(at.offset, root.fold_bytes);
  const Bytes bytes = bytes_of(medium.view() + at.offset, root.fold_bytes);
  if (checksum(bytes.data(), bytes.size()) != root.fold_checksum)
    return Status(Code::kCorrupt, place + " is damaged");
  auto decoded = FoldBlock::decode(bytes);
  if (!decoded) return Status(Code::kCorrupt, place + " cannot be understood");
  *block = std::move(*decoded);
  return {};
}

Status FoldRoot::set(FoldBlock&& next, bool all_placed) {
  const std::string bytes = next.encode();
  auto segment = medium_.allocate(SegmentKind::kFold, bytes.size(), bytes.size());
  if (!segment.is_ok()) return std::move(segment.status());
  HOLDFAST_POINT("fold.before_block");
  Status placed;
  for (uint64_t at = 0; at < bytes.size() && placed.is_ok(); at += kMiB) {
    placed = medium_.append(segment->offset + at, bytes.data() + at,
                            std::min<uint64_t>(kMiB, bytes.size() - at));
  }
  if (placed.is_ok() && !planted(PlantedBug::kRootBeforeFold)) placed = medium_.barrier();
  if (!placed.is_ok()) return health_.fail(std::move(placed));
  RootWords words = root;
  words.fold = *segment;
  words.fold_bytes = bytes.size();
  words.fold_checksum = checksum(bytes.data(), bytes.size());
  words.clean = 0;
  if (all_placed) words.placing = 0;
  HOLDFAST_POINT("fold.before_root");
  Status set = medium_.set_root(words.to_root());
  if (set.is_ok() && planted(PlantedBug::kRootBeforeFold)) set = medium_.barrier();
  if (!set.is_ok()) return health_.fail(std::move(set));
  HOLDFAST_POINT("fold.after_root");
  const Segment before = root.fold;
  {
    std::lock_guard append(log_.lock);
    root = words;
    block = std::move(next);
  }
  if (before.bytes > 0) retire(before);
  return {};
}

Status FoldRoot::mark_placing() {
  RootWords words = root;
  words.placing = 1;
  words.clean = 0;
  Status set = medium_.set_root(words.to_root());
  if (!set.is_ok()) return health_.fail(std::move(set));
  std::lock_guard append(log_.lock);
  root = words;
  return {};
}

Status FoldRoot::mark_clean() {
  RootWords words = root;
  words.clean = 1;
  HOLDFAST_POINT("close.before_clean_mark");
  return medium_.set_root(words.to_root());
}

bool FoldRoot::refresh_retention() {
  const LogReader reader(medium_, secret_);
  log_.retention.refresh(log_.segments, log_.writer.sequence(), now_ms(), [&](const LogSegment& s) {
    FrameView frame;
    const bool there =
        reader.read_frame(s.segment, s.sequence, s.segment.offset + sizeof(SegmentHeader), &frame);
    return there ? frame.header.time_ms : uint64_t{0};
  });
  const bool other_wish =
      block.retain_ms != log_.retention.wish.ms || block.retain_bytes != log_.retention.wish.bytes;
  return other_wish || log_.retention.floor() > kept_for_feed;
}

// A fold's own segment: nothing refers to it once the next root is set, but a reader may be reading
// it.
void FoldRoot::retire(const Segment& segment) {
  if (!readers_.attached()) return medium_.release(segment);
  std::lock_guard append(log_.lock);
  log_.graveyard.bury(segment, 0, 0);
}

}  // namespace holdfast
