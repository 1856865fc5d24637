// Merge: neighbouring runs become one, a few tables at a time.
//
// Merged tables take the place of the oldest input's, from the lowest key upward; the newer inputs
// stay in front of them to the end and say of the keys that are merged already what the merged
// tables say. So after each switch (a fold block and a root) the index says what it said before,
// and the tables that were replaced are given back: beyond its inputs a merge needs room for a few
// tables, never for their whole size. It goes on in steps, folds and cleaning in between: they only
// add newer runs in front.
//
// What a reopen sees: the tables as of the last switch. A merge that was cut short, by a crash or
// for want of room, keeps what was switched; what it had not yet switched is free again.

#include <algorithm>

#include "base/test_hooks.h"
#include "base/test_points.h"
#include "engine/merge_work.h"
#include "engine/pool_impl.h"

namespace holdfast {

namespace {
constexpr size_t kMaxRuns = 8;
constexpr size_t kTier = 4;           // so many runs of about one size become one
constexpr uint64_t kOldestShare = 2;  // all newer runs together may have one in so many entries of
                                      // the oldest before it is merged too
constexpr uint64_t kSwitches = 16;  // a merge switches about so often: each time costs a fold block

uint64_t node_bytes(const RunPtr& run) {
  uint64_t bytes = 0;
  for (const TableRef& table : run->tables()) bytes += uint64_t{table.nodes} * kNodeBytes;
  return bytes;
}

uint64_t unswitched_bytes(const MergeWork& merge) {
  uint64_t bytes = 0;
  for (const TableRef& table : merge.builder.finished()) bytes += table.segment.bytes;
  return bytes;
}
}  // namespace

std::vector<std::vector<FoldedTable>> folded_runs(const std::vector<RunPtr>& runs) {
  std::vector<std::vector<FoldedTable>> out;
  for (const RunPtr& run : runs) {
    auto& tables = out.emplace_back();
    for (const TableRef& t : run->tables())
      tables.push_back({t.segment, t.entries, t.nodes, t.root, t.depth, t.first_key, t.last_key});
  }
  return out;
}

// Which neighbouring runs to merge: all, once the newer ones are a good part of the oldest; else
// the newest ones of about one size.
std::pair<size_t, size_t> PoolImpl::choose_merge() const {
  const auto& runs = index_.view.runs;
  if (runs.size() < 3) return {0, 0};
  uint64_t newer = 0;
  for (size_t i = 0; i + 1 < runs.size(); i++) newer += runs[i]->entries();
  if (newer * kOldestShare >= runs.back()->entries()) return {0, runs.size()};
  uint64_t sum = runs[0]->entries();
  size_t count = 1;
  while (count + 1 < runs.size() && runs[count]->entries() * count <= 2 * sum)
    sum += runs[count++]->entries();
  if (count >= kTier) return {0, count};
  return runs.size() > kMaxRuns ? std::pair<size_t, size_t>{0, runs.size() - kMaxRuns + 2}
                                : std::pair<size_t, size_t>{0, 0};
}

// How many of these runs there is room to merge: tables for two switches and the fold blocks. One
// that found no room is begun anew only where all of its result has room. Merging gives space back,
// so it may use what is otherwise kept for folds.
size_t PoolImpl::mergeable(size_t first, size_t count) {
  const auto& runs = index_.view.runs;
  const uint64_t unit = medium_->info().segment_unit;
  uint64_t all = 0;
  for (size_t fits = 0; fits < count; fits++) {
    all += node_bytes(runs[first + fits]);
    const uint64_t tables = 2 * std::max(table_bytes_, all / kSwitches) + table_bytes_;
    const uint64_t needed =
        round_up((all >= merge_lacked_room_ ? all : std::min(all, tables)) + 2 * unit, unit);
    if (!medium_->make_ready(needed).is_ok()) return fits;  // the others later, when there is room
  }
  return count;
}

void PoolImpl::begin_merge(size_t first, size_t count) {
  count = mergeable(first, count);
  if (count < 2 || index_damaged_.load()) return;
  const auto& runs = index_.view.runs;
  merging_ = std::make_unique<MergeWork>(*medium_, table_bytes_);
  MergeWork& m = *merging_;
  m.inputs.assign(runs.begin() + static_cast<long>(first),
                  runs.begin() + static_cast<long>(first + count));
  m.keep_deleted = first + count < runs.size();
  m.standing = m.inputs.back();
  std::vector<std::unique_ptr<Cursor>> sources;
  for (const RunPtr& run : m.inputs) {
    m.bytes += node_bytes(run);
    sources.push_back(run->cursor());
  }
  m.stretch = std::max(table_bytes_, m.bytes / kSwitches);
  m.cursor = merge_cursors(std::move(sources), m.keep_deleted);
  m.cursor->seek(Bytes());
}

// Goes on with the merge that was begun, for so many entries. What it says it could not do is
// undone but for what was switched.
Status PoolImpl::merge_on(uint64_t entries) {
  MergeWork& m = *merging_;
  const auto& old = m.inputs.back()->tables();
  Status built;
  for (; m.cursor->valid() && entries > 0 && built.is_ok(); entries--, m.cursor->next()) {
    bool past_one = false;
    while (m.passed < old.size() && m.cursor->key() > Bytes(old[m.passed].last_key))
      past_one = true, m.passed++;
    if (past_one) built = switch_when_due();
    if (built.is_ok()) built = m.builder.add(m.cursor->key(), m.cursor->place());
  }
  if (built.is_ok() && m.cursor->valid()) {
    merging_bytes_ = unswitched_bytes(m);
    return {};
  }
  if (built.is_ok()) built = m.cursor->take_status();
  if (built.is_ok()) built = m.builder.cut();
  if (built.is_ok()) {
    m.passed = old.size();
    built = switch_merged(true);
  }
  if (built.is_full()) {
    merge_lacked_room_ = m.bytes;
  } else if (m.bytes >= merge_lacked_room_) {
    merge_lacked_room_ = UINT64_MAX;
  }
  if (built.code() == Code::kCorrupt) index_damaged_.store(true);
  drop_merge();
  return built;
}

void PoolImpl::drop_merge() {
  merging_.reset();
  merging_bytes_ = 0;
}

// At a place where a table of the oldest input ends: new tables should not become much smaller than
// they may be.
Status PoolImpl::switch_when_due() {
  MergeWork& m = *merging_;
  const uint64_t making = m.builder.bytes_in_the_making();
  if (making > 0 && 2 * making < table_bytes_) return {};
  if (making + unswitched_bytes(m) < m.stretch) return {};
  HOLDFAST_TRY(m.builder.cut());
  return switch_merged(false);
}

// The merged tables so far take the place of the oldest input's that are passed; at the end (`all`)
// of all inputs.
Status PoolImpl::switch_merged(bool all) {
  MergeWork& m = *merging_;
  const auto& old = m.inputs.back()->tables();
  std::vector<TableRef> merged = m.merged;
  merged.insert(merged.end(), m.builder.finished().begin(), m.builder.finished().end());
  std::vector<TableRef> tables = merged;
  tables.insert(tables.end(), old.begin() + static_cast<long>(m.passed), old.end());
  const RunPtr next = tables.empty() ? nullptr : make_run(std::move(tables));
  HOLDFAST_POINT("merge.before_block");
  std::vector<RunPtr> runs;
  for (const RunPtr& run : index_.view.runs) {
    const bool newer_input =
        std::find(m.inputs.begin(), m.inputs.end() - 1, run) != m.inputs.end() - 1;
    if (run != m.standing && !(all && newer_input)) runs.push_back(run);
    if (run == m.standing && next) runs.push_back(next);
  }
  FoldBlock block = fold_.block;
  block.runs = folded_runs(runs);
  reach(TestPoint::kMergeRead);
  HOLDFAST_TRY(fold_.set(std::move(block), false));
  {
    std::lock_guard append(log_.lock);
    std::unique_lock guard(index_.lock);
    index_.view.runs = std::move(runs);
    const auto bury = [&](const TableRef& table) {
      log_.graveyard.bury(table.segment, 0, index_.next_serial());
    };
    std::for_each(old.begin() + static_cast<long>(m.replaced),
                  old.begin() + static_cast<long>(m.passed), bury);
    for (size_t i = 0; all && i + 1 < m.inputs.size(); i++)
      std::for_each(m.inputs[i]->tables().begin(), m.inputs[i]->tables().end(), bury);
  }
  (void)m.builder.hand_over();
  m.replaced = m.passed;
  m.merged = std::move(merged);
  m.standing = next;
  if (all) compactions_.fetch_add(1, std::memory_order_relaxed);
  give_back();
  reach(TestPoint::kMergeDone);
  return {};
}

// Every fold adds a run: without this they take what cleaning has won, and the fold block, which
// lists them, outgrows the pieces that are free. Goes on with the merge under way, or begins the
// next one, for so many entries.
void PoolImpl::merge_piled_up(uint64_t entries) {
  if (!merging_) {
    const auto [first, count] = choose_merge();
    if (count > 0) begin_merge(first, count);
  }
  merge_due_ = merging_ ? merge_due_ - std::min(merge_due_, entries) : 0;
  if (merging_) (void)merge_on(entries).is_ok();
}

// All runs become one, or as many as there is room for.
Status PoolImpl::merge_all() {
  drop_merge();
  if (index_.view.runs.size() > 1) begin_merge(0, index_.view.runs.size());
  return merging_ ? merge_on(UINT64_MAX) : Status();
}

}  // namespace holdfast
