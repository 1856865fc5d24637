#include "engine/clean/cleaner.h"

#include <algorithm>
#include <thread>

#include "base/test_hooks.h"
#include "base/test_points.h"
#include "index/rising_finder.h"
#include "medium/read_ahead.h"

namespace holdfast {

namespace {
constexpr int kFruitlessRounds = 32;
constexpr uint64_t kMoveBytes = 16000;        // live bytes moved under one hold of the append lock
constexpr uint64_t kMeanwhile = 16 * kKiB;    // that commits may append between two moves
constexpr uint64_t kBesideFold = 256 * kKiB;  // the same while a fold is made
// Of what a round appends, together, where commits wait for their barriers: half a millisecond of a
// fast disk.
constexpr uint64_t kLeavesMemory = 128 * kKiB;
constexpr size_t kLookedUpTogether =
    16384;  // operations of victims: less than a megabyte of memory
constexpr uint64_t kRoundBytes =
    8 * kMiB;  // moved in one round at most: a commit that waits for room waits for one
constexpr uint64_t kNewerShare = 3;  // newer runs may take a third of what is free
constexpr int kDesperateRounds = 8;  // after so many fruitless ones what can be merged is merged
constexpr int kMostFruitless =
    256;  // in all: what is carried round is kept for the feed again, which gives way each time
}  // namespace

Cleaner::Cleaner(const Parts& parts)
    : medium_(parts.medium),
      health_(parts.health),
      index_(parts.index),
      log_(parts.log),
      fold_(parts.fold),
      room_(parts.room),
      appender_(parts.appender),
      folder_(parts.folder),
      merger_(parts.merger),
      returns_(parts.returns),
      pace_(parts.pace),
      secret_(parts.secret),
      behind_(parts.medium) {}

// Sealed, folded segments, those with the largest dead share first: until so many bytes are dead in
// them, as many as their live bytes may be moved. Where nothing else helps, one that can be carried
// whole: what is carried of one by halves gives nothing back.
std::vector<LogSegment> Cleaner::choose_victims(uint64_t may_move, uint64_t wanted_dead,
                                                uint64_t one_in) {
  std::vector<LogSegment> candidates;
  const auto dead_bytes = [](const LogSegment& s) {
    return s.segment.bytes - std::min(s.live_bytes, s.segment.bytes);
  };
  {
    std::lock_guard append(log_.lock);
    (void)fold_.refresh_retention();
    const uint64_t kept = room_.fold_reserve(true) +
                          medium_.info().segment_unit;  // a unit for what is lost at segments' ends
    const uint64_t whole =
        room_.desperate() ? room_.ready_with_spares() - std::min(room_.ready_with_spares(), kept)
                          : UINT64_MAX;
    for (const auto& [offset, s] : log_.segments.all()) {
      if (s.sequence >= log_.retention.floor() || s.live_bytes > whole) continue;
      if (!s.retired && !s.damaged && s.sequence < fold_.block.log_sequence &&
          dead_bytes(s) * one_in >= s.segment.bytes)
        candidates.push_back(s);
    }
  }
  const auto dead_share = [&](const LogSegment& s) {
    return static_cast<double>(dead_bytes(s)) / static_cast<double>(s.segment.bytes);
  };
  std::sort(candidates.begin(), candidates.end(), [&](const auto& a, const auto& b) {
    return room_.desperate() ? a.live_bytes < b.live_bytes : dead_share(a) > dead_share(b);
  });
  std::vector<LogSegment> out;
  uint64_t moving = 0, dead = 0;
  for (const LogSegment& s : candidates) {
    if (!out.empty() && (dead >= wanted_dead || moving + s.live_bytes > may_move)) break;
    moving += s.live_bytes;
    dead += dead_bytes(s);
    out.push_back(s);
  }
  return out;
}

// An operation of a victim; its key lies in the pool.
struct Cleaner::Carried {
  Bytes key;
  Place place;
  OperationForm form;
  bool live;
};

// Adds what may be live in a victim. False: it cannot be read to its end.
bool Cleaner::read_victim(const LogSegment& victim, std::vector<Carried>* out) const {
  const LogReader reader(medium_, secret_);
  ReadAhead ahead(medium_);
  uint64_t at = victim.segment.offset + sizeof(SegmentHeader);
  FrameView frame;
  while (reader.read_frame(victim.segment, victim.sequence, at, &frame)) {
    if (frame.header.kind == static_cast<uint16_t>(FrameKind::kLink)) return true;
    for_each_operation(frame, [&](const OperationView& operation, uint64_t offset) {
      // What the tail says of regions the folds have placed: here it is dead.
      if (operation.type == OperationType::kDelete || is_region_operation(operation.type))
        return true;
      out->push_back(
          {operation.key,
           Place::of(offset, operation.bytes, operation.type == OperationType::kPutLarge),
           operation.form, false});
      return true;
    });
    at += frame.header.bytes;
    ahead.comes_to(at, frame.header.bytes);
  }
  return false;
}

// Which of them the runs lead to: victims lie before the newest fold, so no overlay leads to them;
// whether one has something newer is looked at when they are moved. Looked up in the order of keys,
// many together, as a search apart from others costs twice as much. False: a damaged node cannot
// say.
bool Cleaner::find_live(std::vector<Carried>* carried) const {
  std::vector<Carried*> order;
  order.reserve(carried->size());
  for (Carried& one : *carried) order.push_back(&one);
  std::sort(order.begin(), order.end(),
            [](const Carried* a, const Carried* b) { return a->key < b->key; });
  RisingFinder places(index_.view.runs);
  for (Carried* one : order) {
    auto found = places.find(one->key);
    if (!found.is_ok()) return false;
    one->live = found->has_value() && **found == one->place;
  }
  return true;
}

// Carries what lives in them, and retires each whose live operations are carried.
Status Cleaner::clean_segments(const std::vector<LogSegment>& victims) {
  for (size_t first = 0; first < victims.size();) {
    std::vector<Carried> carried;
    std::vector<std::pair<size_t, bool>>
        ends;  // of each victim: how many were read by then, and was it read whole?
    for (size_t at = first; at < victims.size() && carried.size() < kLookedUpTogether; at++) {
      const bool whole = read_victim(victims[at], &carried);
      ends.emplace_back(carried.size(), whole);
    }
    const bool known = find_live(&carried);
    size_t at = 0;
    for (const auto& [end, whole] : ends) {
      HOLDFAST_TRY(clean_segment(victims[first++], whole && known, carried.data() + at,
                                 carried.data() + end));
      at = end;
    }
  }
  return {};
}

static void add_in_todays_form(const uint8_t* at, OperationForm form, RecordBuffer* moves) {
  const OperationView operation = view_operation(at, form);
  if (form == OperationForm::kShort) {
    moves->add_encoded(at, operation.bytes);
  } else {
    moves->add(operation.type, operation.key, operation.value);
  }
}

Status Cleaner::clean_segment(const LogSegment& victim, bool readable, const Carried* begin,
                              const Carried* end) {
  RecordBuffer moves;
  std::vector<Place> origins;
  for (const Carried* one = begin; one < end; one++) {
    if (!one->live) continue;
    add_in_todays_form(medium_.view() + one->place.offset(), one->form, &moves);
    origins.push_back(one->place);
    if (moves.bytes() < kMoveBytes) continue;
    HOLDFAST_TRY(move_live(&moves, &origins));
    let_commits_by();
  }
  if (moves.count() > 0) HOLDFAST_TRY(move_live(&moves, &origins));
  reach(TestPoint::kCleaned);
  std::lock_guard append(log_.lock);
  LogSegment* now = log_.segments.find(victim.segment.offset);
  if (!now) return {};
  if (!readable) {
    now->damaged = true;  // what cannot be read cannot be carried: the segment stays, and check()
                          // names the place
    return {};
  }
  if (now->sequence >= log_.retention.floor())
    return {};  // a reader of the log has come meanwhile: when it has passed, the next fold takes
                // it
  HOLDFAST_POINT("clean.before_retire");
  now->retired = true;
  log_.graveyard.bury(victim.segment, fold_.begun + 1, index_.next_serial());
  segments_cleaned_.fetch_add(1, std::memory_order_relaxed);
  return {};
}

// Of a key that was found at `place` since the last fold began and ended: only the overlays can say
// otherwise by now.
bool Cleaner::not_replaced(Bytes key, Place place) const {
  std::shared_lock guard(index_.lock);
  auto newest = index_.view.active->find(key);
  if (!newest && index_.view.frozen) newest = index_.view.frozen->find(key);
  return !newest || *newest == place;
}

// What a move would do first under the lock for which commits wait: have a segment where the head
// comes to its end, and touch its pages.
void Cleaner::prepare_move(uint64_t bytes) {
  const uint64_t needed = bytes + kMeanwhile;
  medium_.expect_appends(head_seen_.at, std::min(needed, head_seen_.end - head_seen_.at));
  if (head_seen_.room >= needed || head_seen_.spare) return;
  uint64_t want = 0;
  {
    std::lock_guard append(log_.lock);
    if (log_.writer.room() >= needed || room_.has_spare()) return;
    want = room_.wanted_segment_bytes();
    if (!room_.make_ready(room_.fold_reserve(room_.desperate()) + want, "").is_ok())
      return;  // a shorter one may do: take_log_segment()
  }
  room_.take_spare_ahead(want);
}

// Records as long as the head segment has room for: what a record leaves unused at a segment's end
// is lost.
Status Cleaner::move_live(RecordBuffer* moves, std::vector<Place>* origins) {
  prepare_move(moves->bytes());
  moves->seal();
  reach(TestPoint::kMovesGathered);
  const HeadSeen before = head_seen_;
  HOLDFAST_TRY(append_live(*moves, *origins));
  moves->clear();
  origins->clear();
  behind_.in_stretches_of(commits_are_awaited_ ? kLeavesMemory : kMiB);
  // What commits appended between two moves too, so that it is one stretch.
  const bool same_head = before.end == head_seen_.end && before.at <= head_seen_.at;
  const uint64_t from = same_head ? before.at : head_seen_.begin;
  return behind_.comes_behind(from, head_seen_.at - from);
}

Status Cleaner::append_live(const RecordBuffer& moves, const std::vector<Place>& origins) {
  std::lock_guard append(log_.lock);
  HOLDFAST_TRY(health_.usable());
  RecordBuffer still;
  std::vector<Place> still_from;
  const auto append_still = [&]() -> Status {
    if (still.count() == 0) return {};
    HOLDFAST_POINT("clean.before_move");
    HOLDFAST_TRY(appender_.append_moves(&still, still_from.data()));
    HOLDFAST_POINT("clean.after_move");
    bytes_moved_.fetch_add(still.bytes(), std::memory_order_relaxed);
    room_.note_carried(still.bytes());
    still.clear();
    still_from.clear();
    return {};
  };
  uint64_t at = 0;
  for (const Place& origin : origins) {
    const uint8_t* raw = moves.operations() + at;
    const OperationView operation = view_operation(raw);
    at += operation.bytes;
    const bool same = not_replaced(operation.key, origin);
    if (!same && !planted(PlantedBug::kMoveNotCompared)) continue;
    if (still.count() > 0 && still.bytes() <= log_.writer.room() &&
        still.bytes() + operation.bytes > log_.writer.room())
      HOLDFAST_TRY(append_still());
    still.add_encoded(raw, operation.bytes);
    still_from.push_back(origin);
  }
  HOLDFAST_TRY(append_still());
  head_seen_ = {log_.writer.head().offset, log_.writer.position(), log_.writer.head().end(),
                log_.writer.room(), room_.has_spare()};
  look_who_waits();
  return {};
}

// Of the commits since the last move; where there were none it is as it was. Under the append lock.
void Cleaner::look_who_waits() {
  const uint64_t commits = log_.commits.load(std::memory_order_relaxed);
  const uint64_t awaited = log_.awaited_commits;
  if (commits != commits_seen_) commits_are_awaited_ = awaited != awaited_seen_;
  commits_seen_ = commits;
  awaited_seen_ = awaited;
}

// A mutex is nobody's turn: the thread that lets go of it and asks again at once has it again
// before one that slept is awake.
void Cleaner::let_commits_by() {
  constexpr int kTries = 200;
  for (int i = 0; i < kTries && log_.commits_wait(); i++) std::this_thread::yield();
}

// Nothing is left to clean: what is kept for the change feed only goes before a commit is refused.
// False: there is none.
bool Cleaner::let_retention_give_way() {
  std::lock_guard append(log_.lock);
  return log_.retention.give_way(log_.segments, log_.writer.sequence());
}

uint64_t Cleaner::room_for_moves() {
  const uint64_t largest = medium_.largest_free();
  std::lock_guard append(log_.lock);
  const uint64_t kept = room_.fold_reserve(), free = std::max(room_.ready_with_spares(), largest);
  const uint64_t room = std::min(free > kept ? free - kept : 0, 2 * kRoundBytes);
  const uint64_t entries = std::max<uint64_t>(1, index_.entries_at_most());
  const uint64_t each = std::max<uint64_t>(32, log_.segments.live_bytes() / entries);
  return std::min((room - room / 8) * each / (each + 48), kRoundBytes);
}

bool Cleaner::clean(uint64_t may_move, uint64_t wanted_dead, uint64_t one_in) {
  const auto victims = choose_victims(may_move, wanted_dead, one_in);
  (void)clean_segments(victims).is_ok();  // no room for more: the next fold gives some
  medium_.expect_appends(head_seen_.at, std::min(kBesideFold, head_seen_.end - head_seen_.at));
  return !victims.empty();
}

Status Cleaner::clean_one_in(uint64_t one_in) {
  return clean_segments(choose_victims(room_for_moves(), UINT64_MAX, one_in));
}

void Cleaner::end_round() {
  {
    std::lock_guard append(log_.lock);
    room_.set_pace();
  }
  pace_.learn(log_.committed_bytes.load(std::memory_order_relaxed));
}

bool Cleaner::reclaim(uint64_t wanted_free) {
  uint64_t most_free = 0, commits = log_.commits.load();
  int fruitless =
      0;  // a round may free less than its folds took; several in a row say that nothing is left
  int fruitless_in_all = 0;
  while (true) {
    const bool folded = folder_.fold_making_room(false).is_ok();
    returns_.give_back();
    const uint64_t free = room_.free_now();
    end_round();
    const uint64_t lacking = room_.bytes_short_of(wanted_free);
    if (lacking == 0) return true;
    if (health_.closing() || !health_.usable().is_ok()) return false;
    const uint64_t commits_now = log_.commits.load();
    fruitless = free > most_free || commits_now != commits ? 0 : fruitless + 1;
    if (fruitless > 0 && ++fruitless_in_all == kMostFruitless) return false;
    most_free = std::max(most_free, free);
    commits = commits_now;
    if (fruitless == kFruitlessRounds) {
      if (!let_retention_give_way()) return false;
      fruitless = 0;
    }
    const bool desperate = fruitless >= kDesperateRounds;
    if (fruitless == kDesperateRounds) {
      (void)merger_.merge_all().is_ok();
    } else if (folded) {
      merger_.go_on(fruitless == 0 ? merger_.due() : UINT64_MAX);
    }
    // What is carried takes new entries in the index, of small values more than is won, and a merge
    // of very many of them might not find room any more.
    if (merger_.newer_bytes() * kNewerShare > room_.free_now()) (void)merger_.merge_all().is_ok();
    room_.set_desperate(desperate);
    const bool cleaned =
        clean(room_for_moves(), desperate ? 0 : lacking + 2 * medium_.info().segment_unit);
    room_.set_desperate(false);
    if (!cleaned && !let_retention_give_way()) {
      (void)merger_.merge_all().is_ok();
      (void)folder_.fold_making_room(false).is_ok();
      returns_.give_back();
      return room_.bytes_short_of(wanted_free) == 0;
    }
  }
}

bool Cleaner::reclaim_even_from_readers(uint64_t wanted_free) {
  while (!reclaim(wanted_free)) {
    if (!returns_.take_from_reader()) return false;
  }
  return true;
}

}  // namespace holdfast
