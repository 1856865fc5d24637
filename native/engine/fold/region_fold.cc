// What a fold does with the regions: the images of the frozen overlay are placed in extents, and
// the fold block lists those.
//
// An extent is rewritten in place, unless a snapshot or a reader in another process could see the
// difference, it is too short, or there is none yet: then the bytes go to a new segment, copy on
// write, and the old one is given back when nothing needs it any more. Who reads elsewhere is asked
// once a fold, and whoever comes later waits until it is over (Readers::begin_placing). Where the
// copies do not leave room for the fold, readers expire first: what they copied they know not to
// believe.
//
// In place, in this order, and what a crash in between leaves:
//   1. Every commit that the fold covers is behind a barrier: the old fold and its tail.
//   2. Blocks that were absent until now are written, and are behind a barrier. Their sums still
//      say absent: the same.
//   3. The root says `placing`, durably: the same.
//   4. Blocks and sums are rewritten: any mixture of old and new. Recovery applies the tail's
//      writes to it, which are all that differs.
//   5. A barrier, and the root names the new fold, no longer `placing`: the new fold (folder.cc).
// Without `placing` a block whose sum is wrong is damage, whatever the tail says of it.
//
// Under the maintenance lock. Commits and reads go on: the frozen overlay has every block that is
// touched, so nobody reads those below it.

#include "engine/fold/region_fold.h"

#include <algorithm>
#include <utility>

#include "base/test_hooks.h"
#include "base/test_points.h"
#include "engine/fold/folder.h"
#include "engine/read/region_reader.h"

namespace holdfast {

namespace {

constexpr uint64_t kPlacedPerBarrier =
    8 * kMiB;  // a sync of a commit that comes by never has more than this to write besides its own

}  // namespace

struct RegionChange {
  uint64_t index;  // of the block in the extent
  const RegionOverlay::Image* image;
};

// One extent to be changed.
struct ExtentWork {
  uint32_t region = 0;
  uint64_t number = 0;
  const RegionExtent* before = nullptr;  // null: none, or hidden by a cut
  uint64_t kept_blocks = kExtentBlocks;  // of `before`: the others were cut off
  uint64_t segment_bytes = 0;            // of a new one
  bool in_place = false;
  bool for_readers = false;           // not in place only because somebody reads in another process
  std::vector<RegionChange> changes;  // indexes rising
};

namespace {

uint64_t sum_of(const RegionChange& change, uint64_t secret, const ExtentWork& work) {
  const uint64_t sum = block_sum(change.image->bytes, secret, work.region,
                                 work.number * kExtentBlocks + change.index);
  if (!change.image->damaged) return sum;
  return ~sum == 0 ? 1 : ~sum;  // stays damaged until it is written whole
}

class SumPage {
 public:
  // `torn`: a crash may have torn what is there, which is not damage.
  SumPage(const uint8_t* from, const ExtentWork& work, uint64_t secret, bool torn)
      : secret_(secret), work_(work) {
    for (uint64_t i = 0; i < kSumSectors; i++) {
      if (from) sectors_[i] = load<SumSector>(from + i * sizeof(SumSector));
      spoiled_[i] =
          from && !region_sector_is_sound(sectors_[i], torn, secret, work.region, work.number, i);
      sectors_[i].region = work.region;
      sectors_[i].extent = static_cast<uint32_t>(work.number);
    }
  }
  uint64_t get(uint64_t index) const {
    return sectors_[index / kSumsPerSector].sums[index % kSumsPerSector];
  }
  void set(uint64_t index, uint64_t sum) {
    uint64_t& now = sectors_[index / kSumsPerSector].sums[index % kSumsPerSector];
    changed_[index / kSumsPerSector] |= now != sum;
    now = sum;
  }
  // A sector that was damaged stays so: what it said of absent blocks is not known any more.
  const uint8_t* seal() {
    for (uint64_t i = 0; i < kSumSectors; i++) {
      const uint64_t right =
          sector_checksum(sectors_[i], secret_, work_.number * kExtentBlocks + i * kSumsPerSector);
      sectors_[i].checksum = spoiled_[i] ? ~right : right;
    }
    return reinterpret_cast<const uint8_t*>(sectors_);
  }
  bool changed(uint64_t sector) const { return changed_[sector]; }

