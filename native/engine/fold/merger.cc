#include "engine/fold/merger.h"

#include <algorithm>

#include "base/test_hooks.h"
#include "base/test_points.h"
#include "format/layout.h"

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
constexpr uint64_t kBlockUnits = 2;  // of that block and the one before it
// Tables of so few units are not cut: what they leave unused of the last one would be much.
constexpr uint64_t kNotCut = 8;
constexpr uint64_t kLeftUnits = 8;   // what a merge leaves free, for folds and for the cleaner
constexpr uint64_t kLeftShare = 16;  // less in a very small pool

uint64_t node_bytes(const RunPtr& run) {
  uint64_t bytes = 0;
  for (const TableRef& table : run->tables()) bytes += uint64_t{table.nodes} * kNodeBytes;
  return bytes;
}
}  // namespace

// One run of those that become one.
struct MergeInput {
  RunPtr whole;         // as the cursor reads it
  RunPtr now;           // what stands in the index for it; null: nothing of it is left
  size_t passed = 0;    // tables that the cursor is past
  size_t replaced = 0;  // of those, given back already

  const std::vector<TableRef>& tables() const { return whole->tables(); }
  void pass(Bytes key) {
    while (passed < tables().size() && key > Bytes(tables()[passed].last_key)) passed++;
  }
};

// One under way.
struct Merger::Work {
  Work(Medium& medium, uint64_t most) : table_bytes(most), builder(medium, most) {}
  std::vector<MergeInput> inputs;  // newest first
  bool keep_deleted = false;       // there are older runs
  uint64_t bytes = 0;              // of the inputs' nodes
  uint64_t table_bytes = 0;
  uint64_t stretch = 0;  // bytes of merged tables that are switched in together
  bool tight = false;
  bool anywhere = false;     // switches are not only where a table of the oldest input ends
  size_t seen_finished = 0;  // tables
  uint64_t left_free = 0;    // by each switch
  // In the index they come before what is left of the oldest input, as one run: and between the
  // two, of a table of its own that is merged in part, the rest.
  std::vector<TableRef> merged, rest;
  Segment in_part;  // that table: the cursor still reads it, the index does not
  std::unique_ptr<Cursor> cursor;
  RunBuilder builder;

