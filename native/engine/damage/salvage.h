// Saves what is still valid in a damaged pool into a new one. The damaged pool is only read.
//
// What is trusted depends on what is left:
//   index      superblock, root and fold are whole. The index says which version of a key is the
//              newest, the log's tail what came after the fold. Where a node of the index is
//              damaged, the newest version found in the log stands in (unconfirmed).
//   log        the root or the fold is lost. Every valid record of every log segment counts, the
//              newest version of a key wins. A key whose deletion lay in a segment that was given
//              back since may come again.
//   checksums  both superblocks are lost, and with them the secret that binds records to their
//              places. Operations still have checksums of their own: whole frames of whole
//              operations count, in the order of the epochs they state.
// In every case a value is saved only if its own checksum agrees: damaged bytes are never passed
// on.
//
// Threads: the caller's. A crash leaves the damaged pool as it was, and a new pool to be thrown
// away (lib/salvage.ts gives it its name when it is whole).
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "engine/pool.h"

namespace holdfast {

enum class SalvageSource : uint8_t { kIndex, kLog, kChecksums };

struct SalvageReport {
  SalvageSource source = SalvageSource::kIndex;
  uint64_t entries = 0;             // saved
  uint64_t bytes = 0;               // of their values
  uint64_t unconfirmed = 0;         // of them: nothing could say whether this is the newest version
  uint64_t lost = 0;                // keys known of which no valid version was left
  std::vector<std::string> losses;  // one sentence each, the first thousand
  // Stretches of the log that are damaged, of which nobody else knows what they changed: such keys
  // come back as they were before, or not at all. One sentence each, the first thousand.
  std::vector<std::string> gaps;
};

// `to` must not exist. kAborted, and what opening, creating or committing say.
Result<SalvageReport> salvage(const std::string& from, const std::string& to,
                              const PoolOptions& target, const std::atomic<bool>* cancelled,
                              const std::function<void(double)>& progress);

}  // namespace holdfast
