// What the tests of backups share: taking one as its blocks, and restoring from parts.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "engine/copies/backup.h"
#include "engine/copies/restore.h"
#include "native/pool_fixture.h"

namespace holdfast::test {

inline PoolOptions small_options(std::optional<RetainWish> retain = std::nullopt) {
  PoolOptions options;
  options.medium.choice = MediumChoice::kFile;
  options.log_segment_bytes = 256 * kKiB;
  options.fold_operations = 256;
  options.retain = retain;
  return options;
}

inline const RetainWish kAll{0, uint64_t{1} << 40};

// The whole backup as its blocks.
inline std::vector<std::string> take(const std::shared_ptr<Pool>& pool,
                                     const BackupOptions& options = {},
                                     BackupStatus* status = nullptr,
                                     const std::function<void()>& between = nullptr) {
  auto backup = Backup::begin(pool, options);
  REQUIRE_MESSAGE(backup.is_ok(), backup.status().message());
  std::vector<std::string> blocks;
  while (true) {
    std::string block;
    auto more = (*backup)->next(&block);
    REQUIRE_MESSAGE(more.is_ok(), more.status().message());
    if (!*more) break;
    blocks.push_back(std::move(block));
    if (between) between();
  }
  if (status) *status = (*backup)->status();
  return blocks;
}

inline std::string joined(const std::vector<std::string>& blocks) {
  std::string all;
  for (const std::string& block : blocks) all += block;
  return all;
}

inline BackupOptions since(uint64_t epoch) {
  BackupOptions options;
  options.since = epoch;
  return options;
}

inline BackupProgress scanned(const std::string& partial) {
  BackupScan scan("partial");
  REQUIRE(scan.write(partial).is_ok());
  REQUIRE(scan.progress().begun);
  return scan.progress();
}

// What is good of it, and what is missing now.
inline std::string gone_on_with(const std::string& partial, const std::shared_ptr<Pool>& pool,
                                BackupOptions options = {}, BackupStatus* status = nullptr) {
  options.resume = scanned(partial);
  return partial.substr(0, options.resume->good_bytes) + joined(take(pool, options, status));
}

// Restores to `path`, in pieces of odd sizes.
inline Result<RestoreReport> restore(const std::string& path, const std::vector<std::string>& parts,
                                     const RestoreTarget& target = {}) {
  auto begun = Restore::begin(path, small_options(), target);
  if (!begun.is_ok()) return std::move(begun.status());
  for (const std::string& part : parts) {
    (*begun)->part("part");
    Bytes rest(part);
    for (size_t size = 1; !rest.empty(); size = size * 3 + 7) {
      const Bytes piece = rest.substr(0, size % 1000003);
      HOLDFAST_TRY((*begun)->write(piece));
      rest.remove_prefix(piece.size());
    }
    HOLDFAST_TRY((*begun)->part_end());
  }
  return (*begun)->finish();
}

inline Code code_of(const Result<RestoreReport>& result) { return result.status().code(); }

}  // namespace holdfast::test
