// A backup of a pool while commits go on: all entries as of one epoch, or the commits since one.
//
// It is pulled: next() gives the next block until there are none; whoever pulls writes it where he
// likes. Memory: one block. A full backup pins a snapshot, an increment keeps the log it has yet to
// read, for as long as the object lives.
//
// Going on after an interruption. The snapshot is gone then, so a full backup goes on behind the
// last key it has with a newer snapshot, and ends with all commits between the two: together they
// are the state as of the newer one. That needs the log back to the older epoch; else it is
// kForgotten and one begins anew. An increment goes on behind the last commit it has.
//
// Threads: one at a time; any. What it says is in it is durable in the pool before the end block is
// given.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/copies/backup_reader.h"
#include "engine/pool.h"

namespace holdfast {

struct BackupOptions {
  std::optional<uint64_t> since;         // an increment from there
  std::optional<BackupProgress> resume;  // what scan_backup() found of an interrupted one
};

struct BackupStatus {
  uint64_t epoch = 0;  // what it will restore to
  uint64_t since = 0;
  uint64_t entries = 0, commits = 0, bytes = 0;  // so far, in this and in what is gone on with
  double fraction = 0;
};

// Of the file that a backup is written to, by its descriptor; until that is closed. False: somebody
// else writes to it. Where the file system has no locks, true.
bool lock_backup_file(int descriptor);

class Backup {
 public:
  static Result<std::unique_ptr<Backup>> begin(const std::shared_ptr<Pool>& pool,
                                               const BackupOptions& options);
  virtual ~Backup() = default;
  // Appends the next block to `to`; false: the last one had been given. kForgotten, kCorrupt (in
  // the pool), kClosed, …
  virtual Result<bool> next(std::string* to) = 0;
  virtual BackupStatus status() const = 0;
};

}  // namespace holdfast
