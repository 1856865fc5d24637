// Work on a libuv thread that says how far it is and can be cancelled from JavaScript: check() and salvage().
#pragma once

#include <atomic>
#include <memory>

#include "binding/convert.h"
#include "binding/environment.h"

namespace holdfast::binding {

class WatchedWork {
 public:
  // On the JavaScript thread. `on_progress`: a function that gets a fraction; anything else: nobody is told.
  WatchedWork(napi_env env, napi_value on_progress) : mailbox_(Environment::of(env)->mailbox()) {
    if (!Napi::Value(env, on_progress).IsFunction()) return;
    on_progress_ = std::make_shared<Napi::FunctionReference>(Napi::Persistent(Napi::Function(env, on_progress)));
  }

  // Any thread.
  const std::atomic<bool>* cancelled() const { return &cancelled_; }
  void progress(double fraction) {
    if (on_progress_ == nullptr) return;
    mailbox_->post([on_progress = on_progress_, fraction](napi_env env) {
      const napi_value argument = number(env, fraction);
      Environment::call(env, on_progress->Value(), 1, &argument);
    });
  }

  // On the JavaScript thread: { promise, cancel() }. No promise, because the work was not begun: nothing.
  static napi_value started(napi_env env, const std::shared_ptr<WatchedWork>& work, napi_value promise) {
    if (promise == nullptr) return nullptr;
    Napi::Object result = Napi::Object::New(env);
    result.Set("promise", promise);
    result.Set("cancel", Napi::Function::New(env, [work](const Napi::CallbackInfo&) { work->cancelled_ = true; }));
    return result;
  }

 private:
  std::atomic<bool> cancelled_{false};
  std::shared_ptr<Mailbox> mailbox_;
  std::shared_ptr<Napi::FunctionReference> on_progress_;  // touched on the JavaScript thread only
};

}  // namespace holdfast::binding
