#include "medium/file_medium.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "base/test_hooks.h"
#include "base/test_points.h"
#include "medium/pool_file.h"

namespace holdfast {
namespace {

constexpr uint64_t kResizeBytes =
    64 * kGiB;  // by which a pool of fixed size can grow in place at least
constexpr uint64_t kLookAtFileMs = 100;

uint64_t steady_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

}  // namespace

FileMedium::FileMedium(PosixFile file, const std::string& path, const Superblock& superblock,
                       const ChosenRoot& root)
    : path_(path),
      superblock_(superblock),
      secret_(superblock.secret),
      file_(std::move(file)),
      root_(root) {}

FileMedium::~FileMedium() { close(); }

Result<std::unique_ptr<FileMedium>> FileMedium::start(PosixFile file, const std::string& path,
                                                      const Superblock& superblock,
                                                      const ChosenRoot& root,
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

// The window is larger than the file: the address of byte 0 never changes while the file grows. It
// is never read at or behind view_end(). A pool that outgrows it goes on after it is reopened.
Status FileMedium::map() {
  FileFacts facts;
  if (const int error = file_.facts(&facts))
    return file_error(error, "cannot look at the pool " + path_);
  names_are_counted_ = facts.names > 0;
  const uint64_t fixed = superblock_.size;
  uint64_t end = round_down(facts.size, kFileSegmentUnit);
  if (fixed != 0) end = std::min(end, fixed);
  // A fixed size can be changed while the pool is open, up to four times and more where few are.
  const uint64_t more = addresses_.bytes();
  const uint64_t wish = fixed != 0 ? fixed + std::min(3 * fixed + kResizeBytes, more) : end + more;
  const uint64_t least = fixed != 0 ? fixed : end + kLargestFileGrowth + 1;
  if (int error = map_with_room(file_, least, wish, &view_, &window_)) {
    if (error == EINVAL) error = ENODEV;  // so says 9p without a cache, or jffs2: only for reading
    return file_error(error, "cannot map the pool " + path_ + " (" + std::to_string(window_) +
                                 " bytes of address space)");
  }
  PosixFile::expect_random_reads(view_, window_);
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
  // After a failed sync the kernel has marked the lost pages clean: a reopen would read them from
  // the cache as if they were on the disk. Not before the unmapping: a read through the mapping
  // that the device refuses is a SIGBUS.
  if (before == State::kFailed || guard_.failed()) file_.forget_cached();
  end_.store(0, std::memory_order_release);
  // Closing alone does not end it while a child that some thread is about to start has the
  // descriptor too.
  file_.unlock();
  file_.close();
  awaited_.close();
}

Status FileMedium::refusal() const {
  if (state_.load() == State::kClosed)
    return Status(Code::kClosed, "the pool " + path_ + " is closed");
  if (guard_.failed()) {
    return Status(Code::kFailed,
                  "the mapping of the pool " + path_ + " failed at byte " +
                      std::to_string(guard_.failed_at()) +
                      " (the file was truncated by somebody, or its "
                      "disk has an error): close it, repair what is wrong, open it again");
  }
  const std::lock_guard<std::mutex> lock(failure_mutex_);
  return Status(
      Code::kFailed,
      "the pool " + path_ + " has failed and refuses all work; first error: " + failure_.message());
}

Status FileMedium::refused() const {
  return state_.load() == State::kFailed ? refusal() : Status();
}

// Nothing may be assumed after a failed write or sync, so nothing is tried again: see close() for
// what a reopen sees. A process that is killed before it closes leaves the mark by which the next
// one knows (file_medium_open.cc).
Status FileMedium::fail(const std::string& what, int error) {
  // A file system that writes every change to a new place has none for what is in the file already.
  const std::string first = error == EFBIG        ? "raise the limit on file length, then "
                            : is_disk_full(error) ? "make room on the disk, then "
                                                  : "";
  return fail(Status::system(Code::kIo,
                             what + " of the pool " + path_ + " failed, its outcome is unknown: " +
                                 first + "close the pool and open it again",
                             error));
}

Status FileMedium::fail(Status failure) {
  {
    const std::lock_guard<std::mutex> lock(failure_mutex_);
    if (failure_.is_ok()) failure_ = failure.clone();
  }
  State expected = State::kOpen;
  if (state_.compare_exchange_strong(expected, State::kFailed)) file_.mark_failed();
  return failure;
}

bool FileMedium::map_privately(uint64_t offset, uint64_t bytes, void* at) const {
  return usable() && offset + bytes <= view_end() && file_.map_private_over(offset, bytes, at) == 0;
}

Status FileMedium::append(uint64_t offset, const void* data, size_t size) {
  if (!usable()) [[unlikely]]
    return refusal();
  const uint64_t end = end_.load(std::memory_order_relaxed);
  if (!is_placeable(offset, size) || offset > end || size > end - offset) [[unlikely]] {
    return Status(Code::kOutOfRange, "append at " + std::to_string(offset) +
                                         " is outside the segments of the pool " + path_);
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

// A write that has failed is told once to each open file that asks. So it is asked of another than
// the one that is synced: else a commit whose sync comes between could be told success before the
// pool is marked failed. Without another nothing is waited for.
Status FileMedium::write_out(const Segment& begun, const Segment& earlier) {
  if (!usable()) return refusal();
  file_.begin_writing(begun.offset, begun.bytes);
  if (earlier.bytes == 0) return {};
  std::call_once(awaited_once_, [this] { (void)awaited_.open_again(file_); });
  if (!awaited_.is_open()) return {};
  const int error = awaited_.wait_for_writing(earlier.offset, earlier.bytes);
  return error == 0 ? Status() : fail("a write", error);
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
  if (const uint64_t now = steady_ms(); now >= look_at_file_ms_) {
    look_at_file_ms_ = now + kLookAtFileMs;
    HOLDFAST_TRY(must_be_there());
  }
  synced_end_.store(end, std::memory_order_relaxed);
  return {};
}

// A file that somebody has removed goes when it is closed, whatever was synced to it; one that
// somebody has cut has lost what the log goes on from; one that was copied over is no pool of ours:
// nothing more is called durable.
Status FileMedium::must_be_there() {
  const uint64_t end = end_.load();
  FileFacts facts;
  if (file_.facts(&facts) != 0) return {};
  if (names_are_counted_ && facts.names == 0) return fail(removed_error("the pool " + path_));
  // Not a resize, which lowers the end first.
  if (facts.size < end && end_.load() == end)
    return fail("a sync of the file, which somebody has cut to " + std::to_string(facts.size) +
                    " of " + std::to_string(end) + " bytes,",
                EIO);
  return is_written_over(view_, secret_) ? fail(written_over_error("the pool " + path_)) : Status();
}

Status FileMedium::barrier() {
  HOLDFAST_TRY(sync());
  if (!usable()) [[unlikely]]
    return refusal();  // a write on another thread failed meanwhile
  return {};
}

// The slot that does not hold the current root is written, then synced. Crash before the sync has
// ended: that slot is old, new or torn; if it is new it has the larger sequence and is the root,
// else the other slot still is. Then the old slot is given the same root, and needs no sync:
// whatever becomes of it, the new one is durable, and it is the next to be written. So a byte
// damaged in one slot later never brings back a root whose segments are given away.
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
  HOLDFAST_TRY(must_be_there());
  const RootSlot copy = make_root_slot(next.root, next.sequence, root_.slot, secret_);
  if (const int failed =
          file_.write_at(kRootSlotOffsets[root_.slot], &copy, sizeof copy, &writes)) {
    return fail("writing the root's copy", failed);
  }
  root_ = next;
  counters_.roots += 1;
  return {};
}

// One copy after the other, each behind a sync of its own. Crash in between: they differ in the
// size only, and the larger one counts: nothing is held beyond the smaller one at that time.
Status FileMedium::write_superblocks(const Superblock& superblock) {
  for (const uint64_t offset : kSuperblockOffsets) {
    uint64_t writes = 0;
    HOLDFAST_POINT("resize.before_superblock");
    if (const int error = file_.write_at(offset, &superblock, sizeof superblock, &writes))
      return fail("writing the superblock", error);
    if (!planted(PlantedBug::kSuperblocksTogether)) HOLDFAST_TRY(sync());
  }
  return {};
}

Status FileMedium::resize(uint64_t bytes) {
  if (!usable()) return refusal();
  const std::lock_guard<std::mutex> lock(space_mutex_);
  const uint64_t size = round_down(bytes, kFileSegmentUnit);
  if (bytes != 0 && (bytes < kMinFilePoolBytes || bytes > kMaxFilePoolBytes)) {
    return Status(Code::kOutOfRange, "the size of a pool must be 0 (grows by itself) or " +
                                         std::to_string(kMinFilePoolBytes) + " to " +
                                         std::to_string(kMaxFilePoolBytes) + " bytes, not " +
                                         std::to_string(bytes));
  }
  if (size > window_) {
    return Status(Code::kMediumUnavailable,
                  "the pool " + path_ + " can be made at most " + std::to_string(window_) +
                      " bytes large while it is open: close it, open it and go on from there");
  }
  const uint64_t before = limit_, after = limit_for(size);
  if (after < before && !space_.take({after, before - after})) {
    return Status(Code::kPoolFull, "the pool " + path_ + " cannot be made " + std::to_string(size) +
                                       " bytes large: something is held beyond that; compact it, "
                                       "close snapshots and readers, or have it copied "
                                       "(holdfast resize, while nobody has it open)");
  }
  // Larger: only what both copies say may be used. Smaller: what is beyond is not given out any
  // more from here on.
  Status written = write_superblocks(resized(superblock_, size));
  if (!written.is_ok()) return written;
  superblock_ = resized(superblock_, size);
  HOLDFAST_POINT("resize.after_superblocks");
  limit_ = after;
  if (after > before) space_.extend(after);
  if (after < before) space_.shrink(after);
  if (end_.load() > after) {
    no_holes(after, end_.load());
    // The end first: a file that is shorter was cut by somebody else. A failure leaves the file
    // longer than it need be; nothing beyond is used.
    const uint64_t longer = end_.exchange(after);
    if (file_.truncate(after) != 0) end_.store(longer, std::memory_order_release);
  }
  HOLDFAST_POINT("resize.after_truncate");
  return sync();
}

// From the file, not through the mapping: a page that cannot be read is an error here, not a
// signal.
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

void FileMedium::copy_out(uint64_t offset, void* to, size_t size) const {
  size_t got = 0;
  if (file_.read_at(offset, to, size, &got) != 0 || got != size) Medium::copy_out(offset, to, size);
}

bool FileMedium::expect_reads(uint64_t offset, uint64_t bytes) const {
  const uint64_t end = view_end();
  if (offset >= end || bytes == 0) return false;
  const uint64_t inside = std::min(bytes, end - offset);
  if (PosixFile::seem_in_memory(view_ + offset, inside)) return false;
  PosixFile::expect_reads(view_ + offset, inside);
  return true;
}

}  // namespace holdfast
