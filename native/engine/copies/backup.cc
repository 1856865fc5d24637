#include "engine/copies/backup.h"

#include <algorithm>
#include <random>

#include "base/memory.h"
#include "engine/pool/pool_impl.h"
#include "engine/read/large_chunks.h"
#include "format/region.h"
#include "medium/posix_file.h"

namespace holdfast {

namespace {

constexpr size_t kBlockBytes =
    512 * kKiB;  // a block is closed at the first item behind so many bytes
constexpr size_t kBlockMemory =
    4 * kBlockBytes;  // what is filled, twice while it grows, and what is handed out
constexpr uint64_t kEntriesAtOnce = 64;  // copied under one hold of the index lock
constexpr uint64_t kLogAtOnce = 256 * kKiB;

class RunningBackup final : public Backup {
 public:
  RunningBackup(std::shared_ptr<PoolImpl> pool, const BackupOptions& options)
      : pool_(std::move(pool)), options_(options) {}

  Status start() {
    const bool increment = options_.since.has_value();
    HOLDFAST_TRY(fits_what_was_begun());
    const BackupProgress* before =
        options_.resume && options_.resume->begun ? &*options_.resume : nullptr;
    HOLDFAST_TRY(pool_->settle());
    if (increment) {
      status_.since = *options_.since;
      HOLDFAST_TRY(
          open_feed(before && before->totals.commits > 0 ? before->reached - 1 : *options_.since));
      status_.epoch = pool_->stats().durable_epoch;
      phase_ = Phase::kCommits;
    } else if (before && before->in_commits) {
      HOLDFAST_TRY(open_feed(before->reached - 1));
      status_.epoch = pool_->stats().durable_epoch;
      phase_ = Phase::kCommits;
    } else {
      if (before && before->first_epoch > 0) HOLDFAST_TRY(open_feed(before->first_epoch));
      auto snapshot = pool_->snapshot();
      if (!snapshot.is_ok()) return std::move(snapshot.status());
      snapshot_ = *snapshot;
      status_.epoch = pool_->epoch_of(snapshot_);
      RangeOptions all;
      all.low = before ? before->last_key + '\0' : std::string();
      all.high = std::string(4, '\xff');
      auto range = pool_->range(all, snapshot_);
      if (!range.is_ok()) return std::move(range.status());
      range_ = std::move(*range);
      expected_ = std::max<uint64_t>(pool_->index().entries_at_most(), 1);
      phase_ = Phase::kEntries;
    }
    totals_.epoch = status_.epoch;
    totals_.time_ms = increment ? 0 : now_ms();
    if (before) {
      chain_ = before->chain;
      index_ = before->index;
      status_.entries = before->totals.entries, status_.commits = before->totals.commits,
      status_.bytes = before->totals.bytes;
      if (increment) totals_.time_ms = before->totals.time_ms;
    }
    begun_ = before != nullptr;
    if (phase_ == Phase::kEntries) item(ItemTag::kEntries, {}, status_.epoch);
    return {};
  }

  Result<bool> next(std::string* to) override {
    Visit visit(pool_->visits());
    HOLDFAST_TRY(visit.begin());
    if (!has_memory_for(kBlockMemory))
      return Status(
          Code::kNoMemory,
          "no memory for a block of the backup; it goes on where it is when there is some");
    if (!begun_) {
      begun_ = true;
      BackupBegin begin;
      begin.kind =
          static_cast<uint32_t>(options_.since ? BackupKind::kIncrement : BackupKind::kFull);
      std::memcpy(begin.pool, pool_->uuid(), sizeof begin.pool);
      std::random_device random;
      for (uint8_t& byte : begin.backup) byte = static_cast<uint8_t>(random());
      begin.since = status_.since;
      begin.time_ms = now_ms();
      close_block(BlockKind::kBegin,
                  bytes_of(reinterpret_cast<const uint8_t*>(&begin), sizeof begin), to);
      return true;
    }
    while (payload_.size() < kBlockBytes && phase_ != Phase::kEnd && phase_ != Phase::kDone) {
      if (phase_ == Phase::kLarge)
        HOLDFAST_TRY(more_large());
      else if (phase_ == Phase::kRegions)
        HOLDFAST_TRY(more_regions());
      else if (phase_ == Phase::kEntries)
        HOLDFAST_TRY(more_entries());
      else
        HOLDFAST_TRY(more_commits());
    }
    if (!payload_.empty()) {
      close_block(BlockKind::kData, payload_, to);
      payload_.clear();
      return true;
    }
    if (phase_ == Phase::kDone) return false;
    // The snapshot may have seen commits that were not durable yet. They are, or the backup has no
    // end.
    HOLDFAST_TRY(pool_->settle());
    totals_.entries = status_.entries, totals_.commits = status_.commits,
    totals_.bytes = status_.bytes;
    close_block(BlockKind::kEnd,
                bytes_of(reinterpret_cast<const uint8_t*>(&totals_), sizeof totals_), to);
    phase_ = Phase::kDone;
    range_ = nullptr, snapshot_ = nullptr, feed_ = nullptr;
    return true;
  }

