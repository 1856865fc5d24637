// The index as the engine holds it: the active overlay that commits write to, the frozen one a fold
// is writing out, the runs, and the snapshots that pin earlier states of all three.
//
// Locking. `lock` protects the pointers and the active overlay's content: exclusive to apply a
// commit or swap a pointer, shared to read. Frozen overlays and runs never change. Snapshots are
// counted under a mutex of their own, taken inside `lock`.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "base/shared_lock.h"
#include "engine/state/known_gaps.h"
#include "engine/state/region_map.h"
#include "index/overlay.h"
#include "index/table.h"

namespace holdfast {

using RunPtr = std::shared_ptr<Run>;

struct IndexView {
  std::shared_ptr<Overlay> active;
  std::shared_ptr<Overlay> frozen;  // null when no fold is under way
  std::vector<RunPtr> runs;         // newest first
  RegionMapPtr regions;             // as of the newest fold; what came since is in the overlays

  Result<std::optional<Place>> find(Bytes key, uint64_t at) const;
  std::optional<Place> find_in_overlays(Bytes key, uint64_t at) const;
  Result<std::optional<Place>> find_in_runs(Bytes key) const;
  std::unique_ptr<Cursor> cursor(uint64_t at, bool keep_deleted) const;
};

class IndexState {
 public:
  mutable SharedLock lock;
  PlaceMemories memories;                  // of the runs, and outlives them
  IndexView view;                          // guarded by lock
  std::atomic<uint64_t> visible_epoch{0};  // written under the exclusive lock
  std::atomic<bool> damaged{false};        // no more merging: the runs are kept for salvage
  // Of a table at most: smaller in a small pool, where free space is in small pieces. Under
  // the maintenance lock.
  uint64_t table_bytes = 0;
  KnownGaps gaps;  // guarded by lock

  RunPtr make_run(const Medium& medium, std::vector<TableRef>&& tables) {
    return std::make_shared<Run>(medium, std::move(tables), &memories);
  }

  // Into the active overlay, as Overlay::put() has it. Under the exclusive lock.
  bool put(const HashedKey& key, Place place, uint64_t epoch, bool older_counted, Place* before) {
    if (!place.is_deleted()) gaps.put(key.key);
    return view.active->put(key, place, epoch, oldest_needed(), older_counted, before);
  }

  // Newer versions and deletions count too. Takes the lock.
  uint64_t entries_at_most() const;

  // ── snapshots: each has a serial; what dies is given back once no snapshot is older than its
  // death.
  struct Pin {
    uint64_t serial;
    uint64_t epoch;
  };
  Pin pin(
      uint64_t epoch);  // under lock (shared or exclusive), so that it pins the view it goes with
  // Also keeps every byte of the regions it sees where and as it is, for who reads them past the
  // overlays: a mapped view, another process. (Any other snapshot has in its overlays what is
  // overwritten in place.)
  Pin pin_in_place(uint64_t epoch);
  void unpin(uint64_t serial);
  uint64_t next_serial() const;
  // The oldest serial that is still pinned, or next_serial() when none is.
  uint64_t oldest_serial() const;
  uint64_t oldest_epoch() const;  // of the open snapshots; UINT64_MAX: none
  size_t pinned() const;
  // The oldest epoch that a snapshot of the *active* overlay may ask for; Overlay::kLatest: none.
  uint64_t oldest_needed() const { return oldest_needed_.load(std::memory_order_acquire); }

  NeededEpochs needed_epochs() const {
    return {oldest_needed_.load(std::memory_order_acquire),
            newest_pinned_.load(std::memory_order_acquire)};
  }
  // May an open snapshot, of those since `born`, read an extent of a region past the overlay that
  // is frozen? Then a fold of that overlay must not write into the extent. `cut`: of a region that
  // lost a part of what lay below that overlay.
  bool sees_below_frozen(uint64_t born, bool cut) const;

  // The active overlay becomes the frozen one. Under the exclusive lock; there must be no frozen
  // one.
  void freeze();

 private:
  void refresh_oldest_needed();
  const std::shared_ptr<OverlayStock> overlays_ = std::make_shared<OverlayStock>();
  mutable std::mutex pins_mutex_;
  std::map<uint64_t, uint64_t> pins_;  // serial -> epoch
  std::set<uint64_t> in_place_;        // of them, those of pin_in_place()
  uint64_t next_serial_ = 1;
  uint64_t active_since_ = 1;  // serials from here on pin the active overlay
  uint64_t frozen_since_ = 1;  // the same of the frozen one
  std::atomic<uint64_t> oldest_needed_{Overlay::kLatest};
  std::atomic<uint64_t> newest_pinned_{0};
};

}  // namespace holdfast
