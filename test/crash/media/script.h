// Short programs of commits and maintenance, one for each kind of operation that changes a pool,
// and the states a recovered pool may be in after each of their commits. Shared by the program that
// runs them and the one that judges.
//
// Every commit puts its own number under one key, so no two states are equal.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/pool.h"

namespace holdfast::crash {

using State = std::map<std::string, std::string>;

// Slots of region 1, and its size, are part of the state under keys that no pool has. A slot of
// zeros is not there.
inline const std::string kRegionPrefix = "\xff\xff\xff\xff";
constexpr uint64_t kSlotBytes = 300;
std::string slot_key(uint64_t slot);
std::string size_key();
inline bool is_region_key(const std::string& key) { return key.compare(0, 4, kRegionPrefix) == 0; }

struct Change {
  std::string key;
  std::string value;
  bool removed = false;
};

enum class StepKind {
  kOpen,      // opens or creates; acknowledges state 0, or what the last close left
  kCommit,    // one batch, durable
  kEventual,  // one batch, eventual: not acknowledged
  kGroup,  // this step and all kGroup steps directly behind it are submitted together, then flushed
  kSettle,  // acknowledges all
  kFold,
  kCompact,
  kClose,
  kBackup,  // a full backup, to nowhere; commits of the next kEventual steps are made between its
            // blocks
  kResize,  // to `bytes`, in place: files only
  kPause,   // long enough for the maintenance thread to look round
  kFocus,   // crash states are of interest from here on
};

struct Step {
  StepKind kind;
  std::vector<Change> changes;
  uint64_t bytes = 0;
};

struct Script {
  std::string name;
  MediumChoice medium = MediumChoice::kFile;
  bool grows = false;  // on persistent memory, taking its space as it needs it
  bool parts = false;  // also: a pool set with a part beside it
  std::vector<Step> steps;
};

// The names of a medium's scripts, in the order of docs/testing.md.
std::vector<std::string> script_names(MediumChoice medium);
// The same name, medium and seed give the same script. An unknown name gives an empty one.
Script make_script(const std::string& name, MediumChoice medium, uint64_t seed);
// [i]: after i commits.
std::vector<State> states_of(const Script& script);
// What is committed to see whether a recovered pool goes on.
Change change_after_crash();

PoolOptions options_of(const Script& script);
// The same for the one that makes the pool at `path`.
PoolOptions options_of(const Script& script, const std::string& path);

}  // namespace holdfast::crash
