#include "engine/copies/restore.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "engine/copies/large_writer.h"
#include "engine/pool/pool_impl.h"
#include "format/region.h"

namespace holdfast {

namespace {

constexpr uint64_t kRestoreBatchBytes = kMiB;

class RunningRestore final : public Restore, public BackupSink {
 public:
  RunningRestore(std::shared_ptr<PoolImpl> pool, const RestoreTarget& target)
      : pool_(std::move(pool)), target_(target) {}
  ~RunningRestore() override { (void)pool_->close().is_ok(); }

  void part(const std::string& name) override {
    name_ = name;
    reader_ = std::make_unique<BackupReader>(*this, name);
  }
  Status write(Bytes bytes) override { return reader_->write(bytes); }
  Status part_end() override {
    HOLDFAST_TRY(reader_->finish());
    HOLDFAST_TRY(flush());
    report_.parts++;
    return {};
  }

  Result<RestoreReport> finish() override {
    if (report_.parts == 0) return Status(Code::kInvalidArgument, "nothing to restore was given");
    if (target_.epoch && *target_.epoch > reached_) {
      return outside("epoch " + std::to_string(*target_.epoch));
    }
    HOLDFAST_TRY(flush());
    report_.epoch = target_.epoch ? std::min(*target_.epoch, reached_)
                    : beyond_     ? applied_
                                  : reached_;
    HOLDFAST_TRY(pool_->continue_from(report_.epoch));
    HOLDFAST_TRY(pool_->close());
    return report_;
  }

 private:
  Status outside(const std::string& what) const {
    return Status(Code::kOutOfRange, what + " is not in what was given: it reaches from epoch " +
                                         std::to_string(full_epoch_) + " (" +
                                         std::to_string(full_time_) + " ms) to epoch " +
                                         std::to_string(reached_) + " (" +
                                         std::to_string(std::max(last_time_, full_time_)) + " ms)");
  }

  Status mismatch(const std::string& why) const {
    return Status(Code::kBackupMismatch,
                  name_ + " does not go with what was given before it: " + why);
  }

  Status begin(const BackupBegin& begin) override {
    const bool full = begin.kind == static_cast<uint32_t>(BackupKind::kFull);
    if (report_.parts == 0) {
      if (!full)
        return mismatch("it is an increment from epoch " + std::to_string(begin.since) +
                        ", and a full backup must come first");
      std::memcpy(pool_uuid_, begin.pool, sizeof pool_uuid_);
      return {};
    }
    newest_ = begin.since;
    if (full) return mismatch("it is a full backup; give its increments behind it");
    if (std::memcmp(pool_uuid_, begin.pool, sizeof pool_uuid_) != 0)
      return mismatch("it is of another pool");
    if (begin.since > reached_) {
      return mismatch("it begins behind epoch " + std::to_string(begin.since) +
                      ", and what came before it ends with epoch " + std::to_string(reached_) +
                      "; an increment is missing or they are out of order");
    }
    return {};
  }

  Status entries(uint64_t) override { return {}; }

  // A full backup that was gone on with ends with commits too; all of them are needed. An increment
  // may overlap what was before it.
  Status commit(uint64_t epoch, uint64_t time_ms) override {
    const bool full = report_.parts == 0;
    skipping_ = false;
    if (full) return {};
    if (epoch < newest_)
      return Status(Code::kCorrupt, "the backup " + name_ + " has commits out of order");
    newest_ = epoch;
    last_time_ = time_ms;
    if (epoch <= done_) skipping_ = true;
    if (target_.epoch && epoch > *target_.epoch) skipping_ = true;
    if (target_.time_ms && time_ms > *target_.time_ms) beyond_ = true;
    if (beyond_) skipping_ = true;
    if (skipping_) return {};
    if (epoch != applied_) report_.commits++;
    applied_ = epoch;
    report_.time_ms = time_ms;
    return {};
  }

  Status put(Bytes key, Bytes value) override {
    if (skipping_) return {};
    count(key, value.size());
    HOLDFAST_TRY(batch_.put(key, value));
    return batch_.bytes() >= kRestoreBatchBytes ? flush() : Status();
  }

