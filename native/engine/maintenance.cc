// The thread that decides when to fold, merge, clean, and give back. It is woken by commits and
// otherwise looks round a few times a second while there is something left to tidy.

#include <algorithm>

#include "base/test_hooks.h"
#include "engine/pool_impl.h"

namespace holdfast {

namespace {
constexpr auto kLookRound = std::chrono::milliseconds(200);
constexpr uint64_t kIdleMs = 100;           // no commit for so long: time to tidy up
constexpr uint64_t kMergeStep = 16 * 1024;  // entries merged between two looks at who waits
constexpr uint64_t kIdleTail = kMiB;  // a tail so long is folded when there is nothing else to do
constexpr uint64_t kIdleLarge =
    4 * kMiB;  // the same of large values that it names, where not less make a fold due at any time
constexpr uint64_t kFree =
    128 * kKiB;  // so much that is free, and one in so many bytes of the file, is worth giving back
constexpr uint64_t kFreeShare = 256;
constexpr uint64_t kRoundsAhead =
    32 * kMiB;  // but not what the next rounds of tidying up will take
constexpr uint64_t kUsualWaste =
    3;  // of so many bytes of the log one may be dead before it is tidied up
constexpr uint64_t kIdleWaste =
    12;  // the same when there is nothing else to do; then it goes on until it is
constexpr uint64_t kMostly = 2;  // mostly dead is what has one in so many
constexpr uint64_t kTidy = 20;   // one in so many, or little can be gained
constexpr uint64_t kThrottleFactor =
    2;  // overlay beyond so many times its limit: commits wait for the fold
}  // namespace

void PoolImpl::maintenance_main() {
  uint64_t commits = 0, last_commit_ms = monotonic_ms();
  Clock::time_point readers_looked_for = {};
  Clock::duration wait = kLookRound;
  while (maintenance_.sleep(wait)) {
    if (health_.has_failed()) {
      space_requests_.refuse_all();
      std::lock_guard guard(maintenance_mutex_);
      look_for_readers();  // what is durable they may go on reading
    } else {
      std::lock_guard guard(maintenance_mutex_);
      if (const auto now = Clock::now(); now - readers_looked_for >= kLookRound) {
        look_for_readers();
        if (Status there = medium_->still_there(); !there.is_ok())
          (void)health_.fail(std::move(there));
        readers_looked_for = now;
      }
      if (std::exchange(commits, log_.commits.load(std::memory_order_relaxed)) != commits)
        last_commit_ms = monotonic_ms();
      const bool idle = monotonic_ms() - last_commit_ms > kIdleMs;
      maintenance_turn(idle);
      wait = idle ? widening_.pause(kLookRound) : kLookRound;
    }
  }
}

void PoolImpl::maintain(bool idle) {
  if (health_.usable().is_ok()) commit_queue_.work_off(true);
  std::lock_guard guard(maintenance_mutex_);
  if (health_.usable().is_ok()) look_for_readers();
  if (health_.usable().is_ok()) maintenance_turn(idle);
}

void PoolImpl::maintenance_turn(bool idle) {
  // Errors here are kPoolFull or kDiskFull (tried again when there is room), kCorrupt (remembered
  // in the index), or have already failed the pool: the next commit reports them.
  bool fold_due = false;
  {
    std::lock_guard append(log_.lock);
    fold_asked_for_ = false;
    const bool idly_due = log_.tail.bytes >= kIdleTail ||
                          log_.tail.large_bytes >= std::min(folder_.most_large_bytes(), kIdleLarge);
    fold_due = folder_.fold_is_due() || index_.view.frozen != nullptr ||
               (idle && (idly_due || fold_.refresh_retention()));
  }
  room_.prepare_spare();  // first: a fold takes long enough for commits to fill a segment
  if (fold_due) (void)folder_.run_fold(false).is_ok();
  returns_.give_back();
  const auto [asked, wanted] = space_requests_.asked();
  if (wanted > 0) space_requests_.answer(asked, cleaner_.reclaim_even_from_readers(wanted));
  work_off_merges();
  const bool gained = clean_ahead(idle);
  room_.prepare_spare();
  if (gained) {
    if (idle) give_back_free(false, kRoundsAhead);
    return maintenance_.wake();  // more of the same, after a look at who waits
  }
  if (!idle) return;
  // Cleaning adds runs: all are merged behind it.
  if (!merger_.under_way() && index_.view.runs.size() > 1) {
    merger_.begin_all();
    work_off_merges();
  }
  give_back_free(false, kept_for_large());
  widening_.go_on();
}

// As much merging as folds have made necessary, in steps: folds that become due meanwhile, and who
// waits for room, come first.
void PoolImpl::work_off_merges() {
  while (true) {
    merger_.go_on(kMergeStep);
    if (!merger_.under_way() || merger_.due() == 0 || health_.closing() ||
        space_requests_.asked().bytes > 0 || pace_.is_short())
      break;
    bool due = false;
    {
      std::lock_guard append(log_.lock);
      due = folder_.fold_is_due();
    }
    if (due && !folder_.run_fold(false).is_ok()) break;
  }
  if (merger_.under_way()) maintenance_.wake();
}

// One round of cleaning before anybody waits for it. True: it gained something, so it is worth
// another.
bool PoolImpl::clean_ahead(bool idle) {
  uint64_t wanted_free = 0, kept = 0, round = 0;
  {
    std::lock_guard append(log_.lock);
    round = room_.round_bytes();
    kept = room_.reserve_bytes();
    wanted_free = medium_->info().grows ? 0 : kept + room_.enough_free();
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
// ends, and begins again only when as much has died as made it begin. What is mostly dead costs
// little at any time.
bool PoolImpl::tidy_round(bool idle) {
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
  const bool gained = waste().dead + (cleaner_.bytes_moved() - moved) / (2 * kTidy) < dead;
  tidying_ = tidying_ && gained;
  return gained;
}

// What is dead in the sealed segments of the log that may be cleaned.
PoolImpl::Waste PoolImpl::waste() {
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
bool PoolImpl::wasteful(uint64_t one_in) {
  const Waste now = waste();
  return now.log >= least_tidied() && now.dead * one_in > now.log;
}

bool PoolImpl::mostly_dead() {
  const Waste now = waste();
  return now.log >= least_tidied() && now.mostly;
}

uint64_t PoolImpl::least_tidied() {
  std::lock_guard append(log_.lock);
  return std::min(4 * kMiB, 8 * room_.log_segment_bytes());
}

// When the folding falls far behind, commits wait for it: the tail that a reopen must replay stays
// bounded.
void PoolImpl::throttle(const RecordBuffer& record) {
  if (pace_.is_on() && !only_deletes(record)) pace_.wait(record.bytes());
  for (int i = 0; i < 2000; i++) {
    const uint64_t tail = log_.tail.operations.load(std::memory_order_relaxed);
    if (tail < kThrottleFactor * options_.fold_operations || health_.closing()) return;
    if (!options_.background) {
      const std::unique_lock turn(maintenance_mutex_, std::try_to_lock);
      if (turn && health_.usable().is_ok()) maintenance_turn(false);
      return;
    }
    maintenance_.wake();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// Work that found no room and left all as it was; what follows may make some.
static Status unless_full(Status status) { return status.is_full() ? Status() : std::move(status); }

// All but what deletions, folds and a round of cleaning need on a full disk. So much is there too
// when a commit has just been refused.
void PoolImpl::give_back_free(bool however_little, uint64_t ahead) {
  uint64_t kept = 0;
  {
    std::lock_guard append(log_.lock);
    kept = ahead + room_.reserve_bytes() - std::min(room_.reserve_bytes(), room_.spare_bytes());
  }
  medium_->give_back_free(however_little ? 0 : std::max(kFree, medium_->space().taken / kFreeShare),
                          kept);
}

// What an idle pool that holds large values keeps free for the next ones: a hole has to be taken
// from the disk anew, and the first write to a block that was never written costs a change of the
// file system's own.
uint64_t PoolImpl::kept_for_large() {
  std::lock_guard append(log_.lock);
  const uint64_t most = std::min(folder_.most_large_bytes(), kIdleLarge);
  uint64_t living = 0;
  for (auto large = log_.large.begin(); large != log_.large.end() && living < most; ++large)
    living += large->second.bytes;
  return std::min(living, most);
}

Status PoolImpl::fold() {
  std::lock_guard guard(maintenance_mutex_);
  HOLDFAST_TRY(health_.usable());
  return folder_.fold_all();
}

Status PoolImpl::compact() {
  std::lock_guard guard(maintenance_mutex_);
  HOLDFAST_TRY(health_.usable());
  HOLDFAST_TRY(folder_.fold_all());
  HOLDFAST_TRY(unless_full(merger_.merge_all()));
  constexpr int kFruitlessRounds =
      8;  // what little is dead in a small pool can be carried round for ever
  uint64_t least_dead = UINT64_MAX;
  int fruitless = 0;
  while (fruitless < kFruitlessRounds) {
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
  HOLDFAST_TRY(unless_full(merger_.merge_all()));
  HOLDFAST_TRY(
      folder_.fold_making_room(false));  // for what the last fold found dead and still referred to
  returns_.give_back();
  give_back_free(true);
  return {};
}

}  // namespace holdfast