  BackupStatus status() const override {
    BackupStatus out = status_;
    if (phase_ == Phase::kEnd || phase_ == Phase::kDone)
      out.fraction = 1;
    else if (phase_ == Phase::kCommits)
      out.fraction = commits_fraction();
    else
      out.fraction =
          std::min(0.99, static_cast<double>(status_.entries) / static_cast<double>(expected_));
    return out;
  }

 private:
  enum class Phase { kEntries, kLarge, kRegions, kCommits, kEnd, kDone };

  Status fits_what_was_begun() const {
    if (!options_.resume || !options_.resume->begun) return {};
    const BackupBegin& head = options_.resume->head;
    const auto kind = options_.since ? BackupKind::kIncrement : BackupKind::kFull;
    if (std::memcmp(head.pool, pool_->uuid(), sizeof head.pool) == 0 &&
        head.kind == static_cast<uint32_t>(kind) && head.since == options_.since.value_or(0)) {
      return {};
    }
    return Status(
        Code::kBackupMismatch,
        "an interrupted backup is there already, but of another pool or with another beginning; "
        "remove it, or back up to another place");
  }

  double commits_fraction() const {
    const uint64_t all = status_.epoch - feed_from_;
    return all == 0 ? 1
                    : std::min(0.99, static_cast<double>(feed_->reached() - feed_from_) /
                                         static_cast<double>(all));
  }

  // Kept in the log however far behind: the backup is bounded by what there is now.
  Status open_feed(uint64_t after) {
    FeedOptions options;
    options.after = after;
    options.lag_bytes = UINT64_MAX;
    options.regions = true;
    feed_from_ = after;
    auto opened = pool_->feed(options);
    if (!opened.is_ok()) return std::move(opened.status());
    feed_ = std::move(*opened);
    return {};
  }

  void item(ItemTag tag, Bytes key, uint64_t size) {
    ItemHeader header;
    header.tag = static_cast<uint8_t>(tag);
    header.key_bytes = static_cast<uint16_t>(key.size());
    header.size = size;
    payload_.append(reinterpret_cast<const char*>(&header), sizeof header);
    payload_.append(key);
  }

  void close_block(BlockKind kind, Bytes payload, std::string* to) {
    BlockHeader header;
    header.kind = static_cast<uint16_t>(kind);
    header.payload_bytes = static_cast<uint32_t>(payload.size());
    header.index = index_++;
    seal_block(&header, payload.data(), chain_);
    chain_ = header.chain;
    to->append(reinterpret_cast<const char*>(&header), sizeof header);
    to->append(payload);
  }

  Status more_entries() {
    Status copied;
    const size_t from = payload_.size();
    auto given =
        range_->next(kEntriesAtOnce, [&](Bytes key, const FoundValue& value, Reader& reader) {
          item(ItemTag::kPut, key, value.size);
          status_.entries += counts_as_entry(key);
          status_.bytes += value.size;
          if (value.size > kWholeValue) {
            description_.assign(value.large ? value.description : Bytes());
            phase_ = Phase::kLarge;
            return false;
          }
          const size_t at = payload_.size();
          payload_.resize(at + value.size);
          if (value.size > 0)
            copied = reader.copy(value, reinterpret_cast<uint8_t*>(payload_.data()) + at);
          return copied.is_ok() && payload_.size() - from < kBlockBytes / 4;
        });
    if (!given.is_ok()) return std::move(given.status());
    HOLDFAST_TRY(std::move(copied));
    if (*given == 0) {
      range_ = nullptr;
      auto regions = pool_->regions(snapshot_);
      if (!regions.is_ok()) return std::move(regions.status());
      regions_ = std::move(*regions);
      phase_ = Phase::kRegions;
    }
    if (phase_ == Phase::kLarge)
      large_ = std::make_unique<LargeChunks>(pool_->medium(), pool_->health(), description_);
    return {};
  }

  void region_item(ItemTag tag, uint32_t region, uint64_t word, Bytes bytes) {
    char key[kRegionKeyBytes];
    encode_region_key(key, region, word);
    item(tag, Bytes(key, sizeof key), bytes.size());
    payload_.append(bytes);
  }

  // Regions as of the snapshot: the size of each, then what is not zeros, a piece a call. One that
  // is gone on with says them all again, and the commits behind them make up for what lies between
  // the two snapshots.
  Status more_regions() {
    if (regions_done_ == regions_.size()) {
      snapshot_ = nullptr;
      phase_ = feed_ ? Phase::kCommits : Phase::kEnd;
      return {};
    }
    const RegionInfo& region = regions_[regions_done_];
    if (region_offset_ == 0)
      region_item(ItemTag::kRegionSize, region.region, region.size, region.name);
    auto data = pool_->region_data_from(region.region, region_offset_, snapshot_);
    if (!data.is_ok()) return std::move(data.status());
    region_offset_ = *data;
    std::string bytes(std::min(kRegionPieceBytes, region.size - region_offset_), '\0');
    if (!bytes.empty())
      HOLDFAST_TRY(pool_->region_read(region.region, region_offset_, bytes.size(),
                                      reinterpret_cast<uint8_t*>(bytes.data()), snapshot_));
    if (bytes.find_first_not_of('\0') != std::string::npos) {
      region_item(ItemTag::kRegionWrite, region.region, region_offset_, bytes);
      status_.bytes += bytes.size();
    }
    region_offset_ += bytes.size();
    if (region_offset_ == region.size) {
      regions_done_++;
      region_offset_ = 0;
    }
    return {};
  }

