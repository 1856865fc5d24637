// Regions: named ranges of bytes that commits change. Their writes are operations of the commit's
// one record, behind its one barrier.
//
// Where the bytes are. The newest ones are images of blocks in the overlay, beside the overlay of
// keys and with the same life: applied when the record is appended, frozen and written out by the
// next fold (region_fold.cc), made again from the log's tail after a crash. The rest lies in the
// regions' extents, verified block by block on each read. So nothing is ever placed before its
// record is durable, a cell that is changed a thousand times between two folds is placed once, and
// a snapshot reads the state it pinned.
//
// Threads: prepare_regions() and what it calls under the append lock; reads under the shared index
// lock. What a crash leaves: region_fold.cc.

#include <algorithm>

#include "engine/pool_impl.h"

namespace holdfast {

namespace {

constexpr uint64_t kReadUnderOneLock = kMiB;
constexpr uint64_t kCellBytes = 8;

std::string quoted(const std::string& name) { return "'" + name.substr(0, 100) + "'"; }

// What lies below the active overlay.
class BelowActive final : public RegionBase {
 public:
  BelowActive(const PoolImpl& pool, const IndexView& view, bool torn_allowed)
      : pool_(pool), view_(view), torn_allowed_(torn_allowed) {}
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
    return pool_.read_placed_block(view_, region, block, to, torn_allowed_);
  }

 private:
  const PoolImpl& pool_;
  const IndexView& view_;
  const bool torn_allowed_;
};

Status missing(uint32_t region) {
  return Status(Code::kNotFound, "there is no region with number " + std::to_string(region) +
                                     ": it was dropped, or is younger than the snapshot");
}

Status out_of_range(const std::string& name, uint64_t size, uint64_t offset, uint64_t bytes) {
  return Status(Code::kOutOfRange, "the region " + quoted(name) + " has " + std::to_string(size) +
                                       " bytes; " + std::to_string(bytes) + " bytes at offset " +
                                       std::to_string(offset) +
                                       " are not all inside; resize it first");
}

Status damaged(const std::string& name, uint64_t offset) {
  return Status(Code::kCorrupt,
                "the region " + quoted(name) + " is damaged at offset " + std::to_string(offset) +
                    "; holdfast check lists all damage; writing that whole block of " +
                    std::to_string(kRegionBlockBytes) + " bytes anew mends it");
}

}  // namespace

bool region_sector_is_sound(const SumSector& sector, bool on_its_way, uint64_t secret,
                            uint32_t region, uint64_t extent, uint64_t index) {
  return sector.region == region && sector.extent == static_cast<uint32_t>(extent) &&
         (on_its_way ||
          sector.checksum ==
              sector_checksum(sector, secret, extent * kExtentBlocks + index * kSumsPerSector));
}

// A block as the newest fold left it. `torn_allowed`: a fold may have been placing it when the
// machine stopped; whatever the tail does not say of it was the same before and after, so any
// mixture is as good.
bool PoolImpl::read_placed_block(const IndexView& view, uint32_t region, uint64_t block,
                                 uint8_t* to, bool torn_allowed) const {
  const RegionExtents* of = view.regions ? view.regions->find(region) : nullptr;
  const uint64_t number = block / kExtentBlocks, index = block % kExtentBlocks;
  const RegionExtent* extent = of ? of->find(number) : nullptr;
  if (!extent || index >= extent->blocks()) {
    std::memset(to, 0, kRegionBlockBytes);
    return true;
  }
  if (extent->segment.end() > medium_->view_end()) return false;
  const uint8_t* page = medium_->view() + extent->segment.offset;
  const uint64_t sector = index / kSumsPerSector;
  const uint8_t* sums = page + sector * sizeof(SumSector);
  const auto sum = load<uint64_t>(sums + index % kSumsPerSector * sizeof(uint64_t));
  if (sum == 0) {
    std::memset(to, 0, kRegionBlockBytes);
    const uint64_t first = number * kExtentBlocks + sector * kSumsPerSector;
    const auto places = [&](const Overlay* overlay) {
      return overlay && (overlay->regions.is_on_its_way() || options_.read_only) &&
             overlay->regions.touches(region, first, kSumsPerSector);
    };
    const bool on_its_way = torn_allowed || places(view.active.get()) || places(view.frozen.get());
    return region_sector_is_sound(load<SumSector>(sums), on_its_way, secret_, region, number,
                                  sector);
  }
  std::memcpy(to, page + kSumPageBytes + index * kRegionBlockBytes, kRegionBlockBytes);
  return torn_allowed || planted(PlantedBug::kChecksumNotChecked) ||
         block_sum(to, secret_, region, block) == sum;
}

