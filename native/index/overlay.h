// The part of the index that is in ordinary memory: everything committed since the last fold.
// Ordered, binary-safe keys.
//
// Entries carry the epoch that wrote them. When a snapshot may still ask for an older version of a
// key, that version is kept behind the new one; when none can, it is overwritten: snapshots cost
// nothing while none is open. Nothing is ever removed from an overlay (a deletion is an entry with
// Place::deleted()); it is dropped whole, or cleared, once folded.
//
// Threads: put() excludes everything else (the engine's exclusive lock); find() and cursors may run
// together (shared lock); a cursor is no more used once put() was called. The first cursor() behind
// some put()s of new keys sorts these. A crash leaves nothing of it; it is made again from the
// log's tail.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "base/fresh_pages.h"
#include "index/region_overlay.h"
#include "index/source.h"

namespace holdfast {

// A key as the overlay's table looks for it. Made once by whoever needs it twice.
struct HashedKey {
  template <std::convertible_to<Bytes> T>
  HashedKey(const T& bytes) : HashedKey(bytes, hash_of(bytes)) {}
  HashedKey(Bytes bytes, uint64_t its_hash) : key(bytes), hash(its_hash) {}  // made before
  static uint64_t hash_of(Bytes key);
  const Bytes key;
  const uint64_t hash;
};

class Overlay {
 public:
  static constexpr uint64_t kLatest = UINT64_MAX;

  // In which pages its memory is: a tail that somebody waits for is recovered into small ones.
  explicit Overlay(Pages pages = Pages::kHuge);
  ~Overlay();
  Overlay(const Overlay&) = delete;

  // Sets `key` as of `epoch` (>= every epoch put before). `oldest_needed`: the oldest epoch that an
  // open snapshot of this overlay may ask for (kLatest: no snapshot). A version is kept only if
  // some epoch in [oldest_needed, epoch) still sees it. True: the key was here, and `before` is
  // what was its newest place (no optional: it would be put together in memory, in narrow pieces,
  // and read back in a wide one). `older_counted`: what the key was in runs has been counted as
  // dead already. It is remembered while the key is here.
  bool put(const HashedKey& key, Place place, uint64_t epoch, uint64_t oldest_needed,
           bool older_counted, Place* before);
  void put(const HashedKey& key, Place place, uint64_t epoch, uint64_t oldest_needed) {
    Place before;
    (void)put(key, place, epoch, oldest_needed, false, &before);
  }

  // Has what put() of the key with this hash will look at first on its way here.
  void expect(uint64_t hash) const;

  // The newest version with epoch <= `at`; nothing if the overlay says nothing about the key as of
  // then.
  std::optional<Place> find(Bytes key, uint64_t at = kLatest) const;

  std::unique_ptr<Cursor> cursor(uint64_t at = kLatest) const;

  // What the same commits changed in regions. Same threads, same fate.
  RegionOverlay regions;
  bool empty() const { return entries() == 0 && regions.empty(); }

  // As new, but for the memory, which it keeps. Nobody else knows it any more.
  void clear();

  size_t entries() const;  // keys
  size_t bytes() const;    // of memory taken

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Overlays that take the place of one another. The memory of the last one that was done with is
// used by the next: a commit that had to wait for the pages of its entry would wait longer than for
// its fence. Any thread.
class OverlayStock : public std::enable_shared_from_this<OverlayStock> {
 public:
  std::shared_ptr<Overlay> take();  // an empty one

 private:
  void give_back(std::unique_ptr<Overlay> done);
  std::mutex mutex_;
  std::unique_ptr<Overlay> kept_;  // guarded by mutex_
};

}  // namespace holdfast
