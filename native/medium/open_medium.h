// The door to the media: probes a place, creates or opens the pool file on the right medium, takes
// the pool's lock.
//
// Creation is atomic: the pool is made under a temporary name in the same folder, its superblock
// last, then renamed and the folder synced. After a crash in between there is no pool, only a
// temporary file that the next creation sweeps.
//
// What an opened medium shows (root and bytes) is durable: what a killed process left in the caches
// is synced first. Else a root could be read and acted on, and then be undone by a power cut.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "medium/medium.h"

namespace holdfast {

enum class MediumChoice : uint8_t { kAuto, kPmem, kFile };
enum class CreateMode : uint8_t { kIfMissing, kNever, kExclusive };

struct MediumOptions {
  MediumChoice choice = MediumChoice::kAuto;
  CreateMode create = CreateMode::kIfMissing;
  // Bytes. File: 0 = grows by itself; else a fixed size, the most the file may take. Pmem: the size
  // of a new pool (0 = 256 MiB). When an existing pool is opened: 0 = as it was created; anything
  // else must be what it was created with.
  uint64_t size = 0;
  // Pmem: a new pool takes space of its file system as it needs it and gives it back, `size` (0 =
  // 64 GiB) is the most. Of an existing one: it must have been made so. A file does that anyway.
  bool grow = false;
  // Pmem, with `grow`: a new pool has a part in each of these, and `path` is the pool set file that
  // names the parts. Of an existing one: as it was made, or empty.
  std::vector<std::string> directories;
  // Refuse the place (kDurability) if it gives less.
  DurabilityClass at_least = DurabilityClass::kProcess;
};

struct OpenedMedium {
  std::unique_ptr<Medium> medium;
  bool created = false;
  uint8_t uuid[16] = {};  // of the pool, random, kept in the superblock
  uint64_t secret = 0;  // of the pool, random, kept in the superblock; binds checksums to this pool
  uint32_t format_version = 0;
};

// Errors: kNotFound (kNever and nothing there), kExists (kExclusive), kNotAPool (foreign, a folder,
// too short to be one), kNewerFormat, kCorrupt, kLocked (message names the owner's pid),
// kPermission, kReadOnly, kMediumUnavailable (says what to install), kDurability, kOutOfRange
// (size), kDiskFull, kIo.
Result<OpenedMedium> open_medium(const std::string& path, const MediumOptions& options);

// What a place offers, for `auto` and for `holdfast doctor`. Leaves nothing behind.
struct PlaceReport {
  bool exists = false;           // is there already a pool (of which medium, below)
  const char* pool_medium = "";  // "pmem", "file" or ""
  std::string file_system;       // "ext4", "xfs", "tmpfs", "device dax", …
  bool map_sync = false;         // mmap(MAP_SHARED_VALIDATE | MAP_SYNC) succeeded
  bool dax = false;              // the statx attribute (not proof, see docs/durability.md)
  bool device_dax = false;
  bool pmem_forced = false;  // PMEM_IS_PMEM_FORCE=1
  bool writable = false;
  bool built_with_pmem = false;
  std::string libpmemobj_version;  // "" without
  const char* choice = "";         // what `auto` would take
  DurabilityClass durability = DurabilityClass::kProcess;
  std::string reason;  // why, in one sentence
};
Result<PlaceReport> probe_place(const std::string& path);

}  // namespace holdfast
