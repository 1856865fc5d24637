// PoolFacts and PoolStats as JavaScript objects. Every number is below 2^53, so a double says it
// exactly.
#include "binding/convert.h"
#include "binding/handles.h"

namespace holdfast::binding {

// field in C++, property in JavaScript
#define HOLDFAST_STATS(X)                       \
  X(format_version, formatVersion)              \
  X(epoch, epoch)                               \
  X(durable_epoch, durableEpoch)                \
  X(folded_epoch, foldedEpoch)                  \
  X(incarnation, incarnation)                   \
  X(capacity_bytes, capacityBytes)              \
  X(taken_bytes, takenBytes)                    \
  X(free_bytes, freeBytes)                      \
  X(live_bytes, liveBytes)                      \
  X(log_bytes, logBytes)                        \
  X(index_bytes, indexBytes)                    \
  X(large_bytes, largeBytes)                    \
  X(log_segments, logSegments)                  \
  X(index_segments, indexSegments)              \
  X(large_segments, largeSegments)              \
  X(region_bytes, regionBytes)                  \
  X(region_segments, regionSegments)            \
  X(overlay_entries, overlayEntries)            \
  X(overlay_bytes, overlayBytes)                \
  X(runs, runs)                                 \
  X(open_snapshots, openSnapshots)              \
  X(oldest_snapshot_epoch, oldestSnapshotEpoch) \
  X(commits, commits)                           \
  X(groups, groups)                             \
  X(appends, appends)                           \
  X(writes, writes)                             \
  X(barriers, barriers)                         \
  X(roots, roots)                               \
  X(bytes_appended, bytesAppended)              \
  X(bytes_grown, bytesGrown)                    \
  X(folds, folds)                               \
  X(compactions, compactions)                   \
  X(segments_cleaned, segmentsCleaned)          \
  X(bytes_moved, bytesMoved)                    \
  X(readers, readers)                           \
  X(oldest_reader_pid, oldestReaderPid)         \
  X(oldest_reader_epoch, oldestReaderEpoch)     \
  X(reader_bytes, readerBytes)                  \
  X(readers_expired, readersExpired)            \
  X(replayed_operations, replayedOperations)    \
  X(replayed_bytes, replayedBytes)              \
  X(open_us, openUs)                            \
  X(retain_ms, retainMs)                        \
  X(retain_bytes, retainBytes)                  \
  X(oldest_change, oldestChange)                \
  X(feed_cursors, watchers)

napi_value facts_object(napi_env env, const PoolFacts& facts) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("path", facts.path);
  object.Set("medium", facts.medium);
  object.Set("durability", facts.durability == DurabilityClass::kPower ? "power" : "process");
  object.Set("durabilityReason", facts.durability_reason);
  return object;
}

napi_value stats_object(napi_env env, const PoolStats& stats) {
  Napi::Object object(env, facts_object(env, stats));
#define HOLDFAST_STATS_SET(field, property) object.Set(#property, number(env, stats.field));
  HOLDFAST_STATS(HOLDFAST_STATS_SET)
#undef HOLDFAST_STATS_SET
  Napi::Array parts = Napi::Array::New(env, stats.parts.size());
  for (size_t i = 0; i < stats.parts.size(); i++) {
    Napi::Object part = Napi::Object::New(env);
    part.Set("path", stats.parts[i].path);
    part.Set("bytes", static_cast<double>(stats.parts[i].bytes));
    part.Set("takenBytes", static_cast<double>(stats.parts[i].taken));
    part.Set("freeBytes", static_cast<double>(stats.parts[i].left));
    parts.Set(static_cast<uint32_t>(i), part);
  }
  object.Set("parts", parts);
  return object;
}

}  // namespace holdfast::binding
