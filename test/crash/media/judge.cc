#include "crash/media/judge.h"

#include <chrono>
#include <cstring>

#include "format/layout.h"

namespace holdfast::crash {
namespace {

constexpr uint64_t kPmemChunk = 256 * kKiB;
constexpr uint64_t kPmemLostPerSegment = kPageBytes;
constexpr uint64_t kLargeValue = 256 * kKiB;
constexpr int64_t kBeforeMaintenanceMs =
    150;  // the maintenance thread takes its first look after 200 ms

using Clock = std::chrono::steady_clock;

std::string read_region(Pool& pool, State* state) {
  auto regions = pool.regions(nullptr);
  if (!regions.is_ok()) return "regions: " + regions.status().message();
  for (const RegionInfo& region : *regions) {
    (*state)[size_key()] = std::to_string(region.size);
    std::string bytes(region.size, '\0');
    Status read = pool.region_read(region.region, 0, region.size,
                                   reinterpret_cast<uint8_t*>(bytes.data()), nullptr);
    if (!read.is_ok()) return "reading a region: " + read.message();
    for (uint64_t slot = 0; slot * kSlotBytes < region.size; slot++) {
      const std::string here = bytes.substr(slot * kSlotBytes, kSlotBytes);
      if (here.find_first_not_of('\0') != std::string::npos) (*state)[slot_key(slot)] = here;
    }
  }
  return {};
}

std::string read_all(Pool& pool, State* state) {
  RangeOptions all;
  all.high = std::string(4, '\xff');
  auto range = pool.range(all, nullptr);
  if (!range.is_ok()) return "range: " + range.status().message();
  Status copied;
  while (true) {
    auto given = (*range)->next(1000, [&](Bytes key, const FoundValue& value, Reader& reader) {
      std::string bytes(value.size, '\0');
      copied = reader.copy(value, reinterpret_cast<uint8_t*>(bytes.data()));
      (*state)[std::string(key)] = std::move(bytes);
      return copied.is_ok();
    });
    if (!copied.is_ok()) return "reading a value: " + copied.message();
    if (!given.is_ok()) return "range: " + given.status().message();
    if (*given == 0) return read_region(pool, state);
  }
}

std::string printable(const std::string& key) { return key.size() > 4 ? key.substr(4) : key; }

// In what does it differ from the state it should be?
std::string difference(const State& found, const State& wanted) {
  for (const auto& [key, value] : wanted) {
    const auto at = found.find(key);
    if (at == found.end()) return "'" + printable(key) + "' is missing";
    if (at->second != value) return "'" + printable(key) + "' has another value";
  }
  for (const auto& [key, value] : found) {
    if (wanted.count(key) == 0) return "'" + printable(key) + "' should not be there";
  }
  return {};
}

std::string compare(const State& found, const Expected& expected, uint64_t* number) {
  const auto& states = *expected.states;
  const uint64_t low = expected.acked < 0 ? 0 : static_cast<uint64_t>(expected.acked);
  for (uint64_t i = 0; i < states.size(); i++) {
    if (found != states[i]) continue;
    *number = i;
    if (i < low)
      return "acknowledged commits are lost: the state is the one after " + std::to_string(i) +
             ", " + std::to_string(low) + " were acknowledged";
    if (i > expected.begun)
      return "the state is the one after " + std::to_string(i) + " commits, only " +
             std::to_string(expected.begun) + " had begun";
    return {};
  }
  return "the state is not the one after any commit; against the one after " + std::to_string(low) +
         ": " + difference(found, states[low]);
}

// Every byte that is not free belongs to a segment the engine knows, or to the one fold.
// `superseded`: large values that the tail has replaced or removed are held until the next fold.
std::string leak(const PoolStats& stats, bool pmem, uint64_t superseded, int64_t since_open_ms) {
  static uint64_t pmem_capacity = 0;
  if (pmem && pmem_capacity == 0) pmem_capacity = stats.capacity_bytes;
  if (pmem && pmem_capacity != stats.capacity_bytes) {
    return "the pool has lost space: its capacity was " + std::to_string(pmem_capacity) +
           " and is " + std::to_string(stats.capacity_bytes);
  }
  const uint64_t fold = !stats.parts.empty() ? kPmemChunk
                        : pmem               ? kPmemChunk - kPmemLostPerSegment
                                             : 64 * kKiB;
  const uint64_t known = stats.log_bytes + stats.index_bytes + stats.large_bytes +
                         stats.region_bytes + stats.set_aside_bytes + stats.spare_bytes + fold;
  const uint64_t held = stats.capacity_bytes - stats.free_bytes;
  if (held >= known && held <= known + superseded) return {};
  if (since_open_ms > kBeforeMaintenanceMs && held >= known)
    return {};  // a spare segment may have been prepared meanwhile
  return std::to_string(held) + " bytes are held, of which " + std::to_string(known) +
         " are known: leaked";
}

int64_t milliseconds(Clock::time_point since) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - since).count();
}

