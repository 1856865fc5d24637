// Opening and closing: threads begin after recovery and end before the last fold. And what users
// ask for beside commits and reads.

#include "engine/pool/pool_impl.h"

#include <cstdlib>
#include <thread>

#include "base/test_hooks.h"
#include "base/test_points.h"
#include "engine/recover/recovery.h"

namespace holdfast {

PoolImpl::PoolImpl(OpenedMedium opened, std::string name, const PoolOptions& options)
    : medium_(std::move(opened.medium)),
      name_(std::move(name)),
      options_(options),
      secret_(opened.secret),
      format_version_(opened.format_version),
      fence_at_once_(medium_->info().barrier_is_per_thread),
      health_(*medium_, name_,
              [this] {
                readers_.failed();
                barriers_.wake_all();
              }),
      operations_(*medium_, health_, name_),
      region_reader_(*medium_, health_, secret_, options.read_only),
      log_(*medium_, opened.secret, operations_, index_),
      fold_(*medium_, health_, log_, readers_, secret_),
      room_(*medium_, health_, name_, options_, index_, log_, pace_),
      region_commits_(*medium_, name_, region_reader_, index_, room_),
      returns_(*medium_, log_, index_, fold_, readers_, options.reader_bytes),
      merger_(*medium_, log_, index_, fold_, returns_),
      visits_(log_.lock, health_),
      barriers_(*medium_, health_, readers_, feed_tail_),
      feed_({*medium_, name_, health_, operations_, index_, log_, barriers_, secret_}),
      appender_({health_, index_, log_, fold_, room_, barriers_, region_commits_, fence_at_once_}),
      folder_({*medium_, health_, index_, log_, fold_, readers_, barriers_, room_, region_commits_,
               returns_, merger_, options_, secret_}),
      cleaner_({*medium_, health_, index_, log_, fold_, room_, appender_, folder_, merger_,
                returns_, pace_, secret_}),
      tidier_({*medium_, log_, fold_, room_, folder_, merger_, returns_, cleaner_}),
      maintenance_({*medium_, health_, index_, log_, fold_, readers_, barriers_, room_, pace_,
                    region_commits_, returns_, merger_, folder_, cleaner_, tidier_, options_}),
      commit_queue_({[this](Waiting&& group) { commit_group(std::move(group), false); },
                     [this] { raise_eventual_barrier(); }},
                    options.eventual_within_ms) {
  std::memcpy(uuid_, opened.uuid, sizeof uuid_);
}

PoolImpl::~PoolImpl() { (void)close().is_ok(); }

namespace {
// What a pool that is opened and closed must not leave behind; the test of that is tested with it.
void leak_if_planted() {
  if (planted(PlantedBug::kMemoryLeaked)) static_cast<volatile char*>(std::malloc(4096))[0] = 1;
  if (planted(PlantedBug::kThreadLeaked)) {
    std::thread([] {
      while (true) std::this_thread::sleep_for(std::chrono::hours(1));
    }).detach();
  }
}
}  // namespace

Status PoolImpl::recover() {
  const auto begun = Clock::now();
  Recovery recovery({*medium_, health_, index_, log_, fold_, readers_, room_, barriers_,
                     region_commits_, appender_, options_, secret_});
  HOLDFAST_TRY(recovery.run());
  folder_.set_limits();
  readers_.durable(barriers_.durable());
  replayed_operations_ = recovery.replayed_operations();
  replayed_bytes_ = recovery.replayed_bytes();
  open_us_ = static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begun).count());
  return {};
}

// The log goes on in a segment of its own, so that the feed meets no jump inside one; then the
// numbers jump and a fold says so.
Status PoolImpl::continue_from(uint64_t epoch) {
  HOLDFAST_TRY(settle());
  std::lock_guard guard(maintenance_.lock);
  HOLDFAST_TRY(folder_.fold_all());
  {
    std::lock_guard append(log_.lock);
    HOLDFAST_TRY(health_.usable());
    std::vector<Segment> fresh;
    HOLDFAST_TRY(room_.take_log_segment(Purpose::kUser, kKiB, &fresh));
    log_.segments.add(fresh[0], log_.writer.next_sequence());
    Status linked =
        log_.writer.link_to(fresh[0], log_.epoch, std::min(barriers_.durable(), log_.epoch));
    if (linked.is_ok() && fence_at_once_)
      linked = medium_->barrier();  // before another thread can go on behind it
    if (!linked.is_ok()) return health_.fail(std::move(linked));
    log_.epoch = std::max(log_.epoch, epoch);
    log_.history = log_.epoch;
    index_.visible_epoch = log_.epoch;
    barriers_.begin_at(log_.epoch);
  }
  return folder_.run_fold(true);
}

