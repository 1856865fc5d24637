// The medium on libpmemobj: opening. See pmem_create.h for creating, pmem_device.h for what an open
// one does.
//
// In this order: our own superblock against the file's size (of a pool set: that of all its parts,
// each of which must be the right one), from plain bytes; the place's durability; is libpmemobj's
// part at rest, from plain bytes too, else a child that opens a copy; only then libpmemobj in this
// process.
#include "medium/pmem/pmem_medium.h"

#include <libpmemobj.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "medium/place_facts.h"
#include "medium/pmem/pmem_at_rest.h"
#include "medium/pmem/pmem_child.h"
#include "medium/pmem/pmem_create.h"
#include "medium/pmem/pmem_device.h"
#include "medium/pmem/pmem_footers.h"
#include "medium/pmem/pmem_front.h"
#include "medium/pmem/pmem_library_layout.h"
#include "medium/pmem/pmem_memory.h"
#include "medium/pmem/pmem_place.h"
#include "medium/pmem/pmem_wrap.h"
#include "medium/pool_file.h"
#include "medium/pool_parts.h"

namespace holdfast {
namespace {

Status open_error(const std::string& path, int error) {
  const std::string text = pmemobj_errormsg();
  if (text.find("ADR") != std::string::npos) {
    return Status(
        Code::kCorrupt,
        "libpmemobj refuses the pool " + path + ": " + text +
            "; it was made with the shutdown-state feature on and moved, or its machine lost "
            "power. If its data is known to be good: pmempool feature --disable "
            "SHUTDOWN_STATE " +
            path,
        error);
  }
  // What libpmemobj finds wrong in the pool itself is EINVAL, or what errno was before.
  for (const int of_system : {EACCES, EPERM, EROFS, ENOMEM, EIO, EMFILE, ENFILE}) {
    if (error == of_system)
      return file_error(error, "cannot open the pool " + path + " (libpmemobj: " + text + ")");
  }
  return pmem_locked_or(path, Code::kCorrupt, "libpmemobj cannot open the pool " + path, error);
}

// Where a pool lies is chosen when it is made: asked for again, it must be the same.
Status check_directories(const PoolParts& pool, const MediumOptions& options,
                         const std::string& path) {
  if (options.directories.empty()) return {};
  bool same = pool.is_set() && pool.parts().size() == options.directories.size();
  for (size_t i = 0; same && i < options.directories.size(); i++) {
    same = resolved_path(options.directories[i]) == resolved_path(folder_of(pool.parts()[i].path));
  }
  if (same) return {};
  std::string where;
  for (const PoolPart& part : pool.parts())
    where += (where.empty() ? "" : ", ") + (pool.is_set() ? folder_of(part.path) : part.path);
  return Status(Code::kInvalidArgument,
                "the pool " + path + " lies in " + where +
                    ": its directories are chosen when it is made; holdfast resize "
                    "--directory copies it into others");
}

// What a pool holds, without libpmemobj. A device can only be mapped, in whole pages of its own.
class PlainPool {
 public:
  PlainPool(const PoolParts& file, const std::string& path) : file_(file), path_(path) {}
  ~PlainPool() {
    if (mapped_ != nullptr) PosixFile::unmap(mapped_, mapped_bytes_);
  }
  PlainPool(const PlainPool&) = delete;

