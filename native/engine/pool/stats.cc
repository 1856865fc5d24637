// What a pool says of itself: facts that stand while it is open, counts of one moment, which are
// taken from its books alone, and what is damaged (checker.h). Any thread.

#include "engine/damage/checker.h"
#include "engine/pool/pool_impl.h"

namespace holdfast {

PoolFacts PoolImpl::facts() const {
  const MediumInfo& info = medium_->info();
  return {name_, info.name, info.durability, info.durability_reason};
}

PoolStats PoolImpl::stats() const {
  PoolStats s{facts()};
  s.grows = medium_->info().grows;
  s.parts = medium_->parts();
  s.format_version = format_version_;
  {
    std::lock_guard append(log_.lock);
    if (!health_.closed()) {
      const MediumSpace space = medium_->space();
      s.capacity_bytes = space.capacity;
      s.taken_bytes = space.taken;
      s.free_bytes = space.free;
    }
    s.epoch = log_.epoch;
    s.folded_epoch = fold_.block.epoch;
    // A fold has its own barrier.
    s.durable_epoch = std::max(barriers_.durable(), s.folded_epoch);
    s.incarnation = fold_.root.incarnation;
    s.log_segments = log_.segments.all().size();
    s.log_bytes = log_.segments.bytes();
    s.live_bytes = log_.segments.live_bytes();
    s.large_segments = log_.large.size();
    for (const auto& [offset, segment] : log_.large) s.large_bytes += segment.bytes;
    s.spare_bytes = room_.spare_bytes();
    s.set_aside_bytes = region_commits_.extents().bytes();
    s.other_bytes =
        fold_.root.fold.bytes + merger_.unswitched_bytes() + s.spare_bytes + s.set_aside_bytes;
    s.waiting_bytes = log_.graveyard.bytes();
    s.reader_bytes = log_.graveyard.held_for_readers();
    s.retain_ms = log_.retention.wish.ms;
    s.retain_bytes = log_.retention.wish.bytes;
    s.retained_given_way = log_.retention.times_given_way();
    s.feed_cursors = log_.retention.holds();
    s.oldest_change = health_.closed() ? 0 : feed_.oldest_change();
    log_.graveyard.for_each([&](const Segment& segment) {
      if (!log_.segments.all().contains(segment.offset)) s.other_bytes += segment.bytes;
    });
    std::shared_lock guard(index_.lock);
    s.region_segments = index_.view.regions->segments;
    s.region_bytes = index_.view.regions->bytes;
    s.overlay_entries =
        index_.view.active->entries() + (index_.view.frozen ? index_.view.frozen->entries() : 0);
    s.overlay_bytes =
        index_.view.active->bytes() + (index_.view.frozen ? index_.view.frozen->bytes() : 0);
    s.runs = index_.view.runs.size();
    for (const RunPtr& run : index_.view.runs) {
      s.index_segments += run->tables().size();
      s.index_bytes += run->bytes();
    }
  }
  s.live_bytes += s.large_bytes;
  for (const ReaderSeen& reader : readers_.list()) {
    if (s.readers++ > 0 && reader.epoch >= s.oldest_reader_epoch) continue;
    s.oldest_reader_pid = reader.pid;
    s.oldest_reader_epoch = reader.epoch;
  }
  s.readers_expired = readers_.expired();
  s.open_snapshots = index_.pinned();
  s.oldest_snapshot_epoch = s.open_snapshots > 0 ? index_.oldest_epoch() : 0;
  const MediumCounters& c = medium_->counters();
  s.commits = log_.commits, s.groups = groups_;
  s.appends = c.appends, s.writes = c.writes, s.barriers = c.barriers, s.roots = c.roots;
  s.bytes_appended = c.bytes_appended, s.bytes_grown = c.bytes_grown;
  s.folds = folder_.folds(), s.compactions = merger_.ended();
  s.segments_cleaned = cleaner_.segments_cleaned(), s.bytes_moved = cleaner_.bytes_moved();
  s.replayed_operations = replayed_operations_, s.replayed_bytes = replayed_bytes_,
  s.open_us = open_us_;
  return s;
}

Result<CheckReport> PoolImpl::check(const std::atomic<bool>* cancelled,
                                    const std::function<void(double)>& progress) {
  Visit visit(visits_);
  HOLDFAST_TRY(visit.begin());
  auto pinned = snapshot();
  if (!pinned.is_ok()) return std::move(pinned.status());
  const Checker::Parts parts{*medium_, operations_, health_, log_, fold_, region_reader_, secret_};
  const IndexView& view = (*pinned)->view;
  return Checker(*this, parts, std::move(*pinned), view, cancelled).run(progress);
}

}  // namespace holdfast
