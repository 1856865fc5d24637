#include "engine/space/room.h"

#include <algorithm>

#include "format/layout.h"
#include "format/region.h"

namespace holdfast {

namespace {
constexpr uint64_t kShortestLogSegment = 128 * kKiB;
constexpr uint64_t kPacedSegments = 4;
constexpr uint64_t kMostAhead = 16 * kMiB;  // of segments kept ready
constexpr uint64_t kExpected = 64 * kKiB;   // of a segment that will be written next
constexpr uint64_t kLongOnes = 16;          // operations of the longest kind that a segment holds
constexpr uint64_t kMostForLong = 2 * kMiB;
}  // namespace

bool only_deletes(const RecordBuffer& record) {
  for (uint64_t at = 0; at < record.bytes();) {
    const uint8_t* const operation = record.operations() + at;
    const OperationHead head = operation_head(operation);
    const auto type = static_cast<OperationType>(head.type);
    const bool drops = type == OperationType::kRegionSize &&
                       decode_region_key(view_operation(operation).key).word == 0;
    if (type != OperationType::kDelete && !drops) return false;
    at += head.bytes();
  }
  return true;
}

Room::Room(Medium& medium, const Health& health, const std::string& name,
           const PoolOptions& options, const IndexState& index, LogState& log, Pace& pace)
    : medium_(medium),
      health_(health),
      name_(name),
      index_(index),
      log_(log),
      pace_(pace),
      given_segment_bytes_(options.log_segment_bytes),
      paced_(options.background),
      fence_at_once_(medium.info().barrier_is_per_thread) {}

uint64_t Room::log_segment_bytes() const {
  if (given_segment_bytes_ > 0) return round_up(given_segment_bytes_, medium_.info().segment_unit);
  const MediumSpace space = medium_.space();
  const uint64_t unit = medium_.info().segment_unit;
  const uint64_t part = medium_.info().grows ? log_.segments.bytes() / 128 : space.capacity / 256;
  // A small pool has small ones: what is left for cleaning and deletions is counted in them, and
  // must be far less than the pool.
  const uint64_t low = medium_.info().grows ? 4 * unit : std::min(512 * kKiB, space.capacity / 16);
  return round_up(std::min(std::max(part, low), 8 * kMiB), unit) -
         kPageBytes;  // on persistent memory each segment loses a page
}

// At each end there may be no room for one more operation. Where a pool grows, segments of long
// ones are longer, if there is room for that.
uint64_t Room::wanted_segment_bytes() const {
  const uint64_t usual = log_segment_bytes(), longer = std::min(kLongOnes * longest_, kMostForLong);
  if (!medium_.info().grows || given_segment_bytes_ > 0 || longer <= usual) return usual;
  return round_up(longer, medium_.info().segment_unit) - kPageBytes;
}

// Where a pool grows, several short segments are zeroed in one go: each time costs a sync.
uint64_t Room::zeroed_at_once() const { return medium_.info().grows && !fence_at_once_ ? kMiB : 0; }

// What is left free for the next fold, whoever appends: without a fold no space comes back. A run
// takes for an entry its key and about 20 bytes, a quarter more where long keys fill their nodes
// badly, and a few nodes.
uint64_t Room::fold_reserve(bool merged) const {
  const uint64_t entries =
      index_.view.active->entries() + (index_.view.frozen ? index_.view.frozen->entries() : 0);
  const uint64_t run = (entries * 20 + active_key_bytes_ + frozen_key_bytes_) * 5 / 4;
  const uint64_t unit = medium_.info().segment_unit;
  // A few runs pile up before they can be merged, fewer in a very small pool. Where all are merged
  // the next one and its block are enough.
  return run + std::min((merged ? 3 : 8) * unit, medium_.space().capacity / 4);
}

// Room to carry a segment's live operations: a deletion leaves this too.
uint64_t Room::cleaner_reserve() const { return log_segment_bytes() + fold_reserve(); }

uint64_t Room::deletion_reserve() const {
  return cleaner_reserve() + std::min(kShortestLogSegment, log_segment_bytes());
}

// Live bytes that a round of cleaning may carry while commits go on. What it has carried comes back
// with its fold.
uint64_t Room::round_bytes() const {
  const MediumSpace space = medium_.space();
  return medium_.info().grows ? 0 : std::min(space.capacity, space.taken) / 64;
}

// What user commits leave free: a round of cleaning costs a fold, and pays only if it empties
// several segments; a file of fixed size takes that only as it becomes longer. A fold that comes
// after them takes runs and a block, whole units even where log segments are small; behind it there
// must still be what a deletion needs. What a round has carried so far comes out of this, not out
// of what users may take.
uint64_t Room::reserve_bytes() const {
  const MediumSpace space = medium_.space();
  const uint64_t segment = log_segment_bytes(), unit = medium_.info().segment_unit;
  const uint64_t runs = std::min({6 * unit, 384 * kKiB, space.capacity / 4});
  const uint64_t usual = std::max({2 * segment, segment + runs, round_bytes()});
  return std::max(usual - std::min(usual, round_carried_), segment + runs) + fold_reserve();
}

// Cleaning begins where less than this is free beside the reserve, and commits are slowed down:
// what several segments take, for a round of cleaning lasts as long as commits at full speed need
// to fill them; in a small pool not so much of it.
uint64_t Room::enough_free() const {
  const MediumSpace space = medium_.space();
  const uint64_t segment = log_segment_bytes();
  return std::max(segment + medium_.info().segment_unit,
                  std::min(kPacedSegments * segment, space.capacity / 64));
}

// A file that may grow has room, or the disk has none; in a small pool a segment is too large a
// step. What a file of fixed size has yet to take from the disk is as free as the rest: nothing has
// to be cleaned for it, and how quickly somebody has committed so far is no rate to keep to.
void Room::set_pace() {
  const uint64_t enough = enough_free(), kept = reserve_bytes(),
                 free = medium_.space().free + spare_bytes(), head = log_.writer.room();
  if (!paced_ || medium_.info().grows || enough < 2 * log_segment_bytes()) return;
  pace_.set(head + free - std::min(free, kept), enough + log_segment_bytes());
}

uint64_t Room::spare_bytes() const {
  uint64_t bytes = 0;
  for (const Segment& spare : spares_) bytes += spare.bytes;
  return bytes;
}

uint64_t Room::ready_with_spares() const { return medium_.space().ready + spare_bytes(); }

// Ok: there are `needed` of them.
Status Room::make_ready(uint64_t needed, const std::string& what) {
  return take_from_disk(needed, spare_bytes(), what);
}

// Ok: there are so many beside what users leave. Not under log_.lock: the disk may take a while
// to give them.
Status Room::make_ready_beside_reserve(uint64_t bytes, const std::string& what) {
  uint64_t needed = 0, spares = 0;
  {
    std::lock_guard append(log_.lock);
    HOLDFAST_TRY(health_.usable());
    needed = reserve_bytes() + bytes;
    spares = spare_bytes();
  }
  return take_from_disk(needed, spares, what);
}

Status Room::take_from_disk(uint64_t needed, uint64_t spares, const std::string& what) {
  Status made = medium_.make_ready(needed - std::min(needed, spares));
  if (!made.is_full()) return made;
  const uint64_t free = medium_.space().free + spares;
  if (free < needed) {
    return Status(Code::kPoolFull, "the pool " + name_ + " is full: " + std::to_string(free) +
                                       " bytes are free and " + std::to_string(needed) +
                                       " are needed " + what +
                                       "; delete something, close snapshots, or make it larger");
  }
  if (made.code() == Code::kPoolFull) return made;
  const std::string told = "no room on the disk of the pool " + name_ + ": " +
                           std::to_string(needed) + " free bytes are needed " + what +
                           " (nothing is lost: free some space there, or delete something from " +
                           "the pool)";
  // A quota, or a limit on the length of files, is no lack of space: the system's reason says so.
  const int reason = made.system_errno();
  return reason == 0 ? Status(Code::kDiskFull, told)
                     : Status::system(Code::kDiskFull, told, reason);
}

// Of operations in the log's head. Where the cleaner took the head from what is kept for it, it is
// the cleaner's until there is that much again: users who filled it would leave no room to carry a
// segment's live operations, and the pool would stay full for ever.
uint64_t Room::head_room(Purpose purpose) {
  if (head_is_cleaners_ && purpose == Purpose::kUser) {
    head_is_cleaners_ = !make_ready(cleaner_reserve(), "").is_ok();
    if (head_is_cleaners_) return 0;
  }
  return log_.writer.room();
}

// One kept ready that has the room and is no longer than `most`; those that do not fit go back.
std::optional<Segment> Room::take_spare(uint64_t room, uint64_t most) {
  while (!spares_.empty()) {
    const Segment spare = spares_.back();
    spares_.pop_back();
    if (LogWriter::room_of(spare.bytes) >= room && spare.bytes <= most) return spare;
    medium_.release(spare);
  }
  return std::nullopt;
}

// At least `room` bytes of operations will fit into the segment; it is shorter than usual where
// free space is in small pieces, or where a longer one would take what is to be left.
Status Room::take_log_segment(Purpose purpose, uint64_t room, std::vector<Segment>* fresh) {
  uint64_t want = log_segment_bytes();
  const uint64_t for_record = LogWriter::segment_for(room);
  uint64_t least = std::max(for_record, std::min(kShortestLogSegment, want));
  // Users leave room for the cleaner, deletions less, the cleaner only what the next fold needs.
  const uint64_t left = purpose == Purpose::kUser     ? reserve_bytes()
                        : purpose == Purpose::kDelete ? cleaner_reserve()
                                                      : fold_reserve(desperate_);
  const uint64_t longer = purpose == Purpose::kDelete ? want : wanted_segment_bytes();
  if (longer > want && make_ready(left + longer, "").is_ok()) want = longer;
  // Without what a deletion appends, and the cleaner, nothing ever makes room: for them a short one
  // will do.
  if (purpose != Purpose::kUser && !make_ready(left + least, "").is_ok()) least = for_record;
  HOLDFAST_TRY(
      make_ready(left + (purpose == Purpose::kUser ? std::max(want, least) : least), "to go on"));
  const uint64_t free = ready_with_spares();
  std::optional<Segment> segment = take_spare(room, free - left);
  if (!segment) {
    auto taken =
        medium_.allocate(SegmentKind::kLog, least,
                         std::max(least, std::min(std::max(want, zeroed_at_once()), free - left)));
    // Enough, but in pieces that are all too short: one that takes the record will do, for without
    // it nothing can be deleted or carried.
    if (taken.status().is_full() && for_record < least)
      taken = medium_.allocate(SegmentKind::kLog, for_record, least);
    if (!taken.is_ok()) return std::move(taken.status());
    segment = cut(*taken, std::max(want, least));
  }
  fresh->push_back(*segment);
  if (purpose == Purpose::kUser) set_pace();
  head_is_cleaners_ = purpose == Purpose::kCleaner && !make_ready(cleaner_reserve(), "").is_ok();
  return {};
}

// The first of the segments that `piece` is long enough for; the others are kept ready. On
// persistent memory a segment is one object.
Segment Room::cut(const Segment& piece, uint64_t bytes) {
  const uint64_t each = round_up(bytes, medium_.info().segment_unit);
  if (fence_at_once_ || piece.bytes < 2 * each) return piece;
  for (uint64_t at = piece.offset + each; at < piece.end(); at += each) {
    const Segment next{at, std::min(each, piece.end() - at)};
    if (next.bytes == each)
      spares_.push_back(next);
    else
      medium_.release(next);
  }
  return {piece.offset, each};
}

void Room::release_spares() {
  for (const Segment& spare : spares_) medium_.release(spare);
  spares_.clear();
}

// Segments taken and not used: one is kept ready, the others go back.
void Room::stow(const std::vector<Segment>& fresh, size_t from) {
  for (size_t i = from; i < fresh.size(); i++) {
    if (spares_.empty()) {
      spares_.push_back(fresh[i]);
    } else {
      medium_.release(fresh[i]);
    }
  }
}

// What a record leaves unused at a segment's end is lost: it is taken apart where that would be
// much.
bool Room::goes_on_in_head(const RecordBuffer& record, uint64_t head) const {
  constexpr uint64_t kLostShare = 64;
  return record.bytes() > head && head > record.longest() &&
         (head - record.longest()) * kLostShare >= log_.writer.head().bytes;
}

// Fresh segments enough for the record; none when the head has room. On failure what was taken is
// kept as spares. `whole`: it is to be one frame, in a fresh segment.
Status Room::make_room(const RecordBuffer& record, Purpose purpose, std::vector<Segment>* fresh,
                       bool* whole) {
  const uint64_t operations_bytes = record.bytes();
  const uint64_t head = head_room(purpose);
  if (operations_bytes <= head) return {};
  // A record of several frames loses at most one operation's length at each segment's end.
  uint64_t have = 0;
  const uint64_t slack = record.longest();
  longest_ = std::max(slack, longest_ - longest_ / 8);  // of late
  const uint64_t in_head = goes_on_in_head(record, head) ? head - slack : 0;
  const bool one_frame = *whole =
      in_head == 0 && operations_bytes <= LogWriter::room_of(log_segment_bytes());
  while (true) {
    Status taken = take_log_segment(purpose, one_frame ? operations_bytes : 2 * slack, fresh);
    if (!taken.is_ok()) {
      stow(*fresh, 0);
      fresh->clear();
      return taken;
    }
    const uint64_t room = LogWriter::room_of(fresh->back().bytes);
    if (one_frame && fresh->size() == 1 && operations_bytes <= room) return {};
    have += room > slack ? room - slack : 0;
    if (in_head + have >= operations_bytes) return {};
  }
}

// A log segment ready before it is needed: on a disk it must be zeroed first, on persistent memory
// faulted in, which no commit should wait for. Several where commits come that quickly, and where a
// file may become longer for a while.
void Room::prepare_spare(uint64_t soon) {
  uint64_t each = 0, more = 0;
  bool due = false;
  {
    std::lock_guard append(log_.lock);
    if (health_.closing()) return;
    due = spare_is_due();
    each = wanted_segment_bytes();
    const uint64_t have = log_.writer.room() + spare_bytes();
    if (medium_.info().grows && !fence_at_once_ && have < soon)
      more =
          round_up(std::min(soon - have, kMostAhead), round_up(each, medium_.info().segment_unit));
  }
  if (more > 0 && make_ready_beside_reserve(more, "").is_ok()) return take_spare_ahead(each, more);
  if (due && make_ready_beside_reserve(each, "").is_ok()) take_spare_ahead(each);
}

// What goes on here is not under the lock for which commits wait; until it is at an end the segment
// is counted nowhere. As many as `want` bytes hold, where there is such a piece.
void Room::take_spare_ahead(uint64_t bytes, uint64_t want) {
  spare_on_its_way_.store(true);
  auto segment =
      medium_.allocate(SegmentKind::kLog, bytes, std::max({bytes, want, zeroed_at_once()}));
  if (segment.is_ok()) medium_.expect_appends(segment->offset, std::min(segment->bytes, kExpected));
  std::lock_guard append(log_.lock);
  spare_on_its_way_.store(false);
  if (segment.is_ok()) spares_.push_back(cut(*segment, bytes));  // else who needs it will say so
}

void Room::trim_spares() {
  std::lock_guard append(log_.lock);
  const uint64_t usual = std::max(log_segment_bytes(), zeroed_at_once());
  while (!spares_.empty() && spare_bytes() - spares_.back().bytes >= usual) {
    medium_.release(spares_.back());
    spares_.pop_back();
  }
}

// Segments kept ready may lie anywhere: they go back before it is looked where the pool ends.
void Room::give_back_spares() {
  std::lock_guard append(log_.lock);
  release_spares();
}

uint64_t Room::free_now() {
  std::lock_guard append(log_.lock);
  return medium_.space().free + spare_bytes();
}

uint64_t Room::bytes_short_of(uint64_t wanted) {
  std::lock_guard append(log_.lock);
  return make_ready(wanted, "").is_ok()
             ? 0
             : std::max<uint64_t>(1, wanted - std::min(wanted, ready_with_spares()));
}

Status Room::fits_at_all(uint64_t bytes) const {
  if (bytes < kMiB) return {};
  const uint64_t capacity = medium_.space().capacity;
  if (bytes < capacity - capacity / 8) return {};
  return Status(Code::kBatchTooLarge, "the commit has " + std::to_string(bytes) +
                                          " bytes and the pool " + name_ + " holds at most " +
                                          std::to_string(capacity) +
                                          "; split it, or make a larger pool");
}

uint64_t Room::space_for(const RecordBuffer& record) const {
  const uint64_t segment = log_segment_bytes();
  const uint64_t room = LogWriter::room_of(segment);
  if (record.bytes() <= room) return segment;
  const uint64_t longest = record.longest();
  return longest < room ? (record.bytes() / (room - longest) + 1) * segment : record.bytes();
}

void Room::set_desperate(bool desperate) {
  std::lock_guard append(log_.lock);
  desperate_ = desperate;
}

}  // namespace holdfast
