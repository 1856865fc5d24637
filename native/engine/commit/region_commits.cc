#include "engine/commit/region_commits.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "log/record_buffer.h"

namespace holdfast {

namespace {

constexpr uint64_t kCellBytes = 8;

// What lies below the active overlay.
class BelowActive final : public RegionBase {
 public:
  BelowActive(const RegionReader& placed, const IndexView& view, bool torn_allowed)
      : placed_(placed), view_(view), torn_allowed_(torn_allowed) {}
  bool read_below(uint32_t region, uint64_t block, uint8_t* to) override {
    if (view_.frozen) {
      if (const auto* image = view_.frozen->regions.find(region, block, RegionOverlay::kLatest)) {
        std::memcpy(to, image->bytes, kRegionBlockBytes);
        return !image->damaged;
      }
      if (block * kRegionBlockBytes >=
          view_.frozen->regions.limit(region, RegionOverlay::kLatest)) {
        std::memset(to, 0, kRegionBlockBytes);
        return true;
      }
    }
    return placed_.read_placed_block(view_, region, block, to, torn_allowed_);
  }

 private:
  const RegionReader& placed_;
  const IndexView& view_;
  const bool torn_allowed_;
};

}  // namespace

Status RegionCommits::check_conditions(const Batch::Impl& batch) {
  for (const RegionCondition& condition : batch.region_conditions) {
    uint64_t cell = 0;
    HOLDFAST_TRY(reader_.read(index_.view, RegionOverlay::kLatest, condition.region,
                              condition.offset, sizeof cell, reinterpret_cast<uint8_t*>(&cell)));
    if (cell == condition.expected) continue;
    return Status(Code::kConflict, "a condition of the commit does not hold: the cell at offset " +
                                       std::to_string(condition.offset) + " of the region " +
                                       quoted_region(region_sizes_[condition.region].name) +
                                       " is " + std::to_string(cell) + ", not " +
                                       std::to_string(condition.expected) +
                                       "; nothing was changed");
  }
  return {};
}

Status RegionCommits::prepare(const Batch::Impl& batch, RecordBuffer* record) {
  HOLDFAST_TRY(check_conditions(batch));
  std::map<uint32_t, uint64_t> resized;  // by this very record
  WantedExtents fresh;
  std::map<std::pair<uint32_t, uint64_t>, uint64_t>
      cells;  // what the additions before left, in batches that have some
  size_t next_add = 0;
  uint32_t writes = 0;
  for (uint64_t at = 0; at < record->bytes();) {
    const OperationView operation = view_operation(record->operations() + at);
    const uint64_t here = at;
    at += operation.bytes;
    if (!is_region_operation(operation.type)) continue;
    const RegionKey key = decode_region_key(operation.key);
    if (operation.type == OperationType::kRegionSize) {
      note_resized_extents(key, &fresh);
      resized[key.region] = key.word;
      continue;
    }
    const auto known = region_sizes_.find(key.region);
    const auto anew = resized.find(key.region);
    const uint64_t size = anew != resized.end()          ? anew->second
                          : known != region_sizes_.end() ? known->second.size
                                                         : 0;
    const std::string& name = known != region_sizes_.end() ? known->second.name : "";
    const uint64_t bytes = operation.value.size();
    if (size == 0) return missing_region(key.region);
    if (key.word > size || bytes > size - key.word)
      return out_of_region(name, size, key.word, bytes);
    note_fresh_extents(key.region, key.word, bytes, &fresh);
    if (batch.adds.empty()) continue;
    if (next_add < batch.adds.size() && batch.adds[next_add].write == writes) {
      const RegionAdd& add = batch.adds[next_add++];
      uint64_t sum = 0;
      const auto before = cells.find({key.region, key.word});
      if (before != cells.end()) {
        sum = before->second;
      } else {
        HOLDFAST_TRY(reader_.read(index_.view, RegionOverlay::kLatest, key.region, key.word,
                                  kCellBytes, reinterpret_cast<uint8_t*>(&sum)));
        overlay_earlier_writes(*record, here, key, &sum);
      }
      sum += add.delta;
      cells[{key.region, key.word}] = sum;
      record->patch_value(here, &sum, sizeof sum);
      (*batch.sums)[next_add - 1] = sum;
    } else {
      // A plain write over cells that were added to before: the next addition looks again.
      auto cell = cells.lower_bound({key.region, round_down(key.word, kCellBytes)});
      while (cell != cells.end() && cell->first.first == key.region &&
             cell->first.second < key.word + bytes)
        cell = cells.erase(cell);
    }
    writes++;
  }
  if (!batch.adds.empty()) record->reroll();
  size_extents(&fresh, resized);
  return set_aside(fresh);
}

Status RegionCommits::set_aside(const WantedExtents& fresh) {
  if (fresh.empty()) return {};
  uint64_t bytes = 0;
  for (const auto& [key, of] : fresh) bytes += round_up(of, medium_.info().segment_unit);
  const uint64_t needed = room_.reserve_bytes() + bytes;
  const std::string what = "for the parts of regions that are written for the first time";
  Status taken = room_.make_ready(needed, what);
  if (!taken.is_ok()) {
    fresh_refused_ = bytes;
    return taken;
  }
  taken = extents_.set_aside(medium_, fresh);
  if (!taken.is_full()) return taken;
  room_.release_spares();
  taken = extents_.set_aside(medium_, fresh);
  if (!taken.is_full()) return taken;
  fresh_refused_ = bytes;
  if (taken.code() != Code::kPoolFull) return taken;
  return Status(Code::kPoolFull,
                "the pool " + name_ + " is full: what is free is in pieces that are too short " +
                    what + "; delete something, close snapshots, or make it larger");
}

// The cell as the operations of the record before `end` leave it, in order.
void RegionCommits::overlay_earlier_writes(const RecordBuffer& record, uint64_t end,
                                           const RegionKey& cell, uint64_t* value) const {
  auto* bytes = reinterpret_cast<uint8_t*>(value);
  for (uint64_t at = 0; at < end;) {
    const OperationView operation = view_operation(record.operations() + at);
    at += operation.bytes;
    if (operation.type != OperationType::kRegionWrite) continue;
    const RegionKey key = decode_region_key(operation.key);
    if (key.region != cell.region) continue;
    const uint64_t from = std::max(key.word, cell.word),
                   to = std::min(key.word + operation.value.size(), cell.word + kCellBytes);
    if (from < to)
      std::memcpy(bytes + (from - cell.word), operation.value.data() + (from - key.word),
                  to - from);
  }
}

// Notes those extents of the range for which the next fold will have to take a segment.
void RegionCommits::note_fresh_extents(uint32_t region, uint64_t offset, uint64_t bytes,
                                       WantedExtents* fresh) const {
  if (bytes == 0) return;
  const IndexView& view = index_.view;
  const RegionExtents* placed = view.regions->find(region);
  uint64_t limit = view.active->regions.limit(region, RegionOverlay::kLatest);
  if (view.frozen)
    limit = std::min(limit, view.frozen->regions.limit(region, RegionOverlay::kLatest));
  const uint64_t last_block = (offset + bytes - 1) / kRegionBlockBytes;
  for (uint64_t number = offset / kExtentDataBytes; number <= last_block / kExtentBlocks;
       number++) {
    const RegionExtent* extent =
        placed && number * kExtentDataBytes < limit ? placed->find(number) : nullptr;
    const uint64_t last =
        number == last_block / kExtentBlocks ? last_block % kExtentBlocks : kExtentBlocks - 1;
    if (!extent || last >= extent->blocks()) (*fresh)[{region, number}] = 0;
  }
}

// Before it is applied. A region that shrinks gets zeros to the end of its last block; for the
// extent that held the end of one that grows a short segment may be set aside.
void RegionCommits::note_resized_extents(const RegionKey& key, WantedExtents* fresh) const {
  const auto known = region_sizes_.find(key.region);
  const uint64_t before = known == region_sizes_.end() ? 0 : known->second.size;
  if (key.word < before && key.word % kRegionBlockBytes != 0)
    note_fresh_extents(key.region, key.word, 1, fresh);
  const ExtentKey last{key.region, before / kExtentDataBytes};
  if (extents_.holds(last)) (*fresh)[last] = 0;
}

// Their segments' bytes by the regions' sizes, which are those of `resized`, else the known ones;
// without those that are set aside.
void RegionCommits::size_extents(WantedExtents* fresh,
                                 const std::map<uint32_t, uint64_t>& resized) const {
  for (auto at = fresh->begin(); at != fresh->end();) {
    const auto& [region, number] = at->first;
    const auto anew = resized.find(region);
    const auto known = region_sizes_.find(region);
    const uint64_t size = anew != resized.end()          ? anew->second
                          : known != region_sizes_.end() ? known->second.size
                                                         : 0;
    at->second = extent_segment_bytes(size, number);
    const bool needed = number * kExtentDataBytes < size && !extents_.holds(at->first, at->second);
    at = needed ? std::next(at) : fresh->erase(at);
  }
}

// From commits and from replay, under the exclusive index lock.
void RegionCommits::apply(const OperationView& operation, uint64_t epoch) {
  const RegionKey key = decode_region_key(operation.key);
  BelowActive below(reader_, index_.view, torn_allowed_);
  RegionOverlay& overlay = index_.view.active->regions;
  const auto known = region_sizes_.find(key.region);
  if (operation.type == OperationType::kRegionWrite) {
    if (known != region_sizes_.end())
      overlay.write(key.region, key.word, operation.value, epoch, index_.needed_epochs(), below);
    return;
  }
  const bool shrinks = known != region_sizes_.end() && key.word < known->second.size;
  overlay.resize(key.region, key.word, operation.value, shrinks, epoch, index_.needed_epochs(),
                 below);
  if (key.word == 0) {
    region_sizes_.erase(key.region);
  } else {
    region_sizes_[key.region] = {key.word, std::string(operation.value)};
  }
}

void RegionCommits::adopt(const std::vector<FoldedRegion>& folded_regions,
                          std::vector<Segment>* held) {
  auto map = std::make_shared<RegionMap>();
  for (const FoldedRegion& folded : folded_regions) {
    auto extents = std::make_shared<RegionExtents>();
    extents->name = folded.name;
    extents->size = folded.size;
    for (const FoldedExtent& e : folded.extents) {
      extents->extents.push_back({e.number, e.segment, 0});
      held->push_back(e.segment);
      map->segments++;
      map->bytes += e.segment.bytes;
    }
    region_sizes_[folded.region] = {folded.size, folded.name};
    map->regions[folded.region] = std::move(extents);
  }
  index_.view.regions = std::move(map);
}

void RegionCommits::note_wanted(const OperationView& operation, WantedExtents* fresh) const {
  if (!is_region_operation(operation.type)) return;
  const RegionKey key = decode_region_key(operation.key);
  if (operation.type == OperationType::kRegionWrite) {
    note_fresh_extents(key.region, key.word, operation.value.size(), fresh);
  } else {
    note_resized_extents(key, fresh);
  }
}

void RegionCommits::set_aside_replayed(WantedExtents* fresh) {
  size_extents(fresh, {});
  for (const auto& each : *fresh) (void)extents_.set_aside(medium_, {each}).is_ok();
}

}  // namespace holdfast
