// Whether a pool may still be used, and if not, why: it is closed, or it has failed.
//
// After an append, a barrier or a root that went wrong nothing may be assumed of the medium: the
// pool refuses work until it is opened again, and names the first failure. It goes on its way from
// open by closing, when new work is refused and what was handed over before is done, to closed.
//
// Any thread; its lock is a leaf. A crash leaves nothing of it.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <utility>

#include "medium/medium.h"

namespace holdfast {

class Health {
 public:
  // `on_failure`: tells those who wait for the pool to come on; with no lock held but the caller's.
  Health(const Medium& medium, const std::string& name, std::function<void()> on_failure)
      : medium_(medium), name_(name), on_failure_(std::move(on_failure)) {}

  Status usable() const { return refuses() ? refusal() : Status(); }  // kClosed, kFailed, or ok
  bool refuses() const { return closed() || has_failed() || medium_.failed(); }
  Status closed_status() const { return Status(Code::kClosed, "the pool " + name_ + " is closed"); }

  // What was just read may have been zeros put in place of a page that failed: asked after bytes
  // were read, kFailed then, whatever came of it.
  Status sound() const { return medium_.failed() ? usable() : Status(); }
  // The same instead of `status`, or `status`.
  Status blame(Status status) const { return medium_.failed() ? usable() : std::move(status); }

  // An append, barrier or root went wrong. Returns `status`.
  Status fail(Status status);
  bool has_failed() const { return failed_.load(std::memory_order_acquire); }
  std::string first_failure() const;

  // Under the append lock, so that whoever holds it finishes and whoever comes after is refused.
  void begin_closing() { closing_.store(true, std::memory_order_release); }
  bool closing() const { return closing_.load(std::memory_order_acquire); }
  // Under the exclusive index lock: nobody reads any more.
  void close() { closed_.store(true, std::memory_order_release); }
  bool closed() const { return closed_.load(std::memory_order_acquire); }
  // `queued`: of work that was handed over before the pool began to close.
  bool refuses_new(bool queued) const { return closing() && (!queued || closed()); }

 private:
  Status refusal() const;

  const Medium& medium_;
  const std::string& name_;
  const std::function<void()> on_failure_;
  std::atomic<bool> failed_{false}, closing_{false}, closed_{false};
  mutable std::mutex mutex_;
  Status failure_;  // guarded by mutex_
};

}  // namespace holdfast
