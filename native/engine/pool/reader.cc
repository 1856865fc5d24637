// Reads: point look-ups, snapshots, ranges. Every value's checksum and key are compared before it
// is handed out, so a damaged byte or a lost place can give an error but never a wrong value.
//
// What keeps bytes in place while they are read: the shared side of the index lock for a moment's
// read, a pinned snapshot for anything longer. Segments are given back only by threads that first
// take the exclusive side and then ask for the oldest pin.

#include "base/test_hooks.h"
#include "engine/pool/pool_impl.h"
#include "engine/read/value_ahead.h"

namespace holdfast {

Snapshot::Snapshot(std::shared_ptr<PoolImpl> pool_in, IndexView view_in, IndexState::Pin pin_in)
    : pool(std::move(pool_in)), view(std::move(view_in)), pin(pin_in) {}

Snapshot::~Snapshot() { pool->index().unpin(pin.serial); }

Result<SnapshotPtr> PoolImpl::pin_locked() {
  const IndexState::Pin pin = index_.pin(index_.visible_epoch.load(std::memory_order_acquire));
  return std::make_shared<Snapshot>(std::static_pointer_cast<PoolImpl>(shared_from_this()),
                                    index_.view, pin);
}

Result<SnapshotPtr> PoolImpl::snapshot() {
  std::shared_lock guard(index_.lock);
  HOLDFAST_TRY(health_.usable());
  return pin_locked();
}

Reader::Reader(PoolImpl* pool, SnapshotPtr snapshot)
    : pool_(pool), snapshot_(std::move(snapshot)) {}

Reader::Reader(Reader&& other) noexcept
    : pool_(other.pool_), snapshot_(std::move(other.snapshot_)) {
  other.pool_ = nullptr;
}

Reader::~Reader() {
  if (pool_) pool_->index().lock.unlock_shared();
}

Result<Reader> PoolImpl::read(const SnapshotPtr& snapshot) {
  snapshot ? index_.lock.lock_shared() : index_.lock.lock_shared_often();
  if (health_.refuses()) {
    index_.lock.unlock_shared();
    return health_.usable();
  }
  return Reader(this, snapshot);
}

Result<std::optional<FoundValue>> Reader::find(Bytes key, ValueRoom room) {
  const IndexView& view = snapshot_ ? snapshot_->view : pool_->index().view;
  const uint64_t hash = PlaceMemory::hash_of(key);
  if (!view.runs.empty()) view.runs.back()->expect_guess(hash);
  const auto place =
      view.find_in_overlays(key, snapshot_ ? snapshot_->pin.epoch : Overlay::kLatest);
  if (!place) return find_in_runs(view, key, hash, room);
  if (place->is_deleted()) return absent();
  pool_->operations().expect(place->offset(), place->bytes());
  FoundValue found;
  HOLDFAST_TRY(value_at(*place, key, &found, room));
  return std::optional<FoundValue>(found);
}

Result<std::optional<FoundValue>> Reader::find_in_runs(const IndexView& view, Bytes key,
                                                       uint64_t hash, ValueRoom room) {
  FoundValue found;
  for (const RunPtr& run : view.runs) {
    const PlaceMemory::Guess guess = run->guess(hash);
    if (guess.offset != 0 && pool_->operations().read_guessed(guess, key, &found, room))
      return std::optional<FoundValue>(found);
    auto place = run->find(key);
    if (!place.is_ok()) return pool_->health().blame(std::move(place.status()));
    if (!place->has_value()) continue;
    if ((*place)->is_deleted()) return absent();
    pool_->operations().expect((*place)->offset(), (*place)->bytes());
    HOLDFAST_TRY(value_at(**place, key, &found, room));
    run->remember(hash, **place);
    return std::optional<FoundValue>(found);
  }
  return absent();
}

// A page that failed reads as zeros, in which nothing is found.
Result<std::optional<FoundValue>> Reader::absent() const {
  HOLDFAST_TRY(pool_->health().sound());
  return std::optional<FoundValue>();
}

Status Reader::value_at(Place place, Bytes key, FoundValue* found, ValueRoom room) {
  OperationView operation;
  HOLDFAST_TRY(pool_->operations().read_at(place, key, &operation, room));
  if (found->set(operation, place.offset())) return {};
  return Status(Code::kCorrupt, "the description of a large value at offset " +
                                    std::to_string(place.offset()) + " is damaged");
}

bool FoundValue::set(const OperationView& operation, uint64_t offset) {
  operation_offset = offset;
  large = operation.type == OperationType::kPutLarge;
  if (!large) {
    size = operation.value.size();
    inline_bytes = reinterpret_cast<const uint8_t*>(operation.value.data());
    return true;
  }
  const auto value = LargeValue::decode(operation.value);
  if (!value) return false;
  size = value->size;
  description = operation.value;
  return true;
}

Status Reader::copy(const FoundValue& value, uint8_t* to) {
  if (!value.large) {
    if (value.inline_bytes != to) std::memcpy(to, value.inline_bytes, value.size);
    return pool_->health().sound();
  }
  if (snapshot_) return pool_->health().blame(pool_->copy_large(value.description, value.size, to));
  // Copying may take long: pin what is read and let commits go on meanwhile. The pin stays until
  // the lock has been let go for good: it may be the last that holds the pool, where that is one
  // fold's of a read-only pool that has gone on.
  auto pinned = pool_->pin_locked();
  if (!pinned.is_ok()) return std::move(pinned.status());
  snapshot_ = std::move(*pinned);
  const std::string description(value.description);
  pool_->index().lock.unlock_shared();
  Status copied;
  {
    Visit visit(pool_->visits());
    copied = visit.begin();
    if (copied.is_ok()) copied = pool_->copy_large(description, value.size, to);
  }
  pool_->index().lock.lock_shared();
  return pool_->health().blame(std::move(copied));
}

namespace {

constexpr uint64_t kWalkedAtOnce =
    4096;  // entries of the index that are passed over, or counted, under one hold of its lock

class RangeOver final : public RangeIterator {
 public:
  RangeOver(SnapshotPtr snapshot, const RangeOptions& options)
      : snapshot_(std::move(snapshot)),
        options_(options),
        ahead_(snapshot_->pool->medium(), snapshot_->pool->operations(), options.reverse),
        left_(options.limit) {}

