// What only test builds have: bugs that can be planted to see whether a test notices them, and
// points at which a test may do something in the middle of the engine's work. Compiled in with
// HOLDFAST_PLANTED_BUGS, which the package's build never sets; without it each of these is a
// constant false or nothing, and costs nothing.
//
// One planted bug for the whole process, set before a pool is opened: by the program, or by naming
// it in the environment variable HOLDFAST_PLANTED_BUG. docs/testing.md says which layer must catch
// which.
#pragma once

#include <cstdint>

#ifdef HOLDFAST_PLANTED_BUGS
#include <cstdlib>
#include <cstring>
#include <functional>
#endif

namespace holdfast {

// name in C++, name outside
#define HOLDFAST_PLANTED_BUG_LIST(X)                           \
  X(kBarrierLeftOut, "barrier-left-out")                       \
  X(kAcknowledgedBeforeBarrier, "acknowledged-before-barrier") \
  X(kGroupAcknowledgedEarly, "group-acknowledged-early")       \
  X(kFailedBarrierBelieved, "failed-barrier-believed")         \
  X(kChecksumNotChecked, "checksum-not-checked")               \
  X(kTornRecordAccepted, "torn-record-accepted")               \
  X(kPartialRecordAccepted, "partial-record-accepted")         \
  X(kIncarnationNotChecked, "incarnation-not-checked")         \
  X(kFoldForgetsIncarnation, "fold-forgets-incarnation")       \
  X(kRootBeforeFold, "root-before-fold")                       \
  X(kCleanMarkWithTail, "clean-mark-with-tail")                \
  X(kReleasedBeforeFold, "released-before-fold")               \
  X(kReleasedUnderSnapshot, "released-under-snapshot")         \
  X(kNeverReleased, "never-released")                          \
  X(kDeathNotCounted, "death-not-counted")                     \
  X(kLargeBarrierLeftOut, "large-barrier-left-out")            \
  X(kLargeNotVerified, "large-not-verified")                   \
  X(kLogMarksNotRead, "log-marks-not-read")                    \
  X(kMoveNotCompared, "move-not-compared")                     \
  X(kDeletionsForgotten, "deletions-forgotten")                \
  X(kRegionPlacedEarly, "region-placed-before-barrier")        \
  X(kRegionSnapshotIgnored, "region-snapshot-ignored")         \
  X(kReaderPinsIgnored, "reader-pins-ignored")                 \
  X(kFeedAheadOfBarrier, "feed-ahead-of-barrier")              \
  X(kRetainedGivenBack, "retained-given-back")                 \
  X(kKeptLargeForgotten, "kept-large-forgotten")               \
  X(kMovesInFeed, "moves-in-feed")                             \
  X(kGapOutlivesPut, "gap-outlives-put")                       \
  X(kLineNotFlushed, "line-not-flushed")                       \
  X(kBarrierCoversTooMuch, "barrier-covers-too-much")          \
  X(kIndexLockLeftOut, "index-lock-left-out")                  \
  X(kDescriptorLeaked, "descriptor-leaked")                    \
  X(kMappingLeaked, "mapping-leaked")                          \
  X(kMemoryLeaked, "memory-leaked")                            \
  X(kThreadLeaked, "thread-leaked")                            \
  X(kMappingUnguarded, "mapping-unguarded")                    \
  X(kReaderPlacedUnder, "reader-placed-under")                 \
  X(kRegionAbsentTogether, "region-absent-with-sums")          \
  X(kGrowthNotSynced, "growth-not-synced")                     \
  X(kSuperblocksTogether, "superblocks-together")

enum class PlantedBug : uint8_t {
  kNone = 0,
#define HOLDFAST_PLANTED_MEMBER(name, text) name,
  HOLDFAST_PLANTED_BUG_LIST(HOLDFAST_PLANTED_MEMBER)
#undef HOLDFAST_PLANTED_MEMBER
};

// Points in work that takes long, where commits of other threads come in between. No lock is held
// there but that of maintenance (kLargePlaced, kBarrierRaised: none), so another thread may commit,
// read and take snapshots. At kBarrierRaised the barrier's success is not yet announced, and
// whoever waits for a barrier there waits for ever; at kReadersTold only readers know of it, and
// who concludes a barrier there waits for ever. kRegionsInPlace, kRegionsPlaced: before and after a
// fold rewrites extents in place. kReaderComes, kReaderPinned, kReaderWalks: in the thread of a
// readOnly pool, under its refresh_mutex_, before its pin is there, before it reads the root that
// counts, and when it knows how far it may read the tail. kWalkLetGo: in the thread of a range, a
// count or a check, between two holds of the index lock; no lock is held.
enum class TestPoint : uint8_t {
  kFoldFrozen,
  kFoldRunWritten,
  kFoldDone,
  kMergeRead,
  kMergeDone,
  kMovesGathered,
  kCleaned,
  kLargePlaced,
  kBarrierRaised,
  kRegionsInPlace,
  kRegionsPlaced,
  kReaderComes,
  kReaderPinned,
  kReaderWalks,
  kReadersTold,
  kWalkLetGo,
};

#ifdef HOLDFAST_PLANTED_BUGS

inline PlantedBug planted_bug_named(const char* name) {
#define HOLDFAST_PLANTED_FIND(member, text) \
  if (name && std::strcmp(name, text) == 0) return PlantedBug::member;
  HOLDFAST_PLANTED_BUG_LIST(HOLDFAST_PLANTED_FIND)
#undef HOLDFAST_PLANTED_FIND
  return PlantedBug::kNone;
}
inline PlantedBug planted_bug = planted_bug_named(std::getenv("HOLDFAST_PLANTED_BUG"));
inline bool planted(PlantedBug bug) { return planted_bug == bug; }

inline std::function<void(TestPoint)> at_test_point;  // set while no pool is open
inline void reach(TestPoint point) {
  if (at_test_point) at_test_point(point);
}

#else

constexpr bool planted(PlantedBug) { return false; }
constexpr void reach(TestPoint) {}

#endif

}  // namespace holdfast
