#include "engine/read_only/read_only_pool.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/test_hooks.h"

namespace holdfast {

namespace {
constexpr int kMostSteps =
    100;  // of one refresh: each is another fold or another writer that came in between
constexpr auto kLookAgain = std::chrono::milliseconds(2);

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
  auto bytes = PoolBytes::open(path_, options_.medium);
  if (!bytes.is_ok()) return std::move(bytes.status());
  bytes_ = *bytes;
  auto table = ReadersTable::open_or_make(path_);
  const Code code = table.status().code();
  if (table.is_ok()) {
    table_ = *table;
  } else if (code != Code::kPermission && code != Code::kReadOnly) {
    return std::move(table.status());
  }
  HOLDFAST_TRY(meet_writer());
  std::lock_guard guard(refresh_mutex_);
  auto epoch = refresh_locked();
  return std::move(epoch.status());
}

// Returns when it is known that no writer lives, or that the one that does looks at our table. From
// then on a writer that does not is known by the root's incarnation, which it raises before it
// changes anything (ReadingMedium::expired).
Status ReadOnlyPool::meet_writer() {
  if (!table_) return meet_without_table();
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(options_.wait_for_writer_ms);
  while (true) {
    if (table_->lock_as_writer()) {
      const bool written = bytes_->writer_holds_lock();
      if (!written) table_->make_sound(bytes_->superblock().uuid, bytes_->incarnation());
      table_->unlock_as_writer();
      if (!written) return {};
    } else if (table_->is_of(bytes_->superblock().uuid) &&
               bytes_->incarnation() <= table_->header().incarnation.load()) {
      return {};
    }
    if (std::chrono::steady_clock::now() >= until) break;
    std::this_thread::sleep_for(kLookAgain);
  }
  return Status(Code::kLocked, "the process that has the pool " + path_ +
                                   " open has taken no notice of this reader within " +
                                   std::to_string(options_.wait_for_writer_ms) +
                                   " ms: it has failed, is stopped, of an older version, or sees "
                                   "another folder beside the pool; read there, or try again");
}

Status ReadOnlyPool::meet_without_table() {
  const uint64_t before = bytes_->incarnation();
  if (bytes_->writer_holds_lock() || bytes_->incarnation() != before) {
    return Status(
        Code::kLocked,
        "the pool " + path_ +
            " is open in another process, and there is no permission to tell it of this reader: " +
            "allow writing to " + readers_table_path(path_) + ", or close the pool there");
  }
  incarnation_ = before;
  return {};
}

ReadOnlyPool::Writer ReadOnlyPool::look() const {
  Writer writer;
  if (!table_) return writer;
  const ReadersHeader& header = table_->header();
  writer.attachments = header.attachments.load(std::memory_order_acquire);
  writer.lives = table_->writer_lives();
  writer.failed = header.failed.load(std::memory_order_acquire) != 0;
  writer.durable = header.durable.load(std::memory_order_acquire);
  return writer;
}

Result<RootWords> ReadOnlyPool::read_root() const {
  auto chosen = bytes_->root();
  if (!chosen.is_ok()) {
    const std::string cure = bytes_->superblock().medium == MediumKind::kPmem
                                 ? "; open it for writing once, which recovers it"
                                 : "";
    return Status(chosen.status().code(), chosen.status().message() + cure);
  }
  const RootWords root = RootWords::from_root(chosen->root);
  if (root.version > kRootVersion) {
    return Status(Code::kNewerFormat, "the pool's root has version " +
                                          std::to_string(root.version) +
                                          ", this build reads up to " +
                                          std::to_string(kRootVersion) + "; use a newer Holdfast");
  }
  return root;
}

// With a published pin, before the root is read. A fold that looked at the pins before ours was
// there may be rewriting regions in place; the next one will see ours. Only who had no pin that
// stood comes here at such a moment: who follows the writer never waits.
Status ReadOnlyPool::wait_while_placing() const {
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(options_.wait_for_writer_ms);
  while (table_->placing()) {
    if (std::chrono::steady_clock::now() >= until) {
      return Status(Code::kLocked, "the process that writes the pool " + path_ +
                                       " has been placing regions for " +
                                       std::to_string(options_.wait_for_writer_ms) +
                                       " ms: it is stopped, or its disk is slow; try again");
    }
    std::this_thread::sleep_for(kLookAgain);
  }
  return {};
}

Status ReadOnlyPool::wait_for_recovery() const {
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(options_.wait_for_writer_ms);
  for (Writer writer = look(); writer.lives && writer.durable == 0; writer = look()) {
    if (std::chrono::steady_clock::now() >= until) {
      return Status(Code::kLocked,
                    "the process that writes the pool " + path_ + " has been opening it for " +
                        std::to_string(options_.wait_for_writer_ms) + " ms; try again");
    }
    std::this_thread::sleep_for(kLookAgain);
  }
  return {};
}

Result<uint64_t> ReadOnlyPool::refresh() {
  std::lock_guard guard(refresh_mutex_);
  return refresh_locked();
}

Result<uint64_t> ReadOnlyPool::refresh_locked() {
  refreshes_.fetch_add(1, std::memory_order_relaxed);
  for (int steps = 0; steps < kMostSteps; steps++) {
    if (closed_) return Status(Code::kClosed, "the pool " + path_ + " is closed");
    if (bytes_->failed())
      return Status(Code::kFailed,
                    "the mapping of the pool " + path_ + " failed: close it and open it again");
    const Writer writer = look();
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
Status ReadOnlyPool::step(const Writer& writer, bool* done) {
  std::shared_ptr<Generation> generation = current();
  const bool stands = generation && !generation->medium->expired();
  auto root = read_root();
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
      HOLDFAST_TRY(bytes_->look_again());  // nobody else's writer is waited for
      HOLDFAST_TRY(meet_writer());
    }
    return next_generation(*root);  // and then another step, which walks its tail
  }
  return catch_up(generation.get(), writer, done);
}

// In place of the present one as soon as it shows at least what that one shows.
Status ReadOnlyPool::next_generation(const RootWords& root) {
  auto made = make_generation(root);
  if (!made.is_ok()) return std::move(made.status());
  bool done = false;
  HOLDFAST_TRY(catch_up(made->get(), look(), &done));
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
    std::unique_lock guard(before->pool->index_.lock);
  }
  return {};
}

