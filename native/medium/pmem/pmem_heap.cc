#include "medium/pmem/pmem_heap.h"

#include <algorithm>
#include <cerrno>
#include <string>

#include "base/test_points.h"
#include "format/pmem_layout.h"
#include "medium/pmem/pmem_wrap.h"

namespace holdfast {
namespace {

// libpmemobj puts chunks at 1 KiB past a page boundary; of the first and the last page of an object
// parts are lost.
constexpr uint64_t kLostBytes = kPageBytes;
// A little under the largest object libpmemobj can make (one zone of 16 GiB).
constexpr uint64_t kMaxChunks = (uint64_t{15} * kGiB) / kPmemChunkBytes;

// Left to the file system where a pool grows.
constexpr uint64_t kSpareBytes = kMiB;

uint64_t chunks_for(uint64_t bytes) {
  return (bytes + kLostBytes + kPmemChunkBytes - 1) / kPmemChunkBytes;
}
uint64_t bytes_of_chunks(uint64_t chunks) {
  return chunks == 0 ? 0 : chunks * kPmemChunkBytes - kLostBytes;
}

Segment inside_of(PMEMoid object) {
  const uint64_t begin = round_up(object.off, kPageBytes);
  const uint64_t end = round_down(object.off + pmemobj_alloc_usable_size(object), kPageBytes);
  return {begin, end > begin ? end - begin : 0};
}

uint64_t chunks_of(PMEMoid object) {
  return (pmemobj_alloc_usable_size(object) + kPmemObjectHeaderBytes) / kPmemChunkBytes;
}

bool is_segment(PMEMoid object) {
  return (pmemobj_type_num(object) & ~uint64_t{0xFF}) == kPmemSegmentType;
}

Status not_ours(const Segment& segment) {
  return Status(Code::kCorrupt,
                "the pool refers to a segment at byte " + std::to_string(segment.offset) + " of " +
                    std::to_string(segment.bytes) + " bytes that libpmemobj does not know");
}

}  // namespace

Status PmemHeap::adopt(const std::vector<Segment>& held) {
  std::lock_guard guard(lock_);
  std::vector<Segment> wanted = held;
  std::sort(wanted.begin(), wanted.end(),
            [](const Segment& a, const Segment& b) { return a.offset < b.offset; });
  std::vector<PMEMoid> leaked;
  for (PMEMoid object = pmemobj_first(pool_); !OID_IS_NULL(object); object = pmemobj_next(object)) {
    if (!is_segment(object)) continue;
    const Segment segment = inside_of(object);
    const auto at =
        std::lower_bound(wanted.begin(), wanted.end(), segment.offset,
                         [](const Segment& a, uint64_t offset) { return a.offset < offset; });
    if (at != wanted.end() && at->offset == segment.offset && at->bytes == segment.bytes) {
      held_.emplace(segment.offset, Held{object, segment.bytes, chunks_of(object)});
      keep_books([&](Books& books) {
        books.held_chunks += chunks_of(object);
        books.held_bytes += segment.bytes;
      });
    } else {
      leaked.push_back(object);
    }
  }
  // Nothing is freed before all that is held has been found: a damaged list must not cost what is
  // still there.
  for (size_t i = 0; i < wanted.size(); ++i) {
    const bool twice = i > 0 && wanted[i].offset == wanted[i - 1].offset;
    if (twice || held_.find(wanted[i].offset) == held_.end()) {
      held_.clear();
      keep_books([](Books& books) { books = {}; });
      return not_ours(wanted[i]);
    }
  }
  for (PMEMoid& object : leaked) pmemobj_free(&object);
  count_free_chunks();
  return {};
}

std::optional<PmemHeap::Reservation> PmemHeap::reserve(uint64_t chunks, uint64_t type) {
  if (chunks == 0 || chunks > kMaxChunks) return std::nullopt;
  Reservation made;
  made.object =
      pmemobj_reserve(pool_, &made.action, chunks * kPmemChunkBytes - kPmemObjectHeaderBytes, type);
  if (OID_IS_NULL(made.object)) return std::nullopt;
  return made;
}

uint64_t PmemHeap::most_reservable(uint64_t low, uint64_t high) {
  while (low < high) {
    const uint64_t middle = low + (high - low + 1) / 2;
    if (auto reservation = reserve(middle, kPmemSegmentType)) {
      cancel(*reservation);
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

uint64_t PmemHeap::largest_free_chunks() {
  if (file_ != nullptr) return std::min(books_.free_chunks, kMaxChunks);
  if (!largest_) {
    largest_ = most_reservable(0, std::min(books_.free_chunks, kMaxChunks));
    pmem_fence();  // a reservation that is cancelled leaves an object's header flushed: nothing is
                   // left on its way
  }
  return *largest_;
}

void PmemHeap::count_free_chunks() {
  std::vector<Reservation> all;
  uint64_t most = kMaxChunks, found = 0;
  largest_.reset();
  if (file_ != nullptr) {
    keep_books([&](Books& books) {
      books.free_chunks = all_chunks_ - std::min(all_chunks_, books.held_chunks);
    });
    return;
  }
  for (;;) {
    most = most_reservable(0, most);
    if (!largest_) largest_ = most;
    auto reservation = reserve(most, kPmemSegmentType);
    if (!reservation) break;
    found += most;
    all.push_back(*reservation);
  }
  for (size_t i = all.size(); i-- > 0;) cancel(all[i]);
  pmem_fence();  // as above
  keep_books([&](Books& books) { books.free_chunks = found; });
}

// libpmemobj keeps an object's header 16 bytes in front of it, where the object's chunks begin.
int PmemHeap::take_blocks(const Reservation& reservation, uint64_t chunks) {
  if (file_ == nullptr) return 0;
  return file_->reserve(reservation.object.off - kPmemObjectHeaderBytes, chunks * kPmemChunkBytes);
}

uint64_t PmemHeap::blocks_left() {
  FileSystemFacts facts;
  if (file_ == nullptr || file_->file_system(&facts) != 0) return UINT64_MAX;
  return facts.free_bytes;
}

Result<Segment> PmemHeap::allocate(SegmentKind kind, uint64_t min_bytes, uint64_t want_bytes) {
  const uint64_t type = kPmemSegmentType | static_cast<uint64_t>(kind);
  const uint64_t min_chunks = std::max<uint64_t>(1, chunks_for(min_bytes));
  std::lock_guard guard(lock_);
  uint64_t chunks = std::max(min_chunks, chunks_for(want_bytes));
  // To reserve is to write the object's header: that page must be there, or the process ends inside
  // libpmemobj.
  const uint64_t left = blocks_left();
  if (left < chunks * kPmemChunkBytes + kSpareBytes) chunks = min_chunks;
  if (left < chunks * kPmemChunkBytes + kSpareBytes) {
    return Status(Code::kDiskFull, "the file system has no room for " + std::to_string(min_bytes) +
                                       " more bytes of the pool");
  }
  auto reservation = reserve(chunks, type);
  if (!reservation) {
    chunks = file_ != nullptr ? min_chunks : std::min(chunks, largest_free_chunks());
    if (chunks >= min_chunks) reservation = reserve(chunks, type);
  }
  if (!reservation) {
    return Status(Code::kPoolFull, "the pool is full: no " + std::to_string(min_bytes) +
                                       " bytes in one piece, " +
                                       std::to_string(bytes_of_chunks(books_.free_chunks)) +
                                       " bytes free; delete something, or make a larger pool");
  }
  HOLDFAST_POINT("pmem.before_blocks");
  if (const int error = take_blocks(*reservation, chunks)) {
    cancel(*reservation);
    return Status::system(error == ENOSPC || error == EDQUOT ? Code::kDiskFull : Code::kIo,
                          "cannot take " + std::to_string(chunks * kPmemChunkBytes) +
                              " bytes of the file system for the pool",
                          error);
  }
  HOLDFAST_POINT("pmem.before_publish");
  // One action and no other: libpmemobj needs no log for it.
  if (pmemobj_publish(pool_, &reservation->action, 1) != 0) {
    cancel(*reservation);
    return Status(Code::kNoMemory, std::string("cannot allocate a segment: ") + pmemobj_errormsg());
  }
  const Segment segment = inside_of(reservation->object);
  held_.emplace(segment.offset, Held{reservation->object, segment.bytes, chunks});
  keep_books([&](Books& books) {
    books.held_chunks += chunks;
    books.held_bytes += segment.bytes;
    books.free_chunks -= std::min(books.free_chunks, chunks);
  });
  largest_.reset();
  return segment;
}

bool PmemHeap::release(const Segment& segment) {
  std::lock_guard guard(lock_);
  const auto at = held_.find(segment.offset);
  if (at == held_.end() || at->second.bytes != segment.bytes) return false;
  PMEMoid object = at->second.object;
  pmemobj_free(&object);
  HOLDFAST_POINT("pmem.before_give_back");
  if (file_ != nullptr)
    (void)file_->give_back(segment.offset,
                           segment.bytes);  // where that cannot be done they stay with the pool
  keep_books([&](Books& books) {
    books.held_chunks -= at->second.chunks;
    books.held_bytes -= segment.bytes;
    books.free_chunks += at->second.chunks;
  });
  largest_.reset();
  held_.erase(at);
  return true;
}

PmemHeap::Space PmemHeap::space() {
  const uint64_t left = blocks_left();
  std::lock_guard guard(books_lock_);
  // The page that each segment loses counts as free, so that what is held and what is free make up
  // the capacity.
  const uint64_t capacity = bytes_of_chunks(books_.held_chunks + books_.free_chunks);
  const uint64_t free = capacity - std::min(capacity, books_.held_bytes);
  return {capacity, free, std::min(free, left - std::min(left, kSpareBytes)), books_.held_bytes};
}

uint64_t PmemHeap::largest_free() {
  std::lock_guard guard(lock_);
  return std::min(bytes_of_chunks(largest_free_chunks()), blocks_left());
}

}  // namespace holdfast
