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
// Here they are read, under the shared index lock. What commits do to them: region_commits.h. What
// a crash leaves: region_fold.cc.

#include <algorithm>

#include "engine/pool/pool_impl.h"

namespace holdfast {

namespace {

constexpr uint64_t kReadUnderOneLock = kMiB;

}  // namespace

// Under the shared index lock: what the snapshot, or now, sees.
std::pair<const IndexView*, uint64_t> PoolImpl::seen_by(const SnapshotPtr& snapshot) const {
  if (snapshot) return {&snapshot->view, snapshot->pin.epoch};
  return {&index_.view, RegionOverlay::kLatest};
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
    const auto [view, at] = seen_by(pinned);
    HOLDFAST_TRY(region_reader_.read(*view, at, region, offset + done, piece, to + done));
    done += piece;
  } while (done < size);
  return {};
}

Result<RegionInfo> PoolImpl::region_info(uint32_t region, const SnapshotPtr& snapshot) {
  auto reader = read(snapshot);
  if (!reader.is_ok()) return std::move(reader.status());
  const auto [view, at] = seen_by(snapshot);
  RegionInfo info = region_reader_.info(*view, at, region);
  if (info.size == 0) return missing_region(region);
  return info;
}

Result<uint64_t> PoolImpl::region_data_from(uint32_t region, uint64_t offset,
                                            const SnapshotPtr& snapshot) {
  auto reader = read(snapshot);
  if (!reader.is_ok()) return std::move(reader.status());
  const auto [view, at] = seen_by(snapshot);
  return region_reader_.data_from(*view, at, region, offset);
}

Result<std::vector<RegionInfo>> PoolImpl::regions(const SnapshotPtr& snapshot) {
  auto reader = read(snapshot);
  if (!reader.is_ok()) return std::move(reader.status());
  const auto [view, at] = seen_by(snapshot);
  return region_reader_.all(*view, at);
}

}  // namespace holdfast
