#include "engine/space/returns.h"

#include <algorithm>

#include "base/test_hooks.h"
#include "base/test_points.h"

namespace holdfast {

uint64_t Returns::reader_allowance() const {
  if (reader_bytes_ > 0) return reader_bytes_;
  const MediumSpace space = medium_.space();
  return std::max(64 * kMiB, std::min(space.capacity, space.taken) / 4);
}

void Returns::give_back() {
  std::unique_lock append(log_.lock);
  const uint64_t fold = planted(PlantedBug::kReleasedBeforeFold) ? UINT64_MAX : fold_.durable;
  const uint64_t oldest =
      planted(PlantedBug::kReleasedUnderSnapshot) ? UINT64_MAX : index_.oldest_serial();
  if (log_.graveyard.empty()) return;
  Readers::Pins pins = readers_.pins();
  while (true) {
    if (planted(PlantedBug::kReaderPinsIgnored)) pins.oldest = UINT64_MAX;
    const std::vector<Segment> gone = log_.graveyard.exhume(fold, oldest, pins.clock, pins.oldest);
    if (!gone.empty()) {
      // Takes a while, and commits need not wait for it: nobody else gives back.
      for (const Segment& segment : gone) log_.segments.remove(segment.offset);
      append.unlock();
      index_.memories.forget(gone);
      for (const Segment& segment : gone) {
        HOLDFAST_POINT("segment.before_release");
        if (!planted(PlantedBug::kNeverReleased)) medium_.release(segment);
      }
      append.lock();
    }
    if (log_.graveyard.held_for_readers() == 0 ||
        log_.graveyard.held_for_readers() <= reader_allowance() || !readers_.expire_oldest())
      return;
    pins.oldest = readers_.pins().oldest;
  }
}

bool Returns::take_from_reader() {
  {
    std::lock_guard append(log_.lock);
    if (log_.graveyard.held_for_readers() == 0 || !readers_.expire_oldest()) return false;
  }
  give_back();
  return true;
}

}  // namespace holdfast
