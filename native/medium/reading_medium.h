// A pool's bytes as a reader in another process sees them: mapped read-only, while a writer may be
// at work. No lock is taken on the pool, nothing is written, repaired or recovered, and libpmemobj
// is not asked: on persistent memory offsets in its pool are offsets in the file.
//
// PoolBytes is the mapping, one for each pool that is open for reading. ReadingMedium is what the
// engine reads one generation (one fold and the tail behind it) through: a medium of which only the
// reading half works. failed() says whether what was just copied may be anything else than the
// pool's: the mapping is damaged, or the pin that kept the bytes in place does not stand any more.
//
// Threads: any, but look_again() and root(), which belong to whoever refreshes.
#pragma once

#include "medium/address_share.h"
#include "medium/open_medium.h"
#include "medium/pool_parts.h"
#include "medium/readers_table.h"
#include "medium/superblock.h"

namespace holdfast {

class PoolBytes {
 public:
  // kNotFound, kNotAPool, kNewerFormat, kCorrupt, kPermission, kDurability, kMediumUnavailable,
  // kIo.
  static Result<std::shared_ptr<PoolBytes>> open(const std::string& path,
                                                 const MediumOptions& options);
  ~PoolBytes();
  PoolBytes(const PoolBytes&) = delete;

  // Is somebody writing? Asked by trying the pool's lock for a moment: not while a writer may be
  // opening (ReadersTable).
  bool writer_holds_lock();
  // The root as it stands now. kCorrupt: neither slot is whole.
  Result<ChosenRoot> root() const;
  // The highest incarnation in the root's slots. Every writer raises it before it changes anything
  // else.
  uint64_t incarnation() const;
  // Has the file become longer? And is it still the one at the path?
  Status look_again();

  const uint8_t* view() const { return view_; }
  uint64_t end() const { return end_.load(std::memory_order_acquire); }
  uint64_t log_marks() const { return front_ + kLogMarksOffset; }
  bool failed() const { return guard_.failed(); }
  const Superblock& superblock() const { return superblock_; }
  const MediumInfo& info() const { return info_; }
  const std::string& path() const { return path_; }
  std::vector<MediumPart> parts() const { return file_.report(); }

 private:
  explicit PoolBytes(std::string path) : path_(std::move(path)) {}
  Status map(const MediumOptions& options);

  const std::string path_;
  PoolParts file_;
  const AddressShare addresses_;
  MappingGuard guard_;
  const uint8_t* view_ = nullptr;
  uint64_t window_ = 0;
  uint64_t front_ = 0;  // where superblocks and root slots are
  std::atomic<uint64_t> end_{0};
  Superblock superblock_ = {};
  MediumInfo info_;
};

class ReadingMedium final : public Medium {
 public:
  // Without a table (`pin` is null then): good as long as no writer comes, that is, as long as the
  // root's incarnation is `incarnation`.
  ReadingMedium(std::shared_ptr<PoolBytes> bytes, std::shared_ptr<ReadersTable> table,
                std::unique_ptr<ReaderPin> pin, uint64_t incarnation);

  Result<Segment> allocate(SegmentKind, uint64_t, uint64_t) override { return refusal(); }
  void release(const Segment&) override {}
  Status adopt(const std::vector<Segment>&) override { return refusal(); }
  Status append(uint64_t, const void*, size_t) override { return refusal(); }
  uint64_t log_marks() const override { return bytes_->log_marks(); }
  Status barrier() override { return refusal(); }
  const Root& root() const override { return root_; }
  Status set_root(const Root&) override { return refusal(); }
  const uint8_t* view() const override { return bytes_->view(); }
  uint64_t view_end() const override { return bytes_->end(); }
  bool expect_reads(uint64_t offset, uint64_t bytes) const override;
  bool failed() const override { return bytes_->failed() || expired(); }
  Status refused() const override;
  const MediumInfo& info() const override { return bytes_->info(); }
  MediumSpace space() const override;
  std::vector<MediumPart> parts() const override { return bytes_->parts(); }
  void close() override;

  // Once true it stays true.
  bool expired() const;
  ReaderPin* pin() const { return pin_.get(); }

 private:
  static Status refusal() { return Status(Code::kReadOnly, "the pool is open for reading only"); }
  const std::shared_ptr<PoolBytes> bytes_;
  const std::shared_ptr<ReadersTable> table_;
  const std::unique_ptr<ReaderPin> pin_;  // let go by close()
  const uint64_t incarnation_;
  mutable std::atomic<bool> expired_{false};
  Root root_;
};

}  // namespace holdfast