  // A chunk a call: a value of a gigabyte takes a megabyte of memory.
  Status more_large() {
    auto more = large_->next([&](const uint8_t* bytes, size_t size) {
      payload_.append(reinterpret_cast<const char*>(bytes), size);
    });
    if (!more.is_ok()) return std::move(more.status());
    if (*more) return {};
    large_ = nullptr;
    phase_ = Phase::kEntries;
    return {};
  }

  Status more_commits() {
    if (feed_->reached() >= status_.epoch) {
      phase_ = Phase::kEnd;
      return {};
    }
    bool paused = false;
    const auto pause = [&paused] { return paused = true, Status(Code::kAborted, "paused"); };
    auto given = feed_->next(kLogAtOnce, [&](const FeedCommit& commit) -> Status {
      if (commit.epoch > status_.epoch) {  // made since: not of this backup
        phase_ = Phase::kEnd;
        return pause();
      }
      if (done_changes_ == 0 && !large_) {
        if (payload_.size() >= kBlockBytes) return pause();
        item(ItemTag::kCommit, {}, commit.epoch);
        payload_.append(reinterpret_cast<const char*>(&commit.time_ms), sizeof commit.time_ms);
        status_.commits++;
        if (options_.since) totals_.time_ms = commit.time_ms;
      }
      for (; done_changes_ < commit.changes.size(); done_changes_++) {
        if (done_changes_ > 0 && payload_.size() >= kBlockBytes)
          return pause();  // the first goes with its commit's heading
        HOLDFAST_TRY(take(commit.changes[done_changes_], &paused));
        if (paused) return pause();
      }
      done_changes_ = 0;
      return {};
    });
    return given.is_ok() || paused ? Status() : std::move(given.status());
  }

  // One change, or a block's worth of its value: then the cursor stays where it is, and gives the
  // commit again.
  Status take(const FeedChange& change, bool* paused) {
    if (change.type == OperationType::kDelete) {
      item(ItemTag::kDelete, change.key, 0);
      return {};
    }
    if (is_region_operation(change.type)) {
      const RegionKey key = decode_region_key(change.key);
      const ItemTag tag =
          change.type == OperationType::kRegionWrite ? ItemTag::kRegionWrite : ItemTag::kRegionSize;
      region_item(tag, key.region, key.word, change.value);
      status_.bytes += change.value_bytes;
      return {};
    }
    if (!large_) {
      item(ItemTag::kPut, change.key, change.value_bytes);
      status_.bytes += change.value_bytes;
    }
    if (change.type == OperationType::kPut) {
      payload_.append(change.value);
      return {};
    }
    if (!large_)
      large_ = std::make_unique<LargeChunks>(pool_->medium(), pool_->health(),
                                             std::string(change.value));
    bool more = true;
    while (more && payload_.size() < kBlockBytes) {
      auto given = large_->next([&](const uint8_t* bytes, size_t size) {
        payload_.append(reinterpret_cast<const char*>(bytes), size);
      });
      if (!given.is_ok()) {
        return pool_->large_is_held(change.key, change.value)
                   ? std::move(given.status())
                   : LargeChunks::forgotten(change.value_bytes);
      }
      more = *given;
    }
    *paused = more;
    if (!more) large_ = nullptr;
    return {};
  }

  const std::shared_ptr<PoolImpl> pool_;
  const BackupOptions options_;
  BackupStatus status_;
  BackupEnd totals_;
  Phase phase_ = Phase::kEntries;
  SnapshotPtr snapshot_;
  std::unique_ptr<RangeIterator> range_;
  std::unique_ptr<FeedCursor> feed_;
  std::unique_ptr<LargeChunks> large_;
  std::vector<RegionInfo> regions_;
  size_t regions_done_ = 0;
  uint64_t region_offset_ = 0;  // of the region that is being read
  std::string description_;     // of the large value that is being read
  std::string payload_;         // of the block that is being filled
  uint64_t chain_ = 0, feed_from_ = 0, expected_ = 1;
  size_t done_changes_ = 0;  // of the commit that is being taken
  uint32_t index_ = 0;
  bool begun_ = false;
};

}  // namespace

Result<std::unique_ptr<Backup>> Backup::begin(const std::shared_ptr<Pool>& pool,
                                              const BackupOptions& options) {
  if (pool->read_only())
    return Status(
        Code::kReadOnly,
        "a pool that is open for reading only is backed up by the process that writes it");
  auto backup = std::make_unique<RunningBackup>(std::static_pointer_cast<PoolImpl>(pool), options);
  HOLDFAST_TRY(backup->start());
  return std::unique_ptr<Backup>(std::move(backup));
}

bool lock_backup_file(int descriptor) { return lock_descriptor(descriptor); }

}  // namespace holdfast
