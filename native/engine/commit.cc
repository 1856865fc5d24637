// One record, one barrier.
//
// What a reopen sees if the machine stops here: before the append nothing of the commit; between append and barrier the whole
// commit or nothing, as its bytes landed; after the barrier the whole commit. Applying to the overlay happens between the two, so
// that on persistent memory it overlaps with the stores draining (append_fenced); it leaves nothing on the medium.

#include <algorithm>
#include <ctime>

#include "base/test_hooks.h"
#include "base/test_points.h"
#include "engine/pool_impl.h"
#include "format/layout.h"

namespace holdfast {

uint64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

uint64_t monotonic_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

Status PoolImpl::refusal() const {
  if (closed_.load(std::memory_order_acquire)) return Status(Code::kClosed, "the pool " + name_ + " is closed");
  if (failed_.load(std::memory_order_acquire) || medium_->failed()) {
    HOLDFAST_TRY(medium_->refused());
    std::lock_guard guard(failure_mutex_);
    return Status(Code::kFailed, "the pool " + name_ + " has failed and refuses work until it is closed and opened again; first error: " +
                                     (failure_.is_ok() ? std::string("its mapping is damaged") : failure_.message()));
  }
  return {};
}

Status PoolImpl::fail(Status status) {
  {
    std::lock_guard guard(failure_mutex_);
    if (failure_.is_ok()) failure_ = status.clone();
  }
  failed_.store(true, std::memory_order_release);
  readers_.failed();
  barrier_done_.notify_all();
  return status;
}

Status PoolImpl::check_conditions(const Batch::Impl& batch) {
  if (batch.conditions.empty()) return {};
  std::shared_lock guard(index_.lock);
  for (const Condition& condition : batch.conditions) {
    auto found = index_.view.find(condition.key, Overlay::kLatest);
    if (!found.is_ok()) return std::move(found.status());
    const bool present = found->has_value() && !(*found)->is_deleted();
    bool holds = present == (condition.kind != ConditionKind::kAbsent);
    if (holds && condition.kind == ConditionKind::kEqual) {
      OperationView operation;
      HOLDFAST_TRY(read_operation_at(**found, condition.key, &operation));
      if (operation.type == OperationType::kPutLarge) {
        const auto large = LargeValue::decode(operation.value);
        if (!large) return Status(Code::kCorrupt, "a large value's description is damaged");
        std::string bytes(large->size == condition.value.size() ? large->size : 0, '\0');
        if (!bytes.empty()) HOLDFAST_TRY(copy_large(operation.value, bytes.size(), reinterpret_cast<uint8_t*>(bytes.data())));
        holds = large->size == condition.value.size() && bytes == condition.value;
      } else {
        holds = operation.value == condition.value;
      }
    }
    if (holds) continue;
    const char* wanted = condition.kind == ConditionKind::kAbsent    ? "to be absent, but it is there"
                         : condition.kind == ConditionKind::kPresent ? "to be there, but it is absent"
                                                                     : "to have a certain value, but it has not";
    const Bytes user_key = Bytes(condition.key).substr(kKeyspacePrefixBytes);
    return Status(Code::kConflict, "a condition of the commit does not hold: it requires the key '" +
                                       std::string(user_key.substr(0, 100)) + "' " + wanted + "; nothing was changed");
  }
  return {};
}

namespace {
constexpr uint64_t kShortestLogSegment = 128 * kKiB;
constexpr uint64_t kFencedBytes = 16 * kKiB;  // readers wait while it is copied
}  // namespace

uint64_t PoolImpl::log_segment_bytes() const {
  if (options_.log_segment_bytes > 0) return round_up(options_.log_segment_bytes, medium_->info().segment_unit);
  const MediumSpace space = medium_->space();
  const uint64_t unit = medium_->info().segment_unit;
  const uint64_t part = medium_->info().grows ? segments_.bytes() / 16 : space.capacity / 256;
  const uint64_t low = medium_->info().grows ? kMiB : 512 * kKiB;
  return round_up(std::min(std::max(part, low), 8 * kMiB), unit) - kPageBytes;  // on persistent memory each segment loses a page
}

// What is left free for the next fold, whoever appends: without a fold no space comes back. A run takes for an entry its key and about 20
// bytes, a quarter more where long keys fill their nodes badly, and a few nodes.
uint64_t PoolImpl::fold_reserve() const {
  const uint64_t entries = index_.view.active->entries() + (index_.view.frozen ? index_.view.frozen->entries() : 0);
  const uint64_t run = (entries * 20 + active_key_bytes_ + frozen_key_bytes_) * 5 / 4;
  const uint64_t unit = medium_->info().segment_unit;
  return run + 8 * unit;  // a few runs pile up before they can be merged
}

// Room to carry a segment's live operations: a deletion leaves this too.
uint64_t PoolImpl::cleaner_reserve() const { return log_segment_bytes() + fold_reserve(); }

// What user commits leave free: a round of cleaning costs a fold, and pays only if it empties several segments.
uint64_t PoolImpl::reserve_bytes() const {
  const uint64_t round = medium_->info().grows ? 0 : medium_->space().capacity / 64;
  return std::max(2 * log_segment_bytes(), round) + fold_reserve();
}

// Free bytes that no full disk can refuse, log segments kept ready included. It is these that are left for folds, the cleaner and deletions, so
// that a disk that has become full meanwhile keeps none of them from making room.
uint64_t PoolImpl::ready_with_spares() const {
  uint64_t ready = medium_->space().ready;
  for (const Segment& spare : spares_) ready += spare.bytes;
  return ready;
}

// Ok: there are `needed` of them.
Status PoolImpl::make_ready(uint64_t needed, const std::string& what) {
  uint64_t spares = 0;
  for (const Segment& spare : spares_) spares += spare.bytes;
  Status made = medium_->make_ready(needed - std::min(needed, spares));
  if (!made.is_ok() && !made.is_full()) return made;
  const MediumSpace space = medium_->space();
  if (space.ready + spares >= needed) return {};
  if (space.free + spares >= needed) {
    return Status(Code::kDiskFull, "no room on the disk of the pool " + name_ + ": " + std::to_string(needed) + " free bytes are needed " + what +
                                       " (nothing is lost: free some space there, or delete something from the pool)");
  }
  return Status(Code::kPoolFull, "the pool " + name_ + " is full: " + std::to_string(space.free + spares) + " bytes are free and " +
                                     std::to_string(needed) + " are needed " + what + "; delete something, close snapshots, or give it more room");
}

// Of operations in the log's head. Where the cleaner took the head from what is kept for it, it is the cleaner's until there is that much
// again: users who filled it would leave no room to carry a segment's live operations, and the pool would stay full for ever.
uint64_t PoolImpl::head_room(Purpose purpose) {
  if (head_is_cleaners_ && purpose == Purpose::kUser) {
    head_is_cleaners_ = !make_ready(cleaner_reserve(), "").is_ok();
    if (head_is_cleaners_) return 0;
  }
  return log_.room();
}

// One kept ready that has the room and is no longer than `most`; those that do not fit go back.
std::optional<Segment> PoolImpl::take_spare(uint64_t room, uint64_t most) {
  while (!spares_.empty()) {
    const Segment spare = spares_.back();
    spares_.pop_back();
    if (LogWriter::room_of(spare.bytes) >= room && spare.bytes <= most) return spare;
    medium_->release(spare);
  }
  return std::nullopt;
}

// At least `room` bytes of operations will fit into the segment; it is shorter than usual where free space is in small pieces, or where
// a longer one would take what is to be left.
Status PoolImpl::take_log_segment(Purpose purpose, uint64_t room, std::vector<Segment>* fresh) {
  const uint64_t want = log_segment_bytes();
  const uint64_t for_record = LogWriter::segment_for(room), least = std::max(for_record, std::min(kShortestLogSegment, want));
  // Users leave room for the cleaner, deletions less, the cleaner only what the next fold needs.
  const uint64_t left = purpose == Purpose::kUser     ? reserve_bytes()
                        : purpose == Purpose::kDelete ? cleaner_reserve()
                                                      : fold_reserve();
  const uint64_t needed = left + (purpose == Purpose::kUser ? std::max(want, least) : least);
  HOLDFAST_TRY(make_ready(needed, "to go on"));
  const uint64_t free = ready_with_spares();
  std::optional<Segment> segment = take_spare(room, free - left);
  if (!segment) {
    auto taken = medium_->allocate(SegmentKind::kLog, least, std::max(least, std::min(want, free - left)));
    // Enough, but in pieces that are all too short: one that takes the record will do, for without it nothing can be deleted or carried.
    if (taken.status().code() == Code::kPoolFull && for_record < least) taken = medium_->allocate(SegmentKind::kLog, for_record, least);
    if (!taken.is_ok()) return std::move(taken.status());
    segment = *taken;
  }
  fresh->push_back(*segment);
  head_is_cleaners_ = purpose == Purpose::kCleaner && !make_ready(cleaner_reserve(), "").is_ok();
  return {};
}

void PoolImpl::release_spares() {
  for (const Segment& spare : spares_) medium_->release(spare);
  spares_.clear();
}

// Segments taken and not used: one is kept ready, the others go back.
void PoolImpl::stow(const std::vector<Segment>& fresh, size_t from) {
  for (size_t i = from; i < fresh.size(); i++) {
    if (spares_.empty()) {
      spares_.push_back(fresh[i]);
    } else {
      medium_->release(fresh[i]);
    }
  }
}

// Fresh segments enough for `operations_bytes`; none when the head has room. On failure what was taken is kept as spares.
Status PoolImpl::make_room(const RecordBuffer& record, Purpose purpose, std::vector<Segment>* fresh) {
  const uint64_t operations_bytes = record.bytes();
  const uint64_t head = head_room(purpose);
  if (operations_bytes <= head) return {};
  // A record of several frames loses at most one operation's length at each segment's end.
  uint64_t have = 0;
  const uint64_t slack = record.longest();
  const uint64_t in_head = head > slack ? head - slack : 0;
  const bool one_frame = operations_bytes <= LogWriter::room_of(log_segment_bytes());
  while (true) {
    Status taken = take_log_segment(purpose, one_frame ? operations_bytes : 2 * slack, fresh);
    if (!taken.is_ok()) {
      stow(*fresh, 0);
      fresh->clear();
      return taken;
    }
    const uint64_t room = LogWriter::room_of(fresh->back().bytes);
    if (fresh->size() == 1 && operations_bytes <= room) return {};
    have += room > slack ? room - slack : 0;
    if (in_head + have >= operations_bytes) return {};
  }
}

// Places the record and applies it. Nothing has happened if there is no room.
Status PoolImpl::append_record(RecordBuffer* record, FrameKind kind, Purpose purpose) {
  std::vector<Segment> fresh;
  HOLDFAST_TRY(make_room(*record, purpose, &fresh));
  RecordStamp stamp{kind, epoch_ + 1, durable_epoch_.load(std::memory_order_relaxed), now_ms()};
  placements_.clear();
  size_t taken = 0;
  Status placed;
  if (fresh.empty()) {
    placed = log_.write(record, stamp, &placements_);
  } else if (fresh.size() == 1 && record->bytes() <= LogWriter::room_of(fresh[0].bytes)) {
    const Segment next = fresh[0];
    HOLDFAST_POINT("log.before_link");
    segments_.add(next, log_.next_sequence());
    taken = 1;
    placed = log_.link_to(next, epoch_, std::min(stamp.durable_epoch, epoch_));
    if (placed.is_ok()) placed = log_.write(record, stamp, &placements_);
  } else {
    const uint64_t first_sequence = log_.next_sequence();
    placed = log_.write_parts(*record, stamp, fresh, &taken, &placements_);
    for (size_t i = 0; i < taken; i++) segments_.add(fresh[i], first_sequence + i);
  }
  stow(fresh, taken);
  if (!placed.is_ok()) return fail(std::move(placed));
  epoch_++;
  apply(*record, kind, epoch_);
  return {};
}

// Append, apply and fence in one, where the fence is per thread and costs nanoseconds. Any locked instruction waits until the
// non-temporal stores have drained, so there is none between them and the fence: the index lock is held from before the copy until
// behind the fence, and applying goes on while the stores drain.
//
// A reopen sees what it sees of append and barrier apart: before the fence the whole record or nothing, as its lines landed; and
// nobody has read it or been told of it. The fence is this thread's, as its stores are.
Status PoolImpl::append_fenced(RecordBuffer* record, FrameKind kind) {
  struct Apply final : Medium::Meanwhile {
    PoolImpl* pool;
    const RecordBuffer* record;
    FrameKind kind;
    Placement placement;
    bool ran = false;
    void run() override {
      ran = true;
      pool->apply_stretch(*record, placement, kind, ++pool->epoch_);
      HOLDFAST_POINT("commit.before_barrier");
    }
  } apply;
  apply.pool = this;
  apply.record = record;
  apply.kind = kind;
  apply.placement.count = record->count();
  apply.placement.bytes = record->bytes();
  const RecordStamp stamp{kind, epoch_ + 1, durable_epoch_.load(std::memory_order_relaxed), now_ms()};
  std::unique_lock guard(index_.lock);
  Status placed = log_.write_fenced(record, stamp, &apply.placement.pool_offset, apply);
  if (!apply.ran) return fail(std::move(placed));
  if (!placed.is_ok() || planted(PlantedBug::kBarrierCoversTooMuch)) return conclude(std::move(placed), epoch_);
  fenced(epoch_);
  return {};
}

// The medium has looked whether it failed under the fence. Plain stores: a locked instruction would wait here for what the fence has
// already put in order. What a watcher of the feed misses by that it sees under the append lock (LogCursor::behind).
void PoolImpl::fenced(uint64_t epoch) {
  durable_epoch_.store(epoch, std::memory_order_release);
  readers_.durable(epoch);
  feed_tail_.durable_moved();
}

// A long record, or one that needs another segment, goes the long way: readers are not kept waiting for it.
Status PoolImpl::append_durable(RecordBuffer* record, FrameKind kind, Purpose purpose) {
  if (record->bytes() <= std::min(head_room(purpose), kFencedBytes) && !planted(PlantedBug::kBarrierLeftOut)) {
    HOLDFAST_TRY(append_fenced(record, kind));
  } else {
    HOLDFAST_TRY(append_record(record, kind, purpose));
    HOLDFAST_POINT("commit.before_barrier");
    HOLDFAST_TRY(barrier_now(epoch_));
  }
  appended_epoch_.store(epoch_, std::memory_order_release);
  return {};
}

void PoolImpl::apply(const RecordBuffer& record, FrameKind kind, uint64_t epoch) {
  std::unique_lock guard(index_.lock, std::defer_lock);
  if (!planted(PlantedBug::kIndexLockLeftOut)) guard.lock();
  for (const Placement& placement : placements_) apply_stretch(record, placement, kind, epoch);
}

void PoolImpl::apply_stretch(const RecordBuffer& record, const Placement& placement, FrameKind kind, uint64_t epoch) {
  const uint64_t operations = tail_operations_.load(std::memory_order_relaxed) + placement.count;
  tail_operations_.store(operations, std::memory_order_relaxed);
  tail_bytes_ += placement.bytes + sizeof(FrameHeader);
  uint64_t at = 0;
  for (uint32_t i = 0; i < placement.count; i++) {
    const OperationView view = view_operation(record.operations() + placement.buffer_offset + at);
    apply_operation(view, placement.pool_offset + at, kind, epoch);
    at += view.bytes;
  }
  visible_epoch_.store(epoch, std::memory_order_release);
}

// Commits, moves and replay all change the index here and nowhere else.
void PoolImpl::apply_operation(const OperationView& operation, uint64_t pool_offset, FrameKind kind, uint64_t epoch) {
  if (is_region_operation(operation.type)) return apply_region(operation, epoch);
  const bool large = operation.type == OperationType::kPutLarge;
  const bool moved = kind == FrameKind::kMove;
  Place place = Place::deleted();
  if (operation.type != OperationType::kDelete) {
    place = Place::of(pool_offset, operation.bytes, large);
    segments_.born(place);
  }
  if (large && !moved) {
    if (const auto value = LargeValue::decode(operation.value)) {
      for (const LargePiece& piece : value->pieces) large_[piece.segment.offset] = piece.segment;
    }
  }
  const auto before = index_.view.active->put(operation.key, place, epoch, index_.oldest_needed());
  if (before) {
    note_dead(*before, place, moved);
  } else {
    active_key_bytes_ += operation.key.size();
  }
}

// `place` is no longer the newest of its key. Its bytes are dead; a large value's segments too, unless the operation was only moved.
void PoolImpl::note_dead(Place place, std::optional<Place> successor, bool moved) {
  if (place.is_deleted()) return;
  if (!planted(PlantedBug::kDeathNotCounted)) segments_.died(place);
  if (!place.is_large() || moved) return;
  OperationView operation;
  if (!read_operation_in_pool(place, &operation)) return;  // damaged: check() will say so
  const auto value = LargeValue::decode(operation.value);
  if (!value) return;
  if (successor && successor->is_large()) {
    OperationView next;
    if (read_operation_in_pool(*successor, &next) && next.value == operation.value) {
      return;  // the same value, carried elsewhere by the cleaner
    }
  }
  const LogSegment* named_in = segments_.find(place.offset());
  const uint64_t held = named_in && named_in->sequence >= retention_.floor() ? named_in->sequence : 0;
  for (const LargePiece& piece : value->pieces) {
    if (large_.erase(piece.segment.offset) > 0) {
      graveyard_.bury(piece.segment, freezes_ + 1, index_.next_serial(), held);
    }
  }
}

Status PoolImpl::barrier_now(uint64_t covers) {
  return conclude(planted(PlantedBug::kBarrierLeftOut) ? Status() : medium_->barrier(), covers);
}

Status PoolImpl::conclude(Status done, uint64_t covers) {
  const bool believed = planted(PlantedBug::kFailedBarrierBelieved);
  if (believed) done = Status();
  if (done.is_ok() && medium_->failed() && !believed) {
    done = Status(Code::kIo, "the mapping failed under the barrier; the outcome is unknown");
  }
  if (!done.is_ok() && done.code() != Code::kIo) {
    // The medium had failed before. For the commits that wait it is all the same: they have been appended, and may be there.
    done = Status(Code::kIo, "the outcome is unknown: " + done.message(), done.system_errno());
  }
  if (!done.is_ok()) return fail(std::move(done));
  if (!fence_at_once_) reach(TestPoint::kBarrierRaised);
  const uint64_t durable = planted(PlantedBug::kBarrierCoversTooMuch) ? appended_epoch_.load() : covers;
  uint64_t seen = durable_epoch_.load(std::memory_order_relaxed);
  // Sequentially consistent, as the feed's look: whoever waits for the next durable commit is woken or sees it (feed_tail.h).
  while (seen < durable && !durable_epoch_.compare_exchange_weak(seen, durable, std::memory_order_seq_cst)) {
  }
  readers_.durable(covers);
  feed_tail_.durable_moved();
  return {};
}

// One of those who wait raises the barrier for all who have appended by then.
Status PoolImpl::wait_durable(uint64_t epoch) {
  std::unique_lock guard(barrier_mutex_);
  while (durable_epoch_.load(std::memory_order_acquire) < epoch) {
    if (failed_.load(std::memory_order_acquire)) {
      std::lock_guard failure(failure_mutex_);
      return Status(Code::kIo, "the outcome of the commit is unknown: " + failure_.message());
    }
    if (barrier_running_) {
      barrier_done_.wait(guard);
      continue;
    }
    barrier_running_ = true;
    guard.unlock();
    const auto begun = Clock::now();
    Status done = barrier_now(appended_epoch_.load(std::memory_order_acquire));
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begun).count();
    sync_us_.store((sync_us_.load(std::memory_order_relaxed) * 7 + static_cast<uint64_t>(took)) / 8, std::memory_order_relaxed);
    guard.lock();
    barrier_running_ = false;
    barrier_done_.notify_all();
    if (!done.is_ok()) return done;
  }
  return {};
}

