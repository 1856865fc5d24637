// The file medium's space: what of its file is held, what is free and has blocks already, what is a
// hole; how the file grows and what goes back.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/test_hooks.h"
#include "base/test_points.h"
#include "medium/file_medium.h"
#include "medium/pool_file.h"
#include "medium/write_behind.h"

namespace holdfast {
namespace {

constexpr uint64_t kSmallestGrowth = kMiB;
// Beside commits, whose barriers have it all to write: half a millisecond of a fast disk. Of a long
// segment so much is not written fast enough: commits come so quickly then that they wait for it.
constexpr uint64_t kZeroedAtOnce = 128 * kKiB, kZeroedFast = kMiB;

uint64_t growth_step(uint64_t end) {
  return round_up(std::clamp(end / 8, kSmallestGrowth, kLargestFileGrowth), kFileSegmentUnit);
}

}  // namespace

Status FileMedium::adopt(const std::vector<Segment>& held) {
  if (!usable()) return refusal();
  const std::lock_guard<std::mutex> lock(space_mutex_);
  const uint64_t end = end_.load();
  space_.reset(kSegmentsOffset, limit_);
  for (const Segment& segment : held) {
    const std::string named = "the segment at " + std::to_string(segment.offset) + " (" +
                              std::to_string(segment.bytes) + " bytes)";
    if (segment.end() < segment.offset || segment.end() > end) {
      return Status(Code::kCorrupt, "the pool " + path_ +
                                        " is truncated or damaged: it ends at byte " +
                                        std::to_string(end) + ", " + named +
                                        " does not fit: restore it from a backup");
    }
    if (segment.offset % kPageBytes != 0 || segment.bytes % kPageBytes != 0 ||
        !space_.take(segment)) {
      return Status(Code::kCorrupt, "the pool " + path_ + " is damaged: " + named +
                                        " is held twice or out of place");
    }
  }
  holes_.reset(kSegmentsOffset, window_);
  holes_.take({kSegmentsOffset, window_ - kSegmentsOffset});
  if (!held.empty()) find_holes();  // else nothing is known yet of what is free
  return {};
}

Result<Segment> FileMedium::allocate(SegmentKind kind, uint64_t min_bytes, uint64_t want_bytes) {
  if (!usable()) return refusal();
  const uint64_t min = round_up(std::clamp<uint64_t>(min_bytes, 1, limit_ + 1), kFileSegmentUnit);
  const uint64_t want = round_up(std::clamp<uint64_t>(want_bytes, 1, limit_ + 1), kFileSegmentUnit);
  Result<Segment> segment = reserve(min, std::max(min, want));
  if (!segment || kind != SegmentKind::kLog) return segment;
  Status written = write_unwritten(*segment);
  // A log mark promises that its segment is there (format/log_mark.h).
  if (written.is_ok() && segment->end() > synced_end_.load(std::memory_order_relaxed))
    written = sync();
  if (written.is_ok()) return segment;
  release(*segment);
  return written;
}

Result<Segment> FileMedium::reserve(uint64_t min, uint64_t want) {
  const std::lock_guard<std::mutex> lock(space_mutex_);
  // What is there already need be neither asked for nor, mostly, zeroed: be it shorter than was
  // wanted, the file does not become longer.
  std::optional<Segment> piece =
      preferred_end_ == 0 ? allocate_ready(std::max(min, want / 4), want) : std::nullopt;
  if (piece) return *piece;
  piece = allocate_preferred(min, want);
  if (!piece) {
    return Status(Code::kPoolFull, "the pool " + path_ + " is full: no free piece of " +
                                       std::to_string(min) + " bytes in its " +
                                       std::to_string(limit_) +
                                       " bytes; delete something or make a larger pool");
  }
  int error = take_blocks(*piece);
  if (error == 0) return *piece;
  space_.release(*piece);
  if (!is_disk_full(error)) return fail("growing the file", error);
  // No room on the disk for all that was wanted: a smaller piece that is there already, else the
  // least that will do.
  piece = allocate_ready(min, want);
  if (piece) return *piece;
  piece = space_.allocate(min, min);
  if (!piece) return disk_full(min, error);
  error = take_blocks(*piece);
  if (error == 0) return *piece;
  space_.release(*piece);
  return is_disk_full(error) ? disk_full(min, error) : fail("growing the file", error);
}

std::optional<Segment> FileMedium::allocate_preferred(uint64_t min, uint64_t want) {
  std::optional<Segment> piece;
  if (preferred_end_ != 0) piece = space_.allocate_below(preferred_end_, min, want);
  return piece ? piece : space_.allocate(min, want);
}

void FileMedium::prefer_below(uint64_t bytes) {
  const std::lock_guard<std::mutex> lock(space_mutex_);
  preferred_end_ = round_down(bytes, kFileSegmentUnit);
}

Status FileMedium::disk_full(uint64_t bytes, int error) const {
  return Status::system(
      Code::kDiskFull,
      "no room on the disk for " + std::to_string(bytes) + " more bytes of the pool " + path_ +
          " (nothing is lost: free some space, or delete something from the pool)",
      error);
}

// Of the pieces that the disk need not be asked about: the shortest that will do for all that is
// wanted, else the longest.
std::optional<Segment> FileMedium::allocate_ready(uint64_t min, uint64_t want) {
  const uint64_t end = end_.load();
  Segment best;
  if (ready_bytes() < min) return std::nullopt;
  for (auto free = space_.first_within(kSegmentsOffset, end); free;
       free = space_.first_within(free->end(), end)) {
    for (uint64_t at = free->offset; at < free->end();) {
      const auto hole = holes_.first_within(at, free->end());
      const uint64_t stop = hole ? hole->offset : free->end();
      const uint64_t bytes = round_down(stop - at, kFileSegmentUnit);
      if (best.bytes >= want ? bytes >= want && bytes < best.bytes : bytes > best.bytes)
        best = {at, bytes};
      at = hole ? hole->end() : stop;
    }
  }
  best.bytes = std::min(best.bytes, want);
  return best.bytes >= min && space_.take(best) ? std::optional<Segment>(best) : std::nullopt;
}

Status FileMedium::make_ready(uint64_t bytes) {
  if (!usable()) return refusal();
  const std::lock_guard<std::mutex> lock(space_mutex_);
  while (ready_bytes() < bytes) {
    const int error = take_more(bytes - ready_bytes());
    if (error == ERANGE) {
      return Status(Code::kPoolFull, "the pool " + path_ + " has reached the " +
                                         std::to_string(limit_) +
                                         " bytes that it may have while it is open, or the " +
                                         "addresses of this process (ulimit -v): delete " +
                                         "something, or close it and open it again");
    }
    if (is_disk_full(error)) return disk_full(bytes - ready_bytes(), error);
    if (error != 0) return fail("growing the file", error);
  }
  return {};
}

// Holes, or where there are none more at the end. On a full disk only those holes can be had that
// have blocks already (find_holes), be it of a part: so all are asked for. ERANGE: it may not
// become longer.
int FileMedium::take_more(uint64_t bytes) {
  const uint64_t end = end_.load(), more = round_up(bytes, kFileSegmentUnit);
  int error = 0;
  for (auto hole = holes_.first_within(kSegmentsOffset, end); hole;
       hole = holes_.first_within(hole->end(), end)) {
    for (uint64_t part = std::min(hole->bytes, more); part > 0;
         part = round_down(part / 2, kFileSegmentUnit)) {
      error = take_blocks({hole->offset, part});
      if (!is_disk_full(error)) return error;
    }
  }
  const uint64_t longest = round_down(limit_, kFileSegmentUnit);
  if (error != 0) return error;
  return end < longest ? grow_to(std::min(end + more, longest)) : ERANGE;
}

// At open. Blocks that were taken and never written look like holes; they are taken once more, and
// that costs nothing.
void FileMedium::find_holes() {
  const uint64_t end = end_.load();
  uint64_t blocks = 0;
  if (file_.blocks(&blocks) == 0 && blocks >= end) return;
  for (auto free = space_.first_within(kSegmentsOffset, end); free;
       free = space_.first_within(free->end(), end)) {
    for (uint64_t at = free->offset; at < free->end();) {
      uint64_t unwritten = at, data = free->end();
      if (file_.next_unwritten(at, &unwritten) != 0) unwritten = at;
      unwritten = std::min(unwritten, free->end());
      const uint64_t hole = std::max(round_down(unwritten, kFileSegmentUnit), at);
      if (hole < free->end() && file_.next_data(unwritten, &data) == 0)
        data = round_up(std::min(data, free->end()), kFileSegmentUnit);
      data = std::min(data, free->end());
      if (hole < data) holes_.release({hole, data - hole});
      at = std::max(data, at + 1);
    }
  }
}

void FileMedium::no_holes(uint64_t from, uint64_t to) {
  while (const auto hole = holes_.first_within(from, to)) holes_.take(*hole);
}

int FileMedium::take_blocks(const Segment& piece) {
  const uint64_t end = end_.load(), inside = std::min(piece.end(), end);
  if (holes_.first_within(piece.offset, inside)) {
    int error = file_.reserve(piece.offset, inside - piece.offset);
    if (error == EOPNOTSUPP) error = fill_holes(piece.offset, inside);
    if (error != 0) return error;
    no_holes(piece.offset, inside);
  }
  return grow_to(piece.end());
}

// Where holes can be made, or were copied to, and blocks cannot be asked for (ext3).
int FileMedium::fill_holes(uint64_t from, uint64_t to) {
  while (const auto hole = holes_.first_within(from, to)) {
    uint64_t writes = 0;
    const int error = file_.write_zeros(hole->offset, hole->bytes, &writes);
    counters_.writes += writes;
    if (error != 0) return error;
    from = hole->end();
  }
  return 0;
}

// A step more than needed, if the disk has it: fewer, larger extents and fewer changes of the
// file's length.
int FileMedium::grow_to(uint64_t needed) {
  const uint64_t end = end_.load();
  if (needed <= end) return 0;
  const uint64_t stepped =
      std::min(round_up(needed, growth_step(end)), round_down(limit_, kFileSegmentUnit));
  int error = extend_file(std::max(needed, stepped));
  if (is_disk_full(error) && stepped > needed) error = extend_file(needed);
  return error;
}

int FileMedium::extend_file(uint64_t new_end) {
  const uint64_t end = end_.load();
  // Asked first, since a fallocate that cannot succeed fills the disk to the brim before it says
  // so.
  FileSystemFacts disk;
  if (file_.file_system(&disk) == 0 && disk.free_bytes < new_end - end) return ENOSPC;
  HOLDFAST_POINT("file.before_growth");
  int error = file_.reserve(end, new_end - end);
  if (error == EOPNOTSUPP) {
    uint64_t writes = 0;
    error = file_.write_zeros(end, new_end - end, &writes);
    counters_.writes += writes;
  }
  if (error != 0) {
    file_.truncate(
        end);  // what of it was made; a failure here only leaves the file longer than it need be
    return error;
  }
  counters_.bytes_grown += new_end - end;
  end_.store(new_end, std::memory_order_release);
  return 0;
}

Status FileMedium::write_unwritten(const Segment& segment) {
  uint64_t from = segment.offset;
  if (file_.next_unwritten(segment.offset, &from) != 0)
    from = segment.offset;  // cannot be asked: all of it
  if (from >= segment.end()) return {};
  const uint64_t at_once = segment.bytes > kMiB ? kZeroedFast : kZeroedAtOnce;
  WriteBehind behind(*this, at_once);
  while (from < segment.end()) {
    const uint64_t piece = std::min(at_once, segment.end() - from);
    uint64_t writes = 0;
    const int error = file_.write_zeros(from, piece, &writes);
    counters_.writes += writes;
    if (is_disk_full(error)) return disk_full(segment.bytes, error);
    if (error != 0) return fail("zeroing a segment", error);
    HOLDFAST_TRY(behind.comes_behind(from, piece));
    from += piece;
  }
  return sync();
}

void FileMedium::release(const Segment& segment) {
  const std::lock_guard<std::mutex> lock(space_mutex_);
  (void)space_.release(segment);  // a piece that is free already is not taken back twice: it would
                                  // be handed out twice
}

// What of the free space below has blocks and lies highest, in one piece.
std::optional<Segment> FileMedium::last_ready(uint64_t below) const {
  while (const auto free = space_.last_within(kSegmentsOffset, below)) {
    const auto hole = holes_.last_within(free->offset, free->end());
    if (!hole) return free;
    if (hole->end() < free->end()) return Segment{hole->end(), free->end() - hole->end()};
    below = hole->offset;
  }
  return std::nullopt;
}

// Short pieces first, for what is kept should be of use to those who need a long one; else from the
// end downwards: what lies there was often never written, what lies low is used again as it is. In
// pieces, so that nobody who needs a segment waits long.
void FileMedium::give_back_free(uint64_t at_least, uint64_t kept) {
  constexpr uint64_t kLongest = 16 * kMiB, kShort = 4 * kFileSegmentUnit;
  bool first = true;
  for (const bool only_short : {true, false}) {
    for (uint64_t at = end_.load(); usable();) {
      const std::lock_guard<std::mutex> lock(space_mutex_);
      const uint64_t ready = ready_bytes(),
                     most = ready > kept
                                ? round_down(std::min(ready - kept, kLongest), kFileSegmentUnit)
                                : 0;
      if (most == 0 || (std::exchange(first, false) && ready - kept < at_least)) return;
      auto piece = last_ready(at);
      if (!piece) break;
      at = piece->offset;
      if (only_short && piece->bytes > kShort) continue;
      at = piece->end() - std::min(most, piece->bytes);
      piece = Segment{at, piece->end() - at};
      HOLDFAST_POINT("file.before_give_back");
      if (file_.give_back(piece->offset, piece->bytes) != 0)
        return;  // where that cannot be done they stay with the file
      holes_.release(*piece);
    }
  }
}

MediumSpace FileMedium::space() const {
  MediumSpace space;
  if (state_.load() == State::kClosed) return space;
  const std::lock_guard<std::mutex> lock(space_mutex_);
  const uint64_t end = end_.load();
  const uint64_t held = limit_ - kSegmentsOffset - space_.free_bytes();
  space.capacity = superblock_.size != 0 ? limit_ - kSegmentsOffset : UINT64_MAX / 2;
  uint64_t blocks = end;
  space.taken = holes_.free_bytes() > 0 && file_.blocks(&blocks) == 0 ? std::min(blocks, end) : end;
  space.free = space.capacity - held;
  space.ready = ready_bytes();
  return space;
}

uint64_t FileMedium::largest_free() const {
  if (state_.load() == State::kClosed) return 0;
  FileSystemFacts disk;
  if (file_.file_system(&disk) != 0) disk.free_bytes = 0;
  const std::lock_guard<std::mutex> lock(space_mutex_);
  const uint64_t end = end_.load();
  const Segment tail = space_.tail();
  const uint64_t room =
      round_down(disk.free_bytes, kFileSegmentUnit) + (end > tail.offset ? end - tail.offset : 0);
  return std::max(space_.largest_below(end), tail.bytes == 0 ? 0 : std::min(tail.bytes, room));
}

}  // namespace holdfast
