// Segments set aside for the parts of regions that are written for the first time.
//
// A fold must place them, and without that fold no space comes back: so their commit takes the
// segments, whole, before it is appended, and is refused if it cannot. What is free later may be
// enough and yet lie in pieces that are all too small.
//
// In memory only: after a crash the replay of the same records sets them aside again. Under
// append_mutex_.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "medium/medium.h"

namespace holdfast {

using ExtentKey = std::pair<uint32_t, uint64_t>;      // region, number of its extent
using WantedExtents = std::map<ExtentKey, uint64_t>;  // bytes of the segment

class ExtentReserve {
 public:
  bool holds(const ExtentKey& key, uint64_t bytes) const {
    const auto found = active_.find(key);
    return found != active_.end() && found->second.wanted == bytes;
  }
  bool holds(const ExtentKey& key) const { return active_.contains(key); }

  // All of them, each in place of what was set aside for it in another size; else none, and the
  // medium's error.
  Status set_aside(Medium& medium, const WantedExtents& wanted) {
    std::map<ExtentKey, Held> taken;
    for (const auto& [key, bytes] : wanted) {
      auto segment = medium.allocate(SegmentKind::kRegion, bytes, bytes);
      if (!segment.is_ok()) {
        give_back(medium, &taken);
        return std::move(segment.status());
      }
      taken[key] = {*segment, bytes};
    }
    for (const auto& [key, held] : taken) {
      const auto before = active_.find(key);
      if (before != active_.end()) medium.release(before->second.segment);
      active_[key] = held;
    }
    return {};
  }

  // A fold begins that will place what is set aside by now. One that did not find room is gone on
  // with, before another begins.
  void freeze() { frozen_ = std::exchange(active_, {}); }
  void begin_placing() {
    for (auto& [key, held] : frozen_) held.placed = false;
  }
  std::optional<Segment> place(const ExtentKey& key, uint64_t bytes) {
    const auto found = frozen_.find(key);
    if (found == frozen_.end() || found->second.wanted != bytes) return std::nullopt;
    found->second.placed = true;
    return found->second.segment;
  }
  // The fold is durable and refers to what it placed.
  void end_fold(Medium& medium) {
    std::erase_if(frozen_, [](const auto& each) { return each.second.placed; });
    give_back(medium, &frozen_);
  }
  // No write stands behind it: its commit was refused after all.
  void give_back_active(Medium& medium) { give_back(medium, &active_); }

  uint64_t bytes() const {
    uint64_t sum = 0;
    for (const auto* part : {&active_, &frozen_}) {
      for (const auto& [key, held] : *part) sum += held.segment.bytes;
    }
    return sum;
  }

 private:
  struct Held {
    Segment segment;
    uint64_t wanted = 0;
    bool placed = false;
  };

  static void give_back(Medium& medium, std::map<ExtentKey, Held>* from) {
    for (const auto& [key, held] : *from) medium.release(held.segment);
    from->clear();
  }

  std::map<ExtentKey, Held> active_, frozen_;
};

}  // namespace holdfast
