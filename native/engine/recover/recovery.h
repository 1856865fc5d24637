// Opening: take the newest valid fold, then replay records until the first that is not valid.
//
// What makes the replayed tail safe to build on: a barrier is raised before it is read (after a
// mere process death its bytes may only be in the page cache), and the incarnation written into
// every frame from now on is higher than any in the log, set in the root before the first commit:
// whatever older frames lie behind the place where we go on can never follow ours.
//
// What tells a torn tail from damage: every frame says how far behind it the durable epoch was. If
// behind the first invalid frame lies a valid one that was written when the invalid one's epoch was
// already durable, an acknowledged record is damaged: kCorrupt.
//
//   recovery.cc         the fold, the tail, and where the log goes on
//   earlier_readers.cc  what is kept for readers in other processes who were there before
//
// It fills the parts' books, which nobody else knows yet: without a lock, on the thread that opens.
// A crash leaves the fold and the tail as they were; until the root has the new incarnation nothing
// else was written but lost headers, which say what the log says anyway.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/commit/appender.h"
#include "engine/pool.h"
#include "engine/state/readers.h"
#include "log/tail.h"

namespace holdfast {

class Recovery {
 public:
  struct Parts {
    Medium& medium;
    Health& health;
    IndexState& index;
    LogState& log;
    FoldRoot& fold;
    Readers& readers;
    Room& room;
    Barriers& barriers;
    RegionCommits& regions;
    Appender& appender;
    const PoolOptions& options;
    const uint64_t secret;
  };
  explicit Recovery(const Parts& parts)
      : medium_(parts.medium),
        health_(parts.health),
        index_(parts.index),
        log_(parts.log),
        fold_(parts.fold),
        readers_(parts.readers),
        room_(parts.room),
        barriers_(parts.barriers),
        region_commits_(parts.regions),
        appender_(parts.appender),
        options_(parts.options),
        secret_(parts.secret) {}

  // Once. After an error the parts are of no use.
  Status run();
  uint64_t replayed_operations() const { return replayed_operations_; }
  uint64_t replayed_bytes() const { return replayed_bytes_; }

 private:
  Status begin_new_pool();
  Status replay();
  void take_fold();
  Status walk_tail(Tail* tail, const LogReader& reader);
  void replay_frame(const FrameView& frame);
  void note_lost_header(const LogReader& reader, const FrameView& frame);
  Status write_headers();
  Status go_on_behind(const Tail& tail);

  // earlier_readers.cc
  void keep_for_readers();

  Medium& medium_;
  Health& health_;
  IndexState& index_;
  LogState& log_;
  FoldRoot& fold_;
  Readers& readers_;
  Room& room_;
  Barriers& barriers_;
  RegionCommits& region_commits_;
  Appender& appender_;
  const PoolOptions& options_;
  const uint64_t secret_;

  std::vector<Segment> held_;  // all that the fold, the tail and readers need: the rest is free
  std::vector<SegmentHeader> lost_headers_;
  WantedExtents fresh_;  // of regions' parts that the tail writes for the first time
  uint64_t replayed_operations_ = 0, replayed_bytes_ = 0;
};

}  // namespace holdfast