  Status remove(Bytes key) override {
    if (skipping_) return {};
    HOLDFAST_TRY(batch_.remove(key));
    return batch_.bytes() >= kRestoreBatchBytes ? flush() : Status();
  }

  // A backup that was gone on with may write behind the size a region has here, and cuts it later:
  // what would be outside is passed over.
  Status region(OperationType type, Bytes key_bytes, Bytes bytes) override {
    if (skipping_) return {};
    const RegionKey key = decode_region_key(key_bytes);
    report_.bytes += bytes.size();
    if (type == OperationType::kRegionSize) {
      HOLDFAST_TRY(flush());
      if (key.word == 0)
        region_sizes_.erase(key.region);
      else
        region_sizes_[key.region] = key.word;
      HOLDFAST_TRY(batch_.region_size(key.region, key.word, bytes));
      return flush();
    }
    const auto size = region_sizes_.find(key.region);
    if (size == region_sizes_.end() || key.word >= size->second) return {};
    HOLDFAST_TRY(batch_.region_write(
        key.region, key.word,
        bytes.substr(0, std::min<uint64_t>(bytes.size(), size->second - key.word))));
    return batch_.bytes() >= kRestoreBatchBytes ? flush() : Status();
  }

  Status large_begin(Bytes key, uint64_t size) override {
    if (skipping_) return {};
    if (size > kMaxValueBytes)
      return Status(Code::kCorrupt,
                    "the backup " + name_ + " has a value that is longer than any can be");
    count(key, size);
    HOLDFAST_TRY(flush());
    large_key_.assign(key);
    large_ = std::make_unique<LargeWriter>(*pool_, size);
    return {};
  }
  Status large_bytes(Bytes bytes) override { return skipping_ ? Status() : large_->write(bytes); }
  Status large_end() override {
    if (skipping_) return {};
    Status put = large_->commit(large_key_);
    large_ = nullptr;
    return put;
  }

  Status end(const BackupEnd& end) override {
    const bool full = report_.parts == 0;
    if (full) {
      full_epoch_ = reached_ = applied_ = end.epoch;
      full_time_ = report_.time_ms = end.time_ms;
      if (target_.epoch && *target_.epoch < end.epoch)
        return outside("epoch " + std::to_string(*target_.epoch));
      if (target_.time_ms && *target_.time_ms < end.time_ms)
        return outside("the time " + std::to_string(*target_.time_ms) + " ms");
    }
    reached_ = done_ = std::max(reached_, end.epoch);
    return {};
  }

  void count(Bytes key, uint64_t bytes) {
    if (report_.parts == 0) report_.entries += counts_as_entry(key);
    report_.bytes += bytes;
  }

  Status flush() {
    if (batch_.operations() == 0) return {};
    auto receipt = pool_->commit(batch_, CommitMode::kEventual);
    batch_.clear();
    return std::move(receipt.status());
  }

  const std::shared_ptr<PoolImpl> pool_;
  const RestoreTarget target_;
  RestoreReport report_;
  std::unique_ptr<BackupReader> reader_;
  std::string name_, large_key_;
  Batch batch_;
  std::unique_ptr<LargeWriter> large_;
  std::map<uint32_t, uint64_t> region_sizes_;  // as restored so far
  uint8_t pool_uuid_[16] = {};
  uint64_t full_epoch_ = 0, full_time_ = 0, last_time_ = 0;
  uint64_t reached_ = 0;  // what was given goes up to here
  uint64_t done_ = 0;     // of the parts before: commits up to here have been applied
  uint64_t applied_ = 0;  // the last commit that was applied
  uint64_t newest_ = 0;   // the last one seen
  bool skipping_ = false, beyond_ = false;
};

}  // namespace

Result<std::unique_ptr<Restore>> Restore::begin(const std::string& path, const PoolOptions& given,
                                                const RestoreTarget& target) {
  PoolOptions options = given;
  options.medium.create = CreateMode::kExclusive;
  auto pool = Pool::open(path, options);
  if (!pool.is_ok()) return std::move(pool.status());
  return std::unique_ptr<Restore>(
      new RunningRestore(std::static_pointer_cast<PoolImpl>(*pool), target));
}

}  // namespace holdfast
