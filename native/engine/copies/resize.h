// Another size for a pool. In place where it is only a number (PoolImpl::resize: a file, larger;
// smaller when nothing is held beyond). Else by copying: a new pool of that size is made beside the
// old one, all is put into it, and then it takes the old one's name.
//
// What a crash leaves of a copy: before the renaming the old pool and a temporary file that the
// next creation or resize in that place removes; after it the new pool. The old one is locked all
// the while. Commits of the copy are numbered on from the old one's, and its identity is new: what
// names the old pool (increments of a backup) does not fit it. One thread.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/pool.h"

namespace holdfast {

struct CopyReport {
  uint64_t entries = 0, bytes = 0;
};

// Where the new pool lies: absent, as the old one; none, in one file; else a part in each (on
// persistent memory).
using WantedDirectories = std::optional<std::vector<std::string>>;

// Errors of opening either, kPoolFull (all does not fit into `bytes`: the old pool is untouched),
// kAborted.
Result<CopyReport> resize_by_copy(const std::string& path, uint64_t bytes,
                                  const std::atomic<bool>* cancelled,
                                  const std::function<void(double)>& progress,
                                  const WantedDirectories& directories = {});

}  // namespace holdfast
