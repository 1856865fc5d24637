// What a pool shows beside what the model says: everything, a range, a key, what check() finds, and
// to the byte what is live.
#include <algorithm>
#include <utility>

#include "format/record.h"
#include "world.h"

namespace holdfast::crash {

bool World::read_all(const SnapshotPtr& snapshot, State* out, Status* status) {
  RangeOptions all;
  all.high = std::string(4, '\xff');
  auto range = pool_->range(all, snapshot);
  if (!range.is_ok()) {
    *status = std::move(range.status());
    return false;
  }
  std::string bytes;
  while (status->is_ok()) {
    auto given = (*range)->next(100, [&](Bytes key, const FoundValue& value, Reader& reader) {
      bytes.resize(value.size);
      Status copied = reader.copy(value, reinterpret_cast<uint8_t*>(bytes.data()));
      if (!copied.is_ok()) *status = std::move(copied);
      (*out)[std::string(key)] = observed_value(bytes.data(), bytes.size());
      return status->is_ok();
    });
    if (!given.is_ok()) *status = std::move(given.status());
    if (status->is_ok() && *given == 0) return read_regions(snapshot, out, status);
  }
  return false;
}

bool World::read_regions(const SnapshotPtr& snapshot, State* out, Status* status) {
  auto regions = pool_->regions(snapshot);
  if (!regions.is_ok()) {
    *status = std::move(regions.status());
    return false;
  }
  const std::string zeros(kSlotBytes, '\0');
  for (const RegionInfo& region : *regions) {
    (*out)[size_key(region.region)] = {region.size, 0, 0};
    std::string bytes(region.size, '\0');
    *status = pool_->region_read(region.region, 0, region.size,
                                 reinterpret_cast<uint8_t*>(bytes.data()), snapshot);
    if (!status->is_ok()) return false;
    for (uint64_t slot = 0; (slot + 1) * kSlotBytes <= region.size; slot++) {
      const Bytes here = Bytes(bytes).substr(slot * kSlotBytes, kSlotBytes);
      if (here != zeros)
        (*out)[slot_key(region.region, slot)] = observed_value(here.data(), here.size());
    }
  }
  return true;
}

bool World::compare_state(const SnapshotPtr& snapshot, const State& expected) {
  if (broken()) return true;
  State observed;
  Status status;
  if (!read_all(snapshot, &observed, &status)) return fail("a read failed: " + status.message());
  if (observed != expected)
    return fail((snapshot ? "a snapshot differs:" : "the pool differs:") +
                difference(expected, observed));
  return true;
}

bool World::compare_range(const std::string& low, const std::string& high, bool reverse,
                          uint64_t limit) {
  if (broken()) return true;
  RangeOptions options;
  options.low = low, options.high = high, options.reverse = reverse, options.limit = limit;
  std::vector<std::string> expected, observed;
  for (const auto& [key, value] : model_.latest()) {
    if (key >= low && key < high && !is_region_key(key)) expected.push_back(key);
  }
  const uint64_t all = expected.size();
  if (reverse) std::reverse(expected.begin(), expected.end());
  if (expected.size() > limit) expected.resize(limit);
  auto range = pool_->range(options, nullptr);
  if (!range.is_ok()) return fail("a range failed: " + range.status().message());
  while (true) {
    auto given = (*range)->next(7, [&](Bytes key, const FoundValue&, Reader&) {
      observed.emplace_back(key);
      return true;
    });
    if (!given.is_ok()) return fail("a range failed: " + given.status().message());
    if (*given == 0) break;
  }
  if (observed != expected) {
    return fail("a range " + std::string(reverse ? "backward " : "") + "of at most " +
                std::to_string(limit) + " gave " + std::to_string(observed.size()) +
                " keys, not the model's " + std::to_string(expected.size()));
  }
  options.limit = UINT64_MAX;
  auto counted = pool_->count(options, nullptr, nullptr);
  if (!counted.is_ok() || *counted != all) return fail("count() differs from the model");
  return true;
}

bool World::compare_key(const std::string& key) {
  if (broken()) return true;
  auto reader = pool_->read(nullptr);
  if (!reader.is_ok()) return fail("a read failed: " + reader.status().message());
  auto found = reader->find(key);
  if (!found.is_ok()) return fail("a read failed: " + found.status().message());
  const auto it = model_.latest().find(key);
  if (found->has_value() != (it != model_.latest().end()))
    return fail("a key is there in one of pool and model only");
  if (!found->has_value()) return true;
  std::string bytes((*found)->size, '\0');
  Status copied = reader->copy(**found, reinterpret_cast<uint8_t*>(bytes.data()));
  if (!copied.is_ok()) return fail("a read failed: " + copied.message());
  return observed_value(bytes.data(), bytes.size()) == it->second ||
         fail("a value differs from the model");
}

bool World::check() {
  if (broken() || in_between_) return true;
  auto report = pool_->check(nullptr, nullptr);
  if (!report.is_ok()) return fail("check failed: " + report.status().message());
  if (!report->damages.empty()) return fail("check found damage: " + report->damages.front());
  const uint64_t keys = static_cast<uint64_t>(
      std::distance(model_.latest().begin(), model_.latest().lower_bound(kRegionPrefix)));
  if (report->entries != keys)
    return fail("check saw another number of entries than the model has");
  const PoolStats stats = pool_->stats();
  const uint64_t taken = stats.capacity_bytes - stats.free_bytes;
  const uint64_t known = stats.log_bytes + stats.index_bytes + stats.large_bytes +
                         stats.region_bytes + stats.other_bytes;
  if (taken != known) {
    return fail("space " + std::string(taken > known ? "is leaked: " : "is held twice: ") +
                std::to_string(taken) + " bytes are taken, the engine refers to " +
                std::to_string(known));
  }
  return true;
}

bool World::check_exact() {
  if (broken() || in_between_ || !snapshots_.empty()) return true;
  const auto between = std::exchange(between_, nullptr);
  const bool held = compact();
  between_ = between;
  if (!held || broken() || !compacted_) return held;
  if (!check()) return false;
  const PoolStats stats = pool_->stats();
  if (stats.folded_epoch != stats.epoch) return true;  // no room for the fold
  uint64_t live = 0, large = 0;
  for (const auto& [key, value] : model_.latest()) {
    if (is_region_key(key)) break;
    const bool is_large = value.size > kLargeValueBytes;
    live += operation_bytes(key.size(), is_large ? 48 : value.size);
    if (is_large) large += round_up(value.size, geometry_.disk.segment_unit);
  }
  if (stats.large_bytes != large) {
    return fail("large values take " + std::to_string(stats.large_bytes) +
                " bytes, those that live " + std::to_string(large));
  }
  if (stats.live_bytes - stats.large_bytes != live) {
    return fail("the log counts " + std::to_string(stats.live_bytes - stats.large_bytes) +
                " live bytes, there are " + std::to_string(live));
  }
  if (stats.waiting_bytes != 0 && !feed_)
    return fail(std::to_string(stats.waiting_bytes) + " bytes are not given back by a compaction");
  return true;
}

}  // namespace holdfast::crash
