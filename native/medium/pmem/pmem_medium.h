// Persistent memory through libpmemobj. Built into one of the two addon targets only
// (HOLDFAST_WITH_PMEM). See open_medium.h for how it comes to be; this header is only for
// open_medium.cc and the tests.
#pragma once

#include "medium/open_medium.h"

namespace holdfast {
Result<OpenedMedium> open_pmem_medium(const std::string& path, const MediumOptions& options);
std::string libpmemobj_version();
}  // namespace holdfast
