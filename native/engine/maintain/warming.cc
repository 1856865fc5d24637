#include "engine/maintain/warming.h"

#include <algorithm>

namespace holdfast {

namespace {
constexpr uint64_t kFewReads = 16;
constexpr uint64_t kForEach = 128 * kKiB;  // what the kernel reads around a fault on most machines
constexpr uint64_t kAtOnce = 64 * kMiB;
constexpr uint64_t kPiece = kMiB;
constexpr uint64_t kMemoryShare = 4;  // one in so many bytes of what there is
}  // namespace

void Warming::go_on() {
  if (planned_ && left_.empty()) return;
  const uint64_t waited = medium_.reads_that_waited();
  if (waited - waited_ >= kFewReads) {
    due_ += (waited - waited_) * kForEach;
    waited_ = waited;
  }
  if (due_ == 0) return;
  if (!fits()) {
    due_ = 0;
    return;
  }
  if (!planned_) plan();
  uint64_t now = std::min(due_, kAtOnce);
  due_ -= now;
  while (now > 0 && !left_.empty()) {
    Segment& next = left_.back();
    const uint64_t piece = std::min({now, next.bytes, kPiece});
    medium_.expect_reads(next.offset, piece);
    next = {next.offset + piece, next.bytes - piece};
    if (next.bytes == 0) left_.pop_back();
    now -= piece;
  }
}

bool Warming::fits() const {
  uint64_t bytes = 0;
  {
    std::lock_guard append(log_.lock);
    bytes = log_.segments.bytes();
  }
  for (const RunPtr& run : index_.view.runs) bytes += run->bytes();
  return bytes < medium_.memory_for_reads() / kMemoryShare;
}

// Runs change under the maintenance lock only. A segment that is given back meanwhile is read for
// nothing.
void Warming::plan() {
  planned_ = true;
  {
    std::lock_guard append(log_.lock);
    for (const auto& [offset, s] : log_.segments.all()) left_.push_back(s.segment);
  }
  std::reverse(left_.begin(), left_.end());
  for (auto run = index_.view.runs.rbegin(); run != index_.view.runs.rend(); ++run) {
    const auto& tables = (*run)->tables();
    for (auto table = tables.rbegin(); table != tables.rend(); ++table)
      left_.push_back({table->segment.offset, uint64_t{table->nodes} * kNodeBytes});
  }
}

}  // namespace holdfast
