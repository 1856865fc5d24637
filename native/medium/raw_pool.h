// A pool's bytes as they are, mapped read-only, whatever is damaged: for salvage. Nothing is
// written, repaired or recovered, and libpmemobj is not asked. Of a pool in several directories a
// part that is missing reads as zeros. The pool's lock is held meanwhile, so nobody changes it
// underneath.
//
// It is a medium of which only the reading half works; every other verb is refused with kReadOnly.
// One thread.
#pragma once

#include <optional>

#include "format/layout.h"
#include "medium/mapping_guard.h"
#include "medium/medium.h"
#include "medium/pool_parts.h"

namespace holdfast {

class RawPool final : public Medium {
 public:
  // kNotFound, kPermission, kLocked, kNotAPool (a folder, empty), kIo.
  static Result<std::unique_ptr<RawPool>> open(const std::string& path);
  ~RawPool() override { close(); }

  // The first superblock copy that is whole, wherever on a page boundary of the first 16 MiB it
  // stands.
  const std::optional<Superblock>& superblock() const { return superblock_; }
  bool has_root() const { return has_root_; }
  // The next page at or behind this one (both multiples of 4 KiB) that is not in a hole: reading
  // one there would make it a real page.
  uint64_t past_hole(uint64_t page) const;
  // May a segment lie there? Its end may be cut off.
  bool could_hold(const Segment& s) const {
    return s.offset % kPageBytes == 0 && s.bytes >= kPageBytes && s.end() > s.offset &&
           s.offset < bytes_;
  }

  Result<Segment> allocate(SegmentKind, uint64_t, uint64_t) override { return refusal(); }
  void release(const Segment&) override {}
  Status adopt(const std::vector<Segment>&) override { return refusal(); }
  Status append(uint64_t, const void*, size_t) override { return refusal(); }
  Status barrier() override { return refusal(); }
  const Root& root() const override { return root_; }
  Status set_root(const Root&) override { return refusal(); }
  const uint8_t* view() const override { return view_; }
  uint64_t view_end() const override { return bytes_; }
  bool failed() const override { return guard_.failed(); }
  const MediumInfo& info() const override { return info_; }
  MediumSpace space() const override { return {}; }
  void close() override;

 private:
  static Status refusal() {
    return Status(Code::kReadOnly, "the pool is only read, for what can be saved of it");
  }
  void find_front();

  PoolParts file_;
  MappingGuard guard_;
  const uint8_t* view_ = nullptr;
  uint64_t bytes_ = 0;
  std::optional<Superblock> superblock_;
  bool has_root_ = false;
  Root root_;
  MediumInfo info_;
};

}  // namespace holdfast
