// The medium on libpmemobj: opening and creating. See pmem_device.h for what an open one does.
//
// Opening, in this order: our own superblock against the file's size, from plain bytes; the place's durability; is libpmemobj's part at
// rest, from plain bytes too, else a child that opens a copy; only then libpmemobj in this process. Creating: under a temporary
// name, libpmemobj's structures, our front with the superblocks last, sync, rename without replacing, sync of the folder. A
// crash before the rename leaves a temporary file and no pool. Device DAX has no names: there the superblocks, written
// last, are what makes it a pool.
#include "medium/pmem_medium.h"

#include <libpmemobj.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <utility>

#include "medium/place_facts.h"
#include "medium/pmem_at_rest.h"
#include "medium/pmem_child.h"
#include "medium/pmem_device.h"
#include "medium/pmem_footers.h"
#include "medium/pmem_front.h"
#include "medium/pmem_library_layout.h"
#include "medium/pmem_memory.h"
#include "medium/pmem_place.h"
#include "medium/pmem_wrap.h"
#include "medium/pool_file.h"

namespace holdfast {
namespace {

// libpmemobj alone takes 5 MiB (its lanes); below this there are too few segments to fold and clean.
constexpr uint64_t kMinPoolBytes = 32 * kMiB;
constexpr uint64_t kDefaultPoolBytes = 256 * kMiB;
constexpr uint64_t kDefaultGrowingBytes = 64 * kGiB;  // the most it may take
constexpr uint64_t kFirstBytes = 8 * kMiB;            // of a pool that grows; the least that libpmemobj makes
constexpr mode_t kPoolMode = 0600;  // an agent's memory is its owner's

// What stands at `path`, as far as it can be told without libpmemobj.
struct Found {
  PmemFront front;
  PmemDurability durability;
  uint64_t pool_bytes = 0;
  bool at_rest = false;  // libpmemobj can open it as it is
};

Status locked_or(const std::string& path, Code code, const std::string& what, int error) {
  if (error == EWOULDBLOCK || error == EAGAIN) {
    PosixFile file;  // asks again, only to name the owner
    if (file.open_existing(path, true) == 0) HOLDFAST_TRY(lock_pool_file(file, path));
    return Status(Code::kLocked, "the pool " + path + " is open in another process");
  }
  return Status(code, what + ": " + pmemobj_errormsg(), error);
}

Status open_error(const std::string& path, int error) {
  const std::string text = pmemobj_errormsg();
  if (text.find("ADR") != std::string::npos) {
    return Status(Code::kCorrupt, "libpmemobj refuses the pool " + path + ": " + text +
                                      "; it was made with the shutdown-state feature on and moved, or its machine lost "
                                      "power. If its data is known to be good: pmempool feature --disable "
                                      "SHUTDOWN_STATE " +
                                      path,
                  error);
  }
  if (error == EACCES || error == EPERM || error == EROFS || error == ENOMEM) {
    return file_error(error, "cannot open the pool " + path);
  }
  return locked_or(path, Code::kCorrupt, "libpmemobj cannot open the pool " + path, error);
}

Status check_class(const PmemDurability& durability, const MediumOptions& options, const std::string& path) {
  if (durability.durability >= options.at_least) return {};
  return Status(Code::kDurability, path + " cannot give durability 'power': " + durability.reason);
}

// What a pool holds, without libpmemobj. A device can only be mapped, in whole pages of its own.
class PlainPool {
 public:
  PlainPool(const PosixFile& file, const std::string& path) : file_(file), path_(path) {}
  ~PlainPool() {
    if (mapped_ != nullptr) PosixFile::unmap(mapped_, mapped_bytes_);
  }
  PlainPool(const PlainPool&) = delete;

  Status map_device(const FileFacts& facts, uint64_t pool_bytes) {
    const uint64_t bytes = round_down(pool_bytes, device_dax_page_bytes(facts));
    if (const int error = file_.map_shared(bytes, &mapped_)) return file_error(error, "cannot map " + path_);
    mapped_bytes_ = bytes;
    return {};
  }

