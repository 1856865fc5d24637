// Looks up keys that rise, in several runs: each run is walked alongside, and searched only where
// many of its keys lie between two that are asked for. For a fold, which asks for the older place
// of every key it writes.
//
// One thread. The runs do not change; they outlive it.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "index/table.h"

namespace holdfast {

class RisingFinder {
 public:
  explicit RisingFinder(const std::vector<std::shared_ptr<Run>>& newest_first) {
    for (const auto& run : newest_first) sources_.push_back({run->cursor()});
  }

  // Where the newest run that knows `key` (greater than the one before) has it; a deletion is
  // known. kCorrupt names the node; the next key is looked up as if nothing had happened.
  Result<std::optional<Place>> find(Bytes key) {
    for (Source& source : sources_) {
      advance(source, key);
      if (source.cursor->valid() && source.cursor->key() == key)
        return std::optional<Place>(source.cursor->place());
      if (source.cursor->valid()) continue;
      Status status = source.cursor->take_status();
      if (status.is_ok()) continue;
      source.begun = false;
      return status;
    }
    return std::optional<Place>();
  }

 private:
  static constexpr int kSteps = 8;  // a step costs about an eighth of a search
  struct Source {
    std::unique_ptr<Cursor> cursor;
    bool begun = false;
  };

  static void advance(Source& source, Bytes key) {
    if (source.begun && !source.cursor->valid()) return;  // at its end
    for (int step = 0; source.begun && step < kSteps; step++) {
      if (!source.cursor->valid() || source.cursor->key() >= key) return;
      source.cursor->next();
    }
    if (source.begun && (!source.cursor->valid() || source.cursor->key() >= key)) return;
    source.begun = true;
    source.cursor->seek(key);
  }

  std::vector<Source> sources_;
};

}  // namespace holdfast
