#include "engine/read_only/read_only_pool.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/test_hooks.h"

namespace holdfast {

namespace {
constexpr int kMostSteps =
    100;  // of one refresh: each is another fold or another writer that came in between

bool same_fold(const RootWords& a, const RootWords& b) {
  return a.fold.offset == b.fold.offset && a.fold.bytes == b.fold.bytes &&
         a.fold_bytes == b.fold_bytes && a.fold_checksum == b.fold_checksum;
}
}  // namespace

Status ReadOnlyPool::refusal() const {
  return Status(
      Code::kReadOnly,
      "the pool " + path_ + " is open for reading only: open it without readOnly to change it");
}

Result<std::shared_ptr<Pool>> ReadOnlyPool::open(const std::string& path,
                                                 const PoolOptions& options) {
  if (options.medium.create == CreateMode::kExclusive) {
    return Status(Code::kInvalidArgument,
                  "a pool that is opened for reading only cannot be created: leave create out");
  }
  auto pool = std::make_shared<ReadOnlyPool>(path, options);
  HOLDFAST_TRY(pool->begin());
  return std::static_pointer_cast<Pool>(pool);
}

Status ReadOnlyPool::begin() {
  HOLDFAST_TRY(writer_.begin());
  HOLDFAST_TRY(writer_.meet());
  std::lock_guard guard(refresh_mutex_);
  auto epoch = refresh_locked();
  return std::move(epoch.status());
}

Result<uint64_t> ReadOnlyPool::refresh() {
  std::lock_guard guard(refresh_mutex_);
  return refresh_locked();
}

Result<uint64_t> ReadOnlyPool::refresh_locked() {
  refreshes_.fetch_add(1, std::memory_order_relaxed);
  for (int steps = 0; steps < kMostSteps; steps++) {
    if (closed_) return Status(Code::kClosed, "the pool " + path_ + " is closed");
    if (writer_.bytes()->failed())
      return Status(Code::kFailed,
                    "the mapping of the pool " + path_ + " failed: close it and open it again");
    const WriterSeen::Moment writer = writer_.look();
    bool done = false;
    Status stepped = step(writer, &done);
    // Bytes that did not stand while they were read: there is a newer fold to read by.
    if (!stepped.is_ok() && stepped.code() != Code::kReaderExpired) return stepped;
    if (stepped.is_ok() && done) {
      seen_ = writer;
      up_to_date_ = true;
      return epoch_;
    }
    std::this_thread::yield();
  }
  return Status(Code::kReaderExpired,
                "the writer of the pool " + path_ +
                    " leaves no time to read it: try again, or with more room in the pool");
}

// `done`: what the generation shows is the newest durable state, as of some moment in this call.
Status ReadOnlyPool::step(const WriterSeen::Moment& writer, bool* done) {
  std::shared_ptr<Generation> generation = current();
  const bool stands = generation && !generation->expired();
  auto root = writer_.read_root();
  if (!root.is_ok()) return std::move(root.status());
  if (stands && same_fold(*root, generation->root)) {
    if (up_to_date_ && writer == seen_ && root->clean == generation->root.clean) {
      *done = true;
      return {};
    }
    generation->root = *root;
  } else {
    up_to_date_ = false;
    if (!stands) {
      HOLDFAST_TRY(writer_.bytes()->look_again());  // nobody else's writer is waited for
      HOLDFAST_TRY(writer_.meet());
    }
    return next_generation(*root);  // and then another step, which walks its tail
  }
  return catch_up(generation.get(), writer, done);
}

// In place of the present one as soon as it shows at least what that one shows.
Status ReadOnlyPool::next_generation(const RootWords& root) {
  auto made = pinned_generation(root);
  if (!made.is_ok()) return std::move(made.status());
  bool done = false;
  HOLDFAST_TRY(catch_up(made->get(), writer_.look(), &done));
  if (!done) return {};
  std::shared_ptr<Generation> before = *made;
  std::erase_if(generations_, [](const std::weak_ptr<PoolImpl>& one) { return one.expired(); });
  generations_.push_back(before->pool);
  {
    std::unique_lock guard(current_lock_);
    std::swap(before, current_);
  }
  if (before) {
    // Those who read without a snapshot have ended once the lock was had; nobody new comes.
    std::unique_lock guard(before->pool->index().lock);
  }
  return {};
}

Result<std::shared_ptr<Generation>> ReadOnlyPool::pinned_generation(const RootWords& seen) {
  std::unique_ptr<ReaderPin> pin;
  RootWords root = seen;
  reach(TestPoint::kReaderComes);
  if (writer_.table()) {
    auto taken = ReaderPin::take(writer_.table());
    if (!taken.is_ok()) return std::move(taken.status());
    pin = std::move(*taken);
    reach(TestPoint::kReaderPinned);
    HOLDFAST_TRY(writer_.wait_while_placing());
    auto read =
        writer_.read_root();  // after the pin was published: whatever this root refers to stays
    if (!read.is_ok()) return std::move(read.status());
    root = *read;
    pin->reads(root.fold, root.fold_bytes, root.fold_checksum);
  }
  HOLDFAST_TRY(writer_.bytes()->look_again());  // behind the root: what it refers to may lie where
                                                // the file has grown to just now
  if (root.incarnation == 0)
    return Status(Code::kNotAPool,
                  "the pool " + path_ + " has never been opened for writing: nothing is in it yet");
  return Generation::make(writer_, std::move(pin), root, path_, options_);
}

// Two phases, so that nothing is shown before it is known that it may be: the records are read,
// then it is seen that nothing has changed that would make them anything else than durable, and
// only then they are applied, all at once.
Status ReadOnlyPool::catch_up(Generation* generation, const WriterSeen::Moment& writer,
                              bool* done) {
  HOLDFAST_TRY(writer_.bytes()->look_again());
  // What must be there, and how far it may be gone: where no writer lives, as far as the next one
  // will go.
  const uint64_t known =
      std::max({writer.lives ? writer.durable : 0, generation->folded_epoch(), epoch_});
  // What a writer placed before it died is whole up to a commit that it knew to be durable; the one
  // that recovers tells which.
  if (generation->torn && writer.lives && writer.durable == 0) return writer_.wait_for_recovery();
  const uint64_t limit = writer.lives             ? known
                         : writer.failed          ? std::max(known, writer.durable)
                         : generation->root.clean ? generation->folded_epoch()
                                                  : Tail::kToItsEnd;
  reach(TestPoint::kReaderWalks);
  TailStretch found;
  Status walked = generation->read_on(limit, &found);
  const WriterSeen::Moment now = writer_.look();
  const uint64_t reached = found.tail->epoch();
  // A writer that has come meanwhile may have appended what is not durable yet, or made the pool
  // longer: then this was walked too far.
  if (limit == Tail::kToItsEnd && now.attachments != writer.attachments) return {};
  HOLDFAST_TRY(generation->pool->health().blame(std::move(walked)));
  if (!found.whole)
    return Status(Code::kCorrupt, "a record of the log's tail changed while it was read");
  if (reached < known) {
    return Status(Code::kCorrupt, "the log of the pool " + path_ + " ends at commit " +
                                      std::to_string(reached) + ", but commit " +
                                      std::to_string(known) +
                                      " was durable: holdfast check lists all damage");
  }
  HOLDFAST_TRY(generation->show(&found));
  replayed_operations_.fetch_add(found.changes.size() + found.region_operations.size(),
                                 std::memory_order_relaxed);
  replayed_bytes_.fetch_add(found.bytes, std::memory_order_relaxed);
  epoch_ = reached;
  *done = true;
  return {};
}

std::shared_ptr<Generation> ReadOnlyPool::current() const {
  std::shared_lock guard(current_lock_);
  return current_;
}

Result<Reader> ReadOnlyPool::read(const SnapshotPtr& snapshot) {
  if (snapshot) return snapshot->pool->read(snapshot);
  // The generation's own lock is had before this one is let go, and is waited for by whoever takes
  // the generation away.
  std::shared_lock guard(current_lock_);
  if (!current_) return Status(Code::kClosed, "the pool " + path_ + " is closed");
  return current_->pool->read(nullptr);
}

Result<SnapshotPtr> ReadOnlyPool::snapshot() {
  auto pool = reading(nullptr);
  if (!pool.is_ok()) return std::move(pool.status());
  return (*pool)->snapshot();
}

Result<std::shared_ptr<PoolImpl>> ReadOnlyPool::reading(const SnapshotPtr& snapshot) const {
  if (snapshot) return snapshot->pool;
  const auto generation = current();
  if (!generation) return Status(Code::kClosed, "the pool " + path_ + " is closed");
  return generation->pool;
}

Result<std::unique_ptr<RangeIterator>> ReadOnlyPool::range(const RangeOptions& options,
                                                           const SnapshotPtr& snapshot) {
  auto pool = reading(snapshot);
  if (!pool.is_ok()) return std::move(pool.status());
  return (*pool)->range(options, snapshot);
}

Result<uint64_t> ReadOnlyPool::count(const RangeOptions& options, const SnapshotPtr& snapshot,
                                     const std::atomic<bool>* cancelled) {
  auto pool = reading(snapshot);
  if (!pool.is_ok()) return std::move(pool.status());
  return (*pool)->count(options, snapshot, cancelled);
}

Status ReadOnlyPool::region_read(uint32_t region, uint64_t offset, uint64_t size, uint8_t* to,
                                 const SnapshotPtr& snapshot) {
  auto pool = reading(snapshot);
  if (!pool.is_ok()) return std::move(pool.status());
  return (*pool)->region_read(region, offset, size, to, snapshot);
}

Result<uint64_t> ReadOnlyPool::region_data_from(uint32_t region, uint64_t offset,
                                                const SnapshotPtr& snapshot) {
  auto pool = reading(snapshot);
  if (!pool.is_ok()) return std::move(pool.status());
  return (*pool)->region_data_from(region, offset, snapshot);
}

Result<RegionInfo> ReadOnlyPool::region_info(uint32_t region, const SnapshotPtr& snapshot) {
  auto pool = reading(snapshot);
  if (!pool.is_ok()) return std::move(pool.status());
  return (*pool)->region_info(region, snapshot);
}

Result<std::vector<RegionInfo>> ReadOnlyPool::regions(const SnapshotPtr& snapshot) {
  auto pool = reading(snapshot);
  if (!pool.is_ok()) return std::move(pool.status());
  return (*pool)->regions(snapshot);
}

Result<std::unique_ptr<MappedView>> ReadOnlyPool::view_value(Bytes key,
                                                             const SnapshotPtr& snapshot) {
  auto pool = reading(snapshot);
  if (!pool.is_ok()) return std::move(pool.status());
  return (*pool)->view_value(key, snapshot);
}

Result<std::unique_ptr<MappedView>> ReadOnlyPool::view_region(uint32_t region, uint64_t offset,
                                                              uint64_t size,
                                                              const SnapshotPtr& snapshot) {
  auto pool = reading(snapshot);
  if (!pool.is_ok()) return std::move(pool.status());
  return (*pool)->view_region(region, offset, size, snapshot);
}

PoolFacts ReadOnlyPool::facts() const {
  const auto generation = current();
  PoolFacts facts;
  if (generation) facts = generation->pool->facts();
  facts.path = path_;
  return facts;
}

PoolStats ReadOnlyPool::stats() const {
  const auto generation = current();
  PoolStats stats;
  if (generation) stats = generation->pool->stats();
  stats.path = path_;
  stats.replayed_operations = replayed_operations_.load();
  stats.replayed_bytes = replayed_bytes_.load();
  if (!writer_.table()) return stats;
  for (const ReaderSeen& reader : writer_.table()->readers()) {
    if (stats.readers++ > 0 && reader.epoch >= stats.oldest_reader_epoch) continue;
    stats.oldest_reader_pid = reader.pid;
    stats.oldest_reader_epoch = reader.epoch;
  }
  return stats;
}

Result<CheckReport> ReadOnlyPool::check(const std::atomic<bool>* cancelled,
                                        const std::function<void(double)>& progress) {
  auto pool = reading(nullptr);
  if (!pool.is_ok()) return std::move(pool.status());
  return (*pool)->check(cancelled, progress);
}

uint64_t ReadOnlyPool::submit(const std::shared_ptr<void>& client, Batch&& batch, CommitMode mode) {
  return static_cast<Client*>(client.get())->submit(std::move(batch), mode);
}

void ReadOnlyPool::flush(const std::shared_ptr<void>& handle) {
  auto* client = static_cast<Client*>(handle.get());
  client->refuse(client->take(), refusal());
}

Status ReadOnlyPool::close() {
  feed_tail_.stop();
  std::lock_guard guard(refresh_mutex_);
  if (closed_) return {};
  closed_ = true;
  std::shared_ptr<Generation> last;
  {
    std::unique_lock lock(current_lock_);
    std::swap(last, current_);
  }
  for (const std::weak_ptr<PoolImpl>& one : generations_) {
    if (const auto pool = one.lock()) Generation::end(*pool);
  }
  return {};
}

}  // namespace holdfast