// A block as of an epoch of the view. False: damaged.
bool PoolImpl::read_block(const IndexView& view, uint64_t at, uint32_t region, uint64_t block,
                          uint8_t* to) const {
  for (const Overlay* overlay : {view.active.get(), view.frozen.get()}) {
    if (!overlay || overlay->regions.empty()) continue;
    if (const auto* image = overlay->regions.find(region, block, at)) {
      std::memcpy(to, image->bytes, kRegionBlockBytes);
      return !image->damaged;
    }
    if (block * kRegionBlockBytes >= overlay->regions.limit(region, at)) {
      std::memset(to, 0, kRegionBlockBytes);
      return true;
    }
  }
  return read_placed_block(view, region, block, to, false);
}

RegionInfo PoolImpl::region_in(const IndexView& view, uint64_t at, uint32_t region) const {
  RegionInfo info;
  info.region = region;
  const RegionExtents* placed = view.regions ? view.regions->find(region) : nullptr;
  if (placed) {
    info.size = placed->size;
    info.name = placed->name;
    for (const RegionExtent& extent : placed->extents) info.placed_bytes += extent.segment.bytes;
  }
  for (const Overlay* overlay : {view.frozen.get(), view.active.get()}) {
    const auto* cut = overlay ? overlay->regions.cut(region, at) : nullptr;
    if (!cut) continue;
    info.size = cut->size;
    info.name = overlay->regions.regions().at(region).name;
  }
  return info;
}

Status PoolImpl::region_read(uint32_t region, uint64_t offset, uint64_t size, uint8_t* to,
                             const SnapshotPtr& given) {
  SnapshotPtr pinned = given;
  if (!pinned && size > kReadUnderOneLock) {
    auto taken = snapshot();
    if (!taken.is_ok()) return std::move(taken.status());
    pinned = *taken;
  }
  uint64_t done = 0;
  do {
    const uint64_t piece = std::min(kReadUnderOneLock, size - done);
    auto reader = read(pinned);
    if (!reader.is_ok()) return std::move(reader.status());
    const IndexView& view = pinned ? pinned->view : index_.view;
    const uint64_t at = pinned ? pinned->pin.epoch : RegionOverlay::kLatest;
    HOLDFAST_TRY(read_region_bytes(view, at, region, offset + done, piece, to + done));
    done += piece;
  } while (done < size);
  return {};
}

// Under the shared index lock, or the append lock.
Status PoolImpl::check_region_range(const IndexView& view, uint64_t at, uint32_t region,
                                    uint64_t offset, uint64_t size) const {
  uint64_t has = 0;
  const RegionOverlay::Cut* cut = view.active->regions.cut(region, at);
  if (!cut && view.frozen) cut = view.frozen->regions.cut(region, at);
  const RegionExtents* placed = cut || !view.regions ? nullptr : view.regions->find(region);
  if (cut)
    has = cut->size;
  else if (placed)
    has = placed->size;
  if (has == 0) return missing(region);
  if (offset > has || size > has - offset)
    return out_of_range(region_in(view, at, region).name, has, offset, size);
  return {};
}

Status PoolImpl::damaged_block(const IndexView& view, uint64_t at, uint32_t region,
                               uint64_t block) const {
  return health_.blame(damaged(region_in(view, at, region).name, block * kRegionBlockBytes));
}

