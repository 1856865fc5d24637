#include "medium/pmem/pmem_at_rest.h"

#include <algorithm>
#include <vector>

#include "base/bytes.h"
#include "format/pmem_layout.h"
#include "medium/pmem/pmem_library_layout.h"

namespace holdfast {
namespace {

constexpr uint64_t kLanesAtOnce =
    16 *
    kPmemLaneBytes;  // small enough that the memory for it is not asked of the system each time
constexpr uint64_t kHeadersAtOnce = 2048;
static_assert(kPmemLanes * kPmemLaneBytes % kLanesAtOnce == 0);
constexpr uint64_t kRunFlags = kPmemCompactHeader | kPmemFlexibleBitmap;

bool all_zero(Bytes bytes) { return bytes.find_first_not_of('\0') == Bytes::npos; }

class Inspector {
 public:
  Inspector(const ReadPool& read, uint64_t pool_bytes, const PmemFront& front, std::string* why)
      : read_(read), pool_bytes_(pool_bytes), front_(front), why_(why) {}

  bool at_rest() {
    return descriptor() && lanes() && zones() &&
           (root_seen_ || not_so("no run holds the root object"));
  }

 private:
  bool not_so(const std::string& what) {
    *why_ = what;
    return false;
  }

  // The bytes, or nothing: `why_` says so.
  bool take(uint64_t offset, uint64_t bytes, std::string* out) {
    Result<std::string> found = read_(offset, bytes);
    if (!found || found->size() != bytes)
      return not_so("its byte " + std::to_string(offset) + " cannot be read");
    *out = std::move(*found);
    return true;
  }

  bool descriptor() {
    std::string bytes;
    if (!take(kPmemDescriptorAt, sizeof(PmemDescriptor), &bytes)) return false;
    const auto it = load<PmemDescriptor>(bytes.data());
    root_ = it.root_offset;
    root_bytes_ = it.root_size;
    const bool as_it_must = it.lanes_offset == kPmemLanesAt && it.lanes == kPmemLanes &&
                            it.heap_offset == kPmemHeapAt && it.run_id % 2 == 0 &&
                            it.conversion_flags == 0 && it.root_size == kPmemRootObjectBytes &&
                            it.heap_size == pool_bytes_ - kPmemHeapAt &&
                            round_up(it.root_offset, kPageBytes) == front_.offset &&
                            pool_bytes_ > kPmemHeapAt + sizeof(PmemHeapHeader);
    return as_it_must || not_so("its descriptor is unusual");
  }

  bool lanes() {
    std::string bytes;
    for (uint64_t lane = 0; lane < kPmemLanes; lane++) {
      const uint64_t at = lane * kPmemLaneBytes % kLanesAtOnce;
      if (at == 0 && !take(kPmemLanesAt + lane * kPmemLaneBytes, kLanesAtOnce, &bytes))
        return false;
      const char* internal = bytes.data() + at;
      const char* external = internal + sizeof(PmemLog) + kPmemInternalLogBytes;
      const char* undo = external + sizeof(PmemLog) + kPmemExternalLogBytes;
      if (!redo_is_done(internal, kPmemInternalLogBytes) ||
          !redo_is_done(external, kPmemExternalLogBytes) || !undo_is_harmless(undo)) {
        return not_so("its lane " + std::to_string(lane) + " is in use");
      }
    }
    return true;
  }

  // Never used, or cleared after use: libpmemobj then does not look at the entries, whatever they
  // are.
  static bool redo_is_done(const char* at, uint64_t capacity) {
    const auto log = load<PmemLog>(at);
    const bool cleared = log.capacity == 0 && log.generation == 0;
    const bool unused = log.capacity == capacity && load<uint64_t>(at + sizeof log) == 0;
    return (cleared || unused) && ends_here(log);
  }

  static bool ends_here(const PmemLog& log) {
    return log.checksum == 0 && log.next == 0 && log.flags == 0 &&
           all_zero(bytes_of(log.unused, sizeof log.unused));
  }

  // Its entries are those of set_root(), each a copy of a root slot with its own checksum. Whether
  // they are to be put back libpmemobj tells by that checksum, and either is right.
  bool undo_is_harmless(const char* at) const {
    const auto log = load<PmemLog>(at);
    if (log.capacity != kPmemUndoLogBytes || !ends_here(log)) return false;
    constexpr uint64_t kCopy = uint64_t{6} << 61, kOffsetBits = (uint64_t{1} << 61) - 1;
    struct Entry {
      uint64_t offset, checksum, bytes;
    };
    constexpr uint64_t kEntryBytes = (sizeof(Entry) + sizeof(RootSlot) + 63) / 64 * 64;
    const char* entries = at + sizeof log;
    for (uint64_t begin = 0; begin + kEntryBytes <= kPmemUndoLogBytes; begin += kEntryBytes) {
      const auto entry = load<Entry>(entries + begin);
      if (entry.offset == 0) return true;
      const uint64_t target = entry.offset & kOffsetBits;
      const bool slot = target == front_.offset + kRootSlotOffsets[0] ||
                        target == front_.offset + kRootSlotOffsets[1];
      if ((entry.offset & ~kOffsetBits) != kCopy || !slot || entry.bytes != sizeof(RootSlot))
        return false;
    }
    return false;
  }

