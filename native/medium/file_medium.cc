#include "medium/file_medium.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/test_hooks.h"
#include "base/test_points.h"
#include "medium/pool_file.h"

namespace holdfast {
namespace {

// What a pool that grows by itself is mapped with: room enough for any agent's state, small enough for dozens of pools
// in the 128 TiB of a process. A pool that outgrows it goes on after it is reopened.
constexpr uint64_t kWindowBytes = 4096 * kGiB;
constexpr uint64_t kResizeBytes = 64 * kGiB;  // by which a pool of fixed size can grow in place at least
constexpr uint64_t kSmallestGrowth = kMiB;
constexpr uint64_t kLargestGrowth = 64 * kMiB;

uint64_t growth_step(uint64_t end) {
  return round_up(std::clamp(end / 8, kSmallestGrowth, kLargestGrowth), kFileSegmentUnit);
}

}  // namespace

FileMedium::FileMedium(PosixFile file, const std::string& path, const Superblock& superblock, const ChosenRoot& root)
    : path_(path), superblock_(superblock), secret_(superblock.secret), file_(std::move(file)), root_(root) {}

FileMedium::~FileMedium() { close(); }

Result<std::unique_ptr<FileMedium>> FileMedium::start(PosixFile file, const std::string& path,
                                                      const Superblock& superblock, const ChosenRoot& root,
                                                      const FilePlace& place) {
  std::unique_ptr<FileMedium> medium(new FileMedium(std::move(file), path, superblock, root));
  medium->info_.name = "file";
  medium->info_.durability = place.durability;
  medium->info_.durability_reason = place.reason;
  medium->info_.atom_bytes = 512;
  medium->info_.segment_unit = kFileSegmentUnit;
  medium->info_.barrier_is_per_thread = false;
  medium->info_.grows = superblock.size == 0;
  HOLDFAST_TRY(medium->map());
  HOLDFAST_TRY(medium->adopt({}));
  return medium;
}

// The window is larger than the file: mapping what is not there yet costs nothing, and the address of byte 0 never
// changes while the file grows. It is never read at or behind view_end().
Status FileMedium::map() {
  FileFacts facts;
  if (const int error = file_.facts(&facts)) return file_error(error, "cannot look at the pool " + path_);
  const uint64_t fixed = superblock_.size;
  uint64_t end = round_down(facts.size, kFileSegmentUnit);
  if (fixed != 0) end = std::min(end, fixed);
  // A fixed size can be changed while the pool is open, up to four times and more, without moving the mapping.
  uint64_t window = fixed != 0 ? 4 * fixed + kResizeBytes : std::max(kWindowBytes, 2 * end);
  const uint64_t least = fixed != 0 ? fixed : end + kLargestGrowth + 1;
  int error = file_.map_shared(window, &view_);
  while (error != 0 && window > least) {
    window = std::max(window / 2, least);
    error = file_.map_shared(window, &view_);
  }
  if (error != 0) {
    return file_error(error,
                      "cannot map the pool " + path_ + " (" + std::to_string(window) + " bytes of address space)");
  }
  window_ = window;
  limit_ = limit_for(fixed);
  guard_.watch(view_, window_);
  end_.store(end, std::memory_order_release);
  return {};
}

void FileMedium::close() {
  const State before = state_.exchange(State::kClosed);
  if (before == State::kClosed) return;
  guard_.stop();
  if (view_ && !planted(PlantedBug::kMappingLeaked)) PosixFile::unmap(view_, window_);
  view_ = nullptr;
  // After a failed sync the kernel has marked the lost pages clean: a reopen would read them from the cache as if they
  // were on the disk. Not before the unmapping: a read through the mapping that the device refuses is a SIGBUS.
  if (before == State::kFailed || guard_.failed()) file_.forget_cached();
  end_.store(0, std::memory_order_release);
  file_.close();
}

Status FileMedium::refusal() const {
  if (state_.load() == State::kClosed) return Status(Code::kClosed, "the pool " + path_ + " is closed");
  if (guard_.failed()) {
    return Status(Code::kFailed, "the mapping of the pool " + path_ + " failed at byte " +
                                     std::to_string(guard_.failed_at()) + " (the file was truncated by somebody, or its "
                                     "disk has an error): close it, repair what is wrong, open it again");
  }
  return Status(Code::kFailed,
                "the pool " + path_ + " has failed earlier (a write or sync went wrong): close it and open it again");
}

// Nothing may be assumed after a failed write or sync, so nothing is tried again: see close() for what a reopen sees. A process that is killed
// before it closes leaves the mark by which the next one knows (file_medium_open.cc).
Status FileMedium::fail(const std::string& what, int error) {
  State expected = State::kOpen;
  if (state_.compare_exchange_strong(expected, State::kFailed)) file_.mark_failed();
  return Status::system(
      Code::kIo, what + " of the pool " + path_ + " failed, its outcome is unknown: close the pool and open it again",
      error);
}

bool FileMedium::map_privately(uint64_t offset, uint64_t bytes, void* at) const {
  return usable() && offset + bytes <= view_end() && file_.map_private_over(offset, bytes, at) == 0;
}

Status FileMedium::append(uint64_t offset, const void* data, size_t size) {
  if (!usable()) [[unlikely]]
    return refusal();
  const uint64_t end = end_.load(std::memory_order_relaxed);
  if (!is_placeable(offset, size) || offset > end || size > end - offset) [[unlikely]] {
    return Status(Code::kOutOfRange,
                  "append at " + std::to_string(offset) + " is outside the segments of the pool " + path_);
  }
  uint64_t writes = 0;
  const int error = file_.write_at(offset, data, size, &writes);
  counters_.appends += 1;
  counters_.writes += writes;
  if (error != 0) [[unlikely]]
    return fail("a write", error);
  counters_.bytes_appended += size;
  return {};
}

Status FileMedium::sync() {
  const std::lock_guard<std::mutex> one_at_a_time(sync_mutex_);
  if (!usable()) [[unlikely]]
    return refusal();
  const uint64_t end = end_.load(std::memory_order_relaxed);
  const int error = file_.sync_data();
  counters_.barriers += 1;
  if (error != 0) [[unlikely]]
    return fail("a sync", error);
  synced_end_.store(end, std::memory_order_relaxed);
  return {};
}

Status FileMedium::barrier() {
  HOLDFAST_TRY(sync());
  if (!usable()) [[unlikely]]
    return refusal();  // a write on another thread failed meanwhile
  return {};
}

// The slot that does not hold the current root is written, then synced. Crash before the sync has ended: that slot is
// old, new or torn; if it is new it has the larger sequence and is the root, else the other slot still is.
// Then the old slot is given the same root, and needs no sync: whatever becomes of it, the new one is durable, and it is
// the next to be written. So a byte damaged in one slot later never brings back a root whose segments are given away.
Status FileMedium::set_root(const Root& root) {
  const std::lock_guard<std::mutex> one_at_a_time(root_mutex_);
  if (!usable()) [[unlikely]]
    return refusal();
  const ChosenRoot next = {root, root_.sequence + 1, 1 - root_.slot};
  const RootSlot slot = make_root_slot(next.root, next.sequence, next.slot, secret_);
  uint64_t writes = 0;
  const int error = file_.write_at(kRootSlotOffsets[next.slot], &slot, sizeof slot, &writes);
  counters_.writes += writes;
  if (error != 0) return fail("writing the root", error);
  HOLDFAST_TRY(sync());
  const RootSlot copy = make_root_slot(next.root, next.sequence, root_.slot, secret_);
  if (const int failed = file_.write_at(kRootSlotOffsets[root_.slot], &copy, sizeof copy, &writes)) {
    return fail("writing the root's copy", failed);
  }
  root_ = next;
  counters_.roots += 1;
  return {};
}

// One copy after the other, each behind a sync of its own. Crash in between: they differ in the size only, and the larger one counts:
// nothing is held beyond the smaller one at that time.
Status FileMedium::write_superblocks(const Superblock& superblock) {
  for (const uint64_t offset : kSuperblockOffsets) {
    uint64_t writes = 0;
    HOLDFAST_POINT("resize.before_superblock");
    if (const int error = file_.write_at(offset, &superblock, sizeof superblock, &writes)) return fail("writing the superblock", error);
    if (!planted(PlantedBug::kSuperblocksTogether)) HOLDFAST_TRY(sync());
  }
  return {};
}

Status FileMedium::resize(uint64_t bytes) {
  if (!usable()) return refusal();
  const std::lock_guard<std::mutex> lock(space_mutex_);
  const uint64_t size = round_down(bytes, kFileSegmentUnit);
  if (bytes != 0 && (bytes < kMinFilePoolBytes || bytes > kMaxFilePoolBytes)) {
    return Status(Code::kOutOfRange, "the size of a pool must be 0 (grows by itself) or " + std::to_string(kMinFilePoolBytes) + " to " +
                                         std::to_string(kMaxFilePoolBytes) + " bytes, not " + std::to_string(bytes));
  }
  if (size > window_) {
    return Status(Code::kMediumUnavailable, "the pool " + path_ + " can be made at most " + std::to_string(window_) +
                                                " bytes large while it is open: close it, open it and go on from there");
  }
  const uint64_t before = limit_, after = limit_for(size);
  if (after < before && !space_.take({after, before - after})) {
    return Status(Code::kPoolFull, "the pool " + path_ + " cannot be made " + std::to_string(size) +
                                       " bytes large: something is held beyond that; compact it, close snapshots and readers, or have it copied "
                                       "(holdfast resize, while nobody has it open)");
  }
  // Larger: only what both copies say may be used. Smaller: what is beyond is not given out any more from here on.
  Status written = write_superblocks(resized(superblock_, size));
  if (!written.is_ok()) return written;
  superblock_ = resized(superblock_, size);
  HOLDFAST_POINT("resize.after_superblocks");
  limit_ = after;
  if (after > before) space_.extend(after);
  if (after < before) space_.shrink(after);
  if (end_.load() > after) {
    no_holes(after, end_.load());
    // A failure leaves the file longer than it need be; nothing beyond is used.
    if (file_.truncate(after) == 0) end_.store(after, std::memory_order_release);
  }
  HOLDFAST_POINT("resize.after_truncate");
  return sync();
}

// From the file, not through the mapping: a page that cannot be read is an error here, not a signal.
void FileMedium::check(const std::function<void(const std::string& damage)>& report) const {
  const std::lock_guard<std::mutex> no_root_changes(root_mutex_);
  std::string head(kSegmentsOffset, '\0');
  size_t got = 0;
  if (const int error = file_.read_at(0, head.data(), head.size(), &got)) {
    return report(file_error(error, "the pool's first pages cannot be read").message());
  }
  head.resize(got);
  for (const std::string& damage : front_damages(head, secret_)) report(damage);
}

Status FileMedium::adopt(const std::vector<Segment>& held) {
  if (!usable()) return refusal();
  const std::lock_guard<std::mutex> lock(space_mutex_);
  const uint64_t end = end_.load();
  space_.reset(kSegmentsOffset, limit_);
  for (const Segment& segment : held) {
    const std::string named =
        "the segment at " + std::to_string(segment.offset) + " (" + std::to_string(segment.bytes) + " bytes)";
    if (segment.end() < segment.offset || segment.end() > end) {
      return Status(Code::kCorrupt, "the pool " + path_ + " is truncated or damaged: it ends at byte " +
                                        std::to_string(end) + ", " + named + " does not fit: restore it from a backup");
    }
    if (segment.offset % kPageBytes != 0 || segment.bytes % kPageBytes != 0 || !space_.take(segment)) {
      return Status(Code::kCorrupt, "the pool " + path_ + " is damaged: " + named + " is held twice or out of place");
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
  if (written.is_ok() && segment->end() > synced_end_.load(std::memory_order_relaxed)) written = sync();
  if (written.is_ok()) return segment;
  release(*segment);
  return written;
}

Result<Segment> FileMedium::reserve(uint64_t min, uint64_t want) {
  const std::lock_guard<std::mutex> lock(space_mutex_);
  // What is there already need be neither asked for nor, mostly, zeroed: be it shorter than was wanted, the file does not become longer.
  std::optional<Segment> piece = preferred_end_ == 0 ? allocate_ready(std::max(min, want / 4), want) : std::nullopt;
  if (piece) return *piece;
  piece = allocate_preferred(min, want);
  if (!piece) {
    return Status(Code::kPoolFull, "the pool " + path_ + " is full: no free piece of " + std::to_string(min) +
                                       " bytes in its " + std::to_string(limit_) +
                                       " bytes; delete something or make a larger pool");
  }
  int error = take_blocks(*piece);
  if (error == 0) return *piece;
  space_.release(*piece);
  if (!is_disk_full(error)) return fail("growing the file", error);
  // No room on the disk for all that was wanted: a smaller piece that is there already, else the least that will do.
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
  return Status::system(Code::kDiskFull,
                        "no room on the disk for " + std::to_string(bytes) + " more bytes of the pool " + path_ +
                            " (nothing is lost: free some space, or delete something from the pool)",
                        error);
}

// Of the pieces that the disk need not be asked about: the shortest that will do for all that is wanted, else the longest.
std::optional<Segment> FileMedium::allocate_ready(uint64_t min, uint64_t want) {
  const uint64_t end = end_.load();
  Segment best;
  if (ready_bytes() < min) return std::nullopt;
  for (auto free = space_.first_within(kSegmentsOffset, end); free; free = space_.first_within(free->end(), end)) {
    for (uint64_t at = free->offset; at < free->end();) {
      const auto hole = holes_.first_within(at, free->end());
      const uint64_t stop = hole ? hole->offset : free->end();
      const uint64_t bytes = round_down(stop - at, kFileSegmentUnit);
      if (best.bytes >= want ? bytes >= want && bytes < best.bytes : bytes > best.bytes) best = {at, bytes};
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
    if (is_disk_full(error)) return disk_full(bytes - ready_bytes(), error);
    if (error != 0) return fail("growing the file", error);
  }
  return {};
}

// Holes, or where there are none more at the end. On a full disk only those holes can be had that have blocks already (find_holes),
// be it of a part: so all are asked for.
int FileMedium::take_more(uint64_t bytes) {
  const uint64_t end = end_.load(), more = round_up(bytes, kFileSegmentUnit);
  int error = 0;
  for (auto hole = holes_.first_within(kSegmentsOffset, end); hole; hole = holes_.first_within(hole->end(), end)) {
    for (uint64_t part = std::min(hole->bytes, more); part > 0; part = round_down(part / 2, kFileSegmentUnit)) {
      error = take_blocks({hole->offset, part});
      if (!is_disk_full(error)) return error;
    }
  }
  const uint64_t longest = round_down(limit_, kFileSegmentUnit);
  if (error != 0) return error;
  return end < longest ? grow_to(std::min(end + more, longest)) : ENOSPC;
}

// At open. Blocks that were taken and never written look like holes; they are taken once more, and that costs nothing.
void FileMedium::find_holes() {
  const uint64_t end = end_.load();
  uint64_t blocks = 0;
  if (file_.blocks(&blocks) == 0 && blocks >= end) return;
  for (auto free = space_.first_within(kSegmentsOffset, end); free; free = space_.first_within(free->end(), end)) {
    for (uint64_t at = free->offset; at < free->end();) {
      uint64_t hole = at, data = free->end();
      if (file_.next_unwritten(at, &hole) == 0) hole = round_down(std::min(hole, free->end()), kFileSegmentUnit);
      hole = std::max(hole, at);
      if (hole < free->end() && file_.next_data(hole, &data) == 0) data = round_up(std::min(data, free->end()), kFileSegmentUnit);
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
    const int error = file_.reserve(piece.offset, inside - piece.offset);
    if (error != 0 && error != EOPNOTSUPP) return error;
    no_holes(piece.offset, inside);
  }
  return grow_to(piece.end());
}

// A step more than needed, if the disk has it: fewer, larger extents and fewer changes of the file's length.
int FileMedium::grow_to(uint64_t needed) {
  const uint64_t end = end_.load();
  if (needed <= end) return 0;
  const uint64_t stepped = std::min(round_up(needed, growth_step(end)), round_down(limit_, kFileSegmentUnit));
  int error = extend_file(std::max(needed, stepped));
  if (is_disk_full(error) && stepped > needed) error = extend_file(needed);
  return error;
}

int FileMedium::extend_file(uint64_t new_end) {
  const uint64_t end = end_.load();
  // Asked first, since a fallocate that cannot succeed fills the disk to the brim before it says so.
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
    file_.truncate(end);  // what of it was made; a failure here only leaves the file longer than it need be
    return error;
  }
  counters_.bytes_grown += new_end - end;
  end_.store(new_end, std::memory_order_release);
  return 0;
}

Status FileMedium::write_unwritten(const Segment& segment) {
  uint64_t from = segment.offset;
  if (file_.next_unwritten(segment.offset, &from) != 0) from = segment.offset;  // cannot be asked: all of it
  if (from >= segment.end()) return {};
  uint64_t writes = 0;
  const int error = file_.write_zeros(from, segment.end() - from, &writes);
  counters_.writes += writes;
  if (is_disk_full(error)) return disk_full(segment.bytes, error);
  if (error != 0) return fail("zeroing a segment", error);
  return sync();
}

void FileMedium::release(const Segment& segment) {
  const std::lock_guard<std::mutex> lock(space_mutex_);
  (void)space_.release(segment);  // a piece that is free already is not taken back twice: it would be handed out twice
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

// Short pieces first, for what is kept should be of use to those who need a long one; else from the end downwards: what lies there was often
// never written, what lies low is used again as it is. In pieces, so that nobody who needs a segment waits long.
void FileMedium::give_back_free(uint64_t at_least, uint64_t kept) {
  constexpr uint64_t kLongest = 16 * kMiB, kShort = 4 * kFileSegmentUnit;
  bool first = true;
  for (const bool only_short : {true, false}) {
    for (uint64_t at = end_.load(); usable();) {
      const std::lock_guard<std::mutex> lock(space_mutex_);
      const uint64_t ready = ready_bytes(), most = ready > kept ? round_down(std::min(ready - kept, kLongest), kFileSegmentUnit) : 0;
      if (most == 0 || (std::exchange(first, false) && ready - kept < at_least)) return;
      auto piece = last_ready(at);
      if (!piece) break;
      at = piece->offset;
      if (only_short && piece->bytes > kShort) continue;
      at = piece->end() - std::min(most, piece->bytes);
      piece = Segment{at, piece->end() - at};
      HOLDFAST_POINT("file.before_give_back");
      if (file_.give_back(piece->offset, piece->bytes) != 0) return;  // where that cannot be done they stay with the file
      holes_.release(*piece);
    }
  }
}

void FileMedium::copy_out(uint64_t offset, void* to, size_t size) const {
  size_t got = 0;
  if (file_.read_at(offset, to, size, &got) != 0 || got != size) Medium::copy_out(offset, to, size);
}

MediumSpace FileMedium::space() const {
  MediumSpace space;
  if (state_.load() == State::kClosed) return space;
  FileSystemFacts disk;
  if (file_.file_system(&disk) != 0) disk.free_bytes = 0;
  const std::lock_guard<std::mutex> lock(space_mutex_);
  const uint64_t end = end_.load();
  const uint64_t held = limit_ - kSegmentsOffset - space_.free_bytes();
  space.capacity = superblock_.size != 0 ? limit_ - kSegmentsOffset : UINT64_MAX / 2;
  uint64_t blocks = end;
  space.taken = holes_.free_bytes() > 0 && file_.blocks(&blocks) == 0 ? std::min(blocks, end) : end;
  space.free = space.capacity - held;
  space.ready = ready_bytes();
  const Segment tail = space_.tail();
  const uint64_t room = round_down(disk.free_bytes, kFileSegmentUnit) + (end > tail.offset ? end - tail.offset : 0);
  space.largest_free = std::max(space_.largest_below(end), tail.bytes == 0 ? 0 : std::min(tail.bytes, room));
  return space;
}

}  // namespace holdfast
