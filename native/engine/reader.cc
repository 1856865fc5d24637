// Reads: point look-ups, snapshots, ranges. Every value's checksum and key are compared before it is handed out, so a damaged byte
// or a lost place can give an error but never a wrong value.
//
// What keeps bytes in place while they are read: the shared side of the index lock for a moment's read, a pinned snapshot for
// anything longer. Segments are given back only by threads that first take the exclusive side and then ask for the oldest pin.

#include "engine/pool_impl.h"

namespace holdfast {

Snapshot::Snapshot(std::shared_ptr<PoolImpl> pool_in, IndexView view_in, IndexState::Pin pin_in)
    : pool(std::move(pool_in)), view(std::move(view_in)), pin(pin_in) {}

Snapshot::~Snapshot() { pool->index().unpin(pin.serial); }

Result<SnapshotPtr> PoolImpl::pin_locked() {
  const IndexState::Pin pin = index_.pin(visible_epoch_.load(std::memory_order_acquire));
  return std::make_shared<Snapshot>(std::static_pointer_cast<PoolImpl>(shared_from_this()), index_.view, pin);
}

Result<SnapshotPtr> PoolImpl::snapshot() {
  std::shared_lock guard(index_.lock);
  HOLDFAST_TRY(usable());
  return pin_locked();
}

// A damaged index may name any place: one beyond the pool's end is no operation.
bool PoolImpl::read_operation_in_pool(Place place, OperationView* out) const {
  const uint64_t end = medium_->view_end();
  const bool inside = place.offset() < end && place.bytes() <= end - place.offset();
  return inside && read_operation(medium_->view() + place.offset(), place.bytes(), out);
}

Status PoolImpl::read_operation_at(Place place, Bytes key, OperationView* out) const {
  if (read_operation_in_pool(place, out) && out->key == key) return {};
  if (medium_->failed()) return usable();
  return Status(Code::kCorrupt, "the value at offset " + std::to_string(place.offset()) + " of " + name_ +
                                    " is damaged; holdfast check lists all damage");
}

// What was just read may have been zeros put in place of a page that failed: then that is the reason, whatever came of it.
Status PoolImpl::sound() const { return medium_->failed() ? usable() : Status(); }

Status PoolImpl::blame(Status status) const { return medium_->failed() ? usable() : std::move(status); }

Reader::Reader(PoolImpl* pool, SnapshotPtr snapshot) : pool_(pool), snapshot_(std::move(snapshot)) {}

Reader::Reader(Reader&& other) noexcept : pool_(other.pool_), snapshot_(std::move(other.snapshot_)) { other.pool_ = nullptr; }

Reader::~Reader() {
  if (pool_) pool_->index().lock.unlock_shared();
}

Result<Reader> PoolImpl::read(const SnapshotPtr& snapshot) {
  index_.lock.lock_shared();
  if (closed_.load(std::memory_order_acquire) || failed_.load(std::memory_order_acquire) || medium_->failed()) {
    index_.lock.unlock_shared();
    return usable();
  }
  return Reader(this, snapshot);
}

Result<std::optional<FoundValue>> Reader::find(Bytes key) {
  const IndexView& view = snapshot_ ? snapshot_->view : pool_->index().view;
  auto place = view.find(key, snapshot_ ? snapshot_->pin.epoch : Overlay::kLatest);
  if (!place.is_ok()) return pool_->blame(std::move(place.status()));
  if (!place->has_value() || (*place)->is_deleted()) {
    HOLDFAST_TRY(pool_->sound());  // a page that failed reads as zeros, in which nothing is found
    return std::optional<FoundValue>();
  }
  return value_at(**place, key);
}

Result<std::optional<FoundValue>> Reader::value_at(Place place, Bytes key) {
  OperationView operation;
  HOLDFAST_TRY(pool_->read_operation_at(place, key, &operation));
  FoundValue found;
  found.operation_offset = place.offset();
  if (operation.type == OperationType::kPutLarge) {
    const auto value = LargeValue::decode(operation.value);
    if (!value) return Status(Code::kCorrupt, "the description of a large value at offset " + std::to_string(place.offset()) + " is damaged");
    found.large = true;
    found.size = value->size;
    found.description = operation.value;
  } else {
    found.size = operation.value.size();
    found.inline_bytes = reinterpret_cast<const uint8_t*>(operation.value.data());
  }
  return std::optional<FoundValue>(found);
}

Status Reader::copy(const FoundValue& value, uint8_t* to) {
  if (!value.large) {
    std::memcpy(to, value.inline_bytes, value.size);
    return pool_->sound();
  }
  if (snapshot_) return pool_->blame(pool_->copy_large(value.description, value.size, to));
  // Copying may take long: pin what is read and let commits go on meanwhile.
  auto pinned = pool_->pin_locked();
  if (!pinned.is_ok()) return std::move(pinned.status());
  const std::string description(value.description);
  pool_->index().lock.unlock_shared();
  Status copied = pool_->copy_large(description, value.size, to);
  pool_->index().lock.lock_shared();
  return pool_->blame(std::move(copied));
}

namespace {

class RangeOver final : public RangeIterator {
 public:
  RangeOver(SnapshotPtr snapshot, const RangeOptions& options)
      : snapshot_(std::move(snapshot)), options_(options), left_(options.limit) {}

