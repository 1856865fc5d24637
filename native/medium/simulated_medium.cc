#include "medium/simulated_medium.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "format/layout.h"

namespace holdfast {
namespace {

uint64_t split_mix(uint64_t* state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// The mappings behind disks. Untouched pages cost nothing, so a disk is as cheap as what is written
// to it; and as a crash makes another disk, the last few mappings are kept: their pages need not be
// faulted in anew. Any thread.
class Images {
 public:
  // Zero from `keep` on; what is before it is for the caller to write.
  uint8_t* take(uint64_t bytes, uint64_t keep) {
    bytes = round_up(bytes, kMapped);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (size_t i = kept_.size(); i-- > 0;) {
        if (kept_[i].bytes != bytes) continue;
        const Kept image = kept_[i];
        kept_.erase(kept_.begin() + static_cast<ptrdiff_t>(i));
        if (image.used > keep) std::memset(image.at + keep, 0, image.used - keep);
        return image.at;
      }
    }
    void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
      std::perror("no memory for a simulated disk");
      std::abort();
    }
    return static_cast<uint8_t*>(at);
  }

  // All behind the first `used` bytes is zero.
  void give(uint8_t* at, uint64_t bytes, uint64_t used) {
    bytes = round_up(bytes, kMapped);
    const std::lock_guard<std::mutex> lock(mutex_);
    kept_.push_back({at, bytes, used});
    if (kept_.size() <= 6) return;
    ::munmap(kept_.front().at, kept_.front().bytes);
    kept_.erase(kept_.begin());
  }

 private:
  static constexpr uint64_t kMapped =
      16 * kMiB;  // disks of nearly one size take each other's mappings
  struct Kept {
    uint8_t* at;
    uint64_t bytes, used;
  };
  std::mutex mutex_;
  std::vector<Kept> kept_;
};

Images& images() {
  static Images& forever = *new Images;  // disks may outlive what is destroyed at exit
  return forever;
}

}  // namespace

// ---- the disk ----

SimulatedDisk::SimulatedDisk(const SimulatedOptions& options, uint64_t seed, uint64_t to_be_written)
    : options_(options), seed_(seed), written_end_(to_be_written), disk_bytes_(options.capacity) {
  live_ = images().take(options.capacity, to_be_written);
  durable_ = images().take(options.capacity, to_be_written);
}

SimulatedDisk::~SimulatedDisk() {
  images().give(live_, options_.capacity, written_end_);
  images().give(durable_, options_.capacity, written_end_);
}

std::shared_ptr<SimulatedDisk> SimulatedDisk::create(const SimulatedOptions& options,
                                                     uint64_t seed) {
  std::shared_ptr<SimulatedDisk> disk(new SimulatedDisk(options, seed, 0));
  store(disk->uuid_, disk->random());
  store(disk->uuid_ + 8, disk->random());
  disk->secret_ = disk->random();
  return disk;
}

uint64_t SimulatedDisk::random() { return split_mix(&seed_); }

Result<OpenedMedium> SimulatedDisk::open() {
  OpenedMedium opened;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_open_) return Status(Code::kLocked, "the simulated disk is open already");
    if (crashed_)
      return Status(Code::kFailed, "the simulated disk has crashed: open what crash() gives");
    is_open_ = true;
    opened.created = !opened_before_;
    opened_before_ = true;
    // As the real media do: what a dead process left in the caches is made durable before anybody
    // sees it. Else a root could be read, acted on, and then be undone by a power cut.
    make_durable(std::nullopt);
    if (interrupted_root_ && random() % 2 == 0) root_ = *interrupted_root_;
    interrupted_root_.reset();
    std::memcpy(opened.uuid, uuid_, sizeof uuid_);
    opened.secret = secret_;
    opened.format_version = kFormatVersion;
  }
  opened.medium = std::make_unique<SimulatedMedium>(shared_from_this());
  return opened;
}

void SimulatedDisk::fail(SimulatedCall call, uint64_t nth, SimulatedFault fault) {
  const std::lock_guard<std::mutex> lock(mutex_);
  armed_.push_back({call, nth, fault});
}

void SimulatedDisk::crash_at(uint64_t nth) {
  const std::lock_guard<std::mutex> lock(mutex_);
  crash_in_ = nth;
}

void SimulatedDisk::disarm() {
  const std::lock_guard<std::mutex> lock(mutex_);
  armed_.clear();
  crash_in_ = 0;
}

void SimulatedDisk::set_reads(uint64_t waited, uint64_t memory) {
  const std::lock_guard<std::mutex> lock(mutex_);
  reads_waited_ = waited;
  memory_for_reads_ = memory;
  expected_reads_.clear();
}

std::vector<Segment> SimulatedDisk::expected_reads() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return expected_reads_;
}

