// Work on a libuv thread with a promise at its end: open, close, settle, fold, compact, check.
//
// start() on the JavaScript thread; `work` on a libuv thread; `finish` on the JavaScript thread
// again, where it makes the value the promise resolves to. Environments wait for such work before
// they end; its promise is then simply not settled.
#pragma once

#include <functional>

#include "base/status.h"
#include "binding/node_api.h"

namespace holdfast::binding {

class Task {
 public:
  using Work = std::function<Status()>;
  using Finish = std::function<napi_value(napi_env)>;  // null result: undefined

  // Returns the promise; null when nothing was started, and then neither function will run.
  static napi_value start(napi_env env, const char* name, Work work, Finish finish = nullptr);

 private:
  Task(Work work, Finish finish) : work_(std::move(work)), finish_(std::move(finish)) {}
  static void execute(napi_env env, void* data);
  static void complete(napi_env env, napi_status status, void* data);

  Work work_;
  Finish finish_;
  Status status_;
  napi_async_work async_work_ = nullptr;
  napi_deferred deferred_ = nullptr;
};

}  // namespace holdfast::binding