Status PoolImpl::read_region_bytes(const IndexView& view, uint64_t at, uint32_t region,
                                   uint64_t offset, uint64_t size, uint8_t* to) const {
  HOLDFAST_TRY(check_region_range(view, at, region, offset, size));
  uint8_t block[kRegionBlockBytes];
  while (size > 0) {
    const uint64_t within = offset % kRegionBlockBytes;
    const uint64_t take = std::min(kRegionBlockBytes - within, size);
    uint8_t* into = take == kRegionBlockBytes ? to : block;
    if (!read_block(view, at, region, offset / kRegionBlockBytes, into)) {
      return damaged_block(view, at, region, offset / kRegionBlockBytes);
    }
    if (into == block) std::memcpy(to, block + within, take);
    offset += take;
    to += take;
    size -= take;
  }
  return health_.sound();
}

Result<RegionInfo> PoolImpl::region_info(uint32_t region, const SnapshotPtr& snapshot) {
  auto reader = read(snapshot);
  if (!reader.is_ok()) return std::move(reader.status());
  RegionInfo info = snapshot ? region_in(snapshot->view, snapshot->pin.epoch, region)
                             : region_in(index_.view, RegionOverlay::kLatest, region);
  if (info.size == 0) return missing(region);
  return info;
}

// By extents and by blocks of the overlays, as of any epoch: what is given may turn out to be
// zeros, never the other way round.
Result<uint64_t> PoolImpl::region_data_from(uint32_t region, uint64_t offset,
                                            const SnapshotPtr& snapshot) {
  auto reader = read(snapshot);
  if (!reader.is_ok()) return std::move(reader.status());
  const IndexView& view = snapshot ? snapshot->view : index_.view;
  const uint64_t at = snapshot ? snapshot->pin.epoch : RegionOverlay::kLatest;
  const uint64_t size = region_in(view, at, region).size;
  if (size == 0) return missing(region);
  uint64_t found = size, limit = UINT64_MAX;
  for (const Overlay* overlay : {view.active.get(), view.frozen.get()}) {
    const auto of = overlay ? overlay->regions.regions().find(region)
                            : std::map<uint32_t, RegionOverlay::Region>::const_iterator();
    if (!overlay || of == overlay->regions.regions().end()) continue;
    limit = std::min(limit, overlay->regions.limit(region, at));
    const auto block = of->second.blocks.lower_bound(offset / kRegionBlockBytes);
    if (block != of->second.blocks.end()) found = std::min(found, block->first * kRegionBlockBytes);
  }
  if (const RegionExtents* placed = view.regions->find(region)) {
    const auto extent =
        std::lower_bound(placed->extents.begin(), placed->extents.end(), offset / kExtentDataBytes,
                         [](const RegionExtent& e, uint64_t number) { return e.number < number; });
    if (extent != placed->extents.end() && extent->number * kExtentDataBytes < limit)
      found = std::min(found, extent->number * kExtentDataBytes);
  }
  return std::min(size, std::max(found, offset));
}

Result<std::vector<RegionInfo>> PoolImpl::regions(const SnapshotPtr& snapshot) {
  auto reader = read(snapshot);
  if (!reader.is_ok()) return std::move(reader.status());
  const IndexView& view = snapshot ? snapshot->view : index_.view;
  std::set<uint32_t> numbers;
  if (view.regions) {
    for (const auto& [region, extents] : view.regions->regions) numbers.insert(region);
  }
  for (const Overlay* overlay : {view.active.get(), view.frozen.get()}) {
    if (!overlay) continue;
    for (const auto& [region, of] : overlay->regions.regions()) numbers.insert(region);
  }
  std::vector<RegionInfo> out;
  for (const uint32_t region : numbers) {
    RegionInfo info =
        region_in(view, snapshot ? snapshot->pin.epoch : RegionOverlay::kLatest, region);
    if (info.size > 0) out.push_back(std::move(info));
  }
  return out;
}

// ── commits, under log_.lock