void SimulatedDisk::set_disk_bytes(uint64_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  disk_bytes_ = std::min(bytes, options_.capacity);
}

uint64_t SimulatedDisk::calls() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return calls_;
}

bool SimulatedDisk::crashed() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return crashed_;
}

uint64_t SimulatedDisk::pending_atoms() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return pending_.size();
}

std::vector<uint32_t> SimulatedDisk::pending_choices() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return choices_locked();
}

std::vector<uint32_t> SimulatedDisk::choices_locked() const {
  std::vector<uint32_t> choices;
  for (const auto& [atom, versions] : pending_)
    choices.push_back(static_cast<uint32_t>(versions.size() + 1));
  if (interrupted_root_) choices.push_back(2);
  return choices;
}

std::shared_ptr<SimulatedDisk> SimulatedDisk::crash(uint64_t seed) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<uint32_t> choices = choices_locked();
  // Half of the crashes lose (or keep) most, for then the rare mixtures of one odd atom come up
  // too.
  const uint64_t bias = split_mix(&seed) % 4;
  for (uint32_t& choice : choices) {
    const uint32_t outcomes = choice;
    choice = static_cast<uint32_t>(split_mix(&seed) % outcomes);
    if (bias == 0 && split_mix(&seed) % 8 != 0) choice = 0;
    if (bias == 1 && split_mix(&seed) % 8 != 0) choice = outcomes - 1;
  }
  return crash_locked(choices);
}

std::shared_ptr<SimulatedDisk> SimulatedDisk::crash_choosing(
    const std::vector<uint32_t>& choices) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return crash_locked(choices);
}

std::shared_ptr<SimulatedDisk> SimulatedDisk::crash_landing(uint64_t mask) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<uint32_t> choices = choices_locked();
  for (size_t i = 0; i < choices.size(); i++) {
    const bool landed = i < 64 && (mask >> i & 1) != 0;
    choices[i] = landed ? choices[i] - 1 : 0;
  }
  return crash_locked(choices);
}

// Choices that are missing are 0: that atom has not landed.
std::shared_ptr<SimulatedDisk> SimulatedDisk::crash_locked(
    const std::vector<uint32_t>& choices) const {
  uint64_t derived = seed_;
  std::shared_ptr<SimulatedDisk> after(
      new SimulatedDisk(options_, split_mix(&derived), written_end_));
  std::memcpy(after->uuid_, uuid_, sizeof uuid_);
  after->secret_ = secret_;
  after->opened_before_ = opened_before_;
  after->disk_bytes_ = disk_bytes_;
  after->root_ = root_;
  std::memcpy(after->durable_, durable_, written_end_);
  size_t i = 0;
  for (const auto& [atom, versions] : pending_) {
    const uint32_t choice = i < choices.size() ? choices[i] : 0;
    if (choice > 0) {
      const Version& landed = versions[std::min<size_t>(choice, versions.size()) - 1];
      std::memcpy(after->durable_ + atom * options_.atom_bytes, landed.bytes.data(),
                  landed.bytes.size());
    }
    i++;
  }
  if (interrupted_root_ && i < choices.size() && choices[i] > 0) after->root_ = *interrupted_root_;
  std::memcpy(after->live_, after->durable_, written_end_);
  return after;
}

bool SimulatedDisk::begin_call(SimulatedCall call, std::optional<SimulatedFault>* fault) {
  fault->reset();
  calls_++;
  if (crash_in_ > 0 && --crash_in_ == 0) {
    crashed_ = true;
    return false;
  }
  for (size_t i = armed_.size(); i-- > 0;) {
    if (armed_[i].call != call || --armed_[i].nth > 0) continue;
    *fault = armed_[i].fault;
    armed_.erase(armed_.begin() + static_cast<ptrdiff_t>(i));
  }
  return true;
}

void SimulatedDisk::place(uint64_t offset, const uint8_t* data, uint64_t size) {
  if (size == 0) return;
  std::memcpy(live_ + offset, data, size);
  const uint64_t atom_bytes = options_.atom_bytes;
  const uint64_t last = (offset + size - 1) / atom_bytes;
  for (uint64_t atom = offset / atom_bytes; atom <= last; atom++) {
    const uint8_t* from = live_ + atom * atom_bytes;
    pending_[atom].push_back(
        {std::this_thread::get_id(), std::vector<uint8_t>(from, from + atom_bytes)});
  }
  written_end_ = std::max(written_end_, (last + 1) * atom_bytes);
}

