// Views: bytes of the pool shown without copying them, for as long as someone holds them.
//
// A view pins what it shows: segments of values are not given back, and extents of regions are not
// written in place (a fold copies them instead), so what lies under the mapping does not change.
// What is newer than the newest fold, and what was never written, is put into private pages of the
// view. Pages are shown as they are, unverified but for what is small: reading them is up to the
// holder, who is told so (docs/regions.md).
//
// A pool that is open for reading only shows copies. Its pin may be taken away at any moment, and
// nobody could take back what JavaScript sees by then; so bytes are handed out only after it was
// seen that they stood while they were copied.
//
// Threads: any. A crash leaves nothing of a view.

#include <algorithm>
#include <cstring>
#include <set>

#include "engine/pool/pool_impl.h"
#include "medium/private_view.h"

namespace holdfast {

namespace {

constexpr uint64_t kPage = 4 * kKiB;
constexpr uint64_t kBlocksPerPage = kPage / kRegionBlockBytes;
constexpr uint64_t kSmallValue = 4 * kKiB;  // copied: a mapping costs more

struct Patch {
  uint64_t block;
  uint8_t bytes[kRegionBlockBytes];
};

}  // namespace

MappedView::MappedView(std::unique_ptr<PrivateView> memory_in, uint64_t skipped, uint64_t size_in,
                       std::vector<SnapshotPtr> pins)
    : memory(std::move(memory_in)),
      data(memory->data() + skipped),
      size(size_in),
      pins_(std::move(pins)) {}
MappedView::~MappedView() = default;

void MappedView::blank() {
  memory->blank();
  pins_.clear();
}

// Shows pool bytes at `at`, or copies them there.
void PoolImpl::show(PrivateView* memory, uint64_t offset, uint64_t bytes, uint64_t at,
                    bool* mapped) const {
  const uint64_t shown = memory->map(*medium_, offset, bytes, at);
  if (shown == bytes) return;
  *mapped = false;
  std::memcpy(memory->data() + at + shown, medium_->view() + offset + shown, bytes - shown);
}

// What was copied is believed only if it still stood afterwards; and what was only copied needs
// nothing to stay.
Result<std::unique_ptr<MappedView>> PoolImpl::shown(std::unique_ptr<PrivateView> memory,
                                                    uint64_t skipped, uint64_t size,
                                                    std::vector<SnapshotPtr> pins,
                                                    bool mapped) const {
  HOLDFAST_TRY(health_.sound());
  if (!memory->shows_pool()) pins.clear();
  auto view = std::make_unique<MappedView>(std::move(memory), skipped, size, std::move(pins));
  view->mapped = mapped;
  return view;
}

Result<std::unique_ptr<MappedView>> PoolImpl::view_value(Bytes key, const SnapshotPtr& snapshot) {
  Visit visit(visits_);
  HOLDFAST_TRY(visit.begin());
  SnapshotPtr pinned = snapshot;
  FoundValue found;
  std::string description;
  {
    auto reader = read(snapshot);
    if (!reader.is_ok()) return std::move(reader.status());
    auto looked = reader->find(key);
    if (!looked.is_ok()) return std::move(looked.status());
    if (!looked->has_value()) return std::unique_ptr<MappedView>();
    found = **looked;
    description = found.description;
    if (!pinned) {
      auto taken = pin_locked();
      if (!taken.is_ok()) return std::move(taken.status());
      pinned = *taken;
    }
  }
  bool mapped = true;
  if (!found.large) {
    const auto offset = static_cast<uint64_t>(found.inline_bytes - medium_->view());
    const uint64_t skipped = found.size < kSmallValue ? 0 : offset % kPage;
    auto memory = PrivateView::reserve(skipped + found.size);
    if (!memory.is_ok()) return std::move(memory.status());
    if (found.size < kSmallValue) {
      mapped = false;
      std::memcpy((*memory)->data(), found.inline_bytes, found.size);
    } else {
      show(memory->get(), offset - skipped, (*memory)->bytes(), 0, &mapped);
    }
    return shown(std::move(*memory), skipped, found.size, {pinned}, mapped);
  }
  const auto value = LargeValue::decode(description);
  if (!value) return Status(Code::kCorrupt, "a large value's description is damaged");
  auto memory = PrivateView::reserve(value->size);
  if (!memory.is_ok()) return std::move(memory.status());
  uint64_t at = 0;
  for (const LargePiece& piece : value->pieces) {
    const uint64_t bytes = round_up(piece.used, kPage);
    if (piece.segment.end() > medium_->view_end() || bytes > piece.segment.bytes ||
        at % kPage != 0 || at + bytes > (*memory)->bytes()) {
      return Status(Code::kCorrupt, "a large value's segment at offset " +
                                        std::to_string(piece.segment.offset) +
                                        " is not where it can be");
    }
    show(memory->get(), piece.segment.offset, bytes, at, &mapped);
    at += piece.used;
  }
  return shown(std::move(*memory), 0, value->size, {pinned}, mapped);
}

Result<std::unique_ptr<MappedView>> PoolImpl::view_region(uint32_t region, uint64_t offset,
                                                          uint64_t size, const SnapshotPtr& given) {
  Visit visit(visits_);
  HOLDFAST_TRY(visit.begin());
  std::vector<SnapshotPtr> pins;
  std::vector<Patch> patches;
  std::set<uint64_t> on_their_way;  // sectors of sums that a fold may be rewriting
  uint64_t limit = UINT64_MAX;
  const uint64_t first_block = offset / kRegionBlockBytes,
                 end_block = (offset + size + kRegionBlockBytes - 1) / kRegionBlockBytes;
  {
    auto reader = read(given);
    if (!reader.is_ok()) return std::move(reader.status());
    const IndexView& view = given ? given->view : index_.view;
    const uint64_t at = given ? given->pin.epoch : RegionOverlay::kLatest;
    HOLDFAST_TRY(region_reader_.check_range(view, at, region, offset, size));
    // From here on nothing is written in place under what this view shows, but for blocks that are
    // patched below.
    pins.push_back(std::make_shared<Snapshot>(
        std::static_pointer_cast<PoolImpl>(shared_from_this()), view,
        index_.pin_in_place(index_.visible_epoch.load(std::memory_order_acquire))));
    if (given) pins.push_back(given);
    std::set<uint64_t> blocks;
    for (const Overlay* overlay : {view.frozen.get(), view.active.get()}) {
      if (!overlay) continue;
      limit = std::min(limit, overlay->regions.limit(region, at));
      const auto of = overlay->regions.regions().find(region);
      if (of == overlay->regions.regions().end()) continue;
      for (const auto& cut : of->second.cuts) {
        if (cut.limit != UINT64_MAX) on_their_way.insert(UINT64_MAX);  // any
      }
      for (auto block = of->second.blocks.lower_bound(first_block);
           block != of->second.blocks.end() && block->first < end_block; ++block) {
        blocks.insert(block->first);
      }
    }
    patches.reserve(blocks.size());
    for (const uint64_t block : blocks) {
      Patch& patch = patches.emplace_back();
      patch.block = block;
      if (!region_reader_.read_block(view, at, region, block, patch.bytes))
        return region_reader_.damaged_block(view, at, region, block);
      on_their_way.insert(block / kExtentBlocks * kSumSectors +
                          block % kExtentBlocks / kSumsPerSector);
    }
  }
  const uint64_t skipped = offset % kPage, first_page = offset / kPage;
  auto memory = PrivateView::reserve(skipped + size);
  if (!memory.is_ok()) return std::move(memory.status());
  bool mapped = true;
  const IndexView& view = pins.front()->view;
  const RegionExtents* of = view.regions->find(region);
  for (const RegionExtent& extent : of ? of->extents : std::vector<RegionExtent>()) {
    const uint64_t begin = extent.number * kExtentBlocks;
    if (begin >= end_block || begin * kRegionBlockBytes >= limit) break;
    if (begin + extent.blocks() <= first_block) continue;
    HOLDFAST_TRY(
        show_extent(memory->get(), view, region, extent, first_page, limit, on_their_way, &mapped));
  }
  for (const Patch& patch : patches) {
    const uint64_t at = patch.block * kRegionBlockBytes - first_page * kPage;
    if (at + kRegionBlockBytes <= (*memory)->bytes())
      std::memcpy((*memory)->data() + at, patch.bytes, kRegionBlockBytes);
  }
  return shown(std::move(*memory), skipped, size, std::move(pins), mapped);
}

// The pages of one extent that have something in them; what was never written, or was cut off, is
// zeroed.
Status PoolImpl::show_extent(PrivateView* memory, const IndexView& view, uint32_t region,
                             const RegionExtent& extent, uint64_t first_page, uint64_t limit,
                             const std::set<uint64_t>& on_their_way, bool* mapped) {
  const uint8_t* page_of_sums = medium_->view() + extent.segment.offset;
  if (extent.segment.end() > medium_->view_end())
    return Status(Code::kCorrupt, "an extent of a region lies beyond the pool's end");
  const uint64_t extent_page = extent.number * (kExtentDataBytes / kPage);
  const uint64_t from = std::max(first_page, extent_page),
                 to = std::min(first_page + memory->bytes() / kPage,
                               extent_page + extent.blocks() / kBlocksPerPage);
  if (from >= to) return {};
  const auto sum_at = [&](uint64_t index) {
    return load<uint64_t>(page_of_sums + index / kSumsPerSector * sizeof(SumSector) +
                          index % kSumsPerSector * sizeof(uint64_t));
  };
  bool absent[kExtentBlocks] = {};
  uint64_t vouched = UINT64_MAX;  // the last sector that was looked at
  for (uint64_t index = (from - extent_page) * kBlocksPerPage;
       index < (to - extent_page) * kBlocksPerPage; index++) {
    const uint64_t block = extent.number * kExtentBlocks + index, sector = index / kSumsPerSector;
    const bool cut = block * kRegionBlockBytes >= limit;
    absent[index] = cut || sum_at(index) == 0;
    if (cut || !absent[index] || sector == vouched) continue;
    const auto sums = load<SumSector>(page_of_sums + sector * sizeof(SumSector));
    const bool on_its_way = on_their_way.contains(UINT64_MAX) ||
                            on_their_way.contains(extent.number * kSumSectors + sector);
    if (!region_sector_is_sound(sums, on_its_way, secret_, region, extent.number, sector)) {
      const std::shared_lock named(
          index_.lock);  // the name may be in an overlay that commits change
      return region_reader_.damaged_block(view, RegionOverlay::kLatest, region, block);
    }
    vouched = sector;
  }
  const auto empty = [&](uint64_t page) {
    const bool* blocks = absent + (page - extent_page) * kBlocksPerPage;
    return std::all_of(blocks, blocks + kBlocksPerPage, [](bool each) { return each; });
  };
  for (uint64_t page = from; page < to;) {
    if (empty(page)) {
      page++;
      continue;
    }
    uint64_t end = page + 1;
    while (end < to && !empty(end)) end++;
    show(memory, extent.segment.offset + kSumPageBytes + (page - extent_page) * kPage,
         (end - page) * kPage, (page - first_page) * kPage, mapped);
    page = end;
  }
  for (uint64_t index = (from - extent_page) * kBlocksPerPage;
       index < (to - extent_page) * kBlocksPerPage; index++) {
    const uint64_t page = extent_page + index / kBlocksPerPage;
    if (!absent[index] || empty(page)) continue;
    std::memset(
        memory->data() + (page - first_page) * kPage + index % kBlocksPerPage * kRegionBlockBytes,
        0, kRegionBlockBytes);
  }
  return {};
}

}  // namespace holdfast