  bool ended() const override { return snapshot_ == nullptr; }

  // What comes before a damaged entry is given; the next call says what is wrong.
  Result<uint64_t> next(uint64_t at_most, const Each& each, const ValueRoom& room) override {
    while (true) {
      bool let_go = false;
      auto given = next_of_stretch(at_most, each, room, &let_go);
      if (!let_go || !given.is_ok() || *given > 0) return given;
      reach(TestPoint::kWalkLetGo);
    }
  }

 private:
  // Under one hold of the index lock. `let_go`: it ended at a deleted key, behind as many as may be
  // passed over in one hold.
  Result<uint64_t> next_of_stretch(uint64_t at_most, const Each& each, const ValueRoom& room,
                                   bool* let_go) {
    uint64_t given = 0, passed = 0;
    if (!snapshot_) return given;
    auto reader = snapshot_->pool->read(snapshot_);
    if (!reader.is_ok()) return std::move(reader.status());
    auto cursor = snapshot_->view.cursor(snapshot_->pin.epoch, true);
    const uint64_t worth_knowing = seek(cursor.get()) ? 1 : KnownGaps::kWorthKnowing;
    std::optional<Gap> gap;  // before the first that is given
    FoundValue value;
    Status wrong;
    bool more = true;
    while (more && given < at_most && left_ > 0 && cursor->valid() && inside(cursor->key())) {
      if (cursor->key().size() < kLeastKeyBytes) {
        wrong = Status(Code::kCorrupt, "the index has a key that is too short for any keyspace");
        break;
      }
      const Place place = cursor->place();
      if (place.is_deleted()) {
        if (*let_go = ++passed == kWalkedAtOnce; *let_go) {
          if (given == 0) gap = gap_to(options_.reverse ? cursor->key() : behind(cursor->key()));
          stands_at(cursor->key());
          break;
        }
        step(cursor.get());
        continue;
      }
      // Keys are written before the value is copied, into memory that no cache has: to read one
      // that was written behind it would wait for it.
      key_.assign(cursor->key());
      if (!options_.keys_only) ahead_.comes_to(*cursor);
      step(cursor.get());
      if (!options_.keys_only) wrong = reader->value_at(place, key_, &value, room);
      if (!wrong.is_ok()) break;
      if (given == 0 && passed >= worth_knowing)
        gap = gap_to(options_.reverse ? behind(key_) : Bytes(key_));
      given++;
      left_--;
      more = each(key_, value, *reader);
      key_.swap(last_);
      begun_ = true;
    }
    snapshot_->pool->maintenance().walked_over(passed, snapshot_->view);
    HOLDFAST_TRY(snapshot_->pool->health().sound());  // else none of it may be given
    if (wrong.is_ok()) wrong = cursor->take_status();
    if (!wrong.is_ok()) return given > 0 ? Result<uint64_t>(given) : std::move(wrong);
    const bool ended = !cursor->valid() || !inside(cursor->key());
    if (ended && given == 0 && passed >= worth_knowing)
      gap = gap_to(options_.reverse ? options_.low : options_.high);
    if (gap) learn(*gap);
    if (left_ == 0 || ended) snapshot_ = nullptr;  // the end: let go
    return given;
  }

