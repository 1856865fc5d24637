// What somebody who walks over keys will read of their values, fetched before it is read: from the
// disk into memory, from memory into the cache.
//
// Values that lie in the order of their keys are told of in stretches (read_ahead.h). Those that
// lie anywhere are fetched many together: a disk has them in the time of one. One thread; a few
// words.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/state/operations.h"
#include "index/source.h"
#include "medium/read_ahead.h"

namespace holdfast {

class ValueAhead {
 public:
  ValueAhead(const Medium& medium, const Operations& operations, bool reverse)
      : medium_(medium), operations_(operations), ahead_(medium), way_(reverse ? -1 : 1) {}

  // The value there, which is not deleted, is about to be read.
  void comes_to(const Cursor& cursor) {
    ahead_.comes_to(cursor.place().offset(), cursor.place().bytes());
    if (!ahead_.walks() && known_-- == 0) expect_scattered(cursor);
    const Place soon = cursor.ahead(way_ * kSoon);
    const bool foreseen = ahead_.walks() && soon.bytes() > kForeseenBytes;
    if (!soon.is_deleted() && !foreseen)
      operations_.expect(soon.offset(), std::min(soon.bytes(), kSoonBytes));
  }

 private:
  // Where one is in memory those behind it are believed to be, more of them each time.
  void expect_scattered(const Cursor& cursor) {
    known_ = believed_;
    believed_ = std::min(2 * believed_, kMostBelieved);
    if (!medium_.expect_reads(cursor.place().offset(), cursor.place().bytes())) return;
    believed_ = kTogether;
    for (known_ = 0; known_ < kTogether; known_++) {
      const Place place = cursor.ahead(way_ * (static_cast<int>(known_) + 1));
      if (place.is_deleted()) break;
      medium_.expect_reads(place.offset(), place.bytes());
    }
  }

  // The operation of the entry so many steps on is fetched while this one is read, and of it the
  // first lines: the rest of a long one the processor foresees by itself. Where long ones lie one
  // behind the other it foresees their beginnings too, and to fetch them would disturb it.
  static constexpr int kSoon = 3;
  static constexpr uint64_t kSoonBytes = 512, kForeseenBytes = 1024;
  static constexpr uint64_t kTogether = 64, kMostBelieved = 1024;

  const Medium& medium_;
  const Operations& operations_;
  ReadAhead ahead_;
  const int way_;
  // Entries that are in memory, or on their way there, as far as is known; how many behind the next
  // that is found there. A short walk is not looked at.
  uint64_t known_ = 8, believed_ = kTogether;
};

}  // namespace holdfast
