// An ordinary disk: written with pwrite, made durable with fdatasync, read through one shared
// read-only mapping. See open_medium.h for how it comes to be; this header is only for
// open_medium.cc and the tests.
//
// Never stored to through the mapping: with large page-cache folios one dirtied page becomes a
// write of up to 1 MiB. The file grows in steps with fallocate, which is not enough for the log:
// the first write to a block that was never written costs three to four times as much on a
// journaled file system. So a kLog segment is asked about when it is handed out (SEEK_HOLE finds
// blocks never written) and zeroed only then and only if need be. Asking the file system needs no
// bookkeeping of ours that a crash or a reopen could make wrong; kLarge, kIndex and kFold are
// written whole anyway and would only be written twice. What is free may be given back (holes): it
// has its blocks taken again before it is handed out, so that a full disk is met there and not by a
// write; make_ready() takes some beforehand, for when it is full.
//
// Crash: a segment handed out and not yet referred to is simply free at the next open; a growth
// that was not yet durable is a shorter file, and nothing durable refers to what is missing.
// set_root: old or new, see set_root.
#pragma once

#include <algorithm>
#include <mutex>
#include <optional>

#include "format/layout.h"
#include "medium/address_share.h"
#include "medium/extent_allocator.h"
#include "medium/mapping_guard.h"
#include "medium/memory_facts.h"
#include "medium/open_medium.h"
#include "medium/place_facts.h"
#include "medium/posix_file.h"
#include "medium/superblock.h"

namespace holdfast {

Result<OpenedMedium> open_file_medium(const std::string& path, const MediumOptions& options);

inline constexpr uint64_t kLargestFileGrowth =
    64 * kMiB;  // at once, of a file that grows by itself

// Its space is in file_space.cc.
class FileMedium final : public Medium {
 public:
  // `file` is open and locked, its superblock and root are verified. Maps it.
  static Result<std::unique_ptr<FileMedium>> start(PosixFile file, const std::string& path,
                                                   const Superblock& superblock,
                                                   const ChosenRoot& root, const FilePlace& place);
  ~FileMedium() override;

  Result<Segment> allocate(SegmentKind kind, uint64_t min_bytes, uint64_t want_bytes) override;
  void release(const Segment& segment) override;
  Status make_ready(uint64_t bytes) override;
  void prefer_below(uint64_t bytes) override;
  void give_back_free(uint64_t at_least, uint64_t kept) override;
  Status adopt(const std::vector<Segment>& held) override;
  Status append(uint64_t offset, const void* data, size_t size) override;
  uint64_t log_marks() const override { return kLogMarksOffset; }
  Status barrier() override;
  const Root& root() const override { return root_.root; }
  Status set_root(const Root& root) override;
  Status resize(uint64_t bytes) override;
  const uint8_t* view() const override { return view_; }
  void copy_out(uint64_t offset, void* to, size_t size) const override;
  Status write_out(const Segment& begun, const Segment& earlier) override;
  bool expect_reads(uint64_t offset, uint64_t bytes) const override;
  uint64_t reads_that_waited() const override { return PosixFile::reads_that_waited(); }
  uint64_t memory_for_reads() const override { return memory_for_files(); }
  uint64_t view_end() const override { return end_.load(std::memory_order_acquire); }
  bool map_privately(uint64_t offset, uint64_t bytes, void* at) const override;
  bool failed() const override {
    return state_.load(std::memory_order_acquire) == State::kFailed || guard_.failed();
  }
  Status refused() const override;
  void check(const std::function<void(const std::string& damage)>& report) const override;
  const MediumInfo& info() const override { return info_; }
  MediumSpace space() const override;
  uint64_t largest_free() const override;
  void close() override;

 private:
  enum class State : uint8_t { kOpen, kFailed, kClosed };

  FileMedium(PosixFile file, const std::string& path, const Superblock& superblock,
             const ChosenRoot& root);
  Status map();
  uint64_t limit_for(uint64_t size) const { return size != 0 ? size : window_; }
  Status write_superblocks(const Superblock& superblock);
  bool usable() const {
    return state_.load(std::memory_order_relaxed) == State::kOpen && !guard_.failed();
  }
  Status refusal() const;
  Status fail(const std::string& what, int error);
  Status fail(Status failure);
  Status sync();
  Status must_be_there();
  Result<Segment> reserve(uint64_t min, uint64_t want);
  Status disk_full(uint64_t bytes, int error) const;
  int grow_to(uint64_t end);
  int take_blocks(const Segment& piece);
  int fill_holes(uint64_t from, uint64_t to);
  std::optional<Segment> allocate_preferred(uint64_t min, uint64_t want);
  int take_more(uint64_t bytes);  // this and those before and after: under space_mutex_
  uint64_t ready_bytes() const {
    return space_.free_bytes() - (limit_ - std::min<uint64_t>(end_, limit_)) - holes_.free_bytes();
  }
  std::optional<Segment> allocate_ready(uint64_t min, uint64_t want);
  std::optional<Segment> last_ready(uint64_t below) const;
  void find_holes();
  void no_holes(uint64_t from, uint64_t to);
  int extend_file(uint64_t end);
  Status write_unwritten(const Segment& segment);

  const std::string path_;
  Superblock superblock_;  // guarded by space_mutex_; its size: 0: grows by itself
  const uint64_t secret_;
  MediumInfo info_;
  PosixFile file_;
  std::once_flag awaited_once_;
  PosixFile awaited_;  // the file once more, opened when something is waited for: see write_out
  const AddressShare addresses_;
  const uint8_t* view_ = nullptr;
  MappingGuard guard_;              // over the window
  uint64_t window_ = 0;             // bytes mapped; the file never becomes larger
  std::atomic<uint64_t> limit_{0};  // what of it may be used: changes with the size
  std::atomic<State> state_{State::kOpen};
  mutable std::mutex failure_mutex_;
  Status failure_;                // the first; guarded by failure_mutex_
  std::atomic<uint64_t> end_{0};  // of the file, in whole units

  mutable std::mutex space_mutex_;  // space_, growth, holes
  ExtentAllocator holes_;       // what of the free space below end_ has no blocks: it is given some
                                // before it is handed out
  uint64_t preferred_end_ = 0;  // not 0: what is allocated should end before
  ExtentAllocator space_;       // of [kSegmentsOffset, limit), what is behind end_ included

  // One sync at a time. The kernel reports a lost page to one caller only: were two in fdatasync at
  // once, the other could be told success before the first has marked the pool failed. (Parallel
  // syncs do not merge in the kernel anyway.)
  std::mutex sync_mutex_;
  std::atomic<uint64_t> synced_end_{0};  // the file had this length at the last sync
  bool names_are_counted_ = false;       // not by every file system
  uint64_t look_at_file_ms_ = 0;         // not before; guarded by sync_mutex_
  mutable std::mutex root_mutex_;
  ChosenRoot root_;
};

}  // namespace holdfast