Result<std::shared_ptr<ReadOnlyPool::Generation>> ReadOnlyPool::make_generation(
    const RootWords& seen) {
  std::unique_ptr<ReaderPin> pin;
  RootWords root = seen;
  reach(TestPoint::kReaderComes);
  if (table_) {
    auto taken = ReaderPin::take(table_);
    if (!taken.is_ok()) return std::move(taken.status());
    pin = std::move(*taken);
    reach(TestPoint::kReaderPinned);
    HOLDFAST_TRY(wait_while_placing());
    auto read = read_root();  // after the pin was published: whatever this root refers to stays
    if (!read.is_ok()) return std::move(read.status());
    root = *read;
    pin->reads(root.fold, root.fold_bytes, root.fold_checksum);
  }
  HOLDFAST_TRY(bytes_->look_again());  // behind the root: what it refers to may lie where the file
                                       // has grown to just now
  if (root.incarnation == 0)
    return Status(Code::kNotAPool,
                  "the pool " + path_ + " has never been opened for writing: nothing is in it yet");
  OpenedMedium opened;
  const Superblock& superblock = bytes_->superblock();
  std::memcpy(opened.uuid, superblock.uuid, sizeof opened.uuid);
  opened.secret = superblock.secret;
  opened.format_version = superblock.format_version;
  auto medium = std::make_unique<ReadingMedium>(bytes_, table_, std::move(pin), incarnation_);
  auto generation = std::make_shared<Generation>();
  generation->medium = medium.get();
  generation->root = root;
  opened.medium = std::move(medium);
  generation->pool = std::make_shared<PoolImpl>(std::move(opened), path_, options_);
  PoolImpl& pool = *generation->pool;
  pool.fold_.root = root;
  pool.index_.view.active = std::make_shared<Overlay>(Pages::kSmall);
  generation->torn = root.placing != 0;
  HOLDFAST_TRY(pool.health_.blame(FoldRoot::read_block(*pool.medium_, root, &pool.fold_.block)));
  for (const FoldedSegment& s : pool.fold_.block.log)
    pool.log_.segments.add(s.segment, s.sequence, s.live_bytes);
  for (const Segment& s : pool.fold_.block.large) pool.log_.large[s.offset] = s;
  for (const auto& tables : pool.fold_.block.runs) {
    std::vector<TableRef> refs;
    for (const FoldedTable& t : tables)
      refs.push_back({t.segment, t.entries, t.nodes, t.root, t.depth, t.first_key, t.last_key});
    pool.index_.view.runs.push_back(std::make_shared<Run>(*pool.medium_, std::move(refs)));
  }
  std::vector<Segment> held;
  for (const FoldedSegment& s : pool.fold_.block.log) held.push_back(s.segment);
  pool.region_commits_.adopt(pool.fold_.block.regions, &held);
  for (const Segment& s : held) {
    if (s.end() <= pool.medium_->view_end()) continue;
    return pool.health_.blame(
        Status(Code::kCorrupt, "the segment at offset " + std::to_string(s.offset) +
                                   " lies beyond the pool's end; was the file truncated?"));
  }
  generation->reader = std::make_unique<LogReader>(*pool.medium_, superblock.secret);
  generation->tail = std::make_unique<Tail>(*generation->reader, pool.fold_.block);
  HOLDFAST_TRY(pool.health_.blame(generation->tail->begins_well()));
  return generation;
}

