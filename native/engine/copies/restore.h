// A new pool from a full backup and its increments, up to any epoch or time inside them.
//
// The pool is made under the name it is given and is whole only when finish() has returned: whoever
// calls gives a temporary name and renames. It has the state as of the epoch that was asked for,
// the same keyspace numbers, and goes on with epochs above it; of the history up to there its own
// change feed knows nothing.
//
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/copies/backup_reader.h"
#include "engine/pool.h"

namespace holdfast {

struct RestoreTarget {
  std::optional<uint64_t> epoch;  // the state after this commit
  std::optional<uint64_t>
      time_ms;  // the state at this time: after the last commit before the first one that is later
};

struct RestoreReport {
  uint64_t epoch = 0;  // of the backup, that was restored
  uint64_t time_ms = 0;
  uint64_t entries = 0, commits = 0, bytes = 0, parts = 0;
};

class Restore {
 public:
  // `path` must not exist.
  static Result<std::unique_ptr<Restore>> begin(const std::string& path, const PoolOptions& options,
                                                const RestoreTarget& target);
  virtual ~Restore() = default;
  // The parts in their order: the full backup, then increments.
  virtual void part(const std::string& name) = 0;
  virtual Status write(Bytes bytes) = 0;
  virtual Status part_end() = 0;
  // kOutOfRange: the epoch or time is not in what was given. The pool is durable and closed.
  virtual Result<RestoreReport> finish() = 0;
};

}  // namespace holdfast
