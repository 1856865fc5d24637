#include "engine/state/health.h"

namespace holdfast {

Status Health::refusal() const {
  if (closed()) return closed_status();
  if (has_failed() || medium_.failed()) {
    HOLDFAST_TRY(medium_.refused());
    std::lock_guard guard(mutex_);
    return Status(
        Code::kFailed,
        "the pool " + name_ + " has failed and refuses all work; first error: " +
            (failure_.is_ok() ? std::string("its mapping is damaged") : failure_.message()));
  }
  return {};
}

Status Health::fail(Status status) {
  {
    std::lock_guard guard(mutex_);
    if (failure_.is_ok()) failure_ = status.clone();
  }
  failed_.store(true, std::memory_order_release);
  on_failure_();
  return status;
}

std::string Health::first_failure() const {
  std::lock_guard guard(mutex_);
  return failure_.message();
}

}  // namespace holdfast
