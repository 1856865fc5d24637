// Space comes back by segment: the few live operations of a mostly dead segment are appended to the
// log again, as a record of their own kind, and after the next fold the segment is given back
// whole.
//
// What a reopen sees: a move changes no key's value, only where it lies. Until the fold that
// follows is durable the old segment is still held, so whichever of the two places the recovered
// index names, the bytes are there.
//
// Moves go in small records under the append lock; a key that was committed anew in between is left
// alone, because its place is compared again under that lock.
//
// A round carries what there is room for and folds once for all its victims. A pool is cleaned no
// earlier than it must be: the longer a segment waits, the less in it is live. Commits that wait
// for room wait for a round, never for all there is to clean. What a round appends leaves memory as
// it goes on: a commit's barrier between two moves would have all of it to write. In short
// stretches only where commits wait for their barriers, since the round waits for the device then.
//
// Under the maintenance lock.
#pragma once

#include <atomic>
#include <vector>

#include "engine/commit/appender.h"
#include "engine/fold/folder.h"
#include "engine/fold/merger.h"
#include "engine/space/pace.h"
#include "medium/write_behind.h"

namespace holdfast {

class Cleaner {
 public:
  // A segment is worth carrying if one byte in so many of it is dead.
  static constexpr uint64_t kUsualVictim = 16;

  struct Parts {
    Medium& medium;
    const Health& health;
    const IndexState& index;
    LogState& log;
    FoldRoot& fold;
    Room& room;
    Appender& appender;
    Folder& folder;
    Merger& merger;
    Returns& returns;
    Pace& pace;
    const uint64_t secret;
  };
  explicit Cleaner(const Parts& parts);

  // Folds, cleans and merges until `wanted_free` bytes are free, or nothing more is to be had.
  // True: there are so many now.
  bool reclaim(uint64_t wanted_free);
  // As reclaim(); where that finds nothing, readers that hold something back expire, the oldest
  // first.
  bool reclaim_even_from_readers(uint64_t wanted_free);

  // One round without its fold: carries away what lives in the segments that are worth it. False:
  // there are none.
  bool clean(uint64_t may_move, uint64_t wanted_dead, uint64_t one_in = kUsualVictim);
  // The same; kPoolFull and kDiskFull: there was not room for all.
  Status clean_one_in(uint64_t one_in);
  // Live bytes that can be carried before the next fold, which needs room for what is carried too.
  uint64_t room_for_moves();
  void end_round();  // commits go on at the pace that what is free now leaves them

  // Any thread.
  uint64_t segments_cleaned() const { return segments_cleaned_; }
  uint64_t bytes_moved() const { return bytes_moved_; }

 private:
  struct Carried;
  std::vector<LogSegment> choose_victims(uint64_t may_move, uint64_t wanted_dead, uint64_t one_in);
  bool read_victim(const LogSegment& victim, std::vector<Carried>* out) const;
  bool find_live(std::vector<Carried>* carried) const;
  Status clean_segments(const std::vector<LogSegment>& victims);
  Status clean_segment(const LogSegment& victim, bool readable, const Carried* begin,
                       const Carried* end);
  bool not_replaced(Bytes key, Place place) const;
  void prepare_move(uint64_t bytes);
  Status move_live(RecordBuffer* moves, std::vector<Place>* origins);
  Status append_live(const RecordBuffer& moves, const std::vector<Place>& origins);
  void look_who_waits();
  void let_commits_by();
  bool let_retention_give_way();

  Medium& medium_;
  const Health& health_;
  const IndexState& index_;
  LogState& log_;
  FoldRoot& fold_;
  Room& room_;
  Appender& appender_;
  Folder& folder_;
  Merger& merger_;
  Returns& returns_;
  Pace& pace_;
  const uint64_t secret_;

  struct HeadSeen {
    uint64_t begin = 0, at = 0, end = 0, room = 0;
    bool spare = false;  // there is one
  };
  HeadSeen head_seen_;  // behind the last move
  WriteBehind behind_;  // of what is appended to the head, by whom ever
  uint64_t commits_seen_ = 0, awaited_seen_ = 0;
  bool commits_are_awaited_ = true;
  std::atomic<uint64_t> segments_cleaned_{0}, bytes_moved_{0};
};

}  // namespace holdfast