  Status map_device(const FileFacts& facts, uint64_t pool_bytes) {
    const uint64_t bytes = round_down(pool_bytes, device_dax_page_bytes(facts));
    if (const int error = file_.map_shared(bytes, &mapped_))
      return file_error(error, "cannot map " + path_);
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
  const PoolParts& file_;
  const std::string& path_;
  const uint8_t* mapped_ = nullptr;
  uint64_t mapped_bytes_ = 0;
};

// The weakest of the places that the pool lies in.
Result<PmemDurability> durability_of_parts(const PoolParts& pool, const std::string& path) {
  PmemDurability weakest;
  for (const PoolPart& part : pool.parts()) {
    FileFacts facts;
    if (const int error = part.file.facts(&facts))
      return file_error(error, "cannot look at " + part.path);
    Result<PmemDurability> here =
        pmem_durability(part.file, facts, pool.is_set() ? part.path : path);
    if (!here) return here;
    if (pool.is_set()) here->reason = folder_of(part.path) + ": " + here->reason;
    if (part.offset == 0 || here->durability < weakest.durability) weakest = *here;
  }
  return weakest;
}

// Reads under the lock, which is given up again: libpmemobj takes its own.
Result<FoundPmem> look_at(const std::string& path, const FileFacts& facts,
                          const MediumOptions& options) {
  Result<PoolParts> file = PoolParts::open(path, true);
  if (!file) return std::move(file.status());
  HOLDFAST_TRY(lock_pool_file(file->first(), path));
  FileFacts whole;
  if (const int error = file->facts(&whole))
    return file_error(error, "cannot look at the pool " + path);
  FoundPmem found;
  found.pool_bytes = whole.size;
  PlainPool plain(*file, path);
  if (facts.character_device) {
    Result<uint64_t> bytes = device_dax_bytes(facts, path);
    if (!bytes) return std::move(bytes.status());
    found.pool_bytes = *bytes;
    HOLDFAST_TRY(plain.map_device(facts, found.pool_bytes));
  }
  const ReadPool read = [&](uint64_t offset, uint64_t bytes) { return plain.read(offset, bytes); };
  Result<PmemFront> front = find_pmem_front(read, found.pool_bytes, path);
  if (!front) return std::move(front.status());
  HOLDFAST_TRY(check_part_marks(*file, front->superblock, path));
  HOLDFAST_TRY(check_directories(*file, options, path));
  Result<PmemDurability> durability = durability_of_parts(*file, path);
  if (!durability) return std::move(durability.status());
  HOLDFAST_TRY(check_pmem_class(*durability, options, path));
  found.front = *front;
  found.durability = *durability;
  std::string why;
  found.at_rest = pmem_is_at_rest(read, found.pool_bytes, found.front, &why);
  return found;
}

// A copy of a superblock or a root slot that was found damaged is made whole from the other.
void repair_front(uint8_t* front, const PmemFront& facts) {
  for (int copy = 0; copy < 2; ++copy) {
    const RootSlot slot =
        make_root_slot(facts.root.root, facts.root.sequence, copy, facts.superblock.secret);
    uint8_t* superblock_at = front + kSuperblockOffsets[copy];
    uint8_t* slot_at = front + kRootSlotOffsets[copy];
    if (std::memcmp(superblock_at, &facts.superblock, sizeof(Superblock)) != 0) {
      pmem_place(superblock_at, &facts.superblock, sizeof(Superblock));
    }
    if (std::memcmp(slot_at, &slot, sizeof slot) != 0) pmem_place(slot_at, &slot, sizeof slot);
  }
  pmem_fence();
}

// Between our look and libpmemobj's lock another process may have had the pool open: look again at
// what counts.
Result<PmemFront> front_again(PMEMobjpool* pool, const FoundPmem& found, const std::string& path) {
  const bool has_root = pmemobj_root_size(pool) >= kPmemRootObjectBytes;
  const PMEMoid root = has_root ? pmemobj_root(pool, kPmemRootObjectBytes) : OID_NULL;
  if (OID_IS_NULL(root) || round_up(root.off, kPageBytes) != found.front.offset) {
    return Status(Code::kCorrupt,
                  "the pool " + path + " has its superblock at byte " +
                      std::to_string(found.front.offset) +
                      ", outside libpmemobj's root object: restore it from a backup");
  }
  return verify_pmem_front(
      bytes_of(reinterpret_cast<uint8_t*>(pool) + found.front.offset, kPmemFrontBytes),
      found.front.offset, found.pool_bytes, path);
}

// A pool at rest needs no child. Where one is needed and cannot look first, the choice is to lose
// the pool to its owner or to trust libpmemobj after a crash, which it is made for; what is lost is
// the protection against damage. Said aloud.
Status check_first(const std::string& path, const FileFacts& facts, FoundPmem* found) {
  if (found->at_rest) return {};
  const std::string program = pmem_probe_program();
  const char* why = facts.character_device ? "a device dax cannot be mapped copy-on-write"
                    : program.empty()      ? "holdfast_pmem_probe is not beside the addon"
                                           : nullptr;
  if (why == nullptr)
    return probe_pool_in_child(program, path, pmem_probe_limit_ms(found->pool_bytes));
  found->durability.reason +=
      std::string("; opened without the check in a child process, because ") + why;
  return {};
}

Result<OpenedMedium> open_existing(const std::string& path, const FileFacts& facts,
                                   const MediumOptions& options) {
  Result<FoundPmem> looked = look_at(path, facts, options);
  if (!looked) return std::move(looked.status());
  FoundPmem& found = *looked;
  if (options.size != 0 && round_up(options.size, kPageBytes) != found.pool_bytes) {
    return Status(Code::kOutOfRange, "the pool " + path + " was made with size " +
                                         std::to_string(found.pool_bytes) + ", not " +
                                         std::to_string(options.size));
  }
  if (options.grow && !found.front.grows) {
    return Status(Code::kInvalidArgument,
                  "the pool " + path +
                      " has taken all its space when it was made: whether a pool grows is "
                      "chosen then; holdfast resize copies it into one that grows");
  }
  // After a clean end too: a byte may have been damaged since, and libpmemobj dies of it as
  // readily.
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
  pmem_store_word(reinterpret_cast<uint64_t*>(base + found.front.offset + kPmemUseMarkOffset),
                  kPmemInUse);
  return opened_pmem(pool, found, false);
}

Result<OpenedMedium> open_device(const std::string& path, const FileFacts& facts,
                                 const MediumOptions& options) {
  Result<FoundPmem> found = look_at(path, facts, options);
  if (found && options.create == CreateMode::kExclusive) {
    return Status(Code::kExists, "there is a pool on " + path + " already");
  }
  if (found) return open_existing(path, facts, options);
  if (found.status().code() != Code::kNotAPool) return std::move(found.status());
  if (options.create == CreateMode::kNever)
    return Status(Code::kNotFound, "there is no pool on the device " + path);
  // libpmemobj refuses a device that does not begin with zeros, so nothing foreign is overwritten.
  return create_pmem_device(path, facts, options);
}

Result<OpenedMedium> open_or_create(const std::string& path, const MediumOptions& options) {
  // Twice at most: another process may create the pool between our look and our renaming.
  for (int attempt = 0;; ++attempt) {
    FileFacts facts;
    const int error = path_facts(path, &facts);
    if (error != 0 && error != ENOENT) return file_error(error, "cannot look at " + path);
    if (error == ENOENT) {
      if (options.create == CreateMode::kNever)
        return Status(Code::kNotFound, "there is no pool " + path);
      Result<OpenedMedium> created = options.directories.empty() ? create_pmem_file(path, options)
                                                                 : create_pmem_set(path, options);
      const bool beaten = !created && created.status().code() == Code::kExists;
      if (beaten && options.create == CreateMode::kIfMissing && attempt == 0) continue;
      return created;
    }
    if (facts.folder) return Status(Code::kNotAPool, path + " is a folder, not a Holdfast pool");
    if (facts.character_device) return open_device(path, facts, options);
    if (!facts.regular)
      return Status(Code::kNotAPool, path + " is neither a file nor a device: not a Holdfast pool");
    if (options.create == CreateMode::kExclusive)
      return Status(Code::kExists, path + " exists already");
    return open_existing(path, facts, options);
  }
}

}  // namespace

Result<OpenedMedium> open_pmem_medium(const std::string& path, const MediumOptions& options) {
  give_libpmemobj_memory();
  Result<OpenedMedium> opened = open_or_create(path, options);
  if (opened && !static_cast<PmemMedium&>(*opened->medium).use_file(path)) {
    return Status(Code::kIo,
                  "cannot open the file of the pool " + path + " once more, to let it grow");
  }
  return opened;
}

std::string libpmemobj_version() {
  return std::to_string(PMEMOBJ_MAJOR_VERSION) + "." + std::to_string(PMEMOBJ_MINOR_VERSION);
}

}  // namespace holdfast