  // Keys from `low` to below `high` of which none lives.
  struct Gap {
    std::string low, high;
  };
  Gap gap_to(Bytes edge) const {
    if (options_.reverse) return {std::string(edge), begun_ ? last_ : options_.high};
    return {begun_ ? behind(last_) : options_.low, std::string(edge)};
  }
  static std::string behind(Bytes key) { return std::string(key) + '\0'; }
  // Only of the newest state can it be told that nothing was put there since.
  void learn(const Gap& gap) {
    IndexState& index = snapshot_->pool->index();
    if (index.visible_epoch.load(std::memory_order_relaxed) == snapshot_->pin.epoch)
      index.gaps.learn(gap.low, gap.high, snapshot_->pin.epoch);
  }

  void stands_at(Bytes key) {
    last_.assign(key.data(), key.size());
    begun_ = true;
  }
  void step(Cursor* cursor) const { options_.reverse ? cursor->prev() : cursor->next(); }
  // True: across a gap that is known.
  bool seek(Cursor* cursor) const {
    const auto across = across_gap();
    if (options_.reverse) {
      cursor->seek_before(across ? *across : begun_ ? last_ : options_.high);
    } else {
      cursor->seek(across ? *across : begun_ ? last_ : options_.low);
      if (!across && begun_ && cursor->valid() && cursor->key() == last_) cursor->next();
    }
    return across.has_value();
  }
  std::optional<std::string> across_gap() const {
    KnownGaps& gaps = snapshot_->pool->index().gaps;
    if (!gaps.any()) return std::nullopt;
    const uint64_t epoch = snapshot_->pin.epoch;
    return options_.reverse ? gaps.begin_of(begun_ ? last_ : options_.high, epoch)
                            : gaps.end_of(begun_ ? behind(last_) : options_.low, epoch);
  }
  bool inside(Bytes key) const {
    return options_.reverse ? key >= options_.low : key < options_.high;
  }

  SnapshotPtr snapshot_;
  const RangeOptions options_;
  ValueAhead ahead_;
  uint64_t left_;
  bool begun_ = false;
  std::string last_;  // that was passed
  std::string key_;   // of the entry that is being given
};

}  // namespace

Result<std::unique_ptr<RangeIterator>> PoolImpl::range(const RangeOptions& options,
                                                       const SnapshotPtr& given) {
  SnapshotPtr pinned = given;
  if (!pinned) {
    auto taken = snapshot();
    if (!taken.is_ok()) return std::move(taken.status());
    pinned = *taken;
  }
  HOLDFAST_TRY(health_.usable());
  return std::unique_ptr<RangeIterator>(new RangeOver(std::move(pinned), options));
}

Result<uint64_t> PoolImpl::count(const RangeOptions& options, const SnapshotPtr& given,
                                 const std::atomic<bool>* cancelled) {
  SnapshotPtr pinned = given;
  if (!pinned) {
    auto taken = snapshot();
    if (!taken.is_ok()) return std::move(taken.status());
    pinned = *taken;
  }
  uint64_t counted = 0;
  std::string from = options.low;
  while (true) {
    if (cancelled && cancelled->load()) return Status(Code::kAborted, "counting was aborted");
    auto reader = read(pinned);
    if (!reader.is_ok()) return std::move(reader.status());
    auto cursor = pinned->view.cursor(pinned->pin.epoch, true);
    cursor->seek(from);
    for (uint64_t i = 0; i < kWalkedAtOnce && cursor->valid() && cursor->key() < options.high;
         i++) {
      if (!cursor->place().is_deleted() && counted++ == options.limit) return options.limit;
      cursor->next();
    }
    HOLDFAST_TRY(health_.blame(cursor->take_status()));
    if (!cursor->valid() || cursor->key() >= options.high) return counted;
    from.assign(cursor->key().data(), cursor->key().size());
    cursor.reset();
    { const Reader done = std::move(*reader); }
    reach(TestPoint::kWalkLetGo);
  }
}

}  // namespace holdfast
