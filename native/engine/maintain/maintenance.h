// What an open pool does without being asked: it folds, merges, cleans and gives back, on a thread
// that commits wake and that otherwise looks round a few times a second while there is something
// left to tidy.
//
// What it promises commits: one that finds no room waits until it was looked for, and is told
// whether there is some; where the folding falls far behind, commits wait for it, so that the tail
// which a reopen must replay stays bounded.
//
// `lock`, the maintenance lock, is held while folding, merging, cleaning and giving back, by the
// thread or by who asks for one of these; it is taken before the append lock. Any thread but where
// said otherwise. What a crash leaves: folder.h, merger.h, cleaner.h.
#pragma once

#include <chrono>
#include <mutex>

#include "engine/clean/cleaner.h"
#include "engine/clean/tidier.h"
#include "engine/maintain/dead_walks.h"
#include "engine/maintain/fold_pace.h"
#include "engine/maintain/maintenance_thread.h"
#include "engine/maintain/page_widening.h"
#include "engine/maintain/space_requests.h"
#include "engine/maintain/warming.h"

namespace holdfast {

class Maintenance {
 public:
  struct Parts {
    Medium& medium;
    Health& health;
    const IndexState& index;
    LogState& log;
    FoldRoot& fold;
    Readers& readers;
    const Barriers& barriers;
    Room& room;
    Pace& pace;
    RegionCommits& regions;
    Returns& returns;
    Merger& merger;
    Folder& folder;
    Cleaner& cleaner;
    Tidier& tidier;
    const PoolOptions& options;
  };
  explicit Maintenance(const Parts& parts);

  mutable std::mutex lock;

  Status start() {
    return thread_.start([this] { main(); });
  }
  void stop() { thread_.stop(); }  // returns when it has ended
  void wake() { thread_.wake(); }
  void refuse_requests() { requests_.refuse_all(); }  // who waits for room, as the pool closes

  // In place of the thread: one look round. `idle`: as if nothing was committed for long. Under
  // `lock`.
  void turn(bool idle);
  void look_for_readers();  // a first reader may have come since the last look. Under `lock`

  // ── for commits
  // Is there something the thread should not wait with, and has not been told of? A spare is asked
  // for once a segment, a fold once for each look of its. Under the append lock.
  bool work_is_due() {
    if (folder_.fold_is_due(fold_pace_.worth_folding()) && !std::exchange(fold_asked_for_, true))
      return true;
    if (!room_.spare_is_due() || spare_asked_for_ == log_.writer.sequence()) return false;
    spare_asked_for_ = log_.writer.sequence();
    return true;
  }
  // Before a commit, with no lock held.
  void throttle(const RecordBuffer& record);
  // Of a commit that found no room for `bytes`; returns when room was looked for: ok where there
  // was some, else kPoolFull. With no lock held.
  Status wait_for_space(uint64_t bytes, Purpose purpose);

  // ── for ranges
  // One passed over so many deleted keys, under a reader's hold of the index lock.
  void walked_over(uint64_t dead, const IndexView& of);

 private:
  using Clock = std::chrono::steady_clock;
  void main();
  Status fold_in_turn();
  void work_off_merges();

  Medium& medium_;
  Health& health_;
  const IndexState& index_;
  LogState& log_;
  FoldRoot& fold_;
  Readers& readers_;
  const Barriers& barriers_;
  Room& room_;
  Pace& pace_;
  RegionCommits& region_commits_;
  Returns& returns_;
  Merger& merger_;
  Folder& folder_;
  Cleaner& cleaner_;
  Tidier& tidier_;
  const PoolOptions& options_;

  // guarded by the append lock
  bool fold_asked_for_ = false;   // since the thread last looked whether one is due
  uint64_t spare_asked_for_ = 0;  // sequence of the segment for whose end a spare was last asked

  SpaceRequests requests_;
  MaintenanceThread thread_;
  PageWidening widening_;
  Warming warming_;
  DeadWalks dead_walks_;
  FoldPace fold_pace_;
  uint64_t soon_ = 0;  // bytes that may be committed during a fold; under the maintenance lock
};

}  // namespace holdfast
