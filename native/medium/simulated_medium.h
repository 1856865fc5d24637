// A disk for tests that forgets, tears and reorders whatever was not behind a barrier, and fails
// when told to.
//
// It keeps two images: what reads see (live), and what is durable; and for each atom (512-byte
// sector or 64-byte line) written since the last barrier every version it has had. crash() makes a
// new disk: the durable image, and each of those atoms as it was, or in any one of its versions; an
// interrupted root change happened or not. A process that dies without a power cut is closing the
// medium and opening the same disk again: the live image is there, and opening has made it durable.
//
// Everything is decided by 64-bit seeds or by explicit choices; nothing depends on addresses or
// time. Any thread.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "format/layout.h"
#include "medium/extent_allocator.h"
#include "medium/open_medium.h"

namespace holdfast {

struct SimulatedOptions {
  uint64_t capacity =
      64 *
      kMiB;  // the address space, the 64 KiB before the first segment included: kPoolFull beyond
  uint64_t atom_bytes = 512;  // 64: as persistent memory
  uint64_t segment_unit = 64 * kKiB;
  bool barrier_is_per_thread = false;  // true: as persistent memory
};

enum class SimulatedCall : uint8_t { kAppend, kBarrier, kSetRoot, kAllocate };

enum class SimulatedFault : uint8_t {
  kIo,          // the call fails; an append or root may land none the less; the medium has failed
  kDiskFull,    // allocate: kDiskFull, nothing changed, goes on. Else as kIo with ENOSPC
  kShortWrite,  // append: a part that the seed chooses is placed, then as kIo
  // barrier: fails, and of what was pending a random part will never land, though reads see it
  // until the medium is closed
  kDropPending,
};

class SimulatedDisk : public std::enable_shared_from_this<SimulatedDisk> {
 public:
  static std::shared_ptr<SimulatedDisk> create(const SimulatedOptions& options, uint64_t seed);
  ~SimulatedDisk();
  SimulatedDisk(const SimulatedDisk&) = delete;

  // kLocked while a medium on this disk is open. `created` is true the first time.
  Result<OpenedMedium> open();

  // The nth call of this kind from now (1: the next) fails. Several may be armed.
  void fail(SimulatedCall call, uint64_t nth, SimulatedFault fault);
  // The nth call of any kind from now is interrupted half way by a crash: it and every later call
  // return kFailed.
  void crash_at(uint64_t nth);
  void disarm();
  // A file system's limit: segments end below it, kDiskFull beyond. Starts at the capacity.
  void set_disk_bytes(uint64_t bytes);

  // From now on it is as if so many reads had waited for the disk, and there were so much memory
  // for what is read; and what the medium was told to expect since is remembered.
  void set_reads(uint64_t waited, uint64_t memory);
  std::vector<Segment> expected_reads() const;

  uint64_t calls() const;  // append, barrier, set_root and allocate, since the disk was made
  bool crashed() const;    // crash_at has struck

  // What a crash now may decide, one number of outcomes for each pending atom (not landed, first
  // version, second, ...), in order of place; then, if a root change was interrupted, 2 for the
  // root (old, new).
  std::vector<uint32_t> pending_choices() const;
  uint64_t pending_atoms() const;

  // The disk after a power cut now. This one is unchanged (so many crashes can be tried from one
  // state).
  std::shared_ptr<SimulatedDisk> crash(uint64_t seed) const;
  std::shared_ptr<SimulatedDisk> crash_choosing(const std::vector<uint32_t>& choices) const;
  // Bit i: the ith pending atom (after the last atom: the root) landed in its newest version.
  std::shared_ptr<SimulatedDisk> crash_landing(uint64_t mask) const;

 private:
  friend class SimulatedMedium;
  struct Version {
    std::thread::id by;
    std::vector<uint8_t> bytes;
  };
  struct Armed {
    SimulatedCall call;
    uint64_t nth;
    SimulatedFault fault;
  };

  // The caller writes the first `to_be_written` bytes of both images; behind them they are zero.
  SimulatedDisk(const SimulatedOptions& options, uint64_t seed, uint64_t to_be_written);
  uint64_t random();
  std::shared_ptr<SimulatedDisk> crash_locked(const std::vector<uint32_t>& choices) const;
  std::vector<uint32_t> choices_locked() const;

  // All with mutex_ held. begin_call: counts, and tells whether the crash strikes or which fault.
  bool begin_call(SimulatedCall call, std::optional<SimulatedFault>* fault);
  void place(uint64_t offset, const uint8_t* data, uint64_t size);
  void make_durable(std::optional<std::thread::id> by);  // nothing: whoever wrote it
  void drop_some_pending();
  void forget_dropped();

  const SimulatedOptions options_;
  mutable std::mutex mutex_;
  uint64_t seed_;
  uint8_t uuid_[16] = {};
  uint64_t secret_ = 0;
  uint8_t* live_ = nullptr;  // capacity bytes each
  uint8_t* durable_ = nullptr;
  uint64_t written_end_ = 0;                          // nothing was ever placed at or behind it
  std::map<uint64_t, std::vector<Version>> pending_;  // by atom number
  std::vector<uint64_t> dropped_;  // atoms that will never land, until the medium is closed
  Root root_;                      // live and durable
  std::optional<Root> interrupted_root_;
  uint64_t disk_bytes_;
  uint64_t reads_waited_ = 0, memory_for_reads_ = 0;
  std::vector<Segment> expected_reads_;
  uint64_t calls_ = 0;
  uint64_t crash_in_ = 0;  // 0: not armed
  bool crashed_ = false;
  bool opened_before_ = false;
  bool is_open_ = false;
  std::vector<Armed> armed_;
};

// Made by SimulatedDisk::open.
class SimulatedMedium final : public Medium {
 public:
  explicit SimulatedMedium(std::shared_ptr<SimulatedDisk> disk);
  ~SimulatedMedium() override { close(); }

  Result<Segment> allocate(SegmentKind kind, uint64_t min_bytes, uint64_t want_bytes) override;
  void release(const Segment& segment) override;
  // At once and for good: what was released since and is free still reads as zeros, however little
  // that is; every other segment, for the rest is what a file keeps.
  void give_back_free(uint64_t at_least, uint64_t kept) override;
  Status adopt(const std::vector<Segment>& held) override;
  Status append(uint64_t offset, const void* data, size_t size) override;
  bool expect_reads(uint64_t offset, uint64_t bytes) const override;
  uint64_t reads_that_waited() const override;
  uint64_t memory_for_reads() const override;
  uint64_t log_marks() const override { return kLogMarksOffset; }
  Status barrier() override;
  const Root& root() const override { return root_; }
  Status set_root(const Root& root) override;
  const uint8_t* view() const override { return view_.load(); }
  uint64_t view_end() const override { return view() ? disk_->options_.capacity : 0; }
  bool failed() const override { return failed_.load(); }
  const MediumInfo& info() const override { return info_; }
  MediumSpace space() const override;
  uint64_t largest_free() const override;
  void close() override;

 private:
  // With the disk's mutex held. Is the call to be refused, or failed by an armed fault that leaves
  // nothing?
  Status enter(SimulatedCall call, std::optional<SimulatedFault>* fault);
  Status fail(const char* what, std::optional<SimulatedFault> fault);

  const std::shared_ptr<SimulatedDisk> disk_;
  MediumInfo info_;
  std::atomic<const uint8_t*> view_;
  std::atomic<bool> failed_{false};
  bool closed_ = false;
  Root root_;
  ExtentAllocator space_;
  std::vector<Segment> released_;  // since what was free was given back
  bool give_next_ = false;
};

}  // namespace holdfast