bool only_deletes(const RecordBuffer& record) {
  for (uint64_t at = 0; at < record.bytes();) {
    const auto header = load<OperationHeader>(record.operations() + at);
    const uint8_t* key = record.operations() + at + sizeof header;
    const bool drops = header.type == static_cast<uint8_t>(OperationType::kRegionSize) &&
                       decode_region_key(bytes_of(key, header.key_bytes)).word == 0;
    if (header.type != static_cast<uint8_t>(OperationType::kDelete) && !drops) return false;
    at += operation_bytes(header.key_bytes, header.value_bytes);
  }
  return true;
}

// Is there something the maintenance thread should not wait with? A spare is asked for once a segment.
bool PoolImpl::work_is_due() {
  if (fold_is_due()) return true;
  if (!spare_is_due() || spare_asked_for_ == log_.sequence()) return false;
  spare_asked_for_ = log_.sequence();
  return true;
}

Result<Receipt> PoolImpl::commit_once(const Batch::Impl& batch, RecordBuffer* record, CommitMode mode) {
  std::unique_lock guard(append_mutex_);
  if (closing_.load(std::memory_order_acquire)) return Status(Code::kClosed, "the pool " + name_ + " is closed");
  HOLDFAST_TRY(usable());
  HOLDFAST_TRY(check_conditions(batch));
  if (batch.has_regions()) HOLDFAST_TRY(prepare_regions(batch, record));
  if (record->count() == 0) return Receipt{epoch_};
  const Purpose purpose = only_deletes(*record) ? Purpose::kDelete : Purpose::kUser;
  const bool early = planted(PlantedBug::kAcknowledgedBeforeBarrier);
  if (fence_at_once_ && !early) {
    HOLDFAST_TRY(append_durable(record, FrameKind::kCommit, purpose));
  } else {
    HOLDFAST_TRY(append_record(record, FrameKind::kCommit, purpose));
    appended_epoch_.store(epoch_, std::memory_order_release);
  }
  const uint64_t epoch = epoch_;
  count_commit();
  const bool due = work_is_due();
  if (early) {
    arm_eventual();
    return Receipt{epoch};
  }
  guard.unlock();
  if (due) wake_maintenance();
  if (fence_at_once_) return Receipt{epoch};
  HOLDFAST_POINT("commit.before_barrier");
  if (mode == CommitMode::kDurable) {
    HOLDFAST_TRY(wait_durable(epoch));
  } else {
    arm_eventual();
  }
  return Receipt{epoch};
}

