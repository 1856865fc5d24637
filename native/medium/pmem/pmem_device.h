// The open medium on persistent memory. Made by pmem_medium.cc only.
//
// A commit costs one copy with non-temporal stores and one fence of ours; libpmemobj is called for
// segments and the root. Crash: see medium.h. Offsets count from libpmemobj's mapping, so offset 0
// is its own header, which is never a segment. Threads: as medium.h says.
#pragma once

#include <libpmemobj.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "medium/mapping_guard.h"
#include "medium/medium.h"
#include "medium/pmem/pmem_fields.h"
#include "medium/pmem/pmem_front.h"
#include "medium/pmem/pmem_heap.h"
#include "medium/pmem/pmem_place.h"
#include "medium/pool_parts.h"

namespace holdfast {

class PmemMedium final : public Medium {
 public:
  // Takes over an open pool whose use mark is set.
  PmemMedium(PMEMobjpool* pool, uint64_t pool_bytes, const PmemFront& front,
             const PmemDurability& durability);
  ~PmemMedium() override { close(); }

  Result<Segment> allocate(SegmentKind kind, uint64_t min_bytes, uint64_t want_bytes) override;
  void release(const Segment& segment) override;
  Status adopt(const std::vector<Segment>& held) override;
  Status append(uint64_t offset, const void* data, size_t size) override;
  uint64_t log_marks() const override {
    return static_cast<uint64_t>(front_ - base_) + kLogMarksOffset;
  }
  void expect_appends(uint64_t offset, uint64_t bytes) const override;
  Status append_ahead(uint64_t offset, const void* data, size_t size) override;
  Status append_fenced(uint64_t offset, const void* data, size_t size,
                       Meanwhile& meanwhile) override;
  Status barrier() override;
  const Root& root() const override { return root_; }
  Status set_root(const Root& root) override;
  const uint8_t* view() const override { return base_; }
  uint64_t view_end() const override { return pool_bytes_; }
  void copy_out(uint64_t offset, void* to, size_t size) const override;
  // The pool's files once more, for private mappings of them and for growing; libpmemobj keeps its
  // own descriptors to itself. Without them such mappings are refused; false: and the pool cannot
  // grow, which it must.
  bool use_file(const std::string& path);
  bool widen_pages(const Segment& segment) override;
  bool map_privately(uint64_t offset, uint64_t bytes, void* at) const override;
  Status still_there() override;
  bool failed() const override {
    return failed_.load(std::memory_order_relaxed) || guard_.failed();
  }
  const MediumInfo& info() const override { return info_; }
  MediumSpace space() const override;
  uint64_t largest_free() const override;
  std::vector<MediumPart> parts() const override;
  void close() override;

 private:
  bool written_over() const;
  Status not_written_over();
  Status fail(const std::string& what);
  Status refusal() const;
  Status place(uint64_t offset, const void* data, size_t size);
  void fault_in(const Segment& segment);
  void fault_in(uint64_t from, uint64_t to);

  PMEMobjpool* const pool_;
  uint8_t* const base_;
  const uint64_t pool_bytes_;
  uint8_t* const front_;
  const uint64_t secret_;
  MediumInfo info_;
  PoolParts file_;                   // may be closed
  bool names_are_counted_ = false;   // of it; not by every file system
  MappingGuard guard_;               // over the whole pool
  std::atomic<bool> failed_{false};  // or closed: one look on the way of every call
  std::atomic<bool> closed_{false};
  mutable PmemHeap heap_;
  std::unique_ptr<PmemFields> fields_;  // in its place, where the pool lies in several directories
  std::vector<std::atomic<uint64_t>>
      faulted_;  // a bit for each chunk that was faulted in and not given back since

  std::mutex root_lock_;  // guards the two below against another set_root
  Root root_;
  uint64_t root_sequence_;
};

}  // namespace holdfast