 private:
  const uint64_t secret_;
  const ExtentWork& work_;
  SumSector sectors_[kSumSectors];
  bool spoiled_[kSumSectors] = {}, changed_[kSumSectors] = {};
};

// Neighbouring blocks in one append.
class BlockWriter {
 public:
  BlockWriter(Medium& medium, uint64_t data_offset) : medium_(medium), data_offset_(data_offset) {}
  Status add(uint64_t index, const uint8_t* block) {
    if (!run_.empty() && index != first_ + run_.size() / kRegionBlockBytes) HOLDFAST_TRY(flush());
    if (run_.empty()) first_ = index;
    run_.insert(run_.end(), block, block + kRegionBlockBytes);
    return {};
  }
  Status flush() {
    if (run_.empty()) return {};
    Status placed =
        medium_.append(data_offset_ + first_ * kRegionBlockBytes, run_.data(), run_.size());
    written_ += run_.size();
    run_.clear();
    return placed;
  }
  uint64_t written() const { return written_; }

 private:
  Medium& medium_;
  const uint64_t data_offset_;
  uint64_t first_ = 0, written_ = 0;
  std::vector<uint8_t> run_;
};

// What was cut off is no block any more.
void forget_cut_blocks(SumPage* page, const ExtentWork& work) {
  for (uint64_t i = work.kept_blocks; i < kExtentBlocks; i++) page->set(i, 0);
}

// Copy on write, or for the first time.
Status write_new_extent(Medium& medium, const ExtentWork& work, const Segment& segment,
                        uint64_t secret, bool torn) {
  const uint8_t* before = work.before ? medium.view() + work.before->segment.offset : nullptr;
  SumPage page(before, work, secret, torn);
  forget_cut_blocks(&page, work);
  BlockWriter writer(medium, segment.offset + kSumPageBytes);
  const uint64_t copied = work.before ? std::min(work.before->blocks(), work.kept_blocks) : 0;
  auto change = work.changes.begin();
  for (uint64_t i = 0; i < kExtentBlocks; i++) {
    if (change != work.changes.end() && change->index == i) {
      page.set(i, sum_of(*change, secret, work));
      HOLDFAST_TRY(writer.add(i, change->image->bytes));
      ++change;
    } else if (i < copied && page.get(i) != 0) {
      HOLDFAST_TRY(writer.add(
          i, before + kSumPageBytes + i * kRegionBlockBytes));  // with its sum, right or wrong
    }
  }
  HOLDFAST_TRY(writer.flush());
  return medium.append(segment.offset, page.seal(), kSumPageBytes);
}

Status write_absent_blocks(Medium& medium, const ExtentWork& work, uint64_t secret,
                           uint64_t* written) {
  const SumPage page(medium.view() + work.before->segment.offset, work, secret, true);
  BlockWriter writer(medium, work.before->segment.offset + kSumPageBytes);
  for (const RegionChange& change : work.changes) {
    if (page.get(change.index) == 0) HOLDFAST_TRY(writer.add(change.index, change.image->bytes));
  }
  HOLDFAST_TRY(writer.flush());
  *written += writer.written();
  return {};
}

Status write_in_place(Medium& medium, const ExtentWork& work, uint64_t secret, bool torn,
                      uint64_t* written) {
  const uint64_t at = work.before->segment.offset;
  SumPage page(medium.view() + at, work, secret, torn);
  BlockWriter writer(medium, at + kSumPageBytes);
  for (const RegionChange& change : work.changes) {
    if (page.get(change.index) != 0) HOLDFAST_TRY(writer.add(change.index, change.image->bytes));
  }
  HOLDFAST_TRY(writer.flush());
  forget_cut_blocks(&page, work);
  for (const RegionChange& change : work.changes)
    page.set(change.index, sum_of(change, secret, work));
  const uint8_t* sealed = page.seal();
  for (uint64_t i = 0; i < kSumSectors; i++) {
    // After a crash also those that look unchanged: their checksum may be the torn part.
    if (!page.changed(i) && !torn) continue;
    HOLDFAST_TRY(medium.append(at + i * sizeof(SumSector), sealed + i * sizeof(SumSector),
                               sizeof(SumSector)));
  }
  *written += writer.written();
  return {};
}

// Splits what the overlay has of one region into extents, and carries over what it does not touch.
void plan_region(uint32_t region, const RegionOverlay::Region& of, const RegionExtents* before,
                 RegionExtents* after, RegionFold* out, std::vector<ExtentWork>* works) {
  const uint64_t limit = of.cuts.empty() ? UINT64_MAX : of.cuts.back().limit;
  auto block = of.blocks.begin();
  size_t next = 0;
  const size_t had = before ? before->extents.size() : 0;
  while (true) {
    while (block != of.blocks.end() && block->first * kRegionBlockBytes >= after->size) ++block;
    const uint64_t touched = block == of.blocks.end() ? UINT64_MAX : block->first / kExtentBlocks;
    const uint64_t placed = next < had ? before->extents[next].number : UINT64_MAX;
    const uint64_t number = std::min(touched, placed);
    if (number == UINT64_MAX) return;
    const RegionExtent* extent = placed == number ? &before->extents[next++] : nullptr;
    if (extent && number * kExtentDataBytes >= limit) {
      out->left.push_back(extent->segment);
      extent = nullptr;
    }
    ExtentWork work;
    work.region = region;
    work.number = number;
    work.before = extent;
    const uint64_t begin = number * kExtentDataBytes;
    if (limit < begin + kExtentDataBytes)
      work.kept_blocks =
          limit > begin ? round_up(limit - begin, kRegionBlockBytes) / kRegionBlockBytes : 0;
    work.segment_bytes = extent_segment_bytes(after->size, number);
    for (; touched == number && block != of.blocks.end() && block->first / kExtentBlocks == number;
         ++block) {
      if (block->first * kRegionBlockBytes < after->size)
        work.changes.push_back({block->first % kExtentBlocks, block->second.get()});
    }
    if (work.changes.empty() && !extent) continue;
    const bool cut = extent && work.kept_blocks < extent->blocks();
    if (work.changes.empty() && !cut) {
      after->extents.push_back(*extent);
      continue;
    }
    works->push_back(std::move(work));
    after->extents.push_back(
        {number, extent ? extent->segment : Segment{}, extent ? extent->born : 0});
  }
}

}  // namespace

// Nothing the durable fold refers to is given back here; `out` says what may be once the new one is
// durable.
Status Folder::fold_regions(const RegionOverlay& overlay, uint64_t epoch, RegionFold* out) {
  const RegionMap& now = *index_.view.regions;
  out->map = index_.view.regions;
  if (overlay.empty()) return {};
  auto map = std::make_shared<RegionMap>(now);
  std::vector<ExtentWork> works;
  Changed changed;
  for (const auto& [region, of] : overlay.regions()) {
    const RegionExtents* before = now.find(region);
    auto after = std::make_shared<RegionExtents>();
    after->size = !of.cuts.empty() ? of.cuts.back().size : before ? before->size : 0;
    after->name = !of.cuts.empty() ? of.name : before ? before->name : "";
    if (after->size == 0) {
      if (before) {
        for (const RegionExtent& extent : before->extents) out->left.push_back(extent.segment);
      }
      map->regions.erase(region);
      continue;
    }
    const size_t first = works.size();
    plan_region(region, of, before, after.get(), out, &works);
    const bool cut = !of.cuts.empty() && of.cuts.back().limit != UINT64_MAX;
    for (size_t i = first; i < works.size(); i++) {
      ExtentWork& work = works[i];
      const uint64_t needed = work.changes.empty() ? 0 : work.changes.back().index + 1;
      work.in_place = work.before && needed <= work.before->blocks() &&
                      (!index_.sees_below_frozen(work.before->born, cut) ||
                       planted(PlantedBug::kRegionSnapshotIgnored));
    }
    changed.emplace_back(region, std::move(after));
  }
  avoid_readers(&works);
  HOLDFAST_TRY(place_regions(works, epoch, changed, out));
  for (auto& [region, after] : changed) map->regions[region] = std::move(after);
  map->segments = map->bytes = 0;
  for (const auto& [region, extents] : map->regions) {
    map->segments += extents->extents.size();
    for (const RegionExtent& extent : extents->extents) map->bytes += extent.segment.bytes;
  }
  out->map = std::move(map);
  return {};
}

void Folder::avoid_readers(std::vector<ExtentWork>* works) {
  if (std::none_of(works->begin(), works->end(),
                   [](const ExtentWork& work) { return work.in_place; }))
    return;
  std::lock_guard append(log_.lock);
  if (readers_.begin_placing()) return;
  for (ExtentWork& work : *works) work.for_readers = std::exchange(work.in_place, false);
}

void Folder::readers_give_way(std::vector<ExtentWork>* works) {
  std::lock_guard append(log_.lock);
  readers_.place_even_under_readers();
  for (ExtentWork& work : *works)
    work.in_place = work.in_place || std::exchange(work.for_readers, false);
}

Status Folder::place_regions(std::vector<ExtentWork>& works, uint64_t epoch, Changed& changed,
                             RegionFold* out) {
  const bool torn = fold_.root.placing != 0;
  {
    std::lock_guard append(log_.lock);
    region_commits_.extents().begin_placing();
  }
  uint64_t rewritten = 0, absent_bytes = 0;
  const auto take = [&](const ExtentWork& work) -> Result<Segment> {
    {
      std::lock_guard append(log_.lock);
      if (const auto set_aside =
              region_commits_.extents().place({work.region, work.number}, work.segment_bytes))
        return *set_aside;
    }
    auto segment = medium_.allocate(SegmentKind::kRegion, work.segment_bytes, work.segment_bytes);
    if (segment.is_ok()) out->taken.push_back(*segment);
    return segment;
  };
  for (ExtentWork& work : works) {
    Result<Segment> segment = work.in_place ? Segment{} : take(work);
    if (!segment.is_ok() && work.for_readers) readers_give_way(&works);
    if (work.in_place) {
      Status placed = write_absent_blocks(medium_, work, secret_, &absent_bytes);
      if (!placed.is_ok()) return health_.fail(std::move(placed));
      rewritten++;
      continue;
    }
    if (!segment.is_ok()) return std::move(segment.status());
    out->copied_for_readers |= std::exchange(work.for_readers, false);
    Status placed = write_new_extent(medium_, work, *segment, secret_, torn);
    if (!placed.is_ok()) return health_.fail(std::move(placed));
    if (work.before) out->left.push_back(work.before->segment);
    const auto of =
        std::lower_bound(changed.begin(), changed.end(), work.region,
                         [](const auto& each, uint32_t region) { return each.first < region; });
    auto& extents = of->second->extents;
    auto at = std::lower_bound(extents.begin(), extents.end(), work.number,
                               [](const RegionExtent& e, uint64_t n) { return e.number < n; });
    at->segment = *segment;
    at->born = index_.next_serial();
  }
  if (rewritten == 0) return {};
  // A barrier of our own: whoever raises another one meanwhile need not be waited for. (Where
  // barriers are per thread each commit has had its own.) Readers have been told of what is durable
  // by now: who finds the root `placing` replays at least this far (read_only_pool.cc).
  const bool durable = barriers_.durable() >= epoch;
  if (!durable && !planted(PlantedBug::kRegionPlacedEarly)) HOLDFAST_TRY(barriers_.raise(epoch));
  if (absent_bytes > 0 && !planted(PlantedBug::kRegionAbsentTogether)) {
    Status done = medium_.barrier();
    if (!done.is_ok()) return health_.fail(std::move(done));
  }
  if (!torn) HOLDFAST_TRY(fold_.mark_placing());
  reach(TestPoint::kRegionsInPlace);
  HOLDFAST_POINT("region.before_in_place");
  uint64_t written = 0;
  for (const ExtentWork& work : works) {
    if (!work.in_place) continue;
    Status placed = write_in_place(medium_, work, secret_, torn, &written);
    if (placed.is_ok() && written >= kPlacedPerBarrier) {
      written = 0;
      placed = medium_.barrier();
    }
    if (!placed.is_ok()) return health_.fail(std::move(placed));
  }
  HOLDFAST_POINT("region.in_place");
  reach(TestPoint::kRegionsPlaced);
  return {};
}

// The new root is durable: what came with it is published, under log_.lock and the exclusive
// index lock.
void Folder::publish_regions(RegionFold&& fold, uint64_t number) {
  index_.view.regions = std::move(fold.map);
  for (const Segment& segment : fold.left)
    log_.graveyard.bury(segment, number, index_.next_serial());
  region_commits_.extents().end_fold(medium_);
}

std::vector<FoldedRegion> folded_regions(const RegionMap& map) {
  std::vector<FoldedRegion> out;
  for (const auto& [region, extents] : map.regions) {
    FoldedRegion& folded = out.emplace_back();
    folded.region = region;
    folded.size = extents->size;
    folded.name = extents->name;
    for (const RegionExtent& e : extents->extents) folded.extents.push_back({e.number, e.segment});
  }
  return out;
}

}  // namespace holdfast