Result<Receipt> PoolImpl::commit(Batch& batch, CommitMode mode) {
  Batch::Impl& impl = batch.impl();
  // What is short and plain asks under the lock, once.
  if (impl.region_sizes > 0 || !impl.large.empty() || impl.record.bytes() >= kMiB) HOLDFAST_TRY(usable());
  throttle();
  HOLDFAST_TRY(fits_at_all(impl.record.bytes() + impl.large_bytes));
  if (impl.region_sizes > 0) HOLDFAST_TRY(announce_regions());
  if (!impl.large.empty()) return commit_large(impl, mode);
  auto receipt = commit_once(impl, &impl.record, mode);
  if (!receipt.status().is_full()) return receipt;
  return with_space(impl, [&] { return commit_once(impl, &impl.record, mode); });
}

Status PoolImpl::fits_at_all(uint64_t bytes) const {
  if (bytes < kMiB) return {};
  const uint64_t capacity = medium_->space().capacity;
  if (bytes < capacity - capacity / 8) return {};
  return Status(Code::kBatchTooLarge, "the commit has " + std::to_string(bytes) + " bytes and the pool " + name_ + " holds at most " +
                                          std::to_string(capacity) + "; split it, or make a larger pool");
}

// Tries again each time the maintenance thread has found space; gives up when it says there is none to find, or when what it found was
// not enough again and again although nobody else took it.
Result<Receipt> PoolImpl::with_space(const Batch::Impl& batch, const std::function<Result<Receipt>()>& attempt) {
  constexpr int kRounds = 8;
  uint64_t others = commits_.load(std::memory_order_relaxed);
  for (int round = 0;; round++) {
    auto receipt = attempt();
    if (const uint64_t now = commits_.load(std::memory_order_relaxed); now != others) {
      others = now;
      round = 0;
    }
    if (!receipt.status().is_full() || round == kRounds) return receipt;
    const bool deletes = batch.large.empty() && only_deletes(batch.record);
    if (wait_for_space(space_for(batch.record) + batch.large_bytes, deletes ? Purpose::kDelete : Purpose::kUser).is_ok()) continue;
    auto last = attempt();  // what was found may do, though it is less than was hoped for
    return last.status().is_full() ? std::move(receipt) : std::move(last);
  }
}

// Bytes of segments that a record can need: it leaves up to its longest operation unused at the end of each.
uint64_t PoolImpl::space_for(const RecordBuffer& record) {
  std::lock_guard guard(append_mutex_);
  const uint64_t segment = log_segment_bytes();
  const uint64_t room = LogWriter::room_of(segment);
  if (record.bytes() <= room) return segment;
  const uint64_t longest = record.longest();
  return longest < room ? (record.bytes() / (room - longest) + 1) * segment : record.bytes();
}

}  // namespace holdfast
