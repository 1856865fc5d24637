#include "medium/pmem/pmem_device.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "base/system_page.h"
#include "base/test_points.h"
#include "medium/large_pages.h"
#include "medium/pmem/pmem_library_layout.h"
#include "medium/pmem/pmem_wrap.h"
#include "medium/pool_file.h"

namespace holdfast {

PmemMedium::PmemMedium(PMEMobjpool* pool, uint64_t pool_bytes, const PmemFront& front,
                       const PmemDurability& durability)
    : pool_(pool),
      base_(reinterpret_cast<uint8_t*>(pool)),
      pool_bytes_(pool_bytes),
      front_(base_ + front.offset),
      secret_(front.superblock.secret),
      heap_(pool),
      faulted_(pool_bytes / kPmemChunkBytes / 64 + 1),
      root_(front.root.root),
      root_sequence_(front.root.sequence) {
  guard_.watch(base_, pool_bytes_);
  info_.name = "pmem";
  info_.durability = durability.durability;
  info_.durability_reason = durability.reason;
  info_.atom_bytes = 64;
  info_.segment_unit = kPmemChunkBytes;
  info_.barrier_is_per_thread = true;
  info_.grows = front.grows;
}

Status PmemMedium::refusal() const {
  if (guard_.failed()) {
    return Status(Code::kFailed, "the pool's memory failed at byte " +
                                     std::to_string(guard_.failed_at()) +
                                     " (truncated by somebody, or a media error): end the process, "
                                     "check the medium, open it again");
  }
  if (closed_.load(std::memory_order_relaxed)) return Status(Code::kClosed, "the pool was closed");
  return Status(Code::kFailed, "the pool has failed and refuses all work until it is opened again");
}

Status PmemMedium::fail(const std::string& what) {
  failed_.store(true, std::memory_order_relaxed);
  return Status(Code::kIo, what);
}

Result<Segment> PmemMedium::allocate(SegmentKind kind, uint64_t min_bytes, uint64_t want_bytes) {
  if (failed()) return refusal();
  HOLDFAST_TRY(not_written_over());
  auto segment = [&] {
    const MappingGuard::InsideLibrary inside;
    return fields_ ? fields_->allocate(min_bytes, want_bytes)
                   : heap_.allocate(kind, min_bytes, want_bytes);
  }();
  if (segment && kind == SegmentKind::kLog) fault_in(*segment);
  return segment;
}

// The first store to each page costs a fault, 2.4 us here, fifteen times a commit of 256 bytes. Log
// segments are mostly made ahead by the maintenance thread, so the faults are taken there and all
// at once; in a segment that is used again there are none to take. A segment is chunks of
// libpmemobj's, whole but for a page, and no other segment has a part of one: each is told by where
// it begins.
void PmemMedium::fault_in(const Segment& segment) {
  for (uint64_t at = segment.offset; at < segment.end(); at += kPmemChunkBytes) {
    const uint64_t chunk = at / kPmemChunkBytes, bit = uint64_t{1} << (chunk % 64);
    if ((faulted_[chunk / 64].fetch_or(bit, std::memory_order_relaxed) & bit) == 0) {
      fault_in(at, std::min(at + kPmemChunkBytes, segment.end()));
    }
  }
}

// A kernel without this (before 5.14) refuses, as it does where a page cannot be had. A hypervisor
// that keeps page tables of its own sees a page when it is touched, and not before: so each is,
// with a store that changes nothing. Nobody else writes to a segment that nobody has been given.
// Changes no byte.
void PmemMedium::fault_in(uint64_t from, uint64_t to) {
#ifdef MADV_POPULATE_WRITE
  const uint64_t page = round_down(from, system_page_bytes());
  (void)madvise(base_ + page, to - page, MADV_POPULATE_WRITE);
#endif
  for (uint64_t at = from; at < to; at += 4096) __atomic_fetch_or(base_ + at, 0, __ATOMIC_RELAXED);
}

void PmemMedium::release(const Segment& segment) {
  const MappingGuard::InsideLibrary inside;
  // Where the pool grows its pages go back to the file system.
  for (uint64_t at = segment.offset; info_.grows && at < segment.end(); at += kPmemChunkBytes) {
    const uint64_t chunk = at / kPmemChunkBytes;
    faulted_[chunk / 64].fetch_and(~(uint64_t{1} << (chunk % 64)), std::memory_order_relaxed);
  }
  // Giving back what is not held means that the engine's books are wrong: stop before more is built
  // on them.
  if (!failed() && !(fields_ ? fields_->release(segment) : heap_.release(segment)))
    failed_.store(true, std::memory_order_relaxed);
}

Status PmemMedium::adopt(const std::vector<Segment>& held) {
  if (failed()) return refusal();
  const MappingGuard::InsideLibrary inside;
  return fields_ ? fields_->adopt(held) : heap_.adopt(held);
}

Status PmemMedium::place(uint64_t offset, const void* data, size_t size) {
  if (failed()) return refusal();
  if (offset > pool_bytes_ || size > pool_bytes_ - offset) {
    return fail("append of " + std::to_string(size) + " bytes at byte " + std::to_string(offset) +
                ", outside the pool");
  }
  pmem_place(base_ + offset, data, size);
  return {};
}

Status PmemMedium::append(uint64_t offset, const void* data, size_t size) {
  HOLDFAST_TRY(place(offset, data, size));
  counters_.appends += 1;
  counters_.writes += 1;
  counters_.bytes_appended += size;
  return {};
}

Status PmemMedium::append_ahead(uint64_t offset, const void* data, size_t size) {
  HOLDFAST_TRY(place(offset, data, size));
  counters_.bytes_appended.add_alone(size);
  return {};
}

// On a virtual machine a page that was not touched for a while can take 0.1 ms when it is touched
// again, by whatever instruction.
void PmemMedium::expect_appends(uint64_t offset, uint64_t bytes) const {
  if (failed() || offset > pool_bytes_ || bytes > pool_bytes_ - offset) return;
  for (uint64_t at = offset; at < offset + bytes; at += 4096)
    (void)*static_cast<const volatile uint8_t*>(base_ + at);
}

// Between the copy and the fence stands only what the caller brings: no counter, no question that
// could wait for the stores.
Status PmemMedium::append_fenced(uint64_t offset, const void* data, size_t size,
                                 Meanwhile& meanwhile) {
  HOLDFAST_TRY(place(offset, data, size));
  meanwhile.run();
  pmem_fence();
  if (failed()) return fail("the pool's memory failed under the barrier; its outcome is unknown");
  counters_.appends.add_alone(1);
  counters_.writes.add_alone(1);
  counters_.bytes_appended.add_alone(size);
  counters_.barriers.add_alone(1);
  return {};
}

// Pages of a device cannot be read so, nor mapped privately: there every view is a copy.
bool PmemMedium::use_file(const std::string& path) {
  uint8_t front[sizeof(Superblock)];
  size_t got = 0;
  Result<PoolParts> opened = PoolParts::open(path, info_.grows);
  const bool ours =
      opened.is_ok() &&
      opened->read_at(static_cast<uint64_t>(front_ - base_), front, sizeof front, &got) == 0 &&
      got == sizeof front && std::memcmp(front, front_, sizeof front) == 0;
  if (!ours) return !info_.grows;
  file_ = std::move(*opened);
  names_are_counted_ = file_.all_have_names();
  if (file_.is_set())
    fields_ = std::make_unique<PmemFields>(pool_, &file_);
  else if (info_.grows)
    heap_.grow_in(&file_.first(), chunks_of_pmem_pool(pool_bytes_));
  return true;
}

// What a commit fences is durable in the memory of a file that is gone as soon as nobody maps it.
Status PmemMedium::still_there() {
  if (failed()) return {};
  if (!names_are_counted_ || file_.all_have_names()) return not_written_over();
  failed_.store(true, std::memory_order_relaxed);
  return removed_error("the pool");
}

// The layout's name stands behind the header's page, which libpmemobj's debug build lets nobody
// read.
bool PmemMedium::written_over() const {
  return is_written_over(front_, secret_) ||
         std::memcmp(base_ + kPmemLayoutNameOffset, kPmemLayoutName, sizeof kPmemLayoutName) != 0;
}

// libpmemobj dies of books that are somebody else's bytes, so it is not called any more.
Status PmemMedium::not_written_over() {
  if (!written_over()) return {};
  failed_.store(true, std::memory_order_relaxed);
  return written_over_error("the pool");
}

void PmemMedium::copy_out(uint64_t offset, void* to, size_t size) const {
  size_t got = 0;
  if (!file_.is_open() || file_.read_at(offset, to, size, &got) != 0 || got != size)
    Medium::copy_out(offset, to, size);
}

// Each large page that has a part of it.
bool PmemMedium::widen_pages(const Segment& segment) {
  const uint64_t most = round_down(pool_bytes_, kHugePageBytes);
  for (uint64_t at = round_down(segment.offset, kHugePageBytes); at < std::min(segment.end(), most);
       at += kHugePageBytes) {
    if (failed() || !take_large_page(base_ + at)) return false;
  }
  return true;
}

bool PmemMedium::map_privately(uint64_t offset, uint64_t bytes, void* at) const {
  return file_.is_open() && !failed() && offset + bytes <= pool_bytes_ &&
         file_.map_private_over(offset, bytes, at) == 0;
}

Status PmemMedium::barrier() {
  if (failed()) return refusal();
  pmem_fence();
  if (failed()) return fail("the pool's memory failed under the barrier; its outcome is unknown");
  counters_.barriers += 1;
  return {};
}

// One transaction over both slots, with functions: the macros jump over destructors.
// Crash before the commit: the next open undoes it, both slots are the old ones. After: both are
// the new ones.
Status PmemMedium::set_root(const Root& root) {
  std::lock_guard guard(root_lock_);
  if (failed()) return refusal();
  HOLDFAST_TRY(not_written_over());
  RootSlot slots[2];
  void* at[2];
  for (int copy = 0; copy < 2; ++copy) {
    slots[copy] = make_root_slot(root, root_sequence_ + 1, copy, secret_);
    at[copy] = front_ + kRootSlotOffsets[copy];
  }
  const MappingGuard::InsideLibrary inside;
  int error = pmemobj_tx_begin(pool_, nullptr, TX_PARAM_NONE);
  for (int copy = 0; copy < 2 && error == 0; ++copy) {
    error = pmemobj_tx_xadd_range_direct(at[copy], sizeof(RootSlot), POBJ_XADD_NO_ABORT);
    if (error != 0) pmemobj_tx_abort(error);
  }
  HOLDFAST_POINT("pmem.inside_root");
  if (error == 0) {
    for (int copy = 0; copy < 2; ++copy) std::memcpy(at[copy], &slots[copy], sizeof(RootSlot));
    pmemobj_tx_commit();
  }
  const int ended = pmemobj_tx_end();
  if (error != 0 || ended != 0)
    return fail(std::string("cannot change the pool's root: ") + pmemobj_errormsg());
  root_ = root;
  root_sequence_ += 1;
  counters_.roots += 1;
  return {};
}

MediumSpace PmemMedium::space() const {
  if (closed_.load(std::memory_order_relaxed) || guard_.failed()) return {};
  const MappingGuard::InsideLibrary inside;
  const PmemHeap::Space heap = fields_ ? fields_->space() : heap_.space();
  return {heap.capacity, info_.grows ? kPmemHeapAt + heap.held : pool_bytes_, heap.free,
          heap.ready};
}

uint64_t PmemMedium::largest_free() const {
  if (closed_.load(std::memory_order_relaxed) || guard_.failed()) return 0;
  const MappingGuard::InsideLibrary inside;
  return fields_ ? fields_->largest_free() : heap_.largest_free();
}

std::vector<MediumPart> PmemMedium::parts() const {
  if (closed_.load(std::memory_order_relaxed)) return {};
  return file_.report();
}

// Closed only if all went well: otherwise the next open begins with the check in a child.
void PmemMedium::close() {
  if (closed_.exchange(true)) return;
  // libpmemobj would read zeros, or what somebody has written, for its own books while it closes:
  // the mapping and its lock are left to the process's end.
  if (guard_.failed() || written_over()) {
    failed_.store(true);
    return;
  }
  if (!failed_.exchange(true)) {  // whoever still calls is refused
    pmem_store_word(reinterpret_cast<uint64_t*>(front_ + kPmemUseMarkOffset), kPmemClosed);
  }
  {
    const MappingGuard::InsideLibrary inside;
    pmemobj_close(pool_);
  }
  guard_.stop();
  file_.close();
}

}  // namespace holdfast
