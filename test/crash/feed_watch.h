// A reader of the change feed beside the model: it must be given exactly the commits that were
// made, each once, whole and in order, none before it is durable, whatever is cleaned, crashed and
// opened again in between.
//
// It remembers, as a replica would, only the epoch it has reached; a crash may take nothing from it
// and give it nothing twice.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../seeded_random.h"
#include "engine/pool.h"
#include "model.h"

namespace holdfast::crash {

class FeedWatch {
 public:
  // `forgetful`: only some of the log is kept, so a reader may be told that it has come too late.
  FeedWatch(uint64_t seed, bool forgetful) : random_(seed), gave_way_(forgetful) {}

  // What was committed. Epoch 0: with an unknown outcome.
  void committed(uint64_t epoch, const Changes& changes);
  // The pool has been opened again, at this epoch: what lay above is lost, and its numbers are used
  // again.
  void reopened(uint64_t epoch);
  void closing(Pool& pool);  // before the pool object goes

  // Reads on for a while. `excused`: the pool may have been at fault by a crash or a failing disk.
  // `*durable`: the newest epoch given. Returns what is wrong; empty: nothing.
  std::string read(Pool& pool, bool to_the_end, const bool* crashed, uint64_t* durable);
  // All of the pool's history from its creation, if it was never given away.
  std::string read_history(Pool& pool);

 private:
  std::string compare(const FeedCommit& commit, FeedCursor& cursor, Status* status);
  Random random_;
  std::map<uint64_t, Changes> made_;
  std::vector<Changes> uncertain_;
  std::unique_ptr<FeedCursor> cursor_;
  uint64_t reached_ = 0;
  bool gave_way_;  // the pool has let go of what it kept, for want of space
};

}  // namespace holdfast::crash