// An atom has one content: once a version of it is durable, all earlier ones can no longer land,
// whoever wrote them.
void SimulatedDisk::make_durable(std::optional<std::thread::id> by) {
  for (auto at = pending_.begin(); at != pending_.end();) {
    std::vector<Version>& versions = at->second;
    size_t covered = versions.size();
    if (by && options_.barrier_is_per_thread) {
      while (covered > 0 && versions[covered - 1].by != *by) covered--;
    }
    if (covered > 0) {
      std::memcpy(durable_ + at->first * options_.atom_bytes, versions[covered - 1].bytes.data(),
                  options_.atom_bytes);
      versions.erase(versions.begin(), versions.begin() + static_cast<ptrdiff_t>(covered));
    }
    at = versions.empty() ? pending_.erase(at) : std::next(at);
  }
}

void SimulatedDisk::drop_some_pending() {
  for (auto at = pending_.begin(); at != pending_.end();) {
    if (random() % 2 != 0) {
      ++at;
      continue;
    }
    dropped_.push_back(at->first);
    at = pending_.erase(at);
  }
}

// As the file medium does when it is closed after a failed sync: the next reader asks the device.
void SimulatedDisk::forget_dropped() {
  const uint64_t size = options_.atom_bytes;
  for (const uint64_t atom : dropped_) {
    if (!pending_.contains(atom)) std::memcpy(live_ + atom * size, durable_ + atom * size, size);
  }
  dropped_.clear();
}

// ---- the medium ----

SimulatedMedium::SimulatedMedium(std::shared_ptr<SimulatedDisk> disk)
    : disk_(std::move(disk)), view_(disk_->live_), root_(disk_->root_) {
  info_.name = "simulated";
  info_.durability = DurabilityClass::kPower;  // what it models; it is never offered to a user
  info_.durability_reason = "a simulated disk, for tests";
  info_.atom_bytes = disk_->options_.atom_bytes;
  info_.segment_unit = disk_->options_.segment_unit;
  info_.barrier_is_per_thread = disk_->options_.barrier_is_per_thread;
  info_.grows = false;
  space_.reset(kSegmentsOffset, round_down(disk_->options_.capacity, info_.segment_unit));
}

void SimulatedMedium::close() {
  const std::lock_guard<std::mutex> lock(disk_->mutex_);
  if (closed_) return;
  closed_ = true;
  view_ = nullptr;
  disk_->forget_dropped();
  disk_->is_open_ = false;
}

Status SimulatedMedium::enter(SimulatedCall call, std::optional<SimulatedFault>* fault) {
  if (closed_) return Status(Code::kClosed, "the simulated medium is closed");
  if (disk_->crashed_) return Status(Code::kFailed, "the simulated disk has crashed");
  if (failed_)
    return Status(Code::kFailed,
                  "the simulated medium has failed earlier: close it and open it again");
  if (!disk_->begin_call(call, fault))
    failed_ = true;  // the caller finishes what a crash half way leaves
  return {};
}

Status SimulatedMedium::fail(const char* what, std::optional<SimulatedFault> fault) {
  failed_ = true;
  if (disk_->crashed_) return Status(Code::kFailed, "the simulated disk has crashed");
  const int error = fault == SimulatedFault::kDiskFull ? ENOSPC : EIO;
  return Status::system(Code::kIo,
                        std::string(what) + " failed on the simulated disk, its outcome is unknown",
                        error);
}

Status SimulatedMedium::append(uint64_t offset, const void* data, size_t size) {
  const std::lock_guard<std::mutex> lock(disk_->mutex_);
  std::optional<SimulatedFault> fault;
  HOLDFAST_TRY(enter(SimulatedCall::kAppend, &fault));
  const uint64_t capacity = disk_->options_.capacity;
  if (!is_placeable(offset, size) || offset > capacity || size > capacity - offset) {
    return Status(Code::kOutOfRange,
                  "append at " + std::to_string(offset) + " is outside the segments");
  }
  counters_.appends++;
  counters_.writes++;
  const bool some = fault == SimulatedFault::kShortWrite || disk_->crashed_;
  const uint64_t placed = some ? disk_->random() % (size + 1) : size;
  disk_->place(offset, static_cast<const uint8_t*>(data), placed);
  if (fault || disk_->crashed_) return fail("a write", fault);
  counters_.bytes_appended += size;
  return {};
}

Status SimulatedMedium::barrier() {
  const std::lock_guard<std::mutex> lock(disk_->mutex_);
  std::optional<SimulatedFault> fault;
  HOLDFAST_TRY(enter(SimulatedCall::kBarrier, &fault));
  counters_.barriers++;
  if (fault == SimulatedFault::kDropPending) disk_->drop_some_pending();
  if (fault || disk_->crashed_) return fail("a barrier", fault);
  disk_->make_durable(std::this_thread::get_id());
  return {};
}

