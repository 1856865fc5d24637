// The books by which space comes back: which log segments live, what is dead and waits, how much of
// the log is kept for its readers, and what open snapshots still need. Each rule at its edge: one
// too early loses bytes that somebody reads, one too late loses space.
#include <doctest/doctest.h>

#include "engine/space/extent_reserve.h"
#include "engine/state/graveyard.h"
#include "engine/state/index_state.h"
#include "engine/state/retention.h"
#include "log/segment_table.h"
#include "native/index/memory_medium.h"

namespace holdfast {
namespace {

constexpr uint64_t kBytes = 4096;

Segment numbered(uint64_t n) { return {n * kBytes, kBytes}; }

std::vector<uint64_t> offsets(const std::vector<Segment>& segments) {
  std::vector<uint64_t> out;
  for (const Segment& segment : segments) out.push_back(segment.offset / kBytes);
  return out;
}

using Offsets = std::vector<uint64_t>;

// Sequences from 1 on, each begun a second after the one before.
SegmentTable row(uint64_t segments) {
  SegmentTable table;
  for (uint64_t i = 1; i <= segments; i++) table.add(numbered(i), i);
  return table;
}

uint64_t begun_at(const LogSegment& segment) { return segment.sequence * 1000; }

}  // namespace

TEST_CASE(
    "segment table: births and deaths are counted in the segment they lie in, and in no other") {
  SegmentTable table;
  table.add(numbered(1), 1);
  table.add(numbered(2), 2);
  table.born(Place::of(kBytes, 800, false));
  table.born(Place::of(2 * kBytes - 400, 400, false));
  table.born(Place::of(2 * kBytes, 240, false));
  table.born(Place::of(3 * kBytes, 80, false));  // in none
  CHECK(table.find(kBytes)->live_bytes == 1200);
  CHECK(table.find(2 * kBytes)->live_bytes == 240);
  CHECK(table.find(3 * kBytes) == nullptr);
  CHECK(table.find(kBytes - 8) == nullptr);
  CHECK(table.live_bytes() == 1440);
  table.died(Place::of(2 * kBytes - 400, 400, false));
  table.died(Place::of(2 * kBytes, 80, false));
  table.died(Place::of(3 * kBytes, 80, false));
  table.died(Place::deleted());
  CHECK(table.find(kBytes)->live_bytes == 800);
  CHECK(table.find(2 * kBytes)->live_bytes == 160);
  CHECK(table.live_bytes() == 960);
  table.died(Place::of(2 * kBytes, 800, false));  // never less than nothing
  CHECK(table.find(2 * kBytes)->live_bytes == 0);
  CHECK(table.live_bytes() == 800);
}

TEST_CASE(
    "segment table: what is removed is not counted any more, nor found by who was there last") {
  SegmentTable table = row(2);
  table.born(Place::of(kBytes, 800, false));
  table.died(Place::of(kBytes, 80, false));
  CHECK(table.bytes() == 2 * kBytes);
  table.remove(kBytes);
  CHECK(table.bytes() == kBytes);
  CHECK(table.live_bytes() == 0);
  table.born(Place::of(kBytes, 800, false));
  table.died(Place::of(kBytes, 80, false));
  CHECK(table.live_bytes() == 0);
  table.remove(kBytes);
  CHECK(table.bytes() == kBytes);
  table.add(numbered(1), 7, 56);
  CHECK(table.live_bytes() == 56);
  CHECK(table.by_sequence().back().sequence == 7);
}

TEST_CASE(
    "extents set aside: all that is wanted or nothing, and each goes back that no fold has "
    "placed") {
  MemoryMedium medium(16 * kBytes);  // of 15 segments
  ExtentReserve reserve;
  const ExtentKey one{7, 1}, two{7, 2};
  REQUIRE(reserve.set_aside(medium, {{one, kBytes}, {two, 2 * kBytes}}).is_ok());
  CHECK(medium.segments_held() == 2);
  CHECK(reserve.bytes() == 3 * kBytes);
  CHECK(reserve.holds(one, kBytes));
  CHECK_FALSE(reserve.holds(one, 2 * kBytes));
  // The second of these has no room: what was set aside before stays.
  CHECK(reserve.set_aside(medium, {{one, 4 * kBytes}, {{7, 3}, 12 * kBytes}}).is_full());
  CHECK(medium.segments_held() == 2);
  CHECK(reserve.holds(one, kBytes));
  // In another size: instead of what was.
  REQUIRE(reserve.set_aside(medium, {{one, 4 * kBytes}}).is_ok());
  CHECK(medium.segments_held() == 2);
  CHECK(reserve.bytes() == 6 * kBytes);
  reserve.freeze();
  CHECK_FALSE(reserve.holds(one));
  REQUIRE(reserve.set_aside(medium, {{one, kBytes}}).is_ok());  // for the next fold
  SUBCASE("placed in the size that was wanted") {
    reserve.begin_placing();
    CHECK(reserve.place(one, kBytes) == std::nullopt);
    CHECK(reserve.place({8, 1}, kBytes) == std::nullopt);
    CHECK(reserve.place(one, 4 * kBytes)->bytes == 4 * kBytes);
    reserve.end_fold(medium);
    CHECK(medium.segments_held() == 2);  // what was placed, and what is for the next
    CHECK(reserve.bytes() == kBytes);
  }
  SUBCASE("a fold that is tried again places others") {
    reserve.begin_placing();
    CHECK(reserve.place(one, 4 * kBytes));
    reserve.begin_placing();
    CHECK(reserve.place(two, 2 * kBytes));
    reserve.end_fold(medium);
    CHECK(medium.segments_held() == 2);
    CHECK(reserve.bytes() == kBytes);
  }
  SUBCASE("its commit was refused after all") {
    reserve.give_back_active(medium);
    CHECK(medium.segments_held() == 2);
    CHECK_FALSE(reserve.holds(one));
    reserve.end_fold(medium);
    CHECK(medium.segments_held() == 0);
    CHECK(reserve.bytes() == 0);
  }
}

TEST_CASE(
    "graveyard: nothing is given back before the fold that forgets it, nor under a snapshot") {
  Graveyard graveyard;
  graveyard.bury(numbered(1), 5, 10);
  graveyard.bury(numbered(2), 6, 10);
  graveyard.bury(numbered(3), 5, 11);
  CHECK(graveyard.bytes() == 3 * kBytes);
  CHECK(graveyard.exhume(4, 100).empty());
  CHECK(graveyard.exhume(5, 9).empty());
  CHECK(offsets(graveyard.exhume(5, 10)) == Offsets{1});
  CHECK(offsets(graveyard.exhume(5, 11)) == Offsets{3});
  CHECK(graveyard.waits_for_fold(5));
  CHECK_FALSE(graveyard.waits_for_fold(6));
  CHECK(graveyard.bytes() == kBytes);
  CHECK(offsets(graveyard.exhume(6, 10)) == Offsets{2});
  CHECK(graveyard.empty());
  CHECK(graveyard.bytes() == 0);
}

TEST_CASE(
    "graveyard: what is kept for the feed goes when its log segment does, and then waits for a "
    "fold") {
  Graveyard graveyard;
  graveyard.bury(numbered(1), 0, 0, 7);
  graveyard.bury(numbered(2), 30, 0, 7);
  CHECK(graveyard.exhume(100, 100).empty());
  graveyard.let_go(7, 20);
  CHECK(graveyard.exhume(100, 100).empty());
  int held = 0;
  graveyard.for_each_held(
      [&](const Segment&, uint64_t sequence, uint64_t) { held += sequence == 7; });
  CHECK(held == 2);
  graveyard.let_go(8, 20);
  CHECK(graveyard.exhume(19, 100).empty());
  CHECK(offsets(graveyard.exhume(20, 100)) == Offsets{1});
  CHECK(graveyard.exhume(29, 100).empty());
  CHECK(offsets(graveyard.exhume(30, 100)) == Offsets{2});
}

TEST_CASE("graveyard: a reader in another process keeps what was forgotten while it was pinned") {
  Graveyard graveyard;
  graveyard.bury(numbered(1), 1, 0);
  CHECK(graveyard.exhume(0, 1, 4, 4).empty());  // not forgotten yet: its time has not come
  CHECK(graveyard.held_for_readers() == 0);
  CHECK(graveyard.exhume(1, 1, 5, 4).empty());
  CHECK(graveyard.held_for_readers() == kBytes);
  CHECK(graveyard.exhume(1, 1, 6, 4).empty());
  CHECK(offsets(graveyard.exhume(1, 1, 7, 5)) ==
        Offsets{1});  // who pinned at 5 has read the root that forgot it
  CHECK(graveyard.held_for_readers() == 0);
}

TEST_CASE(
    "retention: a wish as to bytes keeps at least so many, and no segment more than it must") {
  const SegmentTable table = row(5);
  Retention retention;
  retention.begin({0, 2 * kBytes});
  CHECK(retention.floor() == 0);  // until it has looked
  retention.refresh(table, 5, 0, begun_at);
  CHECK(retention.floor() == 4);
  retention.begin({0, 2 * kBytes + 1});
  retention.refresh(table, 5, 0, begun_at);
  CHECK(retention.floor() == 3);
  retention.begin({});
  retention.refresh(table, 5, 0, begun_at);
  CHECK(retention.floor() == Retention::kNothing);
}

TEST_CASE("retention: a wish as to time keeps a segment until its last record is old enough") {
  const SegmentTable table = row(5);
  Retention retention;
  retention.begin({2000, 0});
  retention.refresh(table, 5, 6000, begun_at);  // the third one's last record is of 4000 at most
  CHECK(retention.floor() == 3);
  retention.refresh(table, 5, 6001, begun_at);
  CHECK(retention.floor() == 4);
  retention.refresh(table, 5, 1000000, begun_at);
  CHECK(retention.floor() == 5);
}

TEST_CASE("retention: a cursor holds its segment until it is further behind than its lag") {
  const SegmentTable table = row(5);
  Retention retention;
  retention.begin({});
  FeedHold hold;
  hold.sequence = 2;
  hold.lag_bytes = 3 * kBytes;
  retention.add(&hold);
  CHECK(retention.floor() == 2);  // at once
  retention.refresh(table, 5, 0, begun_at);
  CHECK(retention.floor() == 2);
  CHECK_FALSE(hold.lost);
  hold.lag_bytes--;
  hold.reading = true;
  CHECK(retention.any_reading());
  retention.refresh(table, 5, 0, begun_at);
  CHECK(retention.floor() == 2);
  hold.reading = false;
  retention.refresh(table, 5, 0, begun_at);
  CHECK(hold.lost);
  CHECK(retention.floor() == Retention::kNothing);
  hold.lag_bytes = UINT64_MAX;
  retention.refresh(table, 5, 0, begun_at);  // what was lost is not held again
  CHECK(retention.floor() == Retention::kNothing);
  retention.remove(&hold);
  CHECK(retention.holds() == 0);
}

// Looked for one by one they took minutes here: a pool that closes lets go of all that watch it.
TEST_CASE("retention: half a million cursors go in any order, and the others are held still") {
  constexpr size_t kMany = 500'000;
  const SegmentTable table = row(5);
  Retention retention;
  retention.begin({});
  std::vector<FeedHold> holds(kMany);
  for (FeedHold& hold : holds) {
    hold.sequence = 4;
    hold.lag_bytes = UINT64_MAX;
  }
  holds[kMany / 2].sequence = 2;
  holds[kMany / 2 + 1].sequence = 3;
  for (FeedHold& hold : holds) retention.add(&hold);
  FeedHold stranger;
  retention.remove(&stranger);
  CHECK(retention.holds() == kMany);
  CHECK(retention.floor() == 2);
  for (size_t i = kMany; i-- > kMany / 2 + 2;) retention.remove(&holds[i]);
  for (size_t i = 0; i < kMany / 2; i++) retention.remove(&holds[i]);
  CHECK(retention.holds() == 2);
  retention.refresh(table, 5, 0, begun_at);
  CHECK(retention.floor() == 2);
  retention.remove(&holds[kMany / 2]);
  retention.refresh(table, 5, 0, begun_at);
  CHECK(retention.floor() == 3);
  retention.remove(&holds[kMany / 2 + 1]);
  CHECK(retention.holds() == 0);
}

TEST_CASE("retention: what gives way is the oldest, and it stays given way") {
  const SegmentTable table = row(5);
  Retention retention;
  retention.begin({0, uint64_t{1} << 40});
  retention.refresh(table, 5, 0, begun_at);
  CHECK(retention.floor() == 1);
  for (uint64_t floor = 2; floor <= 5; floor++) {
    CHECK(retention.give_way(table, 5));
    CHECK(retention.floor() == floor);
    retention.refresh(table, 5, 0, begun_at);
    CHECK(retention.floor() == floor);
  }
  CHECK_FALSE(retention.give_way(table, 5));  // the head does not
  CHECK(retention.times_given_way() == 4);
}

TEST_CASE("retention: the row ends where a segment is missing or was given away") {
  SegmentTable table = row(6);
  CHECK(Retention::oldest_unbroken(table, 6) == 1);
  table.find(2 * kBytes)->retired = true;
  CHECK(Retention::oldest_unbroken(table, 6) == 3);
  table.remove(4 * kBytes);
  CHECK(Retention::oldest_unbroken(table, 6) == 5);
  Retention retention;
  retention.begin({0, uint64_t{1} << 40});
  retention.refresh(table, 6, 0, begun_at);
  CHECK(retention.floor() == 5);
}

TEST_CASE("index state: what open snapshots need, as they come and go and overlays are frozen") {
  IndexState state;
  state.view.active = std::make_shared<Overlay>();
  const auto freeze = [&] {
    state.view.frozen = nullptr;
    state.freeze();
  };
  CHECK(state.oldest_serial() == state.next_serial());
  CHECK(state.oldest_epoch() == UINT64_MAX);
  const IndexState::Pin one = state.pin(5), two = state.pin(8);
  CHECK(state.oldest_serial() == one.serial);
  CHECK(state.oldest_epoch() == 5);
  CHECK(state.oldest_needed() == 5);
  state.unpin(one.serial);
  CHECK(state.oldest_needed() == 8);
  CHECK(state.oldest_serial() == two.serial);
  freeze();  // what was pinned is of the frozen one
  CHECK(state.oldest_needed() == Overlay::kLatest);
  CHECK_FALSE(state.sees_below_frozen(0, false));
  CHECK(state.sees_below_frozen(0, true));
  const IndexState::Pin three = state.pin(9);
  CHECK(state.oldest_needed() == 9);
  CHECK(state.needed_epochs().newest == 9);
  freeze();
  CHECK(state.sees_below_frozen(0, false));
  CHECK(state.sees_below_frozen(two.serial, false));
  CHECK_FALSE(state.sees_below_frozen(three.serial, false));
  CHECK(state.sees_below_frozen(three.serial, true));
  CHECK_FALSE(state.sees_below_frozen(state.next_serial(), true));
  state.unpin(two.serial);
  CHECK_FALSE(state.sees_below_frozen(0, false));
  state.unpin(three.serial);
  CHECK_FALSE(state.sees_below_frozen(0, true));
  const IndexState::Pin shown = state.pin_in_place(12);
  CHECK_FALSE(state.sees_below_frozen(
      0, false));  // of the active overlay: the fold under way is of the one before
  freeze();
  CHECK(state.sees_below_frozen(0, false));
  CHECK_FALSE(state.sees_below_frozen(shown.serial + 1, false));
  state.unpin(shown.serial);
  CHECK_FALSE(state.sees_below_frozen(0, false));
  CHECK(state.pinned() == 0);
}

}  // namespace holdfast
