// The index as the engine holds it: the active overlay that commits write to, the frozen one a fold is writing out, the runs, and
// the snapshots that pin earlier states of all three.
//
// Locking. `lock` protects the pointers and the active overlay's content: exclusive to apply a commit or swap a pointer, shared
// to read. Frozen overlays and runs never change. Snapshots are counted under a mutex of their own, taken inside `lock`.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/shared_lock.h"
#include "index/overlay.h"
#include "index/table.h"

namespace holdfast {

using RunPtr = std::shared_ptr<Run>;

struct IndexView {
  std::shared_ptr<Overlay> active;
  std::shared_ptr<Overlay> frozen;  // null when no fold is under way
  std::vector<RunPtr> runs;         // newest first

  Result<std::optional<Place>> find(Bytes key, uint64_t at) const;
  Result<std::optional<Place>> find_in_runs(Bytes key) const;
  std::unique_ptr<Cursor> cursor(uint64_t at, bool keep_deleted) const;
};

class IndexState {
 public:
  mutable SharedLock lock;
  IndexView view;  // guarded by lock

  // ── snapshots: each has a serial; what dies is given back once no snapshot is older than its death.
  struct Pin {
    uint64_t serial;
    uint64_t epoch;
  };
  Pin pin(uint64_t epoch);  // under lock (shared or exclusive), so that it pins the view it goes with
  void unpin(uint64_t serial);
  uint64_t next_serial() const;
  // The oldest serial that is still pinned, or next_serial() when none is.
  uint64_t oldest_serial() const;
  uint64_t oldest_epoch() const;  // of the open snapshots; UINT64_MAX: none
  size_t pinned() const;
  // The oldest epoch that a snapshot of the *active* overlay may ask for; Overlay::kLatest: none.
  uint64_t oldest_needed() const { return oldest_needed_.load(std::memory_order_acquire); }

  // The active overlay becomes the frozen one. Under the exclusive lock; there must be no frozen one.
  void freeze();

 private:
  void refresh_oldest_needed();
  mutable std::mutex pins_mutex_;
  std::map<uint64_t, uint64_t> pins_;  // serial -> epoch
  uint64_t next_serial_ = 1;
  uint64_t active_since_ = 1;          // serials from here on pin the active overlay
  std::atomic<uint64_t> oldest_needed_{Overlay::kLatest};
};

}  // namespace holdfast