// What a stretch of the tail says, with bytes of its own: applied once it is known that it was
// rightly read.
struct ReadOnlyPool::TailChanges {
  struct Change {
    std::string key;
    Place place;
    uint64_t epoch;
  };
  struct RegionOperation {
    std::string bytes;
    uint64_t epoch;
  };
  std::vector<Change> changes;
  std::vector<RegionOperation> region_operations;
  std::vector<std::pair<Segment, uint64_t>> linked;  // and their sequences
  uint64_t bytes = 0;
  bool whole = true;

  void gather(const FrameView& frame) {
    bytes += frame.header.bytes;
    for (uint64_t i = 0, at = 0; whole && i < frame.header.operations; i++) {
      OperationView operation;
      whole = at <= frame.operations_bytes &&
              read_operation(frame.operations + at, frame.operations_bytes - at, &operation);
      if (!whole) return;
      if (is_region_operation(operation.type)) {
        region_operations.push_back(
            {std::string(reinterpret_cast<const char*>(frame.operations + at), operation.bytes),
             frame.header.epoch});
      } else {
        const uint64_t offset = frame.offset + sizeof(FrameHeader) + at;
        const bool large = operation.type == OperationType::kPutLarge;
        const Place place = operation.type == OperationType::kDelete
                                ? Place::deleted()
                                : Place::of(offset, operation.bytes, large);
        changes.push_back({std::string(operation.key), place, frame.header.epoch});
      }
      at += operation.bytes;
    }
  }
};