  uint64_t merged_bytes() const {  // not switched in
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
  for (const MergeInput& input : works_.back()->inputs)
    if (input.now)
      return static_cast<size_t>(std::find(runs.begin(), runs.end(), input.now) - runs.begin());
  return runs.size();
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
Merger::Plan Merger::usual_plan(size_t count) {
  const auto& runs = index_.view.runs;
  const uint64_t unit = medium_.info().segment_unit;
  Plan plan{0, index_.table_bytes, index_.table_bytes, false};
  uint64_t all = 0;
  for (; plan.count < count; plan.count++) {
    all += node_bytes(runs[plan.count]);
    const uint64_t stretch = std::max(index_.table_bytes, all / kSwitches);
    const uint64_t tables = 2 * stretch + index_.table_bytes;
    const uint64_t needed =
        round_up((all >= lacked_room_ ? all : std::min(all, tables)) + kBlockUnits * unit, unit);
    if (!medium_.make_ready(needed).is_ok()) break;  // the others later, when there is room
    plan.stretch = stretch;
  }
  return plan;
}

// Where there is no room for that, nothing is left but to try: with tables of half the length (much
// shorter ones take more room themselves), each switched in as soon as it is full. All runs first:
// the more of them, the more of what is merged is given back.
Merger::Plan Merger::tight_plan() {
  const auto& runs = index_.view.runs;
  const uint64_t unit = medium_.info().segment_unit,
                 half = round_up((index_.table_bytes + kPageBytes) / 2, unit),
                 table = half - kPageBytes;
  Plan plan{newest_free(), table, table, true};
  if (!medium_.make_ready(half + kBlockUnits * unit).is_ok()) return {0, table, table, true};
  uint64_t all = 0;
  for (size_t i = 0; i < plan.count; i++) all += node_bytes(runs[i]);
  while (plan.count > 0 && all >= lacked_though_tight_) all -= node_bytes(runs[--plan.count]);
  return plan;
}

void Merger::begin(size_t count) {
  Plan plan = usual_plan(count);
  // There may be enough room, but in pieces that are too short.
  if (plan.count < 2 || lacked_room_ != UINT64_MAX)
    if (const Plan tight = tight_plan(); tight.count >= 2) plan = tight;
  count = plan.count;
  if (count < 2 || index_.damaged.load()) return;
  const auto& runs = index_.view.runs;
  works_.push_back(std::make_unique<Work>(medium_, plan.table_bytes));
  Work& m = *works_.back();
  m.stretch = plan.stretch;
  m.tight = plan.tight;
  m.anywhere = plan.tight || index_.table_bytes <= kNotCut * medium_.info().segment_unit;
  m.keep_deleted = count < runs.size();
  m.left_free = std::min({kLeftUnits * medium_.info().segment_unit,
                          medium_.space().capacity / kLeftShare, medium_.space().ready / 2});
  std::vector<std::unique_ptr<Cursor>> sources;
  for (size_t i = 0; i < count; i++) {
    m.inputs.push_back({runs[i], runs[i]});
    m.bytes += node_bytes(runs[i]);
    sources.push_back(runs[i]->cursor());
  }
  m.cursor = merge_cursors(std::move(sources), m.keep_deleted);
  m.cursor->seek(Bytes());
}

// Goes on with the newest merge, for so many entries, and says what is left of them. What it says
// it could not do is undone but for what was switched.
Status Merger::step(uint64_t* entries) {
  Work& m = *works_.back();
  MergeInput& oldest = m.inputs.back();
  Status built;
  for (; m.cursor->valid() && *entries > 0 && built.is_ok(); --*entries, m.cursor->next()) {
    const size_t before = oldest.passed;
    if (!m.anywhere) oldest.pass(m.cursor->key());
    if (oldest.passed > before) built = switch_at_end();
    if (built.is_ok()) built = m.builder.add(m.cursor->key(), m.cursor->place());
    if (built.is_ok() && m.anywhere && m.builder.finished().size() > m.seen_finished)
      built = switch_anywhere();
  }
  if (built.is_ok() && m.cursor->valid()) {
    note_unswitched();
    return {};
  }
  if (built.is_ok()) built = m.cursor->take_status();
  if (built.is_ok()) built = m.builder.cut();
  if (built.is_ok()) built = switch_merged(true, {});
  if (built.is_full()) {
    (m.tight ? lacked_though_tight_ : lacked_room_) = m.bytes;
  } else {
    if (m.bytes >= lacked_room_) lacked_room_ = UINT64_MAX;
    if (m.bytes >= lacked_though_tight_) lacked_though_tight_ = UINT64_MAX;
  }
  if (built.code() == Code::kCorrupt) index_.damaged.store(true);
  end_newest();
  return built;
}

void Merger::end_newest() {
  if (const Segment in_part = works_.back()->in_part; in_part.bytes > 0) {
    std::lock_guard append(log_.lock);
    log_.graveyard.bury(in_part, 0, index_.next_serial());
  }
  works_.pop_back();
  note_unswitched();
}

void Merger::drop() {
  while (under_way()) end_newest();
}

void Merger::note_unswitched() {
  uint64_t sum = 0;
  for (const auto& work : works_) sum += work->merged_bytes() + work->in_part.bytes;
  unswitched_bytes_ = sum;
}

// At a place where a table of the oldest input ends: new tables should not become much smaller than
// they may be.
Status Merger::switch_at_end() {
  Work& m = *works_.back();
  const uint64_t making = m.builder.bytes_in_the_making();
  if (making > 0 && 2 * making < m.table_bytes) return {};
  if (making + m.merged_bytes() < m.stretch) return {};
  HOLDFAST_TRY(m.builder.cut());
  pass_all_before(std::string(m.cursor->key()));
  HOLDFAST_TRY(leaves_enough());
  return switch_merged(false, {});
}

// Where a merged table is full: the oldest input's table of which a part is merged goes too, and
// the rest of it is written anew.
Status Merger::switch_anywhere() {
  Work& m = *works_.back();
  m.seen_finished = m.builder.finished().size();
  if (m.merged_bytes() < m.stretch) return {};
  const MergeInput& oldest = m.inputs.back();
  const std::string end = m.builder.finished().back().last_key + '\0';
  pass_all_before(end);
  RunBuilder rest(medium_, m.table_bytes);
  Segment in_part;
  if (oldest.passed < oldest.tables().size() && oldest.tables()[oldest.passed].first_key < end) {
    const Bytes last = oldest.tables()[oldest.passed].last_key;
    in_part = oldest.tables()[oldest.passed].segment;
    const auto cursor = oldest.whole->cursor();
    for (cursor->seek(end); cursor->valid() && cursor->key() <= last; cursor->next())
      HOLDFAST_TRY(rest.add(cursor->key(), cursor->place()));
    HOLDFAST_TRY(cursor->take_status());
  }
  HOLDFAST_TRY(rest.cut());
  HOLDFAST_TRY(leaves_enough());
  HOLDFAST_TRY(switch_merged(false, rest.finished()));
  m.rest = rest.hand_over();
  m.in_part = in_part;
  return {};
}

// What is left of an older input may hold what a newer one has deleted or put anew: only tables
// before all of that go. (Where the oldest's table is written anew nothing before `end` is left of
// it.)
void Merger::pass_all_before(std::string end) {
  auto& inputs = works_.back()->inputs;
  for (auto input = inputs.rbegin(); input != inputs.rend(); ++input) {
    input->pass(end);
    if (input == inputs.rbegin() && works_.back()->anywhere) continue;
    if (input->passed < input->tables().size())
      end = std::min(end, input->tables()[input->passed].first_key);
  }
}

// A merge that is cut short keeps what it has switched in, which may be more than it has given
// back: folds and the cleaner must be able to go on all the same.
Status Merger::leaves_enough() {
  const Work& m = *works_.back();
  uint64_t back = 0;
  for (const MergeInput& input : m.inputs)
    for (size_t i = input.replaced; i < input.passed; i++) back += input.tables()[i].segment.bytes;
  for (const TableRef& table : m.rest) back += table.segment.bytes;
  if (index_.pinned() > 0) back = 0;
  return back >= m.left_free ? Status() : medium_.make_ready(m.left_free - back);
}

// The merged tables so far take the place of the inputs' that are passed; at the end (`all`) of all
// of them. `rest`: of the oldest input's next table.
Status Merger::switch_merged(bool all, const std::vector<TableRef>& rest) {
  Work& m = *works_.back();
  std::vector<TableRef> merged = m.merged, gone = m.rest;
  merged.insert(merged.end(), m.builder.finished().begin(), m.builder.finished().end());
  std::vector<RunPtr> next;  // what will stand for each input
  for (MergeInput& input : m.inputs) {
    const bool oldest = &input == &m.inputs.back();
    if (all) input.passed = input.tables().size();
    if (!oldest && input.passed == input.replaced) {
      next.push_back(input.now);
      continue;
    }
    const auto own = input.tables().begin(), passed = own + static_cast<long>(input.passed);
    gone.insert(gone.end(), own + static_cast<long>(input.replaced), passed);
    std::vector<TableRef> tables;
    if (oldest) tables = merged;
    if (oldest) tables.insert(tables.end(), rest.begin(), rest.end());
    tables.insert(tables.end(), passed + (oldest && !rest.empty() ? 1 : 0), input.tables().end());
    next.push_back(tables.empty() ? nullptr : index_.make_run(medium_, std::move(tables)));
  }
  HOLDFAST_POINT("merge.before_block");
  std::vector<RunPtr> runs;
  for (const RunPtr& run : index_.view.runs) {
    const auto input = std::find_if(m.inputs.begin(), m.inputs.end(),
                                    [&](const MergeInput& one) { return one.now == run; });
    const RunPtr stays =
        input == m.inputs.end() ? run : next[static_cast<size_t>(input - m.inputs.begin())];
    if (stays) runs.push_back(stays);
  }
  FoldBlock block = fold_.block;
  block.runs = folded_runs(runs);
  reach(TestPoint::kMergeRead);
  HOLDFAST_TRY(fold_.set(std::move(block), false));
  {
    std::lock_guard append(log_.lock);
    std::unique_lock guard(index_.lock);
    index_.view.runs = std::move(runs);
    for (const TableRef& table : gone) log_.graveyard.bury(table.segment, 0, index_.next_serial());
  }
  (void)m.builder.hand_over();
  for (size_t i = 0; i < m.inputs.size(); i++) {
    m.inputs[i].replaced = m.inputs[i].passed;
    m.inputs[i].now = next[i];
  }
  m.rest.clear();
  m.in_part = {};
  m.seen_finished = 0;
  m.merged = std::move(merged);
  if (all) ended_.fetch_add(1, std::memory_order_relaxed);
  returns_.give_back();
  reach(TestPoint::kMergeDone);
  return {};
}

uint64_t Merger::newer_bytes() const {
  uint64_t bytes = 0;
  for (size_t i = 0; i + 1 < index_.view.runs.size(); i++) bytes += index_.view.runs[i]->bytes();
  return bytes;
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
