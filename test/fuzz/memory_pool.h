// A small pool in plain memory, made once and copied for each fuzzing input. No crash, no barrier,
// one address space of 4 MiB. It hands out segments from its end's free part only and never frees.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "engine/pool.h"
#include "format/fold.h"
#include "medium/medium.h"

namespace holdfast::fuzz {

class MemoryPool {
 public:
  static constexpr uint64_t kSecret = 0x5eed;
  static constexpr uint64_t kBytes = 8 * kMiB;

  struct Saved {
    std::vector<uint8_t> image;
    uint64_t used = 0;
    RootWords root;
    FoldBlock fold;
    std::vector<FoldedSegment> log;  // all log segments
    std::vector<Segment> places;     // where patches go: fold, log, index, large
  };

  static std::string key(int i) {
    return std::string("\0\0\0\1", 4) + "key " + std::to_string(i * 7919 % 1000);
  }

  static Saved make_base() {
    Saved saved;
    saved.image.resize(kBytes);
    MemoryPool pool(saved);
    RootWords root;
    auto opened = pool.open(root);
    if (!opened.is_ok()) std::abort();
    fill(**opened);
    saved.image.assign(pool.image_.get(), pool.image_.get() + kBytes);
    saved.used = pool.medium_used_;
    saved.root = RootWords::from_root(pool.root_);
    auto fold = FoldBlock::decode(
        bytes_of(saved.image.data() + saved.root.fold.offset, saved.root.fold_bytes));
    if (!fold) std::abort();
    saved.fold = *fold;
    saved.log = fold->log;
    saved.places.push_back({saved.root.fold.offset, saved.root.fold_bytes});
    for (const FoldedSegment& s : fold->log) saved.places.push_back({s.segment.offset, 16 * kKiB});
    saved.places.push_back({fold->log_offset, 4 * kKiB});  // where the tail begins
    for (const Segment& s : fold->large) saved.places.push_back({s.offset, 4 * kKiB});
    for (const auto& run : fold->runs) {
      for (const FoldedTable& table : run)
        saved.places.push_back({table.segment.offset, table.nodes * 4 * kKiB});
    }
    return saved;
  }

  explicit MemoryPool(const Saved& saved)
      : image_(new (std::align_val_t(4096)) uint8_t[kBytes]),
        medium_used_(saved.used ? saved.used : 64 * kKiB) {
    std::memset(image_.get(), 0, kBytes);
    std::memcpy(image_.get(), saved.image.data(), saved.used);
  }

  uint8_t* image() { return image_.get(); }

  Result<std::shared_ptr<Pool>> open(const RootWords& root) {
    root_ = root.to_root();
    OpenedMedium opened;
    opened.medium = std::make_unique<View>(this);
    opened.secret = kSecret;
    opened.format_version = 1;
    PoolOptions options;
    options.fold_operations = 1u << 30;
    return Pool::open_on(std::move(opened), "memory", options);
  }

 private:
  static void fill(Pool& pool) {
    for (int round = 0; round < 3; round++) {
      for (int i = 0; i < 60; i++) {
        Batch batch;
        (void)batch
            .put(key(i + 20 * round),
                 std::string(static_cast<size_t>(i * 13 % 200), static_cast<char>('a' + i % 26)))
            .is_ok();
        if (i % 9 == 0) (void)batch.remove(key(i / 2)).is_ok();
        if (i == 5 && round == 1) (void)batch.put(key(999), std::string(300000, 'L')).is_ok();
        if (!pool.commit(batch, CommitMode::kDurable).is_ok()) std::abort();
      }
      if (round < 2 && !pool.fold().is_ok()) std::abort();
    }
  }

  class View final : public Medium {
   public:
    explicit View(MemoryPool* pool) : pool_(pool) {
      info_.name = "memory";
      info_.segment_unit = 64 * kKiB;
      info_.barrier_is_per_thread = true;
    }
    Result<Segment> allocate(SegmentKind, uint64_t min_bytes, uint64_t want_bytes) override {
      const uint64_t left = kBytes - pool_->medium_used_;
      if (min_bytes > left) return Status(Code::kPoolFull, "the memory is full");
      const Segment segment{pool_->medium_used_,
                            round_up(std::min(std::max(min_bytes, want_bytes), left), 4096)};
      pool_->medium_used_ += segment.bytes;
      return segment;
    }
    void release(const Segment&) override {}
    Status adopt(const std::vector<Segment>& held) override {
      for (const Segment& s : held) {
        if (s.offset % 4096 != 0 || s.bytes % 4096 != 0 || s.end() < s.offset || s.end() > kBytes)
          return Status(Code::kCorrupt, "a segment is outside");
      }
      return {};
    }
    Status append(uint64_t offset, const void* data, size_t size) override {
      if (offset > kBytes || size > kBytes - offset)
        return Status(Code::kOutOfRange, "an append outside of the pool");
      std::memcpy(pool_->image_.get() + offset, data, size);
      return {};
    }
    Status barrier() override { return {}; }
    const Root& root() const override { return pool_->root_; }
    Status set_root(const Root& root) override {
      pool_->root_ = root;
      return {};
    }
    const uint8_t* view() const override { return pool_->image_.get(); }
    uint64_t view_end() const override { return kBytes; }
    bool failed() const override { return false; }
    const MediumInfo& info() const override { return info_; }
    MediumSpace space() const override {
      const uint64_t left = kBytes - pool_->medium_used_;
      return {kBytes, kBytes, left, left};
    }
    void close() override {}

   private:
    MemoryPool* pool_;
    MediumInfo info_;
  };

  struct Free {
    void operator()(uint8_t* at) const { operator delete[](at, std::align_val_t(4096)); }
  };
  std::unique_ptr<uint8_t[], Free> image_;
  uint64_t medium_used_;
  Root root_;
};

}  // namespace holdfast::fuzz
