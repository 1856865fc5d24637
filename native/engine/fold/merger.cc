#include "engine/fold/merger.h"

#include <algorithm>

#include "base/test_hooks.h"
#include "base/test_points.h"

namespace holdfast {

namespace {
constexpr size_t kMaxRuns = 8;
constexpr size_t kCrowd = 24;
constexpr uint64_t kMostDue = 2'000'000;  // entries: what about six folds make necessary
constexpr size_t kTier = 4;               // so many runs of about one size become one
constexpr size_t kHurriedShare = 2;   // so many times as many of both while commits wait for folds
constexpr uint64_t kOldestShare = 2;  // all newer runs together may have one in so many entries of
                                      // the oldest before it is merged too
constexpr uint64_t kIdleShare = 32;   // the same of the next older run, when there is time
constexpr uint64_t kAskAgain = 100'000;  // entries: some ten milliseconds
constexpr uint64_t kSwitches = 16;  // a merge switches about so often: each time costs a fold block

uint64_t node_bytes(const RunPtr& run) {
  uint64_t bytes = 0;
  for (const TableRef& table : run->tables()) bytes += uint64_t{table.nodes} * kNodeBytes;
  return bytes;
}
}  // namespace

// One under way.
struct Merger::Work {
  Work(Medium& medium, uint64_t table_bytes) : builder(medium, table_bytes) {}
  std::vector<RunPtr> inputs;  // newest first
  bool keep_deleted = false;   // there are older runs
  uint64_t bytes = 0;          // of the inputs' nodes
  uint64_t stretch = 0;        // bytes of merged tables that are switched in together
  RunPtr standing;  // what stands in the index for the oldest input: merged tables, then those of
                    // its own that are left
  std::vector<TableRef> merged;  // the first of these two
  size_t passed = 0;             // tables of the oldest input that the cursor is past
  size_t replaced = 0;           // of those, given back already
  std::unique_ptr<Cursor> cursor;
  RunBuilder builder;

