// Backups, damaged: restoring gives exactly the state of the epoch it names, or an error of a
// backup. Never anything in between.
#pragma once

#include <map>
#include <string>

#include "damage_check.h"

namespace holdfast::crash {

// A full backup and an increment behind it, of a pool with a region, beside what the pool held at
// both ends.
struct BackupModel {
  struct State {
    uint64_t epoch = 0;
    std::map<std::string, uint64_t> keys;  // hash of the value
    std::string region;
  };
  std::string full, increment;
  State after_full, after_increment;
};

// Makes its pool at `path` (removed again). Ends the program if it cannot.
BackupModel make_backup_model(const std::string& path, uint64_t seed);

// Damages one of the two as the seed decides, restores into a new pool at `path`, and looks at it.
// `planted`: what is restored is changed.
Verdict try_damaged_backup(const BackupModel& model, uint64_t seed, const std::string& path,
                           bool planted, std::string* words);

}  // namespace holdfast::crash
