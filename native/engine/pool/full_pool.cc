// What a commit does that finds too little room: it waits until the maintenance thread has looked
// for some, and is refused only when there is none to find.
//
// Not under the append lock. A crash leaves nothing of it.

#include <thread>

#include "engine/pool/pool_impl.h"

namespace holdfast {

// Tries again each time the maintenance thread has found space; gives up when it says there is none
// to find, or when what it found was not enough again and again although nobody else took it.
Result<Receipt> PoolImpl::with_space(const Batch::Impl& batch, bool queued,
                                     const std::function<Result<Receipt>()>& attempt) {
  constexpr int kRounds = 8;
  Visit visit(visits_);
  HOLDFAST_TRY(visit.begin(queued));
  uint64_t others = log_.commits.load(std::memory_order_relaxed);
  for (int round = 0;; round++) {
    auto receipt = attempt();
    if (const uint64_t now = log_.commits.load(std::memory_order_relaxed); now != others) {
      others = now;
      round = 0;
    }
    if (!receipt.status().is_full() || round == kRounds) return receipt;
    if (room_.spare_on_its_way()) {  // it may have been what was lacking
      while (room_.spare_on_its_way()) std::this_thread::yield();
      continue;
    }
    const bool deletes = batch.large.empty() && only_deletes(batch.record);
    if (maintenance_
            .wait_for_space(space_for(batch.record) + batch.large_bytes,
                            deletes ? Purpose::kDelete : Purpose::kUser)
            .is_ok())
      continue;
    auto last = attempt();  // what was found may do, though it is less than was hoped for
    return last.status().is_full() ? std::move(receipt) : std::move(last);
  }
}

uint64_t PoolImpl::space_for(const RecordBuffer& record) {
  std::lock_guard append(log_.lock);
  return room_.space_for(record);
}

}  // namespace holdfast