// Two phases, so that nothing is shown before it is known that it may be: the records are read,
// then it is seen that nothing has changed that would make them anything else than durable, and
// only then they are applied, all at once.
Status ReadOnlyPool::catch_up(Generation* generation, const Writer& writer, bool* done) {
  PoolImpl& pool = *generation->pool;
  HOLDFAST_TRY(bytes_->look_again());
  // What must be there, and how far it may be gone: where no writer lives, as far as the next one
  // will go.
  const uint64_t known =
      std::max({writer.lives ? writer.durable : 0, pool.fold_.block.epoch, epoch_});
  // What a writer placed before it died is whole up to a commit that it knew to be durable; the one
  // that recovers tells which.
  if (generation->torn && writer.lives && writer.durable == 0) return wait_for_recovery();
  const uint64_t limit = writer.lives             ? known
                         : writer.failed          ? std::max(known, writer.durable)
                         : generation->root.clean ? pool.fold_.block.epoch
                                                  : Tail::kToItsEnd;
  reach(TestPoint::kReaderWalks);
  TailChanges found;
  auto tail = std::make_unique<Tail>(
      *generation->tail);  // in the place of the other once all that it found is applied
  Status walked = tail->walk(
      limit, [&](const FrameView& frame) { found.gather(frame); },
      [&](const Segment& segment, uint64_t sequence) {
        found.linked.emplace_back(segment, sequence);
      });
  const Writer now = look();
  const uint64_t reached = tail->epoch();
  // A writer that has come meanwhile may have appended what is not durable yet, or made the pool
  // longer: then this was walked too far.
  if (limit == Tail::kToItsEnd && now.attachments != writer.attachments) return {};
  HOLDFAST_TRY(pool.health_.blame(std::move(walked)));
  if (!found.whole)
    return Status(Code::kCorrupt, "a record of the log's tail changed while it was read");
  if (reached < known) {
    return Status(Code::kCorrupt, "the log of the pool " + path_ + " ends at commit " +
                                      std::to_string(reached) + ", but commit " +
                                      std::to_string(known) +
                                      " was durable: holdfast check lists all damage");
  }
  HOLDFAST_TRY(apply_tail(generation, found, std::move(tail)));
  if (generation->medium->pin()) generation->medium->pin()->at(reached);
  replayed_operations_.fetch_add(found.changes.size() + found.region_operations.size(),
                                 std::memory_order_relaxed);
  replayed_bytes_.fetch_add(found.bytes, std::memory_order_relaxed);
  epoch_ = reached;
  *done = true;
  return {};
}

Status ReadOnlyPool::apply_tail(Generation* generation, const TailChanges& found,
                                std::unique_ptr<Tail> tail) {
  PoolImpl& pool = *generation->pool;
  const uint64_t reached = tail->epoch();
  std::lock_guard append(pool.log_.lock);
  std::unique_lock guard(pool.index_.lock);
  for (const auto& [segment, sequence] : found.linked) pool.log_.segments.add(segment, sequence);
  for (const auto& change : found.changes) {
    (void)pool.index_.view.active->put(change.key, change.place, change.epoch,
                                       pool.index_.oldest_needed());
  }
  pool.region_commits_.allow_torn(std::exchange(generation->torn, false));
  for (const auto& one : found.region_operations) {
    pool.region_commits_.apply(view_operation(reinterpret_cast<const uint8_t*>(one.bytes.data())),
                               one.epoch);
  }
  pool.region_commits_.allow_torn(false);
  HOLDFAST_TRY(pool.health_.sound());  // what lay below them was read just now
  generation->tail = std::move(tail);
  pool.log_.writer.resume(generation->tail->head(), generation->tail->sequence(),
                          generation->tail->position(), false, generation->root.incarnation);
  pool.fold_.root.incarnation = generation->root.incarnation;
  pool.log_.epoch = reached;
  pool.index_.visible_epoch.store(reached, std::memory_order_release);
  pool.barriers_.begin_at(reached);
  return {};
}

std::shared_ptr<ReadOnlyPool::Generation> ReadOnlyPool::current() const {
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
  if (!table_) return stats;
  for (const ReaderSeen& reader : table_->readers()) {
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

// Snapshots end with their pool: what is asked through them afterwards is kClosed, and no slot is
// kept.
void ReadOnlyPool::end(const std::shared_ptr<PoolImpl>& pool) {
  {
    std::unique_lock guard(pool->index_.lock);
    pool->health_.close();
  }
  pool->medium_->close();
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
    if (const auto pool = one.lock()) end(pool);
  }
  return {};
}

}  // namespace holdfast
