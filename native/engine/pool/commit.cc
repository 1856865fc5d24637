// One record, one barrier.
//
// Conditions are decided, and the record appended, under the append lock; the barrier is waited for
// behind it. What a crash leaves: appender.h.

#include <algorithm>

#include "base/test_hooks.h"
#include "base/test_points.h"
#include "engine/pool/pool_impl.h"
#include "format/layout.h"

namespace holdfast {

namespace {

// For a message: text in quotes, other bytes as 0x….
std::string shown_key(Bytes key) {
  const auto is_text = [](char byte) { return static_cast<unsigned char>(byte) >= 0x20; };
  if (std::all_of(key.begin(), key.end(), is_text)) return "'" + std::string(key) + "'";
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hexadecimal = "0x";
  for (const char byte : key) {
    hexadecimal += kDigits[static_cast<unsigned char>(byte) >> 4];
    hexadecimal += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  return hexadecimal;
}

}  // namespace

Status PoolImpl::check_conditions(const Batch::Impl& batch) {
  if (batch.conditions.empty()) return {};
  std::shared_lock guard(index_.lock);
  for (const Condition& condition : batch.conditions) {
    std::optional<Place> found = index_.view.find_in_overlays(condition.key, Overlay::kLatest);
    if (!found) {
      auto in_runs = asked_runs_.find(condition.key, index_.view);
      if (!in_runs.is_ok()) return std::move(in_runs.status());
      found = *in_runs;
    }
    const bool present = found.has_value() && !found->is_deleted();
    bool holds = present == (condition.kind != ConditionKind::kAbsent);
    if (holds && condition.kind == ConditionKind::kEqual) {
      OperationView operation;
      HOLDFAST_TRY(operations_.read_at(*found, condition.key, &operation));
      if (operation.type == OperationType::kPutLarge) {
        auto same = large_equals(operation.value, condition.value.bytes());
        if (!same.is_ok()) return std::move(same.status());
        holds = *same;
      } else {
        holds = operation.value == condition.value.bytes();
      }
    }
    if (holds) continue;
    const char* wanted = condition.kind == ConditionKind::kAbsent ? "to be absent, but it is there"
                         : condition.kind == ConditionKind::kPresent
                             ? "to be there, but it is absent"
                             : "to have a certain value, but it has not";
    const Bytes user_key = Bytes(condition.key).substr(kKeyspacePrefixBytes);
    return Status(Code::kConflict, "a condition of the commit does not hold: it requires the key " +
                                       shown_key(user_key.substr(0, 100)) + " " + wanted +
                                       "; nothing was changed");
  }
  return {};
}

// `queued`: handed over before the pool began to close, which waits for it.
Result<Receipt> PoolImpl::commit_once(const Batch::Impl& batch, RecordBuffer* record,
                                      CommitMode mode, bool queued) {
  std::unique_lock guard = log_.lock_to_commit();
  if (health_.refuses_new(queued)) return health_.closed_status();
  HOLDFAST_TRY(health_.usable());
  HOLDFAST_TRY(check_conditions(batch));
  if (batch.has_regions()) HOLDFAST_TRY(region_commits_.prepare(batch, record));
  if (record->count() == 0) {
    // Whoever is told that its conditions hold may act on what they saw: that is durable then, as
    // behind any durable commit.
    const uint64_t seen = log_.epoch;
    guard.unlock();
    if (mode == CommitMode::kDurable) HOLDFAST_TRY(barriers_.wait_durable(seen));
    return Receipt{seen};
  }
  const Purpose purpose = only_deletes(*record) ? Purpose::kDelete : Purpose::kUser;
  const bool early = planted(PlantedBug::kAcknowledgedBeforeBarrier);
  if (fence_at_once_ && !early) {
    HOLDFAST_TRY(appender_.append_durable(record, FrameKind::kCommit, purpose));
  } else {
    HOLDFAST_TRY(appender_.append_record(record, FrameKind::kCommit, purpose));
    barriers_.note_appended(log_.epoch);
  }
  const uint64_t epoch = log_.epoch;
  log_.count_commit(record->bytes(), mode == CommitMode::kDurable);
  const bool due = maintenance_.work_is_due();
  if (early) {
    commit_queue_.arm_eventual();
    return Receipt{epoch};
  }
  guard.unlock();
  if (due) maintenance_.wake();
  if (fence_at_once_) return Receipt{epoch};
  HOLDFAST_POINT("commit.before_barrier");
  if (mode == CommitMode::kDurable) {
    HOLDFAST_TRY(barriers_.wait_durable(epoch));
  } else {
    commit_queue_.arm_eventual();
  }
  return Receipt{epoch};
}

Result<Receipt> PoolImpl::commit(Batch& batch, CommitMode mode) {
  maintenance_.throttle(batch.impl().record);
  return commit_at_once(batch.impl(), mode);
}

// What is short and plain asks under the lock, once; the rest looks at the medium before.
Result<Receipt> PoolImpl::commit_at_once(Batch::Impl& impl, CommitMode mode, bool queued) {
  if (impl.region_sizes == 0 && impl.large.empty() && impl.record.bytes() < kMiB)
    return commit_with_space(impl, mode, queued);
  Visit visit(visits_);
  HOLDFAST_TRY(visit.begin(queued));
  HOLDFAST_TRY(health_.usable());
  HOLDFAST_TRY(room_.fits_at_all(impl.record.bytes() + impl.large_bytes));
  if (impl.large.empty()) return commit_with_space(impl, mode, queued);
  impl.record.seal();
  return commit_large(impl, mode, queued);
}

// One result from its making to the caller: whoever moved it would read in one piece what was just
// stored in several, and wait for that until the commit's bytes have drained.
Result<Receipt> PoolImpl::commit_with_space(Batch::Impl& impl, CommitMode mode, bool queued) {
  Result<Receipt> receipt = commit_once(impl, &impl.record, mode, queued);
  if (receipt.status().is_full())
    receipt =
        with_space(impl, queued, [&] { return commit_once(impl, &impl.record, mode, queued); });
  return receipt;
}

}  // namespace holdfast
