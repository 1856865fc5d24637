#include "engine/clean/tidier.h"

#include <algorithm>

namespace holdfast {

namespace {
constexpr uint64_t kFree =
    128 * kKiB;  // so much that is free, and one in so many bytes of the file, is worth giving back
constexpr uint64_t kFreeShare = 256;
constexpr uint64_t kUsualWaste =
    3;  // of so many bytes of the log one may be dead before it is tidied up
constexpr uint64_t kIdleWaste =
    12;  // the same when there is nothing else to do; then it goes on until it is
constexpr uint64_t kMostly = 2;  // mostly dead is what has one in so many
constexpr uint64_t kTidy = 20;   // one in so many, or little can be gained
}  // namespace

bool Tidier::clean_ahead(bool idle) {
  uint64_t wanted_free = 0, kept = 0, round = 0;
  {
    std::lock_guard append(log_.lock);
    round = room_.round_bytes();
    kept = room_.reserve_bytes();
    wanted_free = medium_.info().grows ? 0 : kept + room_.enough_free();
  }
  const uint64_t commits = log_.commits.load();
  if (commits == (idle ? idly_tidied_at_ : tidied_at_)) return false;
  const uint64_t free = room_.free_now();
  const uint64_t before = cleaner_.segments_cleaned();
  bool gained = false;
  if (free < wanted_free) {
    (void)cleaner_.clean(
        std::min(cleaner_.room_for_moves(), round + (free - std::min(free, kept)) / 2),
        wanted_free - free);
    if (cleaner_.segments_cleaned() > before && folder_.fold_making_room(false).is_ok())
      returns_.give_back();
    gained = room_.free_now() > free;
  } else {
    gained = tidy_round(idle);
  }
  cleaner_.end_round();
  (idle ? idly_tidied_at_ : tidied_at_) = gained ? UINT64_MAX : commits;
  return gained;
}

// Where there is room enough. When idle it goes on once it was begun, until the log is as tidy as
// it may become: a round counts if it left fewer dead bytes, a good part of what it carried. So it
// ends, and begins again only when as much has died as made it begin: where a round carries all and
// gains nothing, what is dead then counts as lost. What is mostly dead costs little at any time.
bool Tidier::tidy_round(bool idle) {
  const uint64_t dead = waste().dead, cleaned = cleaner_.segments_cleaned(),
                 moved = cleaner_.bytes_moved();
  tidying_ = idle && wasteful(tidying_ ? kTidy : kIdleWaste);
  if (!tidying_ && !wasteful(kUsualWaste) && !(idle && mostly_dead())) return false;
  (void)cleaner_.clean(cleaner_.room_for_moves(), UINT64_MAX,
                       tidying_ ? kTidy
                       : idle   ? kMostly
                                : Cleaner::kUsualVictim);
  if (cleaner_.segments_cleaned() > cleaned && folder_.fold_making_room(false).is_ok())
    returns_.give_back();
  const uint64_t left = waste().dead;
  const bool gained = left + (cleaner_.bytes_moved() - moved) / (2 * kTidy) < dead;
  if (!gained && cleaner_.segments_cleaned() > cleaned) lost_ = left;
  tidying_ = tidying_ && gained;
  return gained;
}

// What is dead in the sealed segments of the log that may be cleaned.
Tidier::Waste Tidier::waste() {
  std::lock_guard append(log_.lock);
  Waste waste;
  for (const auto& [offset, s] : log_.segments.all()) {
    if (s.retired || s.damaged || s.sequence >= fold_.block.log_sequence ||
        s.sequence >= log_.retention.floor())
      continue;
    waste.log += s.segment.bytes;
    waste.dead += s.segment.bytes - std::min(s.live_bytes, s.segment.bytes);
    waste.mostly = waste.mostly || s.live_bytes * kMostly <= s.segment.bytes;
  }
  return waste;
}

// A pool that grows is kept from growing for dead data's sake: at most one byte in `one_in` of the
// log may be dead. A short log is left alone.
bool Tidier::wasteful(uint64_t one_in) {
  const Waste now = waste();
  return now.log >= least_tidied() && gainable(now) * one_in > now.log;
}

bool Tidier::mostly_dead() {
  const Waste now = waste();
  return now.log >= least_tidied() && now.mostly && gainable(now) * kMostly >= segment_bytes();
}

uint64_t Tidier::gainable(const Waste& now) {
  lost_ = std::min(lost_, now.dead);
  return now.dead - lost_;
}

uint64_t Tidier::segment_bytes() {
  std::lock_guard append(log_.lock);
  return room_.log_segment_bytes();
}

uint64_t Tidier::least_tidied() { return std::min(4 * kMiB, 8 * segment_bytes()); }

// Work that found no room and left all as it was; what follows may make some.
static Status unless_full(Status status) { return status.is_full() ? Status() : std::move(status); }

void Tidier::give_back_free(bool however_little, uint64_t ahead) {
  uint64_t kept = 0;
  {
    std::lock_guard append(log_.lock);
    const uint64_t needed = room_.deletion_reserve();
    kept = ahead + needed - std::min(needed, room_.spare_bytes());
  }
  medium_.give_back_free(however_little ? 0 : std::max(kFree, medium_.space().taken / kFreeShare),
                         kept);
}

// A hole has to be taken from the disk anew, and the first write to a block that was never written
// costs a change of the file system's own.
uint64_t Tidier::kept_for_large(uint64_t most) {
  std::lock_guard append(log_.lock);
  uint64_t living = 0;
  for (auto large = log_.large.begin(); large != log_.large.end() && living < most; ++large)
    living += large->second.bytes;
  return std::min(living, most);
}

Status Tidier::compact(const std::function<Status()>& go_on) {
  HOLDFAST_TRY(go_on());
  HOLDFAST_TRY(folder_.fold_all());
  HOLDFAST_TRY(unless_full(merger_.merge_all(go_on)));
  constexpr int kFruitlessRounds =
      8;  // what little is dead in a small pool can be carried round for ever
  uint64_t least_dead = UINT64_MAX;
  int fruitless = 0;
  while (fruitless < kFruitlessRounds) {
    HOLDFAST_TRY(go_on());
    const uint64_t before = cleaner_.segments_cleaned();
    Status cleaned = cleaner_.clean_one_in(kTidy);
    // No room to carry a segment's live operations is not a failure: what was carried comes back
    // with the fold.
    HOLDFAST_TRY(unless_full(std::move(cleaned)));
    HOLDFAST_TRY(folder_.fold_making_room(false));
    merger_.go_on(UINT64_MAX);
    returns_.give_back();
    if (cleaner_.segments_cleaned() == before || !wasteful(kTidy)) break;
    const uint64_t dead = waste().dead;
    fruitless = dead < least_dead ? 0 : fruitless + 1;
    least_dead = std::min(least_dead, dead);
  }
  HOLDFAST_TRY(unless_full(merger_.merge_all(go_on)));
  HOLDFAST_TRY(
      folder_.fold_making_room(false));  // for what the last fold found dead and still referred to
  returns_.give_back();
  give_back_free(true);
  return {};
}

}  // namespace holdfast
