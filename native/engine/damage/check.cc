// The part of check() that reads the runs, and every entry with its value: see checker.h.

#include "base/test_hooks.h"
#include "engine/damage/checker.h"
#include "engine/read/large_chunks.h"

namespace holdfast {

namespace {
constexpr int kEntriesInOneHold = 1024;
constexpr uint64_t kBytesAtOnce = kMiB;
}  // namespace

// A bounded step, so that the index lock is not held for long, nor while `progress` is told. It
// ends at a large value, whose bytes are read without the lock.
Status Checker::check_entries(EntriesChecked* done) {
  auto reader = pool_.read(pinned_);
  if (!reader.is_ok()) return std::move(reader.status());
  auto cursor = view_.cursor(epoch_, true);
  cursor->seek(done->last.value_or(""));
  if (cursor->valid() && done->last && cursor->key() == *done->last) cursor->next();
  done->large.clear();
  const uint64_t enough = report_.bytes_read + kBytesAtOnce;
  for (int i = 0; i < kEntriesInOneHold && report_.bytes_read < enough && done->large.empty() &&
                  cursor->valid();
       i++, cursor->next()) {
    done->last = std::string(cursor->key());
    if (cursor->place().is_deleted()) continue;
    FoundValue value;
    ahead_.comes_to(*cursor);
    Status sound = reader->value_at(cursor->place(), *done->last, &value);
    if (sound.is_ok() && value.large) done->large = std::string(value.description);
    if (!sound.is_ok()) report_.damages.push_back(sound.message());
    report_.entries++;
    report_.bytes_read += cursor->place().bytes();
  }
  done->more = cursor->valid();
  const Status walked = cursor->take_status();
  if (walked.is_ok()) return {};
  report_.damages.push_back(walked.message());
  done->more = false;
  return {};
}

void Checker::check_large(const std::string& description) {
  LargeChunks chunks(parts_.medium, parts_.health, description);
  while (!aborted()) {
    const Result<bool> more =
        chunks.next([&](const uint8_t*, size_t size) { report_.bytes_read += size; });
    if (!more.is_ok()) report_.damages.push_back(more.status().message());
    if (!more.is_ok() || !more.value()) return;
  }
}

Status Checker::ended() const {
  return parts_.health.closing() ? parts_.health.closed_status()
                                 : Status(Code::kAborted, "the check was aborted");
}

Status Checker::check_runs() {
  for (const RunPtr& run : view_.runs) {
    HOLDFAST_TRY(run->check([&](const std::string& damage) {
      report_.damages.push_back(damage);
      return !aborted();
    }));
    report_.bytes_read += run->bytes();
    if (aborted()) return ended();
  }
  return {};
}

Status Checker::check_all_entries(const std::function<void(double)>& progress) {
  uint64_t total = 1;
  for (const RunPtr& run : view_.runs) total += run->entries();
  EntriesChecked done;
  while (done.more) {
    if (aborted()) return ended();
    HOLDFAST_TRY(check_entries(&done));
    reach(TestPoint::kWalkLetGo);
    if (!done.large.empty()) check_large(done.large);
    if (progress)
      progress(std::min(1.0, static_cast<double>(report_.entries) / static_cast<double>(total)));
  }
  return {};
}

Result<CheckReport> Checker::run(const std::function<void(double)>& progress) {
  HOLDFAST_TRY(check_runs());
  HOLDFAST_TRY(check_all_entries(progress));
  check_regions();
  check_log();
  if (aborted()) return ended();
  // Zeros in place of a page that failed are not damage of the pool.
  HOLDFAST_TRY(parts_.health.sound());
  if (progress) progress(1.0);
  return std::move(report_);
}

}  // namespace holdfast
