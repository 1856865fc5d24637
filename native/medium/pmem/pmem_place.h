// What a place on which a pmem pool is wanted really is: persistent memory, a forced stand-in, or
// neither. Any thread.
#pragma once

#include <string>

#include "base/status.h"
#include "medium/medium.h"
#include "medium/posix_file.h"

namespace holdfast {

struct PmemDurability {
  DurabilityClass durability = DurabilityClass::kProcess;
  std::string reason;
};

// Of an open file (or device, as `facts` says) with at least a page to map. kMediumUnavailable
// where libpmemobj must not be used.
Result<PmemDurability> pmem_durability(const PosixFile& file, const FileFacts& facts,
                                       const std::string& path);

// The same for a file that is not there yet: asked of an unnamed file in its folder.
Result<PmemDurability> pmem_durability_of_folder(const std::string& path);

// Bytes of a device DAX node.
Result<uint64_t> device_dax_bytes(const FileFacts& facts, const std::string& path);

}  // namespace holdfast
