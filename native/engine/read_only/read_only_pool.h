// A pool opened for reading only, also while another process writes to it: the newest durable
// state, followed by refresh().
//
// What it promises. Every read sees the state after one commit, whole; that commit was behind its
// barrier when it was first seen (or, where no writer lives, is one that the next writer will
// find). Epochs never go back. The writer is never waited for but once, in open(), when it has to
// take notice of the first reader; it never waits for a reader. Bytes that may have been given away
// are never handed out: kReaderExpired instead. Nothing of the pool is written.
//
// How. One generation (generation.h) for each fold, which shows the tail as far as it is durable
// and keeps in place what it shows. refresh() walks on in the tail, or, when the writer
// (writer_seen.h) has folded, makes a new generation; the old one goes, and its slot with it, when
// the last snapshot of it does. Why that is safe:
// docs/decisions/0008-readers-in-other-processes.md.
//
// Threads: as pool.h says. Locks: refresh_mutex_ > current_lock_ > those of a generation's
// PoolImpl.
#pragma once

#include "engine/pool/pool_impl.h"
#include "engine/read_only/generation.h"
#include "engine/read_only/writer_seen.h"

namespace holdfast {

class ReadOnlyPool final : public Pool {
 public:
  // As open_medium(), and kLocked: a writer lives and can't be followed from here (says why).
  static Result<std::shared_ptr<Pool>> open(const std::string& path, const PoolOptions& options);
  ReadOnlyPool(std::string path, const PoolOptions& options)
      : path_(std::move(path)), options_(options), writer_(path_, options_) {}
  ~ReadOnlyPool() override { (void)close().is_ok(); }

  Result<uint64_t> refresh() override;
  bool read_only() const override { return true; }

  Result<Reader> read(const SnapshotPtr& snapshot) override;
  Result<SnapshotPtr> snapshot() override;
  uint64_t epoch_of(const SnapshotPtr& snapshot) const override { return snapshot->pin.epoch; }
  Result<std::unique_ptr<RangeIterator>> range(const RangeOptions& options,
                                               const SnapshotPtr& snapshot) override;
  Result<uint64_t> count(const RangeOptions& options, const SnapshotPtr& snapshot,
                         const std::atomic<bool>* cancelled) override;
  Status region_read(uint32_t region, uint64_t offset, uint64_t size, uint8_t* to,
                     const SnapshotPtr& snapshot) override;
  Result<uint64_t> region_data_from(uint32_t region, uint64_t offset,
                                    const SnapshotPtr& snapshot) override;
  Result<RegionInfo> region_info(uint32_t region, const SnapshotPtr& snapshot) override;
  Result<std::vector<RegionInfo>> regions(const SnapshotPtr& snapshot) override;
  // Copies: a mapping would go on showing what is there after the pin was taken away.
  Result<std::unique_ptr<MappedView>> view_value(Bytes key, const SnapshotPtr& snapshot) override;
  Result<std::unique_ptr<MappedView>> view_region(uint32_t region, uint64_t offset, uint64_t size,
                                                  const SnapshotPtr& snapshot) override;
  PoolFacts facts() const override;
  PoolStats stats() const override;
  Result<CheckReport> check(const std::atomic<bool>* cancelled,
                            const std::function<void(double)>& progress) override;
  Status close() override;

  // What changes a pool is refused with kReadOnly; there is nothing to settle and nothing to
  // maintain.
  Result<Receipt> commit(Batch&, CommitMode) override { return refusal(); }
  std::shared_ptr<void> attach(OnCompleted on_completed) override {
    return std::make_shared<Client>(std::move(on_completed));
  }
  uint64_t submit(const std::shared_ptr<void>& client, Batch&& batch, CommitMode mode) override;
  void flush(const std::shared_ptr<void>& client) override;
  Status settle() override { return {}; }
  Status fold() override { return refusal(); }
  Status compact(const Abandoned&) override { return refusal(); }
  Status resize(uint64_t, const Abandoned&) override { return refusal(); }
  // The log is the writer's to keep: its feed is read, and it is backed up, where it is written.
  Result<std::unique_ptr<FeedCursor>> feed(const FeedOptions&) override { return refusal(); }
  Status watch(std::shared_ptr<FeedWaiter> waiter) override {
    return feed_tail_.add(std::move(waiter));
  }
  void maintain(bool) override {}

 private:
  Status refusal() const;
  Status begin();
  Result<uint64_t> refresh_locked();
  Status step(const WriterSeen::Moment& writer, bool* done);
  Status next_generation(const RootWords& root);
  Result<std::shared_ptr<Generation>> pinned_generation(const RootWords& seen);
  Status catch_up(Generation* generation, const WriterSeen::Moment& writer, bool* done);
  std::shared_ptr<Generation> current() const;
  // The engine that answers for the snapshot, or for now; held as long as it is asked.
  Result<std::shared_ptr<PoolImpl>> reading(const SnapshotPtr& snapshot) const;

  const std::string path_;
  const PoolOptions options_;
  WriterSeen writer_;

  std::mutex refresh_mutex_;
  // Guarded by refresh_mutex_, as the next four: when the last refresh ended.
  WriterSeen::Moment seen_;
  uint64_t epoch_ = 0;
  bool up_to_date_ = false;
  std::vector<std::weak_ptr<PoolImpl>> generations_;
  bool closed_ = false;

  FeedTail feed_tail_;  // nobody rings it

  mutable SharedLock current_lock_;
  std::shared_ptr<Generation> current_;  // guarded by current_lock_

  std::atomic<uint64_t> refreshes_{0}, replayed_operations_{0}, replayed_bytes_{0};
};

}  // namespace holdfast
