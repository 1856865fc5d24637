// How tidy a pool is kept where nobody waits for room: rounds of cleaning ahead of need, until
// little can be gained by another; compacting, which is all of them at once; and how much of what
// is free goes back to the disk.
//
// Under the maintenance lock. What a crash leaves: cleaner.h.
#pragma once

#include <functional>

#include "engine/clean/cleaner.h"

namespace holdfast {

class Tidier {
 public:
  struct Parts {
    Medium& medium;
    LogState& log;
    const FoldRoot& fold;
    Room& room;
    Folder& folder;
    Merger& merger;
    Returns& returns;
    Cleaner& cleaner;
  };
  explicit Tidier(const Parts& parts)
      : medium_(parts.medium),
        log_(parts.log),
        fold_(parts.fold),
        room_(parts.room),
        folder_(parts.folder),
        merger_(parts.merger),
        returns_(parts.returns),
        cleaner_(parts.cleaner) {}

  // One round of cleaning before anybody waits for it. True: it gained something, so it is worth
  // another. `idle`: nothing is being committed.
  bool clean_ahead(bool idle);
  // `go_on`: asked between steps of a few MiB; what it says ends it, where that is no success.
  Status compact(const std::function<Status()>& go_on);

  // All but what deletions, folds and a round of cleaning need on a full disk, and `ahead`. So much
  // is there too when a commit has just been refused.
  void give_back_free(bool however_little, uint64_t ahead = 0);
  // What an idle pool that holds large values keeps free for the next ones.
  uint64_t kept_for_large(uint64_t most);

 private:
  struct Waste {
    uint64_t dead = 0, log = 0;
    bool mostly = false;  // of some segment more than half is dead
  };
  Waste waste();
  bool wasteful(uint64_t one_in);
  bool mostly_dead();
  uint64_t gainable(const Waste& now);  // of what is dead
  uint64_t segment_bytes();
  uint64_t least_tidied();
  bool tidy_round(bool idle);

  Medium& medium_;
  LogState& log_;
  const FoldRoot& fold_;
  Room& room_;
  Folder& folder_;
  Merger& merger_;
  Returns& returns_;
  Cleaner& cleaner_;

  // Nothing was gained by tidying up when there were so many commits; the same of what is tidied up
  // when there is nothing else to do.
  uint64_t tidied_at_ = UINT64_MAX, idly_tidied_at_ = UINT64_MAX;
  bool tidying_ = false;  // that was begun, and is not yet as tidy as it may become
  // What was dead when a round had carried segments and gained nothing: the ends into which no
  // operation fits, and which have the same ends elsewhere. It is not carried round again.
  uint64_t lost_ = 0;
};

}  // namespace holdfast