  uint64_t unswitched_bytes() const {
    uint64_t sum = 0;
    for (const TableRef& table : builder.finished()) sum += table.segment.bytes;
    return sum;
  }
};

Merger::Merger(Medium& medium, LogState& log, IndexState& index, FoldRoot& fold, Returns& returns)
    : medium_(medium), log_(log), index_(index), fold_(fold), returns_(returns) {}

Merger::~Merger() = default;

size_t Merger::newest_free() const {
  const auto& runs = index_.view.runs;
  if (works_.empty()) return runs.size();
  return static_cast<size_t>(std::find(runs.begin(), runs.end(), works_.back()->inputs.front()) -
                             runs.begin());
}

bool Merger::crowded() const {
  return under_way() && (index_.view.runs.size() > kCrowd || due_ > kMostDue);
}

// How many of the newest runs to merge: all, once the newer ones are a good part of the oldest;
// else those of about one size.
size_t Merger::choose() const {
  const auto& runs = index_.view.runs;
  const size_t most = newest_free();
  if (most < 3) return 0;
  if (!under_way()) {
    uint64_t newer = 0;
    for (size_t i = 0; i + 1 < runs.size(); i++) newer += runs[i]->entries();
    if (newer * kOldestShare >= runs.back()->entries()) return runs.size();
  }
  uint64_t sum = runs[0]->entries();
  size_t count = 1;
  while (count < most && count + 1 < runs.size() && runs[count]->entries() * count <= 2 * sum)
    sum += runs[count++]->entries();
  const size_t more = hurried_ ? kHurriedShare : 1;
  if (count >= kTier * more) return count;
  return most > kMaxRuns * more ? most - kMaxRuns * more + 2 : 0;
}

// How many of these runs there is room to merge: tables for two switches and the fold blocks. One
// that found no room is begun anew only where all of its result has room. Merging gives space back,
// so it may use what is otherwise kept for folds.
size_t Merger::mergeable(size_t count) {
  const auto& runs = index_.view.runs;
  const uint64_t unit = medium_.info().segment_unit;
  uint64_t all = 0;
  for (size_t fits = 0; fits < count; fits++) {
    all += node_bytes(runs[fits]);
    const uint64_t tables = 2 * std::max(index_.table_bytes, all / kSwitches) + index_.table_bytes;
    const uint64_t needed =
        round_up((all >= lacked_room_ ? all : std::min(all, tables)) + 2 * unit, unit);
    if (!medium_.make_ready(needed).is_ok()) return fits;  // the others later, when there is room
  }
  return count;
}

void Merger::begin(size_t count) {
  count = mergeable(count);
  if (count < 2 || index_.damaged.load()) return;
  const auto& runs = index_.view.runs;
  works_.push_back(std::make_unique<Work>(medium_, index_.table_bytes));
  Work& m = *works_.back();
  m.inputs.assign(runs.begin(), runs.begin() + static_cast<long>(count));
  m.keep_deleted = count < runs.size();
  m.standing = m.inputs.back();
  std::vector<std::unique_ptr<Cursor>> sources;
  for (const RunPtr& run : m.inputs) {
    m.bytes += node_bytes(run);
    sources.push_back(run->cursor());
  }
  m.stretch = std::max(index_.table_bytes, m.bytes / kSwitches);
  m.cursor = merge_cursors(std::move(sources), m.keep_deleted);
  m.cursor->seek(Bytes());
}

// Goes on with the newest merge, for so many entries, and says what is left of them. What it says
// it could not do is undone but for what was switched.
Status Merger::step(uint64_t* entries) {
  Work& m = *works_.back();
  const auto& old = m.inputs.back()->tables();
  Status built;
  for (; m.cursor->valid() && *entries > 0 && built.is_ok(); --*entries, m.cursor->next()) {
    bool past_one = false;
    while (m.passed < old.size() && m.cursor->key() > Bytes(old[m.passed].last_key))
      past_one = true, m.passed++;
    if (past_one) built = switch_when_due();
    if (built.is_ok()) built = m.builder.add(m.cursor->key(), m.cursor->place());
  }
  if (built.is_ok() && m.cursor->valid()) {
    note_unswitched();
    return {};
  }
  if (built.is_ok()) built = m.cursor->take_status();
  if (built.is_ok()) built = m.builder.cut();
  if (built.is_ok()) {
    m.passed = old.size();
    built = switch_merged(true);
  }
  if (built.is_full()) {
    lacked_room_ = m.bytes;
  } else if (m.bytes >= lacked_room_) {
    lacked_room_ = UINT64_MAX;
  }
  if (built.code() == Code::kCorrupt) index_.damaged.store(true);
  works_.pop_back();
  note_unswitched();
  return built;
}

void Merger::drop() {
  works_.clear();
  note_unswitched();
}

void Merger::note_unswitched() {
  uint64_t sum = 0;
  for (const auto& work : works_) sum += work->unswitched_bytes();
  unswitched_bytes_ = sum;
}

// At a place where a table of the oldest input ends: new tables should not become much smaller than
// they may be.
Status Merger::switch_when_due() {
  Work& m = *works_.back();
  const uint64_t making = m.builder.bytes_in_the_making();
  if (making > 0 && 2 * making < index_.table_bytes) return {};
  if (making + m.unswitched_bytes() < m.stretch) return {};
  HOLDFAST_TRY(m.builder.cut());
  return switch_merged(false);
}

// The merged tables so far take the place of the oldest input's that are passed; at the end (`all`)
// of all inputs.
Status Merger::switch_merged(bool all) {
  Work& m = *works_.back();
  const auto& old = m.inputs.back()->tables();
  std::vector<TableRef> merged = m.merged;
  merged.insert(merged.end(), m.builder.finished().begin(), m.builder.finished().end());
  std::vector<TableRef> tables = merged;
  tables.insert(tables.end(), old.begin() + static_cast<long>(m.passed), old.end());
  const RunPtr next = tables.empty() ? nullptr : index_.make_run(medium_, std::move(tables));
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
  if (all) ended_.fetch_add(1, std::memory_order_relaxed);
  returns_.give_back();
  reach(TestPoint::kMergeDone);
  return {};
}

void Merger::go_on(uint64_t entries) {
  if (const size_t count = choose(); count > 0) begin(count);
  due_ = under_way() ? due_ - std::min(due_, entries) : 0;
  while (under_way() && entries > 0) (void)step(&entries).is_ok();
}

void Merger::begin_all() {
  if (!under_way() && index_.view.runs.size() > 1) begin(index_.view.runs.size());
}

void Merger::begin_idly() {
  const auto& runs = index_.view.runs;
  if (under_way() || runs.size() < 2) return;
  uint64_t newer = runs[0]->entries();
  size_t count = 1;
  for (size_t i = 1; i < runs.size(); newer += runs[i++]->entries())
    if (newer * kIdleShare >= runs[i]->entries()) count = i + 1;
  if (count > 1) begin(count);
}

// All runs become one, or as many as there is room for.
Status Merger::merge_all(const std::function<Status()>& go_on) {
  drop();
  begin_all();
  while (under_way()) {
    uint64_t entries = kAskAgain;
    HOLDFAST_TRY(step(&entries));
    if (go_on && under_way()) HOLDFAST_TRY(go_on());
  }
  return {};
}

}  // namespace holdfast
