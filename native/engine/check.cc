// Reads everything a snapshot can reach and says what is damaged. Commits go on meanwhile; close()
// ends it between two of its parts and waits for that.

#include "base/test_hooks.h"
#include "engine/large_chunks.h"
#include "engine/pool_impl.h"

namespace holdfast {

namespace {
constexpr int kEntriesAtOnce = 1024;
constexpr uint64_t kBytesAtOnce = kMiB;
}  // namespace

// A bounded step, so that the index lock is not held for long, nor while `progress` is told. It
// ends at a large value, whose bytes are read without the lock.
Status PoolImpl::check_entries(const SnapshotPtr& pinned, EntriesChecked* done,
                               CheckReport* report) {
  auto reader = read(pinned);
  if (!reader.is_ok()) return std::move(reader.status());
  auto cursor = pinned->view.cursor(pinned->pin.epoch, true);
  cursor->seek(done->last.value_or(""));
  if (cursor->valid() && done->last && cursor->key() == *done->last) cursor->next();
  done->large.clear();
  const uint64_t enough = report->bytes_read + kBytesAtOnce;
  for (int i = 0;
       i < kEntriesAtOnce && report->bytes_read < enough && done->large.empty() && cursor->valid();
       i++, cursor->next()) {
    done->last = std::string(cursor->key());
    if (cursor->place().is_deleted()) continue;
    FoundValue value;
    Status sound = reader->value_at(cursor->place(), *done->last, &value);
    if (sound.is_ok() && value.large) done->large = std::string(value.description);
    if (!sound.is_ok()) report->damages.push_back(sound.message());
    report->entries++;
    report->bytes_read += cursor->place().bytes();
  }
  done->more = cursor->valid();
  const Status walked = cursor->take_status();
  if (walked.is_ok()) return {};
  report->damages.push_back(walked.message());
  done->more = false;
  return {};
}

void PoolImpl::check_large(const std::string& description, CheckReport* report,
                           const std::function<bool()>& aborted) {
  LargeChunks chunks(*this, description);
  while (!aborted()) {
    const Result<bool> more =
        chunks.next([&](const uint8_t*, size_t size) { report->bytes_read += size; });
    if (!more.is_ok()) report->damages.push_back(more.status().message());
    if (!more.is_ok() || !more.value()) return;
  }
}

Result<CheckReport> PoolImpl::check(const std::atomic<bool>* cancelled,
                                    const std::function<void(double)>& progress) {
  Visit visit(visits_);
  HOLDFAST_TRY(visit.begin());
  auto pinned = snapshot();
  if (!pinned.is_ok()) return std::move(pinned.status());
  const IndexView& view = (*pinned)->view;
  CheckReport report;
  const auto closing = [&] { return health_.closing(); };
  const auto aborted = [&] { return closing() || (cancelled && cancelled->load()); };
  const auto ended = [&] {
    return closing() ? health_.closed_status() : Status(Code::kAborted, "the check was aborted");
  };
  uint64_t total = 1;
  for (const RunPtr& run : view.runs) total += run->entries();

  for (const RunPtr& run : view.runs) {
    HOLDFAST_TRY(run->check([&](const std::string& damage) {
      report.damages.push_back(damage);
      return !aborted();
    }));
    report.bytes_read += run->bytes();
    if (aborted()) return ended();
  }

  EntriesChecked done;
  while (done.more) {
    if (aborted()) return ended();
    HOLDFAST_TRY(check_entries(*pinned, &done, &report));
    reach(TestPoint::kWalkLetGo);
    if (!done.large.empty()) check_large(done.large, &report, aborted);
    if (progress)
      progress(std::min(1.0, static_cast<double>(report.entries) / static_cast<double>(total)));
  }
  check_regions(*pinned, &report, aborted);
  check_log(&report, aborted);
  if (aborted()) return ended();
  HOLDFAST_TRY(health_.sound());  // zeros in place of a page that failed are not damage of the pool
  if (progress) progress(1.0);
  return report;
}

}  // namespace holdfast
