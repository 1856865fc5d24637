#include "medium/pmem/pmem_create.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>

#include "medium/pmem/pmem_device.h"
#include "medium/pmem/pmem_library_layout.h"
#include "medium/pmem/pmem_wrap.h"
#include "medium/pool_file.h"
#include "medium/pool_parts.h"

namespace holdfast {
namespace {

// libpmemobj alone takes 5 MiB (its lanes); below this there are too few segments to fold and
// clean.
constexpr uint64_t kMinPoolBytes = 32 * kMiB;
constexpr uint64_t kDefaultPoolBytes = 256 * kMiB;
constexpr uint64_t kDefaultGrowingBytes = 64 * kGiB;  // the most it may take

// Makes a small pool's file as long as the pool may ever become, without taking the space, and
// tells libpmemobj that its heap is that large: the word it changes itself when it extends a pool
// (docs/decisions/0009). What it stores to besides segments gets its space here.
Status lengthen(const std::string& path, uint64_t bytes) {
  PosixFile file;
  int error = file.open_existing(path, true);
  if (error == 0) error = file.truncate(bytes);
  for (uint64_t zone = kPmemHeapAt + sizeof(PmemHeapHeader);
       error == 0 && zone + kPmemZoneFront < bytes; zone += kPmemZoneBytes) {
    error = file.reserve(zone, kPmemZoneFront);
  }
  const uint64_t heap_bytes = bytes - kPmemHeapAt;
  uint64_t writes = 0;
  if (error == 0) {
    error = file.write_at(kPmemDescriptorAt + offsetof(PmemDescriptor, heap_size), &heap_bytes,
                          sizeof heap_bytes, &writes);
  }
  return error == 0
             ? Status()
             : file_error(error, "cannot make the new pool " + path + " as long as it may grow");
}

// libpmemobj has made it with the root object in it, whose run of chunks ends where the first 8 MiB
// do.
Result<PMEMobjpool*> lengthened(PMEMobjpool* pool, const std::string& path, uint64_t bytes) {
  pmemobj_close(pool);
  HOLDFAST_TRY(lengthen(path, bytes));
  PMEMobjpool* longer = pmemobj_open(path.c_str(), kPmemLayoutName);
  if (longer == nullptr)
    return Status(Code::kIo, "cannot open the new pool " + path + " again: " + pmemobj_errormsg(),
                  errno);
  return longer;
}

Status sync_file(const std::string& path) {
  PosixFile file;
  int error = file.open_existing(path, true);
  if (error == 0) error = file.sync_all();
  return error == 0 ? Status() : file_error(error, "cannot sync the new pool " + path);
}

}  // namespace

Status pmem_locked_or(const std::string& path, Code code, const std::string& what, int error) {
  if (error == EWOULDBLOCK || error == EAGAIN) {
    Result<PoolParts> pool = PoolParts::open(path, true);  // asks again, only to name the owner
    if (pool) HOLDFAST_TRY(lock_pool_file(pool->first(), path));
    return Status(Code::kLocked, "the pool " + path + " is open in another process");
  }
  return Status(code, what + ": " + pmemobj_errormsg(), error);
}

Status check_pmem_class(const PmemDurability& durability, const MediumOptions& options,
                        const std::string& path) {
  if (durability.durability >= options.at_least) return {};
  return Status(Code::kDurability, path + " cannot give durability 'power': " + durability.reason);
}

OpenedMedium opened_pmem(PMEMobjpool* pool, const FoundPmem& found, bool created) {
  OpenedMedium result;
  result.created = created;
  std::memcpy(result.uuid, found.front.superblock.uuid, sizeof result.uuid);
  result.secret = found.front.superblock.secret;
  result.format_version = found.front.superblock.format_version;
  result.medium =
      std::make_unique<PmemMedium>(pool, found.pool_bytes, found.front, found.durability);
  return result;
}

Result<PmemFront> write_pmem_front(PMEMobjpool* pool, uint64_t pool_bytes, bool grows) {
  const PMEMoid root = pmemobj_root(pool, kPmemRootObjectBytes);
  if (OID_IS_NULL(root))
    return Status(Code::kIo, std::string("libpmemobj made no root object: ") + pmemobj_errormsg());
  Result<Superblock> superblock = make_superblock(MediumKind::kPmem, pool_bytes);
  if (!superblock) return std::move(superblock.status());
  PmemFront front;
  front.offset = round_up(root.off, kPageBytes);
  front.superblock = *superblock;
  front.root.sequence = 1;
  front.grows = grows;
  const std::string bytes = make_pmem_front(*superblock, front.root.root, grows);
  uint8_t* at = reinterpret_cast<uint8_t*>(pool) + front.offset;
  pmem_place(at + kRootSlotOffsets[0], bytes.data() + kRootSlotOffsets[0],
             bytes.size() - kRootSlotOffsets[0]);
  pmem_fence();
  pmem_place(at, bytes.data(), kRootSlotOffsets[0]);
  pmem_fence();
  return front;
}

int make_empty_part(const std::string& path, uint64_t bytes) {
  PosixFile file;
  if (const int error = file.create_new(path)) return error;
  int error = set_mode(path, kPmemPoolMode);
  if (error == 0) error = file.truncate(bytes);
  if (error != 0) remove_file(path);
  return error;
}

PMEMobjpool* make_pmem_pool(const std::string& path) {
  // Pools stay movable and need no special rights: docs/decisions/0003-shutdown-state-off.md.
  static std::once_flag once;
  std::call_once(once, [] {
    int off = 0;
    pmemobj_ctl_set(nullptr, "sds.at_create", &off);
  });
  return pmemobj_create(path.c_str(), kPmemLayoutName, 0, kPmemPoolMode);
}

Status pmem_create_error(const std::string& path, int error) {
  if (error == EAGAIN || error == EWOULDBLOCK)
    return pmem_locked_or(path, Code::kLocked, "", error);
  Status status = file_error(
      error, "cannot create the pool " + path + " (libpmemobj: " + pmemobj_errormsg() + ")");
  return status;
}

Status check_new_pmem_size(const MediumOptions& options, uint64_t* bytes) {
  *bytes = options.size != 0 ? options.size
           : options.grow    ? kDefaultGrowingBytes
                             : kDefaultPoolBytes;
  if (*bytes > uint64_t{1} << 46)
    return Status(Code::kOutOfRange, "size is too large: at most 64 TiB");
  *bytes = round_up(*bytes, kPageBytes);
  if (*bytes >= kMinPoolBytes) return {};
  return Status(Code::kOutOfRange, "size " + std::to_string(options.size) +
                                       " is too small: a pool on persistent memory has at least " +
                                       std::to_string(kMinPoolBytes) + " bytes (32 MiB)");
}

Result<OpenedMedium> create_pmem_file(const std::string& path, const MediumOptions& options) {
  FoundPmem made;
  HOLDFAST_TRY(check_new_pmem_size(options, &made.pool_bytes));
  Result<PmemDurability> durability = pmem_durability_of_folder(path);
  if (!durability) return std::move(durability.status());
  HOLDFAST_TRY(check_pmem_class(*durability, options, path));
  made.durability = *durability;
  sweep_stale_temporaries(path);
  const std::string temporary = temporary_name(path);
  const uint64_t first_bytes = options.grow ? kFirstPmemBytes : made.pool_bytes;
  // EEXIST: another thread of ours makes the same pool.
  if (const int error = make_empty_part(temporary, first_bytes))
    return file_error(error, "cannot create the pool " + path);
  PMEMobjpool* pool = make_pmem_pool(temporary);
  if (pool == nullptr) {
    const int error = errno;
    remove_file(temporary);
    return pmem_create_error(path, error);
  }
  Result<PmemFront> front = write_pmem_front(pool, made.pool_bytes, options.grow);
  Status status = std::move(front.status());
  if (status.is_ok() && options.grow) {
    Result<PMEMobjpool*> longer =
        lengthened(std::exchange(pool, nullptr), temporary, made.pool_bytes);
    if (longer) pool = *longer;
    status = std::move(longer.status());
  }
  if (status.is_ok() && !planted(PlantedBug::kGrowthNotSynced)) status = sync_file(temporary);
  // libpmemobj's lock is on the file, not on its name: the pool stays open, and ours, through the
  // renaming.
  if (status.is_ok()) status = publish_file(temporary, path);
  if (!status.is_ok()) {
    if (pool != nullptr) pmemobj_close(pool);
    remove_file(temporary);
    return status;
  }
  made.front = *front;
  return opened_pmem(pool, made, true);
}

Result<OpenedMedium> create_pmem_device(const std::string& path, const FileFacts& facts,
                                        const MediumOptions& options) {
  FoundPmem made;
  if (options.grow)
    return Status(Code::kInvalidArgument,
                  "a pool takes the whole device " + path + ": it cannot grow");
  Result<uint64_t> bytes = device_dax_bytes(facts, path);
  if (!bytes) return std::move(bytes.status());
  made.pool_bytes = *bytes;
  if (options.size != 0) {
    return Status(Code::kOutOfRange,
                  "size must be left out: a pool takes the whole device " + path);
  }
  PosixFile file;
  if (const int error = file.open_existing(path, true))
    return file_error(error, "cannot open " + path);
  Result<PmemDurability> durability = pmem_durability(file, facts, path);
  if (!durability) return std::move(durability.status());
  HOLDFAST_TRY(check_pmem_class(*durability, options, path));
  file.close();
  PMEMobjpool* pool = make_pmem_pool(path);
  if (pool == nullptr) return pmem_create_error(path, errno);
  Result<PmemFront> front = write_pmem_front(pool, made.pool_bytes, false);
  if (!front) {
    pmemobj_close(pool);
    return std::move(front.status());
  }
  made.durability = *durability;
  made.front = *front;
  return opened_pmem(pool, made, true);
}

}  // namespace holdfast
