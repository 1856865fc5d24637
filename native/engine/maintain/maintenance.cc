#include "engine/maintain/maintenance.h"

#include <algorithm>
#include <thread>

#include "base/test_hooks.h"
#include "engine/state/clock.h"

namespace holdfast {

namespace {
constexpr auto kLookRound = std::chrono::milliseconds(200);
constexpr std::chrono::nanoseconds kFoldTime = std::chrono::milliseconds(300);  // a long fold's
constexpr uint64_t kIdleMs = 100;           // no commit for so long: time to tidy up
constexpr uint64_t kMergeStep = 16 * 1024;  // entries merged between two looks at who waits
constexpr uint64_t kIdleTail = kMiB;  // a tail so long is folded when there is nothing else to do
constexpr uint64_t kIdleLarge =
    4 * kMiB;  // the same of large values that it names, where not less make a fold due at any time
constexpr uint64_t kRoundsAhead =
    32 * kMiB;  // but not what the next rounds of tidying up will take
constexpr uint64_t kThrottleFactor =
    2;  // overlay beyond so many times its limit: commits wait for the fold
}  // namespace

Maintenance::Maintenance(const Parts& parts)
    : medium_(parts.medium),
      health_(parts.health),
      index_(parts.index),
      log_(parts.log),
      fold_(parts.fold),
      readers_(parts.readers),
      barriers_(parts.barriers),
      room_(parts.room),
      pace_(parts.pace),
      region_commits_(parts.regions),
      returns_(parts.returns),
      merger_(parts.merger),
      folder_(parts.folder),
      cleaner_(parts.cleaner),
      tidier_(parts.tidier),
      options_(parts.options),
      widening_(parts.medium, parts.log),
      warming_(parts.medium, parts.index, parts.log),
      // On persistent memory it would cost commits a twelfth.
      fold_pace_(parts.options.fold_operations, kThrottleFactor * parts.options.fold_operations,
                 parts.options.background && !parts.medium.info().barrier_is_per_thread) {}

void Maintenance::main() {
  uint64_t commits = 0, last_commit_ms = monotonic_ms();
  Clock::time_point readers_looked_for = {};
  Clock::duration wait = kLookRound;
  while (thread_.sleep(wait)) {
    if (health_.has_failed()) {
      requests_.refuse_all();
      std::lock_guard guard(lock);
      look_for_readers();  // what is durable they may go on reading
    } else {
      std::lock_guard guard(lock);
      if (const auto now = Clock::now(); now - readers_looked_for >= kLookRound) {
        look_for_readers();
        if (Status there = medium_.still_there(); !there.is_ok())
          (void)health_.fail(std::move(there));
        readers_looked_for = now;
      }
      if (std::exchange(commits, log_.commits.load(std::memory_order_relaxed)) != commits)
        last_commit_ms = monotonic_ms();
      const bool idle = monotonic_ms() - last_commit_ms > kIdleMs;
      turn(idle);
      wait = idle ? widening_.pause(kLookRound) : kLookRound;
    }
  }
}

void Maintenance::look_for_readers() {
  std::lock_guard append(log_.lock);
  readers_.look(fold_.root.incarnation, barriers_.durable_word());
  if (health_.has_failed()) readers_.failed();  // a table that was made since has not heard of it
}

void Maintenance::turn(bool idle) {
  // Errors here are kPoolFull or kDiskFull (tried again when there is room), kCorrupt (remembered
  // in the index), or have already failed the pool: the next commit reports them.
  warming_.go_on();
  const uint64_t few_large_bytes = std::min(folder_.most_large_bytes(), kIdleLarge);
  bool fold_due = false;
  {
    std::lock_guard append(log_.lock);
    fold_asked_for_ = false;
    const bool idly_due = log_.tail.bytes >= kIdleTail || log_.tail.large_bytes >= few_large_bytes;
    fold_due = folder_.fold_is_due(fold_pace_.worth_folding()) || index_.view.frozen != nullptr ||
               (idle && (idly_due || fold_.refresh_retention()));
  }
  const bool dead_due = dead_walks_.worth_merging(index_.entries_at_most());
  fold_due = fold_due || dead_due;
  if (fold_due && !merger_.crowded()) (void)fold_in_turn().is_ok();
  if (dead_due && !merger_.under_way()) {
    merger_.begin_all();
    dead_walks_.merged();
  }
  returns_.give_back();
  const auto [asked, wanted] = requests_.asked();
  if (wanted > 0) requests_.answer(asked, cleaner_.reclaim_even_from_readers(wanted));
  work_off_merges();
  const bool gained = tidier_.clean_ahead(idle);
  room_.prepare_spare();
  if (gained) {
    if (idle) tidier_.give_back_free(false, kRoundsAhead);
    return thread_.wake();  // more of the same, after a look at who waits
  }
  if (!idle) return;
  // Cleaning adds runs: they are merged behind it.
  merger_.begin_idly();
  work_off_merges();
  room_.trim_spares();
  tidier_.give_back_free(false, tidier_.kept_for_large(few_large_bytes));
  widening_.go_on();
}

// As much merging as folds have made necessary, in steps: folds that become due meanwhile, and who
// waits for room, come first. Where merging is so far behind that folds would suffer, they wait for
// it, and commits in the end for them.
void Maintenance::work_off_merges() {
  while (true) {
    merger_.hurry(fold_pace_.is_on());
    merger_.go_on(kMergeStep);
    if (!merger_.under_way() || (merger_.due() == 0 && !merger_.crowded()) || health_.closing() ||
        requests_.asked().bytes > 0 || pace_.is_short())
      break;
    bool due = false;
    {
      std::lock_guard append(log_.lock);
      due = folder_.fold_is_due(fold_pace_.worth_folding()) && !merger_.crowded();
    }
    room_.prepare_spare(soon_ / 2);
    if (due && !fold_in_turn().is_ok()) break;
  }
  if (merger_.under_way()) return thread_.wake();
  if (log_.tail.operations.load(std::memory_order_relaxed) < options_.fold_operations)
    fold_pace_.caught_up();
}

// It takes long enough for commits to fill segments: those are made ready before that will be
// filled if as much is committed as since the last one.
Status Maintenance::fold_in_turn() {
  const uint64_t tail = log_.tail.operations.load(std::memory_order_relaxed);
  const auto took = fold_pace_.fold_begins(tail, Clock::now().time_since_epoch());
  {
    std::lock_guard append(log_.lock);
    soon_ = log_.tail.bytes * kFoldTime.count() / std::max(kFoldTime, took).count();
  }
  room_.prepare_spare(soon_);
  return folder_.run_fold(false);
}

// Of a state that is not the newest nothing is merged away for the range's sake.
void Maintenance::walked_over(uint64_t dead, const IndexView& of) {
  if (dead == 0 || options_.read_only || of.active != index_.view.active) return;
  uint64_t entries = index_.view.active->entries();
  for (const RunPtr& run : index_.view.runs) entries += run->entries();
  if (dead_walks_.passed(dead, entries)) thread_.wake();
}

// When the folding falls far behind, commits wait for it: the tail that a reopen must replay stays
// bounded.
void Maintenance::throttle(const RecordBuffer& record) {
  if (pace_.is_on() && !only_deletes(record)) pace_.wait(record.bytes());
  if (fold_pace_.is_on()) {
    const uint64_t tail = log_.tail.operations.load(std::memory_order_relaxed);
    fold_pace_.wait(fold_pace_.time_for(record.count(), tail), [&] {
      return log_.tail.operations.load(std::memory_order_relaxed) >= tail && !health_.closing();
    });
  }
  for (int i = 0; i < 2000; i++) {
    const uint64_t tail = log_.tail.operations.load(std::memory_order_relaxed);
    if (tail < fold_pace_.most() || health_.closing()) return;
    if (!options_.background) {
      const std::unique_lock mine(lock, std::try_to_lock);
      if (mine && health_.usable().is_ok()) turn(false);
      return;
    }
    thread_.wake();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

Status Maintenance::wait_for_space(uint64_t bytes, Purpose purpose) {
  uint64_t wanted = 0;
  {
    std::lock_guard append(log_.lock);
    wanted = purpose == Purpose::kDelete ? room_.cleaner_reserve() : room_.reserve_bytes();
    wanted += bytes + region_commits_.take_refused();
  }
  if (!options_.background) {
    const std::unique_lock mine(lock,
                                std::try_to_lock);  // held: a test commits in the middle of a turn
    if (!mine || !health_.usable().is_ok()) return Status(Code::kPoolFull, "");
    return cleaner_.reclaim_even_from_readers(wanted) ? Status() : Status(Code::kPoolFull, "");
  }
  const bool found = requests_.wait(
      wanted, [&] { thread_.wake(); }, [&] { return health_.closing() || health_.has_failed(); });
  return found ? Status() : Status(Code::kPoolFull, "");
}

}  // namespace holdfast
