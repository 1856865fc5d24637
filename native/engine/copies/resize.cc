#include "engine/copies/resize.h"

#include "base/memory.h"
#include "base/test_points.h"
#include "engine/pool/pool_impl.h"
#include "medium/pool_file.h"
#include "medium/pool_parts.h"

namespace holdfast {

namespace {

constexpr uint64_t kCopyBatchBytes = kMiB;

Status copy_all(Pool& from, Pool& to, CopyReport* report, const std::atomic<bool>* cancelled,
                const std::function<void(double)>& progress) {
  const double all = static_cast<double>(std::max<uint64_t>(1, from.stats().live_bytes));
  RangeOptions everything;
  everything.high = std::string(kKeyspacePrefixBytes + 1, '\xff');
  auto range = from.range(everything, nullptr);
  if (!range.is_ok()) return std::move(range.status());
  Batch batch;
  while (true) {
    if (cancelled && cancelled->load())
      return Status(Code::kAborted, "the resize was aborted: the pool is as it was");
    Status put;
    std::string value;
    auto given = (*range)->next(1024, [&](Bytes key, const FoundValue& found, Reader& reader) {
      if (has_memory_for(2 * found.size)) {
        value.resize(found.size);
        put = reader.copy(found, reinterpret_cast<uint8_t*>(value.data()));
      } else {
        put = Status(Code::kNoMemory,
                     "no memory for a value of " + std::to_string(found.size) + " bytes");
      }
      if (put.is_ok()) put = batch.put(key, value);
      report->entries++;
      report->bytes += found.size;
      return put.is_ok() && batch.bytes() < kCopyBatchBytes;
    });
    if (!given.is_ok()) return std::move(given.status());
    HOLDFAST_TRY(std::move(put));
    if (batch.operations() > 0) {
      auto receipt = to.commit(batch, CommitMode::kEventual);
      if (!receipt.is_ok()) return std::move(receipt.status());
      batch.clear();
    }
    if (*given == 0) return to.settle();
    if (progress) progress(std::min(1.0, static_cast<double>(report->bytes) / all));
  }
}

Status commit_and_clear(Pool& to, Batch* batch) {
  auto receipt = to.commit(*batch, CommitMode::kEventual);
  batch->clear();
  return std::move(receipt.status());
}

// Their names are in the catalogue, which is a keyspace and has been copied. What is zero was never
// written, or reads as if it was not.
Status copy_regions(Pool& from, Pool& to, CopyReport* report, const std::atomic<bool>* cancelled) {
  auto regions = from.regions(nullptr);
  if (!regions.is_ok()) return std::move(regions.status());
  std::string piece;
  for (const RegionInfo& region : *regions) {
    Batch batch;
    HOLDFAST_TRY(batch.region_size(region.region, region.size, region.name));
    HOLDFAST_TRY(commit_and_clear(to, &batch));
    for (uint64_t at = 0;; at += piece.size()) {
      if (cancelled && cancelled->load())
        return Status(Code::kAborted, "the resize was aborted: the pool is as it was");
      auto data = from.region_data_from(region.region, at, nullptr);
      if (!data.is_ok()) return std::move(data.status());
      at = *data;
      if (at >= region.size) break;
      piece.resize(std::min(kCopyBatchBytes, region.size - at));
      HOLDFAST_TRY(from.region_read(region.region, at, piece.size(),
                                    reinterpret_cast<uint8_t*>(piece.data()), nullptr));
      if (piece.find_first_not_of('\0') == std::string::npos) continue;
      HOLDFAST_TRY(batch.region_write(region.region, at, piece));
      HOLDFAST_TRY(commit_and_clear(to, &batch));
      report->bytes += piece.size();
    }
  }
  return to.settle();
}

}  // namespace

Result<CopyReport> resize_by_copy(const std::string& given_path, uint64_t bytes,
                                  const std::atomic<bool>* cancelled,
                                  const std::function<void(double)>& progress,
                                  const WantedDirectories& directories) {
  const std::string path = resolved_path(given_path);
  PoolOptions options;
  options.medium.create = CreateMode::kNever;
  auto from = Pool::open(path, options);
  if (!from.is_ok()) return std::move(from.status());
  const PoolStats stats = (*from)->stats();
  FileFacts facts;
  if (const int error = path_facts(path, &facts))
    return file_error(error, "cannot look at the pool " + path);
  if (!facts.regular)
    return Status(Code::kMediumUnavailable,
                  "a pool on the device " + path + " takes all of it: its size cannot be changed");
  sweep_stale_temporaries(path);
  const std::string temporary = temporary_name(path);
  PoolOptions wanted;
  wanted.medium.choice = stats.medium == "pmem" ? MediumChoice::kPmem : MediumChoice::kFile;
  wanted.medium.create = CreateMode::kExclusive;
  wanted.medium.size = bytes;
  if (directories) wanted.medium.directories = *directories;
  for (size_t i = 0; !directories && i < stats.parts.size(); i++)
    wanted.medium.directories.push_back(folder_of(stats.parts[i].path));
  wanted.medium.grow =
      (stats.medium == "pmem" && (bytes == 0 || stats.grows)) || !wanted.medium.directories.empty();
  wanted.first_epoch = stats.epoch;
  wanted.retain = RetainWish{stats.retain_ms, stats.retain_bytes};
  auto to = Pool::open(temporary, wanted);
  if (!to.is_ok()) {
    // It may have its name and its length already, unless somebody else makes it there.
    const Code code = to.status().code();
    if (code != Code::kExists && code != Code::kLocked && path_exists_unfollowed(temporary) == 0)
      remove_pool(temporary, true);
    return std::move(to.status());
  }
  CopyReport report;
  HOLDFAST_POINT("resize.before_copy");
  Status status = may_replace(temporary, path, facts);
  if (status.is_ok()) status = copy_all(**from, **to, &report, cancelled, progress);
  if (status.is_ok()) status = copy_regions(**from, **to, &report, cancelled);
  HOLDFAST_POINT("resize.after_copy");
  const Status closed = (*to)->close();
  if (status.is_ok() && !closed.is_ok()) status = closed.clone();
  if (status.is_ok()) status = replace_pool_file(temporary, path, facts);
  if (!status.is_ok()) {
    if (path_exists_unfollowed(temporary) == 0) remove_pool(temporary, true);
    return status;
  }
  HOLDFAST_POINT("resize.after_rename");
  // The old pool has no name any more; its end is of no interest, and its file goes with it.
  (void)(*from)->close().is_ok();
  return report;
}

}  // namespace holdfast
