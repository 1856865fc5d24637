// One ordered source of entries (key -> place), and the merge of several. The overlay and every run
// are sources.
//
// Threads: a cursor belongs to one thread. A cursor over an overlay is valid only while the caller
// keeps the overlay from changing (the engine's shared lock); whoever iterates for long closes the
// cursor and seeks again by key.
#pragma once

#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "format/place.h"

namespace holdfast {

class Cursor {
 public:
  virtual ~Cursor() = default;
  virtual void seek(Bytes key) = 0;         // to the first entry with key >= `key`
  virtual void seek_before(Bytes key) = 0;  // to the last entry with key < `key`
  virtual void seek_last() = 0;             // to the last entry
  virtual void next() = 0;
  virtual void prev() = 0;
  virtual bool valid() const = 0;   // false at either end, and after an error
  virtual Bytes key() const = 0;    // until the cursor moves
  virtual Place place() const = 0;  // may be deleted() (a tombstone)
  // That of the entry so many steps on (or, below 0, back), where it is known without a look at
  // anything else; else deleted().
  virtual Place ahead(int) const { return Place::deleted(); }
  virtual bool older_counted() const {
    return false;
  }                                  // of an entry of an overlay: see Overlay::put()
  virtual Status take_status() = 0;  // kCorrupt names the node; ok when merely at an end
};

// Newest source first: of equal keys only the newest is seen. Tombstones are passed over unless
// `keep_deleted`. next() and prev() may be mixed.
std::unique_ptr<Cursor> merge_cursors(std::vector<std::unique_ptr<Cursor>> newest_first,
                                      bool keep_deleted);

}  // namespace holdfast