  bool zones() {
    std::string bytes;
    if (!take(kPmemHeapAt, sizeof(PmemHeapHeader), &bytes)) return false;
    const auto heap = load<PmemHeapHeader>(bytes.data());
    if (std::memcmp(heap.signature, kPmemHeapSignature, sizeof kPmemHeapSignature) != 0 ||
        heap.major != 1 || heap.chunk_bytes != kPmemLibraryChunkBytes ||
        heap.chunks_per_zone != kPmemZoneChunks) {
      return not_so("its heap's header is unusual");
    }
    for (uint64_t zone = kPmemHeapAt + sizeof heap; zone < pool_bytes_; zone += kPmemZoneBytes) {
      const uint64_t room = std::min(pool_bytes_ - zone, kPmemZoneBytes);
      if (room < kPmemZoneFront + kPmemLibraryChunkBytes) break;  // not a zone
      if (!zone_is_whole(zone, (room - kPmemZoneFront) / kPmemLibraryChunkBytes)) return false;
    }
    return true;
  }

  bool zone_is_whole(uint64_t zone, uint64_t chunks) {
    std::string bytes;
    if (!take(zone, sizeof(PmemZoneHeader), &bytes)) return false;
    const auto header = load<PmemZoneHeader>(bytes.data());
    if (header.magic == 0 && header.chunks == 0) return true;  // not taken into use yet
    if (header.magic != kPmemZoneMagic || header.chunks != chunks)
      return not_so("a zone's header is unusual");
    const uint64_t headers_at = zone + sizeof header;
    uint64_t first_read = 0, past_read = 0;
    for (uint64_t i = 0; i < chunks;) {
      if (i >= past_read) {
        first_read = i;
        past_read = std::min(chunks, i + kHeadersAtOnce);
        if (!take(headers_at + i * sizeof(PmemChunkHeader),
                  (past_read - i) * sizeof(PmemChunkHeader), &bytes))
          return false;
      }
      const auto block =
          load<PmemChunkHeader>(bytes.data() + (i - first_read) * sizeof(PmemChunkHeader));
      const uint64_t at = zone + kPmemZoneFront + i * kPmemLibraryChunkBytes;
      if (block.chunks == 0 || block.chunks > chunks - i || !block_is_known(block, at)) {
        return not_so("its block at byte " + std::to_string(at) + " is unusual");
      }
      i += block.chunks;
    }
    return true;
  }

  bool block_is_known(const PmemChunkHeader& block, uint64_t at) {
    if (block.type == kPmemFree) return (block.flags & ~kPmemCompactHeader) == 0;
    if (block.type == kPmemRun) return block.flags == kRunFlags && holds_the_root(block, at);
    return block.type == kPmemUsed && block.flags == kPmemCompactHeader && is_segment(block, at);
  }

  bool is_segment(const PmemChunkHeader& block, uint64_t at) {
    std::string bytes;
    if (!take(at, sizeof(PmemObjectHeader), &bytes)) return false;
    const auto object = load<PmemObjectHeader>(bytes.data());
    return object.size == block.chunks * kPmemLibraryChunkBytes &&
           (object.extra & ~uint64_t{0xFF}) == kPmemSegmentType;
  }

  // The bitmap's size and what of it is never used follow from the size of the run's blocks, as
  // libpmemobj reckons it.
  bool holds_the_root(const PmemChunkHeader& block, uint64_t at) {
    std::string bytes;
    if (root_seen_ || !take(at, sizeof(PmemRunHeader), &bytes)) return false;
    const auto run = load<PmemRunHeader>(bytes.data());
    if (run.alignment != 0 || run.block_bytes < 64 || run.block_bytes % 64 != 0) return false;
    const uint64_t content = block.chunks * kPmemLibraryChunkBytes - sizeof run;
    if (run.block_bytes > content) return false;
    const uint64_t words = (content / run.block_bytes + 63) / 64;
    const uint64_t padded =
        round_up(words + 2, 8) - 2;  // what comes behind the two words and these begins a line
    if (padded * sizeof(uint64_t) >= content) return false;
    const uint64_t blocks = (content - padded * sizeof(uint64_t)) / run.block_bytes;
    const uint64_t data = at + sizeof run + padded * sizeof(uint64_t);
    const uint64_t object_at = root_ - sizeof(PmemObjectHeader);
    const uint64_t taken =
        (root_bytes_ + sizeof(PmemObjectHeader) + run.block_bytes - 1) / run.block_bytes;
    if (object_at < data || (object_at - data) % run.block_bytes != 0) return false;
    const uint64_t first = (object_at - data) / run.block_bytes;
    if (first >= blocks || taken > blocks - first) return false;
    if (!take(at + sizeof run, words * sizeof(uint64_t), &bytes)) return false;
    for (uint64_t bit = 0; bit < words * 64; bit++) {
      const bool set =
          (load<uint64_t>(bytes.data() + bit / 64 * sizeof(uint64_t)) >> (bit % 64) & 1) != 0;
      const bool must = (bit >= first && bit < first + taken) || bit >= blocks;
      if (set != must) return false;
    }
    if (!take(object_at, sizeof(PmemObjectHeader), &bytes)) return false;
    root_seen_ = true;
    return load<PmemObjectHeader>(bytes.data()).size ==
           (kPmemRootObjectFlag | taken * run.block_bytes);
  }

  const ReadPool& read_;
  const uint64_t pool_bytes_;
  const PmemFront& front_;
  std::string* const why_;
  uint64_t root_ = 0, root_bytes_ = 0;
  bool root_seen_ = false;
};

}  // namespace

bool pmem_is_at_rest(const ReadPool& read, uint64_t pool_bytes, const PmemFront& front,
                     std::string* why) {
  return Inspector(read, pool_bytes, front, why).at_rest();
}

}  // namespace holdfast