  Result<std::string> read(uint64_t offset, uint64_t bytes) const {
    std::string found(bytes, '\0');
    size_t got = 0;
    if (mapped_ != nullptr) {
      got = offset > mapped_bytes_ ? 0 : std::min(bytes, mapped_bytes_ - offset);
      std::memcpy(found.data(), mapped_ + offset, got);
    } else if (const int error = file_.read_at(offset, found.data(), found.size(), &got)) {
      return file_error(error, "cannot read " + path_);
    }
    found.resize(got);
    return found;
  }

 private:
  const PosixFile& file_;
  const std::string& path_;
  const uint8_t* mapped_ = nullptr;
  uint64_t mapped_bytes_ = 0;
};

// Reads under the lock, which is given up again: libpmemobj takes its own.
Result<Found> look_at(const std::string& path, const FileFacts& facts, const MediumOptions& options) {
  PosixFile file;
  if (const int error = file.open_existing(path, true)) return file_error(error, "cannot open the pool " + path);
  HOLDFAST_TRY(lock_pool_file(file, path));
  Found found;
  found.pool_bytes = facts.size;
  PlainPool plain(file, path);
  if (facts.character_device) {
    Result<uint64_t> bytes = device_dax_bytes(facts, path);
    if (!bytes) return std::move(bytes.status());
    found.pool_bytes = *bytes;
    HOLDFAST_TRY(plain.map_device(facts, found.pool_bytes));
  }
  const ReadPool read = [&](uint64_t offset, uint64_t bytes) { return plain.read(offset, bytes); };
  Result<PmemFront> front = find_pmem_front(read, found.pool_bytes, path);
  if (!front) return std::move(front.status());
  Result<PmemDurability> durability = pmem_durability(file, facts, path);
  if (!durability) return std::move(durability.status());
  HOLDFAST_TRY(check_class(*durability, options, path));
  found.front = *front;
  found.durability = *durability;
  std::string why;
  found.at_rest = pmem_is_at_rest(read, found.pool_bytes, found.front, &why);
  return found;
}

OpenedMedium opened(PMEMobjpool* pool, const Found& found, bool created) {
  OpenedMedium result;
  result.created = created;
  std::memcpy(result.uuid, found.front.superblock.uuid, sizeof result.uuid);
  result.secret = found.front.superblock.secret;
  result.format_version = found.front.superblock.format_version;
  result.medium = std::make_unique<PmemMedium>(pool, found.pool_bytes, found.front, found.durability);
  return result;
}

// A copy of a superblock or a root slot that was found damaged is made whole from the other.
void repair_front(uint8_t* front, const PmemFront& facts) {
  for (int copy = 0; copy < 2; ++copy) {
    const RootSlot slot = make_root_slot(facts.root.root, facts.root.sequence, copy, facts.superblock.secret);
    uint8_t* superblock_at = front + kSuperblockOffsets[copy];
    uint8_t* slot_at = front + kRootSlotOffsets[copy];
    if (std::memcmp(superblock_at, &facts.superblock, sizeof(Superblock)) != 0) {
      pmem_place(superblock_at, &facts.superblock, sizeof(Superblock));
    }
    if (std::memcmp(slot_at, &slot, sizeof slot) != 0) pmem_place(slot_at, &slot, sizeof slot);
  }
  pmem_fence();
}

// Between our look and libpmemobj's lock another process may have had the pool open: look again at what counts.
Result<PmemFront> front_again(PMEMobjpool* pool, const Found& found, const std::string& path) {
  const bool has_root = pmemobj_root_size(pool) >= kPmemRootObjectBytes;
  const PMEMoid root = has_root ? pmemobj_root(pool, kPmemRootObjectBytes) : OID_NULL;
  if (OID_IS_NULL(root) || round_up(root.off, kPageBytes) != found.front.offset) {
    return Status(Code::kCorrupt, "the pool " + path + " has its superblock at byte " +
                                      std::to_string(found.front.offset) +
                                      ", outside libpmemobj's root object: restore it from a backup");
  }
  return verify_pmem_front(bytes_of(reinterpret_cast<uint8_t*>(pool) + found.front.offset, kPmemFrontBytes),
                           found.front.offset, found.pool_bytes, path);
}

// A pool at rest needs no child. Where one is needed and cannot look first, the choice is to lose the pool to its owner or to trust
// libpmemobj after a crash, which it is made for; what is lost is the protection against damage. Said aloud.
Status check_first(const std::string& path, const FileFacts& facts, Found* found) {
  if (found->at_rest) return {};
  const std::string program = pmem_probe_program();
  const char* why = facts.character_device ? "a device dax cannot be mapped copy-on-write"
                    : program.empty()      ? "holdfast_pmem_probe is not beside the addon"
                                           : nullptr;
  if (why == nullptr) return probe_pool_in_child(program, path, pmem_probe_limit_ms(found->pool_bytes));
  found->durability.reason +=
      std::string("; opened without the check in a child process, because ") + why;
  return {};
}

Result<OpenedMedium> open_existing(const std::string& path, const FileFacts& facts, const MediumOptions& options) {
  Result<Found> looked = look_at(path, facts, options);
  if (!looked) return std::move(looked.status());
  Found& found = *looked;
  if (options.size != 0 && round_up(options.size, kPageBytes) != found.pool_bytes) {
    return Status(Code::kOutOfRange, "the pool " + path + " was made with size " + std::to_string(found.pool_bytes) +
                                         ", not " + std::to_string(options.size));
  }
  if (options.grow && !found.front.grows) {
    return Status(Code::kInvalidArgument, "the pool " + path + " has taken all its space when it was made: whether a pool grows is "
                                          "chosen then; holdfast resize copies it into one that grows");
  }
  // After a clean end too: a byte may have been damaged since, and libpmemobj dies of it as readily.
  HOLDFAST_TRY(check_first(path, facts, &found));
  PMEMobjpool* pool = pmemobj_open(path.c_str(), kPmemLayoutName);
  if (pool == nullptr) return open_error(path, errno);
  uint8_t* base = reinterpret_cast<uint8_t*>(pool);
  restore_pmem_footers(base, found.pool_bytes);
  Result<PmemFront> front = front_again(pool, found, path);
  if (!front) {
    pmemobj_close(pool);
    return std::move(front.status());
  }
  found.front = *front;
  repair_front(base + found.front.offset, found.front);
  pmem_store_word(reinterpret_cast<uint64_t*>(base + found.front.offset + kPmemUseMarkOffset), kPmemInUse);
  return opened(pool, found, false);
}

// Makes our part of a pool that libpmemobj has just made. The superblocks come last, behind a fence of their own.
Result<PmemFront> write_front(PMEMobjpool* pool, uint64_t pool_bytes, bool grows) {
  const PMEMoid root = pmemobj_root(pool, kPmemRootObjectBytes);
  if (OID_IS_NULL(root)) return Status(Code::kIo, std::string("libpmemobj made no root object: ") + pmemobj_errormsg());
  Result<Superblock> superblock = make_superblock(MediumKind::kPmem, pool_bytes);
  if (!superblock) return std::move(superblock.status());
  PmemFront front;
  front.offset = round_up(root.off, kPageBytes);
  front.superblock = *superblock;
  front.root.sequence = 1;
  front.grows = grows;
  const std::string bytes = make_pmem_front(*superblock, front.root.root, grows);
  uint8_t* at = reinterpret_cast<uint8_t*>(pool) + front.offset;
  pmem_place(at + kRootSlotOffsets[0], bytes.data() + kRootSlotOffsets[0], bytes.size() - kRootSlotOffsets[0]);
  pmem_fence();
  pmem_place(at, bytes.data(), kRootSlotOffsets[0]);
  pmem_fence();
  return front;
}

PMEMobjpool* make_pool(const std::string& path, uint64_t bytes) {
  // Pools stay movable and need no special rights: docs/decisions/0003-shutdown-state-off.md.
  static std::once_flag once;
  std::call_once(once, [] {
    int off = 0;
    pmemobj_ctl_set(nullptr, "sds.at_create", &off);
  });
  return pmemobj_create(path.c_str(), kPmemLayoutName, bytes, kPoolMode);
}

// Makes a small pool's file as long as the pool may ever become, without taking the space, and tells libpmemobj that its heap is that large:
// the word it changes itself when it extends a pool (docs/decisions/0009). What it stores to besides segments gets its space here.
Status lengthen(const std::string& path, uint64_t bytes) {
  PosixFile file;
  int error = file.open_existing(path, true);
  if (error == 0) error = file.truncate(bytes);
  for (uint64_t zone = kPmemHeapAt + sizeof(PmemHeapHeader); error == 0 && zone + kPmemZoneFront < bytes; zone += kPmemZoneBytes) {
    error = file.reserve(zone, kPmemZoneFront);
  }
  const uint64_t heap_bytes = bytes - kPmemHeapAt;
  uint64_t writes = 0;
  if (error == 0) {
    error = file.write_at(kPmemDescriptorAt + offsetof(PmemDescriptor, heap_size), &heap_bytes, sizeof heap_bytes, &writes);
  }
  return error == 0 ? Status() : file_error(error, "cannot make the new pool " + path + " as long as it may grow");
}

// libpmemobj has made it with the root object in it, whose run of chunks ends where the first 8 MiB do.
Result<PMEMobjpool*> lengthened(PMEMobjpool* pool, const std::string& path, uint64_t bytes) {
  pmemobj_close(pool);
  HOLDFAST_TRY(lengthen(path, bytes));
  PMEMobjpool* longer = pmemobj_open(path.c_str(), kPmemLayoutName);
  if (longer == nullptr) return Status(Code::kIo, "cannot open the new pool " + path + " again: " + pmemobj_errormsg(), errno);
  return longer;
}

Status create_error(const std::string& path, int error) {
  if (error == EAGAIN || error == EWOULDBLOCK) return locked_or(path, Code::kLocked, "", error);
  Status status = file_error(error, "cannot create the pool " + path + " (libpmemobj: " + pmemobj_errormsg() + ")");
  return status;
}

Status check_new_size(const MediumOptions& options, uint64_t* bytes) {
  *bytes = options.size != 0 ? options.size : options.grow ? kDefaultGrowingBytes : kDefaultPoolBytes;
  if (*bytes > uint64_t{1} << 46) return Status(Code::kOutOfRange, "size is too large: at most 64 TiB");
  *bytes = round_up(*bytes, kPageBytes);
  if (*bytes >= kMinPoolBytes) return {};
  return Status(Code::kOutOfRange, "size " + std::to_string(options.size) +
                                       " is too small: a pool on persistent memory has at least " +
                                       std::to_string(kMinPoolBytes) + " bytes (32 MiB)");
}

Status sync_file(const std::string& path) {
  PosixFile file;
  int error = file.open_existing(path, true);
  if (error == 0) error = file.sync_all();
  return error == 0 ? Status() : file_error(error, "cannot sync the new pool " + path);
}

Result<OpenedMedium> create_file(const std::string& path, const MediumOptions& options) {
  Found made;
  HOLDFAST_TRY(check_new_size(options, &made.pool_bytes));
  Result<PmemDurability> durability = pmem_durability_of_folder(path);
  if (!durability) return std::move(durability.status());
  HOLDFAST_TRY(check_class(*durability, options, path));
  made.durability = *durability;
  sweep_stale_temporaries(path);
  const std::string temporary = temporary_name(path);
  PMEMobjpool* pool = make_pool(temporary, options.grow ? kFirstBytes : made.pool_bytes);
  if (pool == nullptr) {
    const int error = errno;
    if (error != EEXIST) remove_file(temporary);  // EEXIST: another thread of ours makes the same pool
    return create_error(path, error);
  }
  Result<PmemFront> front = write_front(pool, made.pool_bytes, options.grow);
  Status status = std::move(front.status());
  if (status.is_ok() && options.grow) {
    Result<PMEMobjpool*> longer = lengthened(std::exchange(pool, nullptr), temporary, made.pool_bytes);
    if (longer) pool = *longer;
    status = std::move(longer.status());
  }
  if (status.is_ok() && !planted(PlantedBug::kGrowthNotSynced)) status = sync_file(temporary);
  // libpmemobj's lock is on the file, not on its name: the pool stays open, and ours, through the renaming.
  if (status.is_ok()) status = publish_file(temporary, path);
  if (!status.is_ok()) {
    if (pool != nullptr) pmemobj_close(pool);
    remove_file(temporary);
    return status;
  }
  made.front = *front;
  return opened(pool, made, true);
}

Result<OpenedMedium> create_on_device(const std::string& path, const FileFacts& facts, const MediumOptions& options) {
  Found made;
  if (options.grow) return Status(Code::kInvalidArgument, "a pool takes the whole device " + path + ": it cannot grow");
  Result<uint64_t> bytes = device_dax_bytes(facts, path);
  if (!bytes) return std::move(bytes.status());
  made.pool_bytes = *bytes;
  if (options.size != 0) {
    return Status(Code::kOutOfRange, "size must be left out: a pool takes the whole device " + path);
  }
  PosixFile file;
  if (const int error = file.open_existing(path, true)) return file_error(error, "cannot open " + path);
  Result<PmemDurability> durability = pmem_durability(file, facts, path);
  if (!durability) return std::move(durability.status());
  HOLDFAST_TRY(check_class(*durability, options, path));
  file.close();
  PMEMobjpool* pool = make_pool(path, 0);
  if (pool == nullptr) return create_error(path, errno);
  Result<PmemFront> front = write_front(pool, made.pool_bytes, false);
  if (!front) {
    pmemobj_close(pool);
    return std::move(front.status());
  }
  made.durability = *durability;
  made.front = *front;
  return opened(pool, made, true);
}

Result<OpenedMedium> open_device(const std::string& path, const FileFacts& facts, const MediumOptions& options) {
  Result<Found> found = look_at(path, facts, options);
  if (found && options.create == CreateMode::kExclusive) {
    return Status(Code::kExists, "there is a pool on " + path + " already");
  }
  if (found) return open_existing(path, facts, options);
  if (found.status().code() != Code::kNotAPool) return std::move(found.status());
  if (options.create == CreateMode::kNever) return Status(Code::kNotFound, "there is no pool on the device " + path);
  // libpmemobj refuses a device that does not begin with zeros, so nothing foreign is overwritten.
  return create_on_device(path, facts, options);
}

Result<OpenedMedium> open_or_create(const std::string& path, const MediumOptions& options) {
  // Twice at most: another process may create the pool between our look and our renaming.
  for (int attempt = 0;; ++attempt) {
    FileFacts facts;
    const int error = path_facts(path, &facts);
    if (error != 0 && error != ENOENT) return file_error(error, "cannot look at " + path);
    if (error == ENOENT) {
      if (options.create == CreateMode::kNever) return Status(Code::kNotFound, "there is no pool " + path);
      Result<OpenedMedium> created = create_file(path, options);
      const bool beaten = !created && created.status().code() == Code::kExists;
      if (beaten && options.create == CreateMode::kIfMissing && attempt == 0) continue;
      return created;
    }
    if (facts.folder) return Status(Code::kNotAPool, path + " is a folder, not a Holdfast pool");
    if (facts.character_device) return open_device(path, facts, options);
    if (!facts.regular) return Status(Code::kNotAPool, path + " is neither a file nor a device: not a Holdfast pool");
    if (options.create == CreateMode::kExclusive) return Status(Code::kExists, path + " exists already");
    return open_existing(path, facts, options);
  }
}

}  // namespace

Result<OpenedMedium> open_pmem_medium(const std::string& path, const MediumOptions& options) {
  give_libpmemobj_memory();
  Result<OpenedMedium> opened = open_or_create(path, options);
  if (opened && !static_cast<PmemMedium&>(*opened->medium).use_file(path)) {
    return Status(Code::kIo, "cannot open the file of the pool " + path + " once more, to let it grow");
  }
  return opened;
}

std::string libpmemobj_version() {
  return std::to_string(PMEMOBJ_MAJOR_VERSION) + "." + std::to_string(PMEMOBJ_MINOR_VERSION);
}

}  // namespace holdfast
