// Making pools on libpmemobj, and what making and opening one share. Used by pmem_medium.cc only.
//
// Creating: under a temporary name, libpmemobj's structures, our front with the superblocks last,
// sync, rename without replacing, sync of the folder. A crash before the rename leaves a temporary
// file and no pool. Device DAX has no names: there the superblocks, written last, are what makes it
// a pool. A pool over several directories: pmem_create_set.cc. Any thread.
#pragma once

#include <libpmemobj.h>

#include <string>

#include "medium/open_medium.h"
#include "medium/pmem/pmem_front.h"
#include "medium/pmem/pmem_place.h"

namespace holdfast {

// What stands at a path, as far as it can be told without libpmemobj; of a new pool, what was made.
struct FoundPmem {
  PmemFront front;
  PmemDurability durability;
  uint64_t pool_bytes = 0;
  bool at_rest = false;  // libpmemobj can open it as it is
};

constexpr uint64_t kFirstPmemBytes =
    8 * kMiB;                             // of a pool that grows; the least that libpmemobj makes
constexpr uint32_t kPmemPoolMode = 0600;  // an agent's memory is its owner's

Result<OpenedMedium> create_pmem_file(const std::string& path, const MediumOptions& options);
// options.directories is not empty.
Result<OpenedMedium> create_pmem_set(const std::string& path, const MediumOptions& options);
Result<OpenedMedium> create_pmem_device(const std::string& path, const FileFacts& facts,
                                        const MediumOptions& options);

OpenedMedium opened_pmem(PMEMobjpool* pool, const FoundPmem& found, bool created);
// kLocked where the error says so, naming the owner; else `code`.
Status pmem_locked_or(const std::string& path, Code code, const std::string& what, int error);
Status check_pmem_class(const PmemDurability& durability, const MediumOptions& options,
                        const std::string& path);
Status check_new_pmem_size(const MediumOptions& options, uint64_t* bytes);
// A new pool's file before libpmemobj makes a pool of it; its space is taken then. Not left to
// pmemobj_create: where that cannot set a file's mode it forgets to strike the pool off its list of
// open ones, and refuses (EEXIST) whatever is mapped at the same address afterwards.
int make_empty_part(const std::string& path, uint64_t bytes);
// Of a file (empty), a device or a set file. Null: errno says why.
PMEMobjpool* make_pmem_pool(const std::string& path);
Status pmem_create_error(const std::string& path, int error);
// Makes our part of a pool that libpmemobj has just made. The superblocks come last, behind a fence
// of their own.
Result<PmemFront> write_pmem_front(PMEMobjpool* pool, uint64_t pool_bytes, bool grows);

}  // namespace holdfast
