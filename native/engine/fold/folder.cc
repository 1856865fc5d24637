// The fold itself, but for what it does with the regions: see folder.h.

#include "engine/fold/folder.h"

#include <unordered_map>
#include <unordered_set>

#include "base/test_hooks.h"
#include "base/test_points.h"
#include "engine/state/clock.h"
#include "format/layout.h"
#include "index/rising_finder.h"

namespace holdfast {

namespace {
constexpr uint64_t kMergedPerFolded =
    10;  // each entry is merged about eight times before it is in the oldest run
}  // namespace

Folder::Folder(const Parts& parts)
    : medium_(parts.medium),
      health_(parts.health),
      index_(parts.index),
      log_(parts.log),
      fold_(parts.fold),
      readers_(parts.readers),
      barriers_(parts.barriers),
      room_(parts.room),
      region_commits_(parts.regions),
      returns_(parts.returns),
      merger_(parts.merger),
      options_(parts.options),
      secret_(parts.secret) {}

void Folder::set_limits() {
  const uint64_t capacity = medium_.info().grows ? UINT64_MAX : medium_.space().capacity;
  fold_bytes_ = std::min(options_.fold_bytes, std::max(capacity / 32, 512 * kKiB));
  fold_large_bytes_ = std::min(options_.fold_bytes, capacity / 8);
  set_table_bytes();
}

// Where a pool grows a table is no longer than a log segment: so it fits into what was one, on a
// full disk too.
void Folder::set_table_bytes() {
  constexpr uint64_t kTableBytes = 4 * kMiB;
  const uint64_t most =
      medium_.info().grows ? room_.log_segment_bytes() : medium_.space().capacity / 512;
  // On persistent memory each segment loses a page.
  index_.table_bytes =
      std::max(round_up(std::min(kTableBytes, most), medium_.info().segment_unit) - kPageBytes,
               4 * kNodeBytes);
}

bool Folder::fold_is_due(uint64_t operations) const {
  return log_.tail.operations.load(std::memory_order_relaxed) >= operations ||
         log_.tail.bytes >= fold_bytes_ || log_.tail.large_bytes >= fold_large_bytes_ ||
         index_.view.active->regions.bytes() >= fold_bytes_;
}

// What a fold is to write: the overlay freezes, and the block says what goes with it. False: there
// is nothing to fold.
Result<bool> Folder::begin_fold(bool even_if_empty, FoldBlock* block) {
  std::lock_guard append(log_.lock);
  HOLDFAST_TRY(health_.usable());
  const bool nothing_new = index_.view.active->empty() && !index_.view.frozen;
  const bool lets_go = fold_.refresh_retention();
  set_table_bytes();
  if (nothing_new) region_commits_.extents().give_back_active(medium_);
  if (nothing_new && !even_if_empty && !lets_go && !log_.graveyard.waits_for_fold(fold_.begun))
    return false;
  if (index_.view.frozen) {
    *block = std::move(pending_fold_);  // an earlier fold did not find room: finish it first
    return true;
  }
  std::unique_lock guard(index_.lock);
  index_.freeze();
  fold_.begun++;
  block->epoch = log_.epoch;
  block->time_ms = now_ms();
  block->log_sequence = log_.writer.sequence();
  block->log_offset = log_.writer.position();
  block->incarnation = fold_.root.incarnation;
  frozen_segments_ = log_.segments;
  for (const auto& [offset, segment] : log_.large) block->large.push_back(segment);
  log_.tail.operations = 0;
  log_.tail.bytes = 0;
  log_.tail.large_bytes = 0;
  room_.freeze_keys();
  region_commits_.extents().freeze();
  return true;
}

Status Folder::run_fold(bool even_if_empty) {
  FoldBlock block;
  auto begun = begin_fold(even_if_empty, &block);
  if (!begun.is_ok()) return std::move(begun.status());
  if (!*begun) return {};
  reach(TestPoint::kFoldFrozen);
  const std::shared_ptr<Overlay> frozen = index_.view.frozen;
  RunPtr run;
  if (frozen->entries() > 0) {
    auto written = write_run(*frozen, !index_.view.runs.empty());
    if (!written.is_ok()) {
      std::lock_guard append(log_.lock);
      pending_fold_ = std::move(block);
      return std::move(written.status());
    }
    run = *written;
  }
  reach(TestPoint::kFoldRunWritten);
  RegionFold regions;
  // Whether the fold comes to something or not: its bytes do not change any more, and readers go
  // on.
  struct PlacingEnds {
    Folder& folder;
    ~PlacingEnds() {
      std::lock_guard append(folder.log_.lock);
      folder.readers_.end_placing();
    }
  } const placing_ends{*this};
  Status placed = fold_regions(frozen->regions, block.epoch, &regions);
  if (!placed.is_ok()) {
    if (!health_.has_failed()) give_up_fold(run, regions);
    return fold_later(std::move(placed), std::move(block), regions);
  }
  block.regions = folded_regions(*regions.map);
  std::vector<RunPtr> runs = index_.view.runs;
  if (run) runs.insert(runs.begin(), run);
  block.runs = folded_runs(runs);
  block.log.clear();
  remember_segments(&block);
  FoldBlock again = block;
  Status written = fold_.set(std::move(block), true);
  if (!written.is_ok()) {
    give_up_fold(run, regions);
    return fold_later(std::move(written), std::move(again), regions);
  }
  {
    std::lock_guard append(log_.lock);
    std::unique_lock guard(index_.lock);
    index_.view.runs = std::move(runs);
    index_.view.frozen = nullptr;
    room_.forget_frozen_keys();
    publish_regions(std::move(regions), fold_.begun);
    fold_.durable = fold_.begun;
    deaths_counted_ = false;
  }
  folds_.fetch_add(1, std::memory_order_relaxed);
  merger_.note_due(run ? kMergedPerFolded * run->entries() : 0);
  returns_.give_back();
  {
    std::lock_guard append(log_.lock);
    room_.forget_carried();
  }
  reach(TestPoint::kFoldDone);
  return {};
}

// What was taken for a fold that comes to nothing.
void Folder::give_up_fold(const RunPtr& run, const RegionFold& regions) {
  for (const Segment& segment : regions.taken) medium_.release(segment);
  if (!run) return;
  for (const TableRef& table : run->tables()) medium_.release(table.segment);
}

// The next fold takes up what this one did not find room for. Had there been room without the
// copies for readers, they expire, and it does so at once: a reader never keeps a fold from being
// made.
Status Folder::fold_later(Status status, FoldBlock&& block, const RegionFold& regions) {
  const bool full = status.code() == Code::kPoolFull || status.code() == Code::kDiskFull;
  {
    std::lock_guard append(log_.lock);
    pending_fold_ = std::move(block);
    if (!full || !regions.copied_for_readers) return status;
    readers_.make_way();
  }
  return run_fold(true);
}

// The newest version of every key of the overlay, as a run. Counts what those versions supersede in
// older runs (once per fold, even if it must be tried again).
Result<RunPtr> Folder::write_run(const Overlay& overlay, bool keep_deleted) {
  RunBuilder builder(medium_, index_.table_bytes);
  auto cursor = overlay.cursor();
  RisingFinder older_places(index_.view.runs);
  std::unordered_map<uint64_t, uint64_t> died;  // bytes, by the segment's offset
  std::vector<std::pair<Place, Place>>
      died_large;  // old place, its successor: their values die too
  const auto note_death = [&](Place old, Place successor) {
    if (old.is_large()) return died_large.emplace_back(old, successor), void();
    const LogSegment* segment = frozen_segments_.find(old.offset());
    if (segment != nullptr) died[segment->segment.offset] += old.bytes();
  };
  Status built;
  for (cursor->seek(Bytes()); cursor->valid() && (built.is_ok() || !deaths_counted_);
       cursor->next()) {
    if (!deaths_counted_ && !cursor->older_counted()) {
      auto older = older_places.find(cursor->key());
      // A damaged node cannot say what died: the space stays taken until check and salvage; no
      // value is lost by going on.
      if (!older.is_ok()) index_.damaged.store(true);
      if (older.is_ok() && older->has_value() && !(*older)->is_deleted())
        note_death(**older, cursor->place());
    }
    const bool kept = !cursor->place().is_deleted() ||
                      (keep_deleted && !planted(PlantedBug::kDeletionsForgotten));
    if (kept && built.is_ok()) built = builder.add(cursor->key(), cursor->place());
  }
  if (!deaths_counted_) count_deaths(died, died_large);
  if (built.is_ok()) built = cursor->take_status();
  if (!built.is_ok()) {
    builder.abandon();
    return built;
  }
  auto tables = builder.finish();
  if (!tables.is_ok()) {
    builder.abandon();
    return std::move(tables.status());
  }
  return index_.make_run(medium_, std::move(*tables));
}

// A commit waits for the lock no longer than it takes to go through the segments.
void Folder::count_deaths(const std::unordered_map<uint64_t, uint64_t>& died,
                          const std::vector<std::pair<Place, Place>>& died_large) {
  std::lock_guard append(log_.lock);
  for (const auto& [segment, bytes] : died) {  // as if one operation had been all of them
    if (planted(PlantedBug::kDeathNotCounted)) break;
    for (uint64_t done = 0; done < bytes; done += Place::kMaxOperationBytes) {
      const Place piece =
          Place::of(segment, std::min(bytes - done, Place::kMaxOperationBytes), false);
      frozen_segments_.died(piece);
      log_.segments.died(piece);
    }
  }
  for (const auto& [old, successor] : died_large) {
    frozen_segments_.died(old);
    log_.note_dead(old, successor, false, fold_.begun);  // superseded by what this fold leads to
  }
  deaths_counted_ = true;
}

// The block remembers the log segments in which something was live as of the fold, and the large
// values' segments. The others need not be remembered any more.
void Folder::remember_segments(FoldBlock* block) {
  std::lock_guard append(log_.lock);
  (void)fold_.refresh_retention();
  fold_.kept_for_feed = UINT64_MAX;
  for (const LogSegment& s : frozen_segments_.by_sequence()) {
    LogSegment* now = log_.segments.find(s.segment.offset);
    const bool dead = s.live_bytes == 0 && s.sequence < block->log_sequence;
    const bool kept = dead && !s.retired && s.sequence >= log_.retention.floor() &&
                      !planted(PlantedBug::kRetainedGivenBack);
    const bool empty = dead && !kept;
    if (kept) fold_.kept_for_feed = std::min(fold_.kept_for_feed, s.sequence);
    if (!s.retired && !empty) {
      block->log.push_back({s.segment, s.sequence, s.live_bytes});
    } else if (!s.retired && now && !now->retired) {
      now->retired = true;
      log_.graveyard.bury(s.segment, fold_.begun, index_.next_serial());
    }
  }
  std::vector<Segment> large;
  std::unordered_set<uint64_t>
      died_since;  // as of the fold they lived; the tail behind it says that they died
  for (const Segment& segment : block->large) {
    if (log_.large.count(segment.offset))
      large.push_back(segment);
    else
      died_since.insert(segment.offset);
  }
  block->large = std::move(large);
  // Kept for readers of the log. One that was also born since the fold is not listed: replay finds
  // its birth and its death.
  log_.graveyard.let_go(log_.retention.floor(), fold_.begun);
  block->kept.clear();
  log_.graveyard.for_each_held([&](const Segment& segment, uint64_t held, uint64_t fold_needed) {
    fold_.kept_for_feed = std::min(fold_.kept_for_feed, held);
    const bool known = fold_needed <= fold_.begun || died_since.contains(segment.offset);
    if (known && !planted(PlantedBug::kKeptLargeForgotten)) block->kept.push_back({segment, held});
  });
  block->retain_ms = log_.retention.wish.ms;
  block->retain_bytes = log_.retention.wish.bytes;
  block->history = log_.history;
}

// A fold that did not find room before has an overlay of its own: it is finished first, and then
// what came since is folded.
Status Folder::fold_all() {
  const bool unfinished = index_.view.frozen != nullptr;
  if (unfinished) HOLDFAST_TRY(fold_making_room(true));
  return fold_making_room(true);
}

// Segments kept ready are log segments; a fold needs room for other things.
Status Folder::fold_making_room(bool even_if_empty) {
  if (Status folded = run_fold(even_if_empty); !folded.is_full()) return folded;
  room_.give_back_spares();
  merger_.go_on(UINT64_MAX);
  return run_fold(even_if_empty);
}

}  // namespace holdfast
