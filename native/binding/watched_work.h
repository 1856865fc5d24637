// Work on a libuv thread that says how far it is and can be cancelled from JavaScript: check() and
// salvage().
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "binding/convert.h"
#include "binding/environment.h"

namespace holdfast::binding {

class WatchedWork : public std::enable_shared_from_this<WatchedWork> {
 public:
  // On the JavaScript thread. `on_progress`: a function that gets a fraction; anything else: nobody
  // is told.
  WatchedWork(napi_env env, napi_value on_progress) : mailbox_(Environment::of(env)->mailbox()) {
    if (!Napi::Value(env, on_progress).IsFunction()) return;
    on_progress_ = std::make_unique<Napi::FunctionReference>(
        Napi::Persistent(Napi::Function(env, on_progress)));
  }

  // Any thread.
  const std::atomic<bool>* cancelled() const { return &cancelled_; }
  // Where there is nobody left to tell it is cancelled: a worker that is terminated waits for what
  // it began. That shows only when mail is brought.
  void progress(double fraction) {
    if (mailbox_->ended()) cancelled_ = true;
    if (on_progress_ == nullptr) return mailbox_->wake();
    {
      std::lock_guard guard(mutex_);
      said_.push_back(fraction);
    }
    mailbox_->post([self = shared_from_this()](napi_env env) { self->deliver(env); });
  }

  // On the JavaScript thread: what was said and not heard yet. The promise may be settled sooner
  // than the mail comes, and this comes before it.
  void deliver(napi_env env) {
    std::vector<double> said;
    {
      std::lock_guard guard(mutex_);
      said.swap(said_);
    }
    for (const double fraction : said) {
      const napi_value argument = number(env, fraction);
      Environment::call(env, on_progress_->Value(), 1, &argument);
    }
  }

  // On the JavaScript thread: { promise, cancel() }. No promise, because the work was not begun:
  // nothing.
  static napi_value started(napi_env env, const std::shared_ptr<WatchedWork>& work,
                            napi_value promise) {
    if (promise == nullptr) return nullptr;
    Napi::Object result = Napi::Object::New(env);
    result.Set("promise", promise);
    result.Set("cancel", Napi::Function::New(
                             env, [work](const Napi::CallbackInfo&) { work->cancelled_ = true; }));
    return result;
  }

 private:
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  std::vector<double> said_;  // guarded by mutex_
  std::shared_ptr<Mailbox> mailbox_;
  std::unique_ptr<Napi::FunctionReference> on_progress_;  // touched on the JavaScript thread only
};

}  // namespace holdfast::binding