Status PoolImpl::start_threads() {
  leak_if_planted();
  HOLDFAST_TRY(commit_queue_.start());
  return maintenance_.start();
}

void PoolImpl::abandon() {
  std::lock_guard closing(close_mutex_);
  health_.begin_closing();
  health_.close();
  medium_->close();
  readers_.detach();
}

Status PoolImpl::close() {
  std::lock_guard closing(close_mutex_);
  if (health_.closed()) return {};
  {
    // Whoever holds the append lock finishes; whoever comes after is refused.
    std::lock_guard append(log_.lock);
    health_.begin_closing();
  }
  maintenance_.refuse_requests();
  feed_tail_.stop();
  commit_queue_.stop();
  maintenance_.stop();
  Status ended;
  {
    // Whoever waits to fold, compact or resize has it after us, and finds the pool closed: the last
    // fold stays the last.
    std::lock_guard guard(maintenance_.lock);
    merger_.drop();
    if (!options_.read_only && !health_.has_failed() && !medium_->failed()) {
      ended = finish();
      // Behind the last root: what is free now nothing refers to, nor may a reader still need it.
      room_.give_back_spares();
      tidier_.give_back_free(false);
    }
    std::unique_lock index(index_.lock);
    health_.close();
  }
  maintenance_.refuse_requests();
  {
    std::unique_lock append(log_.lock);
    feed_.wait_until_idle(append);
    visits_.wait_for_all(append);
  }
  barriers_.wait_for_the_last();
  HOLDFAST_POINT("close.before_medium");
  medium_->close();
  readers_.detach();
  return ended;
}

// Each close leaves a run, and a pool that is opened for a moment only never comes to the
// maintenance thread's merging: its runs would pile up, one for each time. A long merge is not
// waited for. One that fails leaves all as it was.
void PoolImpl::merge_before_closing() {
  constexpr size_t kMostLeft = 4;
  constexpr uint64_t kMostEntries = 200'000;
  if (index_.view.runs.size() > kMostLeft) merger_.go_on(kMostEntries);
  merger_.drop();
}

// Under the maintenance lock: the last fold, and the mark that the log has no tail. If there is no
// room for it the tail stays, which a reopen replays.
Status PoolImpl::finish() {
  HOLDFAST_TRY(barriers_.wait_durable(barriers_.appended()));
  Status folded = planted(PlantedBug::kCleanMarkWithTail) ? Status() : folder_.run_fold(false);
  if (!folded.is_ok()) return folded.is_full() ? Status() : std::move(folded);
  if (!planted(PlantedBug::kCleanMarkWithTail) &&
      (index_.view.frozen || !index_.view.active->empty()))
    folded = folder_.run_fold(false);
  const bool tail = index_.view.frozen || !index_.view.active->empty();
  if ((!folded.is_ok() || tail) && !planted(PlantedBug::kCleanMarkWithTail)) return {};
  merge_before_closing();
  return fold_.mark_clean();
}

// ── what is asked for beside commits and reads

void PoolImpl::maintain(bool idle) {
  if (health_.usable().is_ok()) commit_queue_.work_off(true);
  std::lock_guard guard(maintenance_.lock);
  if (health_.usable().is_ok()) maintenance_.look_for_readers();
  if (health_.usable().is_ok()) maintenance_.turn(idle);
}

Status PoolImpl::fold() {
  std::lock_guard guard(maintenance_.lock);
  HOLDFAST_TRY(health_.usable());
  return folder_.fold_all();
}

Status PoolImpl::compact(const Abandoned& abandoned) {
  std::lock_guard guard(maintenance_.lock);
  HOLDFAST_TRY(health_.usable());
  return tidier_.compact([&]() -> Status {
    // Who closes waits for the maintenance lock.
    if (health_.closing()) return health_.closed_status();
    if (abandoned && abandoned()) return Status(Code::kAborted, "the compaction was aborted");
    return {};
  });
}

Status PoolImpl::resize(uint64_t bytes, const Abandoned& abandoned) {
  Visit visit(visits_);
  HOLDFAST_TRY(visit.begin());
  const uint64_t capacity = medium_->space().capacity;
  const bool smaller = bytes != 0 && bytes < capacity;
  if (smaller) {
    medium_->prefer_below(bytes);
    Status compacted = compact(abandoned);
    medium_->prefer_below(0);
    HOLDFAST_TRY(std::move(compacted));
  }
  std::lock_guard guard(maintenance_.lock);
  HOLDFAST_TRY(health_.usable());
  if (smaller) room_.give_back_spares();
  Status resized = medium_->resize(bytes);
  return resized.code() == Code::kIo ? health_.fail(std::move(resized)) : std::move(resized);
}

}  // namespace holdfast