  Result<uint64_t> next(uint64_t at_most, const Each& each) override {
    uint64_t given = 0;
    if (!snapshot_) return given;
    auto reader = snapshot_->pool->read(snapshot_);
    if (!reader.is_ok()) return std::move(reader.status());
    auto cursor = snapshot_->view.cursor(snapshot_->pin.epoch, false);
    seek(cursor.get());
    bool more = true;
    while (more && given < at_most && left_ > 0 && cursor->valid() && inside(cursor->key())) {
      auto value = reader->value_at(cursor->place(), cursor->key());
      if (!value.is_ok()) return std::move(value.status());
      last_.assign(cursor->key().data(), cursor->key().size());
      begun_ = true;
      given++;
      left_--;
      more = each(cursor->key(), **value, *reader);
      options_.reverse ? cursor->prev() : cursor->next();
    }
    HOLDFAST_TRY(snapshot_->pool->blame(cursor->take_status()));
    if (left_ == 0 || !cursor->valid() || !inside(cursor->key())) snapshot_ = nullptr;  // the end: let go
    return given;
  }

 private:
  void seek(Cursor* cursor) const {
    if (options_.reverse) {
      cursor->seek_before(begun_ ? last_ : options_.high);
      return;
    }
    cursor->seek(begun_ ? last_ : options_.low);
    if (begun_ && cursor->valid() && cursor->key() == last_) cursor->next();
  }
  bool inside(Bytes key) const { return options_.reverse ? key >= options_.low : key < options_.high; }

  SnapshotPtr snapshot_;
  const RangeOptions options_;
  uint64_t left_;
  bool begun_ = false;
  std::string last_;
};

}  // namespace

Result<std::unique_ptr<RangeIterator>> PoolImpl::range(const RangeOptions& options, const SnapshotPtr& given) {
  SnapshotPtr pinned = given;
  if (!pinned) {
    auto taken = snapshot();
    if (!taken.is_ok()) return std::move(taken.status());
    pinned = *taken;
  }
  HOLDFAST_TRY(usable());
  return std::unique_ptr<RangeIterator>(new RangeOver(std::move(pinned), options));
}

Result<uint64_t> PoolImpl::count(const RangeOptions& options, const SnapshotPtr& given, const std::atomic<bool>* cancelled) {
  constexpr uint64_t kPerLock = 4096;
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
    auto cursor = pinned->view.cursor(pinned->pin.epoch, false);
    cursor->seek(from);
    for (uint64_t i = 0; i < kPerLock && cursor->valid() && cursor->key() < options.high; i++) {
      if (counted == options.limit) return counted;
      counted++;
      cursor->next();
    }
    HOLDFAST_TRY(blame(cursor->take_status()));
    if (!cursor->valid() || cursor->key() >= options.high) return counted;
    from.assign(cursor->key().data(), cursor->key().size());
  }
}

}  // namespace holdfast
