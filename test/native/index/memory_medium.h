// A medium of plain memory for the tests of the index: no crash, no barrier, but it counts what is
// held and can be told to refuse. One thread. (What a crash leaves is the simulated medium's
// affair.)
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

#include "medium/medium.h"

namespace holdfast {

class MemoryMedium final : public Medium {
 public:
  explicit MemoryMedium(uint64_t capacity, uint64_t unit = 4096)
      : capacity_(round_up(capacity, 4096)) {
    info_.name = "memory";
    info_.segment_unit = unit;
    bytes_ = static_cast<uint8_t*>(std::aligned_alloc(4096, capacity_));
  }
  ~MemoryMedium() override { std::free(bytes_); }

  Result<Segment> allocate(SegmentKind, uint64_t min_bytes, uint64_t want_bytes) override {
    const uint64_t bytes = round_up(std::max(min_bytes, want_bytes), info_.segment_unit);
    uint64_t from = info_.segment_unit;  // first fit; offset 0 is never handed out
    for (const auto& [offset, held] : held_) {
      if (offset - from >= bytes) break;
      from = offset + held;
    }
    if (from + bytes > capacity_) return Status(Code::kPoolFull, "the memory medium is full");
    held_[from] = bytes;
    if (from + bytes > filled_)
      std::memset(bytes_ + filled_, 0xA5, from + bytes - filled_);  // as late as can be: pages cost
    filled_ = std::max(filled_, from + bytes);
    return Segment{from, bytes};
  }
  void release(const Segment& segment) override { held_.erase(segment.offset); }
  Status adopt(const std::vector<Segment>&) override { return Status::ok(); }
  Status append(uint64_t offset, const void* data, size_t size) override {
    if (appends_until_failure == 0) return Status(Code::kIo, "the memory medium was told to fail");
    appends_until_failure--;
    counters_.appends++;
    counters_.bytes_appended += size;
    std::memcpy(bytes_ + offset, data, size);
    return Status::ok();
  }
  Status barrier() override { return Status::ok(); }
  const Root& root() const override { return root_; }
  Status set_root(const Root& root) override {
    root_ = root;
    return Status::ok();
  }
  Status write_out(const Segment& begun, const Segment& earlier) override {
    written_out.emplace_back(begun, earlier);
    return Status::ok();
  }
  bool expect_reads(uint64_t offset, uint64_t bytes) const override {
    expected.push_back({offset, bytes});
    return !in_memory;
  }
  const uint8_t* view() const override { return bytes_; }
  uint64_t view_end() const override { return capacity_; }
  bool failed() const override { return false; }
  const MediumInfo& info() const override { return info_; }
  MediumSpace space() const override { return {}; }
  void close() override {}

  uint8_t* writable() { return bytes_; }
  size_t segments_held() const { return held_.size(); }
  uint64_t appends_until_failure = UINT64_MAX;
  mutable std::vector<Segment> expected;
  bool in_memory = false;  // what it says of them
  std::vector<std::pair<Segment, Segment>> written_out;

 private:
  uint64_t capacity_;
  uint8_t* bytes_;
  uint64_t filled_ = 0;  // from here on nothing has been handed out yet
  std::map<uint64_t, uint64_t> held_;
  MediumInfo info_;
  Root root_;
};

}  // namespace holdfast
