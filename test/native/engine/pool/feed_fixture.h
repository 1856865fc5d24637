// What the tests of the change feed and of what is kept for it share: a pool with a wish, commits
// by key, and reading all that is there.
#pragma once
#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "native/pool_fixture.h"

namespace holdfast::test {

using Changes = std::vector<std::pair<std::string, std::optional<std::string>>>;

inline PoolOptions options_with(std::optional<RetainWish> retain, uint64_t size = 0) {
  PoolOptions options;
  options.medium.choice = MediumChoice::kFile;
  options.medium.size = size;
  options.log_segment_bytes = 64 * kKiB;
  options.fold_operations = 64;
  options.retain = retain;
  return options;
}

inline uint64_t commit(Pool& pool, const Changes& changes, CommitMode mode = CommitMode::kDurable) {
  Batch batch;
  for (const auto& [key, value] : changes)
    REQUIRE((value ? batch.put(key, *value) : batch.remove(key)).is_ok());
  auto receipt = pool.commit(batch, mode);
  REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message());
  return receipt->epoch;
}

// Reads what is there; the changes of each epoch.
inline Status read_all(FeedCursor& cursor, std::map<uint64_t, Changes>* out) {
  Status status;
  while (cursor.behind()) {
    auto given = cursor.next(kMiB, [&](const FeedCommit& commit) -> Status {
      CHECK(commit.time_ms > 1600000000000ull);
      CHECK(!out->contains(commit.epoch));
      if (!out->empty()) CHECK(commit.epoch > out->rbegin()->first);
      Changes& changes = (*out)[commit.epoch];
      for (const FeedChange& change : commit.changes) {
        std::optional<std::string> value;
        if (change.type == OperationType::kPut) value = std::string(change.value);
        if (change.type == OperationType::kPutLarge) {
          value.emplace();
          HOLDFAST_TRY(cursor.read_large(change, [&](const uint8_t* bytes, size_t size) {
            value->append(reinterpret_cast<const char*>(bytes), size);
            return Status();
          }));
          CHECK(value->size() == change.value_bytes);
        }
        changes.emplace_back(std::string(change.key), std::move(value));
      }
      return {};
    });
    if (!given.is_ok()) return std::move(given.status());
  }
  return status;
}

inline std::unique_ptr<FeedCursor> feed_from(Pool& pool, uint64_t after, uint64_t lag = 64 * kMiB) {
  FeedOptions options;
  options.after = after;
  options.lag_bytes = lag;
  auto cursor = pool.feed(options);
  REQUIRE_MESSAGE(cursor.is_ok(), cursor.status().message());
  return std::move(*cursor);
}

}  // namespace holdfast::test