std::string put_one(Pool& pool) {
  const Change change = change_after_crash();
  Batch batch;
  Status added = batch.put(change.key, change.value);
  if (!added.is_ok()) return "put: " + added.message();
  auto receipt = pool.commit(batch, CommitMode::kDurable);
  return receipt.is_ok() ? std::string() : "the pool does not go on: " + receipt.status().message();
}

std::string check(Pool& pool) {
  auto report = pool.check(nullptr, nullptr);
  if (!report.is_ok()) return "check: " + report.status().message();
  return report->damages.empty() ? std::string() : "check: " + report->damages[0];
}

std::string reopen(const std::string& path, const PoolOptions& options, const State& wanted) {
  const auto since = Clock::now();
  auto opened = Pool::open(path, options);
  if (!opened.is_ok())
    return "the recovered pool does not open again: " + opened.status().message();
  Pool& pool = **opened;
  const PoolStats stats = pool.stats();
  State found;
  std::string wrong =
      leak(stats, options.medium.choice == MediumChoice::kPmem, 0, milliseconds(since));
  if (wrong.empty()) wrong = read_all(pool, &found);
  if (wrong.empty()) wrong = difference(found, wanted);
  if (!wrong.empty()) return "opened again: " + wrong;
  uint64_t large = 0;
  for (const auto& [key, value] : wanted) large += value.size() > kLargeValue;
  if (stats.large_segments != large) {
    return std::to_string(stats.large_segments) + " segments of large values are held, for " +
           std::to_string(large) + " values: leaked";
  }
  wrong = check(pool);
  Status closed = pool.close();
  if (wrong.empty() && !closed.is_ok()) wrong = "closing again: " + closed.message();
  return wrong;
}

}  // namespace

uint64_t large_bytes_of(const State& state, bool pmem) {
  uint64_t sum = 0;
  for (const auto& [key, value] : state) {
    if (value.size() <= kLargeValue) continue;
    sum += pmem ? round_up(value.size() + kPmemLostPerSegment, kPmemChunk)
                : round_up(value.size(), 64 * kKiB);
  }
  return sum;
}

std::string judge(const std::string& path, const PoolOptions& options, const Expected& expected,
                  Depth depth, uint64_t* found) {
  const bool pmem = options.medium.choice == MediumChoice::kPmem;
  PoolOptions opening = options;
  opening.medium.create = expected.acked >= 0 ? CreateMode::kNever : CreateMode::kIfMissing;
  const auto since =
      Clock::now();  // this thread may be made to wait as soon as the maintenance thread is there
  auto opened = Pool::open(path, opening);
  if (!opened.is_ok()) return "does not open: " + opened.status().message();
  Pool& pool = **opened;
  const PoolStats stats = pool.stats();
  const int64_t took_ms = milliseconds(since);
  State state;
  std::string wrong = read_all(pool, &state);
  if (wrong.empty()) wrong = compare(state, expected, found);
  if (wrong.empty()) {
    uint64_t superseded = expected.superseded;
    for (uint64_t i = 0; i < *found; i++) superseded += large_bytes_of((*expected.states)[i], pmem);
    wrong = leak(stats, pmem, superseded, took_ms);
  }
  if (wrong.empty()) wrong = check(pool);
  if (wrong.empty()) wrong = put_one(pool);
  if (wrong.empty() && depth == Depth::kReopens) {
    for (int i = 0; i < 2 && wrong.empty(); i++) {
      Status folded = pool.fold();
      if (!folded.is_ok()) wrong = "fold: " + folded.message();
    }
  }
  Status closed = pool.close();
  opened->reset();
  if (wrong.empty() && !closed.is_ok()) wrong = "close: " + closed.message();
  if (!wrong.empty() || depth != Depth::kReopens) return wrong;
  const Change change = change_after_crash();
  state[change.key] = change.value;
  return reopen(path, opening, state);
}

}  // namespace holdfast::crash
