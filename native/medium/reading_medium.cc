#include "medium/reading_medium.h"

#include <algorithm>
#include <cerrno>
#include <string>

#include "format/fold.h"
#include "medium/file_medium.h"
#include "medium/place_facts.h"
#include "medium/pmem/pmem_front.h"
#include "medium/pool_file.h"
#include "medium/pool_kind.h"

namespace holdfast {
namespace {

Result<std::string> read_pool(const PoolParts& file, uint64_t offset, uint64_t bytes,
                              const std::string& path) {
  std::string found(bytes, '\0');
  size_t got = 0;
  if (const int error = file.read_at(offset, found.data(), found.size(), &got))
    return file_error(error, "cannot read the pool " + path);
  found.resize(got);
  return found;
}

// On an overlay what is opened for reading in a lower layer stays that file, and a writer's changes
// go to its copy in the upper one: neither inode nor device tells. Opened for writing, though
// nothing is written, it is copied up first.
bool must_be_the_upper_one(const std::string& path) {
  Result<FilePlace> place = file_place(path);
  return place.is_ok() && place->file_system == "overlay" && path_writable(path) == 0;
}

}  // namespace

Result<std::shared_ptr<PoolBytes>> PoolBytes::open(const std::string& path,
                                                   const MediumOptions& options) {
  Result<PoolKind> kind = kind_at(path);
  if (!kind) return std::move(kind.status());
  if (*kind == PoolKind::kNothing)
    return Status(Code::kNotFound, "there is no pool at " + path + ": nothing can be read");
  if (is_device_dax(path)) {
    return Status(
        Code::kMediumUnavailable,
        path +
            " is a device dax, which only its writer can read: put the pool on a file system for "
            "readers in other processes");
  }
  std::shared_ptr<PoolBytes> bytes(new PoolBytes(path));
  Result<PoolParts> opened = PoolParts::open(path, must_be_the_upper_one(path));
  if (!opened) return std::move(opened.status());
  bytes->file_ = std::move(*opened);
  FileFacts facts;
  if (const int error = bytes->file_.facts(&facts))
    return file_error(error, "cannot look at the pool " + path);
  const bool pmem = *kind == PoolKind::kPmem;
  if (pmem && options.choice == MediumChoice::kFile) return wrong_medium(path, "pmem", "file");
  if (!pmem && options.choice == MediumChoice::kPmem) return wrong_medium(path, "file", "pmem");
  const auto read = [&](uint64_t offset, uint64_t size) {
    return read_pool(bytes->file_, offset, size, path);
  };
  if (pmem) {
    Result<PmemFront> front = find_pmem_front(read, facts.size, path);
    if (!front) return std::move(front.status());
    HOLDFAST_TRY(check_part_marks(bytes->file_, front->superblock, path));
    bytes->front_ = front->offset;
    bytes->superblock_ = front->superblock;
    bytes->info_.grows = front->grows;
    bytes->info_.barrier_is_per_thread = true;
  } else {
    Result<std::string> head = read(0, kSegmentsOffset);
    if (!head) return std::move(head.status());
    Result<Superblock> superblock = choose_superblock(*head, path);
    if (!superblock) return std::move(superblock.status());
    bytes->superblock_ = *superblock;
  }
  HOLDFAST_TRY(bytes->map(options));
  return bytes;
}

Status PoolBytes::map(const MediumOptions& options) {
  const bool pmem = superblock_.medium == MediumKind::kPmem;
  // Of several places the weakest counts.
  FilePlace weakest;
  bool dax = true;
  for (const PoolPart& part : file_.parts()) {
    Result<FilePlace> place = file_place(part.path);
    if (!place) return std::move(place.status());
    HOLDFAST_TRY(accept_place(*place, DurabilityClass::kProcess, part.path));
    FileFacts facts;
    if (const int error = path_facts(part.path, &facts))
      return file_error(error, "cannot look at the pool " + path_);
    dax = dax && facts.dax;
    if (part.offset == 0 || place->durability < weakest.durability) weakest = *place;
  }
  info_.name = pmem ? "pmem" : "file";
  info_.durability = weakest.durability;
  info_.durability_reason = weakest.reason;
  if (pmem && (pmem_is_forced() || !dax)) {
    info_.durability = DurabilityClass::kProcess;
    info_.durability_reason =
        "a pmem pool on what is not known to be persistent memory: survives the process, not a "
        "power cut";
  } else if (pmem) {
    info_.durability = DurabilityClass::kPower;
    info_.durability_reason = "a file on persistent memory, mapped directly";
  }
  HOLDFAST_TRY(accept_place(FilePlace{info_.name, false, info_.durability, info_.durability_reason},
                            options.at_least, path_));
  info_.segment_unit = pmem ? kPmemChunkBytes : kFileSegmentUnit;
  info_.atom_bytes = pmem ? 64 : 512;
  info_.grows = info_.grows || superblock_.size == 0;
  HOLDFAST_TRY(look_again());
  // As the writer maps it: the file may grow while it is read. A set has its length from the
  // beginning.
  const uint64_t wish = file_.is_set() ? end() : end() + addresses_.bytes();
  if (const int error = map_with_room(file_, end(), wish, &view_, &window_))
    return file_error(error, "cannot map the pool " + path_);
  PosixFile::expect_random_reads(view_, window_);
  guard_.watch(view_, window_);
  return {};
}

PoolBytes::~PoolBytes() {
  guard_.stop();
  if (view_ != nullptr) PosixFile::unmap(view_, window_);
}

bool PoolBytes::writer_holds_lock() {
  if (file_.first().try_lock_shared() != 0) return true;
  file_.first().unlock();
  return false;
}

Status PoolBytes::look_again() {
  FileFacts facts, named;
  if (const int error = file_.facts(&facts))
    return file_error(error, "cannot look at the pool " + path_);
  if (path_facts(path_, &named) == 0 &&
      (named.inode != facts.inode || named.device != facts.device)) {
    return Status(Code::kFailed, "another pool has been put in the place of " + path_ +
                                     ": close this one and open it again");
  }
  if (window_ != 0 && facts.size > window_) {
    return Status(Code::kFailed, "the pool " + path_ + " has grown beyond the " +
                                     std::to_string(window_) +
                                     " bytes of address space that this reader had for it: close "
                                     "this one and open it again");
  }
  end_.store(facts.size, std::memory_order_release);
  return {};
}

// One slot may be half written at this moment, and on persistent memory the other in the next; a
// moment later one is whole.
Result<ChosenRoot> PoolBytes::root() const {
  constexpr int kTries = 1000;
  const Bytes front = bytes_of(view_ + front_, std::min(kSegmentsOffset, end() - front_));
  for (int tries = 0;; tries++) {
    Result<ChosenRoot> root = choose_root(front, superblock_.secret, path_);
    if (root.is_ok() || tries == kTries) return root;
  }
}

uint64_t PoolBytes::incarnation() const {
  uint64_t highest = 0;
  for (const uint64_t offset : kRootSlotOffsets) {
    const auto* words = reinterpret_cast<const volatile uint32_t*>(view_ + front_ + offset +
                                                                   offsetof(RootSlot, root));
    highest = std::max<uint64_t>(highest, words[1]);  // RootWords: version, incarnation
  }
  return highest;
}

ReadingMedium::ReadingMedium(std::shared_ptr<PoolBytes> bytes, std::shared_ptr<ReadersTable> table,
                             std::unique_ptr<ReaderPin> pin, uint64_t incarnation)
    : bytes_(std::move(bytes)),
      table_(std::move(table)),
      pin_(std::move(pin)),
      incarnation_(incarnation) {}

// The root first, then what the table says of it: a writer changes them the other way round.
bool ReadingMedium::expired() const {
  if (expired_.load(std::memory_order_relaxed)) return true;
  bool stands = pin_ == nullptr || pin_->stands();
  std::atomic_thread_fence(std::memory_order_acquire);
  const uint64_t found = bytes_->incarnation();
  std::atomic_thread_fence(std::memory_order_acquire);
  stands = stands && found <= (table_ ? table_->header().incarnation.load(std::memory_order_acquire)
                                      : incarnation_);
  if (!stands) expired_.store(true, std::memory_order_relaxed);
  return !stands;
}

Status ReadingMedium::refused() const {
  if (!expired()) return {};
  const std::string what =
      "this reader of " + bytes_->path() + " does not hold what it read any more, because ";
  if (pin_ == nullptr)
    return Status(Code::kReaderExpired,
                  what + "a writer has opened the pool, and it could not be told of this reader");
  return Status(Code::kReaderExpired,
                what +
                    (pin_->stands() ? "a writer that does not look at its table has had the pool"
                                    : "the writer needed the space: refresh() more often") +
                    "; refresh() goes on with the newest state, snapshots taken before are lost");
}

// What is in memory the kernel does not say to who may not write.
bool ReadingMedium::expect_reads(uint64_t offset, uint64_t bytes) const {
  const uint64_t end = view_end();
  if (offset < end) PosixFile::expect_reads(view() + offset, std::min(bytes, end - offset));
  return false;
}

MediumSpace ReadingMedium::space() const {
  MediumSpace space;
  space.capacity = bytes_->superblock().size != 0 ? bytes_->superblock().size : UINT64_MAX / 2;
  space.taken = bytes_->end();
  return space;
}

void ReadingMedium::close() {
  expired_.store(true, std::memory_order_relaxed);
  if (pin_) pin_->let_go();
}

}  // namespace holdfast
