#include "medium/pmem/pmem_fields.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>

#include "base/test_points.h"
#include "format/pmem_layout.h"
#include "medium/pool_file.h"

namespace holdfast {
namespace {

constexpr uint64_t kFieldUnit = kPmemChunkBytes;  // segments are multiples of it
constexpr uint64_t kLeftToOthers = kMiB;          // left to each file system

// The part of a range that lies in [from, to), in whole units.
std::optional<Segment> piece_within(uint64_t begin, uint64_t end, uint64_t from, uint64_t to) {
  const uint64_t first = round_up(std::max(begin, from), kPageBytes), last = std::min(end, to);
  if (last <= first || last - first < kFieldUnit) return std::nullopt;
  return Segment{first, round_down(last - first, kFieldUnit)};
}

std::string shown_segment(const Segment& segment) {
  return "a segment at byte " + std::to_string(segment.offset) + " of " +
         std::to_string(segment.bytes) + " bytes";
}

}  // namespace

// Everything is taken at first, then what is in a field is free; a part's first page is its mark.
void PmemFields::find_fields() {
  parts_.clear();
  capacity_ = held_bytes_ = 0;
  held_.clear();
  for (const PoolPart& part : files_->parts()) {
    Part made;
    made.free.reset(part.offset, part.offset + part.bytes);
    (void)made.free.take({part.offset, part.bytes});
    FileFacts facts;
    if (part.file.facts(&facts) == 0) made.device = facts.device;
    parts_.push_back(std::move(made));
  }
  for (PMEMoid object = pmemobj_first(pool_); !OID_IS_NULL(object); object = pmemobj_next(object)) {
    if (pmemobj_type_num(object) != kPmemFieldType) continue;
    const uint64_t end = object.off + pmemobj_alloc_usable_size(object);
    for (size_t i = 0; i < parts_.size(); i++) {
      const PoolPart& part = files_->parts()[i];
      const std::optional<Segment> piece = piece_within(
          object.off, end, part.offset + (i == 0 ? 0 : kPageBytes), part.offset + part.bytes);
      if (piece && parts_[i].free.release(*piece)) capacity_ += piece->bytes;
    }
  }
}

void PmemFields::keep(const Segment& segment) {
  held_.emplace(segment.offset, segment.bytes);
  held_bytes_ += segment.bytes;
}

Status PmemFields::adopt(const std::vector<Segment>& held) {
  std::lock_guard guard(lock_);
  find_fields();
  for (const Segment& segment : held) {
    const bool known =
        segment.bytes > 0 && std::any_of(parts_.begin(), parts_.end(),
                                         [&](Part& part) { return part.free.take(segment); });
    if (known) {
      keep(segment);
      continue;
    }
    return Status(Code::kCorrupt, "the pool refers to " + shown_segment(segment) +
                                      " that lies outside its fields, or over another one");
  }
  return {};
}

uint64_t PmemFields::left(size_t part) const {
  FileSystemFacts facts;
  if (files_->parts()[part].file.file_system(&facts) != 0) return 0;
  return facts.free_bytes - std::min(facts.free_bytes, kLeftToOthers);
}

int PmemFields::take_blocks(size_t part, const Segment& segment) {
  PoolPart& file = files_->parts()[part];
  HOLDFAST_POINT("pmem.before_blocks");
  const int error = file.file.reserve(segment.offset - file.offset, segment.bytes);
  if (error == 0) return 0;
  (void)file.file.give_back(segment.offset - file.offset,
                            segment.bytes);  // some file systems leave what they had found
  (void)parts_[part].free.release(segment);
  return error;
}

Result<Segment> PmemFields::allocate(uint64_t min_bytes, uint64_t want_bytes) {
  const uint64_t min = std::max(kFieldUnit, round_up(min_bytes, kFieldUnit)),
                 want = std::max(min, round_up(want_bytes, kFieldUnit));
  std::lock_guard guard(lock_);
  bool without_room = false;
  // All that is wanted from the first part that has it; else less from the first part that has the
  // least.
  for (const uint64_t least : {want, min}) {
    for (size_t i = 0; i < parts_.size(); i++) {
      if (parts_[i].free.largest() < least) continue;
      const uint64_t room = left(i), most = std::min(want, round_down(room, kFieldUnit));
      std::optional<Segment> segment;
      if (most >= least) segment = parts_[i].free.allocate(least, most);
      const int error = segment ? take_blocks(i, *segment) : ENOSPC;
      if (error != 0 && !is_disk_full(error)) {
        return Status::system(Code::kIo,
                              "cannot take " + std::to_string(segment->bytes) +
                                  " bytes of the file system of " + files_->parts()[i].path,
                              error);
      }
      without_room = without_room || error != 0;
      if (error != 0) continue;
      HOLDFAST_POINT("pmem.before_publish");
      keep(*segment);
      return *segment;
    }
    if (min == want) break;
  }
  if (without_room) {
    std::string where;
    for (const PoolPart& part : files_->parts())
      where += (where.empty() ? "" : ", ") + folder_of(part.path);
    return Status(Code::kDiskFull, "no file system of the pool has room for " +
                                       std::to_string(min_bytes) + " more bytes (" + where + ")");
  }
  return Status(Code::kPoolFull, "the pool is full: no " + std::to_string(min_bytes) +
                                     " bytes in one piece, " +
                                     std::to_string(capacity_ - held_bytes_) +
                                     " bytes free; delete something, or make a larger pool");
}

bool PmemFields::release(const Segment& segment) {
  std::lock_guard guard(lock_);
  const auto held = held_.find(segment.offset);
  if (held == held_.end() || held->second != segment.bytes) return false;
  HOLDFAST_POINT("pmem.before_give_back");
  (void)files_->give_back(segment.offset,
                          segment.bytes);  // where that cannot be done they stay with the pool
  for (Part& part : parts_) {
    if (part.free.release(segment)) break;
  }
  held_bytes_ -= segment.bytes;
  held_.erase(held);
  return true;
}

// Parts on one file system share what is left of it.
PmemHeap::Space PmemFields::space() {
  std::lock_guard guard(lock_);
  PmemHeap::Space space = {capacity_, capacity_ - std::min(capacity_, held_bytes_), 0, held_bytes_};
  for (size_t i = 0; i < parts_.size(); i++) {
    const auto same = [&](const Part& other) { return other.device == parts_[i].device; };
    if (std::any_of(parts_.begin(), parts_.begin() + static_cast<std::ptrdiff_t>(i), same))
      continue;
    uint64_t free = 0;
    for (const Part& part : parts_) free += same(part) ? part.free.free_bytes() : 0;
    space.ready += std::min(free, left(i));
  }
  return space;
}

uint64_t PmemFields::largest_free() {
  std::lock_guard guard(lock_);
  uint64_t largest = 0;
  for (size_t i = 0; i < parts_.size(); i++)
    largest = std::max(largest, std::min(parts_[i].free.largest(), left(i)));
  return largest;
}

}  // namespace holdfast