// Refuses what is outside of its region, decides additions and comparisons, and sees to it that the
// next fold will have room for the extents that are touched for the first time. Before anything is
// appended.
Status PoolImpl::prepare_regions(const Batch::Impl& batch, RecordBuffer* record) {
  for (const RegionCondition& condition : batch.region_conditions) {
    uint64_t cell = 0;
    HOLDFAST_TRY(read_region_bytes(index_.view, RegionOverlay::kLatest, condition.region,
                                   condition.offset, sizeof cell,
                                   reinterpret_cast<uint8_t*>(&cell)));
    if (cell == condition.expected) continue;
    return Status(Code::kConflict,
                  "a condition of the commit does not hold: the cell at offset " +
                      std::to_string(condition.offset) + " of the region " +
                      quoted(region_sizes_[condition.region].name) + " is " + std::to_string(cell) +
                      ", not " + std::to_string(condition.expected) + "; nothing was changed");
  }
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
    if (size == 0) return missing(key.region);
    if (key.word > size || bytes > size - key.word)
      return out_of_range(name, size, key.word, bytes);
    note_fresh_extents(key.region, key.word, bytes, &fresh);
    if (batch.adds.empty()) continue;
    if (next_add < batch.adds.size() && batch.adds[next_add].write == writes) {
      const RegionAdd& add = batch.adds[next_add++];
      uint64_t sum = 0;
      const auto before = cells.find({key.region, key.word});
      if (before != cells.end()) {
        sum = before->second;
      } else {
        HOLDFAST_TRY(read_region_bytes(index_.view, RegionOverlay::kLatest, key.region, key.word,
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

Status PoolImpl::set_aside(const WantedExtents& fresh) {
  if (fresh.empty()) return {};
  uint64_t bytes = 0;
  for (const auto& [key, of] : fresh) bytes += round_up(of, medium_->info().segment_unit);
  const uint64_t needed = reserve_bytes() + bytes;
  const std::string what = "for the parts of regions that are written for the first time";
  Status taken = make_ready(needed, what);
  if (!taken.is_ok()) {
    fresh_refused_ = bytes;
    return taken;
  }
  taken = extents_.set_aside(*medium_, fresh);
  if (!taken.is_full()) return taken;
  release_spares();
  taken = extents_.set_aside(*medium_, fresh);
  if (!taken.is_full()) return taken;
  fresh_refused_ = bytes;
  if (taken.code() != Code::kPoolFull) return taken;
  return Status(Code::kPoolFull,
                "the pool " + name_ + " is full: what is free is in pieces that are too short " +
                    what + "; delete something, close snapshots, or give it more room");
}

// The cell as the operations of the record before `end` leave it, in order.
void PoolImpl::overlay_earlier_writes(const RecordBuffer& record, uint64_t end,
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
void PoolImpl::note_fresh_extents(uint32_t region, uint64_t offset, uint64_t bytes,
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
void PoolImpl::note_resized_extents(const RegionKey& key, WantedExtents* fresh) const {
  const auto known = region_sizes_.find(key.region);
  const uint64_t before = known == region_sizes_.end() ? 0 : known->second.size;
  if (key.word < before && key.word % kRegionBlockBytes != 0)
    note_fresh_extents(key.region, key.word, 1, fresh);
  const ExtentKey last{key.region, before / kExtentDataBytes};
  if (extents_.holds(last)) (*fresh)[last] = 0;
}

// Their segments' bytes by the regions' sizes, which are those of `resized`, else the known ones;
// without those that are set aside.
void PoolImpl::size_extents(WantedExtents* fresh,
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
void PoolImpl::apply_region(const OperationView& operation, uint64_t epoch) {
  const RegionKey key = decode_region_key(operation.key);
  BelowActive below(*this, index_.view, torn_allowed_);
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

Status PoolImpl::announce_regions() {
  if (fold_.regions_announced()) return {};
  std::lock_guard maintenance(maintenance_mutex_);
  HOLDFAST_TRY(health_.usable());
  return fold_.announce_regions();
}

void PoolImpl::adopt_regions(std::vector<Segment>* held) {
  auto map = std::make_shared<RegionMap>();
  for (const FoldedRegion& folded : fold_.block.regions) {
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
  fold_.note_announced();
}

}  // namespace holdfast
