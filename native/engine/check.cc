// Reads everything a snapshot can reach and says what is damaged. Commits go on meanwhile; close() ends it between two of its parts and waits for that.

#include "base/test_hooks.h"
#include "engine/large_chunks.h"
#include "engine/pool_impl.h"

namespace holdfast {

namespace {
constexpr int kEntriesAtOnce = 1024;
constexpr uint64_t kBytesAtOnce = kMiB;
}  // namespace

// A bounded step, so that the index lock is not held for long, nor while `progress` is told. It ends at a large value, whose bytes are read
// without the lock.
Status PoolImpl::check_entries(const SnapshotPtr& pinned, EntriesChecked* done, CheckReport* report) {
  auto reader = read(pinned);
  if (!reader.is_ok()) return std::move(reader.status());
  auto cursor = pinned->view.cursor(pinned->pin.epoch, true);
  cursor->seek(done->last.value_or(""));
  if (cursor->valid() && done->last && cursor->key() == *done->last) cursor->next();
  done->large.clear();
  const uint64_t enough = report->bytes_read + kBytesAtOnce;
  for (int i = 0; i < kEntriesAtOnce && report->bytes_read < enough && done->large.empty() && cursor->valid(); i++, cursor->next()) {
    done->last = std::string(cursor->key());
    if (cursor->place().is_deleted()) continue;
    FoundValue value;
    Status sound = reader->value_at(cursor->place(), *done->last, &value);
    if (sound.is_ok() && value.large) done->large = std::string(value.description);
    if (!sound.is_ok()) report->damages.push_back(sound.message());
    report->entries++;
    report->bytes_read += cursor->place().bytes();
  }
  done->more = cursor->valid();
  const Status walked = cursor->take_status();
  if (walked.is_ok()) return {};
  report->damages.push_back(walked.message());
  done->more = false;
  return {};
}

void PoolImpl::check_large(const std::string& description, CheckReport* report, const std::function<bool()>& aborted) {
  LargeChunks chunks(*this, description);
  while (!aborted()) {
    const Result<bool> more = chunks.next([&](const uint8_t*, size_t size) { report->bytes_read += size; });
    if (!more.is_ok()) report->damages.push_back(more.status().message());
    if (!more.is_ok() || !more.value()) return;
  }
}

Result<CheckReport> PoolImpl::check(const std::atomic<bool>* cancelled, const std::function<void(double)>& progress) {
  Visit visit(*this);
  HOLDFAST_TRY(visit.begin());
  auto pinned = snapshot();
  if (!pinned.is_ok()) return std::move(pinned.status());
  const IndexView& view = (*pinned)->view;
  CheckReport report;
  const auto closing = [&] { return closing_.load(std::memory_order_acquire); };
  const auto aborted = [&] { return closing() || (cancelled && cancelled->load()); };
  const auto ended = [&] { return closing() ? closed_status() : Status(Code::kAborted, "the check was aborted"); };
  uint64_t total = 1;
  for (const RunPtr& run : view.runs) total += run->entries();

  for (const RunPtr& run : view.runs) {
    HOLDFAST_TRY(run->check([&](const std::string& damage) {
      report.damages.push_back(damage);
      return !aborted();
    }));
    report.bytes_read += run->bytes();
    if (aborted()) return ended();
  }

  EntriesChecked done;
  while (done.more) {
    if (aborted()) return ended();
    HOLDFAST_TRY(check_entries(*pinned, &done, &report));
    reach(TestPoint::kWalkLetGo);
    if (!done.large.empty()) check_large(done.large, &report, aborted);
    if (progress) progress(std::min(1.0, static_cast<double>(report.entries) / static_cast<double>(total)));
  }
  check_regions(*pinned, &report, aborted);
  check_log(&report, aborted);
  if (aborted()) return ended();
  HOLDFAST_TRY(sound());  // zeros in place of a page that failed are not damage of the pool
  if (progress) progress(1.0);
  return report;
}

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
    std::lock_guard append(append_mutex_);
    if (!closed_.load()) {
      const MediumSpace space = medium_->space();
      s.capacity_bytes = space.capacity;
      s.taken_bytes = space.taken;
      s.free_bytes = space.free;
    }
    s.epoch = epoch_;
    s.folded_epoch = folded_.epoch;
    s.incarnation = root_.incarnation;
    s.log_segments = segments_.all().size();
    s.log_bytes = segments_.bytes();
    s.live_bytes = segments_.live_bytes();
    s.large_segments = large_.size();
    for (const auto& [offset, segment] : large_) s.large_bytes += segment.bytes;
    s.spare_bytes = spare_bytes();
    s.set_aside_bytes = extents_.bytes();
    s.other_bytes = root_.fold.bytes + merging_bytes_.load() + s.spare_bytes + s.set_aside_bytes;
    s.waiting_bytes = graveyard_.bytes();
    s.reader_bytes = graveyard_.held_for_readers();
    s.retain_ms = retention_.wish.ms;
    s.retain_bytes = retention_.wish.bytes;
    s.retained_given_way = retention_.times_given_way();
    s.feed_cursors = retention_.holds();
    s.oldest_change = closed_.load() ? 0 : oldest_change();
    graveyard_.for_each([&](const Segment& segment) {
      if (!segments_.all().contains(segment.offset)) s.other_bytes += segment.bytes;
    });
    std::shared_lock guard(index_.lock);
    s.region_segments = index_.view.regions->segments;
    s.region_bytes = index_.view.regions->bytes;
    s.overlay_entries = index_.view.active->entries() + (index_.view.frozen ? index_.view.frozen->entries() : 0);
    s.overlay_bytes = index_.view.active->bytes() + (index_.view.frozen ? index_.view.frozen->bytes() : 0);
    s.runs = index_.view.runs.size();
    for (const RunPtr& run : index_.view.runs) {
      s.index_segments += run->tables().size();
      s.index_bytes += run->bytes();
    }
  }
  s.live_bytes += s.large_bytes;
  s.durable_epoch = durable_epoch_.load();
  for (const ReaderSeen& reader : readers_.list()) {
    if (s.readers++ > 0 && reader.epoch >= s.oldest_reader_epoch) continue;
    s.oldest_reader_pid = reader.pid;
    s.oldest_reader_epoch = reader.epoch;
  }
  s.readers_expired = readers_.expired();
  s.open_snapshots = index_.pinned();
  s.oldest_snapshot_epoch = s.open_snapshots > 0 ? index_.oldest_epoch() : 0;
  const MediumCounters& c = medium_->counters();
  s.commits = commits_, s.groups = groups_;
  s.appends = c.appends, s.writes = c.writes, s.barriers = c.barriers, s.roots = c.roots;
  s.bytes_appended = c.bytes_appended, s.bytes_grown = c.bytes_grown;
  s.folds = folds_, s.compactions = compactions_;
  s.segments_cleaned = segments_cleaned_, s.bytes_moved = bytes_moved_;
  s.replayed_operations = replayed_operations_, s.replayed_bytes = replayed_bytes_, s.open_us = open_us_;
  return s;
}

}  // namespace holdfast