Status SimulatedMedium::set_root(const Root& root) {
  const std::lock_guard<std::mutex> lock(disk_->mutex_);
  std::optional<SimulatedFault> fault;
  HOLDFAST_TRY(enter(SimulatedCall::kSetRoot, &fault));
  if (fault || disk_->crashed_) {
    disk_->interrupted_root_ = root;
    return fail("a root change", fault);
  }
  disk_->root_ = root;
  disk_->interrupted_root_.reset();
  root_ = root;
  counters_.roots++;
  return {};
}

Result<Segment> SimulatedMedium::allocate(SegmentKind, uint64_t min_bytes, uint64_t want_bytes) {
  const std::lock_guard<std::mutex> lock(disk_->mutex_);
  std::optional<SimulatedFault> fault;
  HOLDFAST_TRY(enter(SimulatedCall::kAllocate, &fault));
  if (disk_->crashed_ || (fault && fault != SimulatedFault::kDiskFull))
    return fail("an allocation", fault);
  const uint64_t most = disk_->options_.capacity + 1;
  const uint64_t min = round_up(std::clamp<uint64_t>(min_bytes, 1, most), info_.segment_unit);
  const uint64_t want =
      round_up(std::clamp<uint64_t>(want_bytes, min, std::max(min, most)), info_.segment_unit);
  if (!fault) {
    const bool pool_has_it = space_.largest() >= min;
    std::optional<Segment> piece = space_.allocate_below(disk_->disk_bytes_, min, want);
    if (piece) return *piece;
    if (!pool_has_it)
      return Status(Code::kPoolFull,
                    "no free piece of " + std::to_string(min) + " bytes on the simulated disk");
  }
  return Status::system(Code::kDiskFull,
                        "no room for " + std::to_string(min) + " bytes on the simulated disk",
                        ENOSPC);
}

void SimulatedMedium::release(const Segment& segment) {
  const std::lock_guard<std::mutex> lock(disk_->mutex_);
  if (space_.release(segment)) released_.push_back(segment);
}

void SimulatedMedium::give_back_free(uint64_t /*at_least*/, uint64_t /*kept*/) {
  const std::lock_guard<std::mutex> lock(disk_->mutex_);
  if (closed_ || failed_ || disk_->crashed_) return;
  for (const Segment& segment : released_) {
    if (give_next_ = !give_next_; !give_next_) continue;
    for (auto free = space_.first_within(segment.offset, segment.end()); free;
         free = space_.first_within(free->end(), segment.end())) {
      const uint64_t written =
          std::min(free->end(), std::max(free->offset, disk_->written_end_)) - free->offset;
      std::memset(disk_->live_ + free->offset, 0, written);
      std::memset(disk_->durable_ + free->offset, 0, written);
    }
  }
  released_.clear();
}

Status SimulatedMedium::adopt(const std::vector<Segment>& held) {
  const std::lock_guard<std::mutex> lock(disk_->mutex_);
  if (closed_) return Status(Code::kClosed, "the simulated medium is closed");
  space_.reset(kSegmentsOffset, round_down(disk_->options_.capacity, info_.segment_unit));
  for (const Segment& segment : held) {
    if (segment.offset % kPageBytes != 0 || segment.bytes % kPageBytes != 0 ||
        !space_.take(segment)) {
      return Status(Code::kCorrupt, "the segment at " + std::to_string(segment.offset) + " of " +
                                        std::to_string(segment.bytes) +
                                        " bytes is out of bounds, out of place or held twice");
    }
  }
  return {};
}

MediumSpace SimulatedMedium::space() const {
  const std::lock_guard<std::mutex> lock(disk_->mutex_);
  MediumSpace space;
  if (closed_) return space;
  space.capacity = round_down(disk_->options_.capacity, info_.segment_unit) - kSegmentsOffset;
  space.taken = disk_->options_.capacity;
  space.free = space_.free_bytes();
  const uint64_t end = round_down(disk_->disk_bytes_, info_.segment_unit);
  for (auto free = space_.first_within(0, end); free; free = space_.first_within(free->end(), end))
    space.ready += free->bytes;
  return space;
}

bool SimulatedMedium::expect_reads(uint64_t offset, uint64_t bytes) const {
  const std::lock_guard<std::mutex> lock(disk_->mutex_);
  if (disk_->memory_for_reads_ > 0) disk_->expected_reads_.push_back({offset, bytes});
  return false;
}

uint64_t SimulatedMedium::reads_that_waited() const {
  const std::lock_guard<std::mutex> lock(disk_->mutex_);
  return disk_->reads_waited_;
}

uint64_t SimulatedMedium::memory_for_reads() const {
  const std::lock_guard<std::mutex> lock(disk_->mutex_);
  return disk_->memory_for_reads_;
}

uint64_t SimulatedMedium::largest_free() const {
  const std::lock_guard<std::mutex> lock(disk_->mutex_);
  return closed_ ? 0 : space_.largest_below(disk_->disk_bytes_);
}

}  // namespace holdfast
