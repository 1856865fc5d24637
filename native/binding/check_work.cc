// pool.check(): the work on a libuv thread, its progress and its cancelling from JavaScript, and the report as an object.
#include "binding/convert.h"
#include "binding/handles.h"
#include "binding/task.h"

namespace holdfast::binding {

namespace {

// What check() on a libuv thread and JavaScript share. Any thread.
struct CheckWork {
  std::atomic<bool> cancelled{false};
  CheckReport report;
  std::shared_ptr<Mailbox> mailbox;
  std::shared_ptr<Napi::FunctionReference> on_progress;  // touched on the JavaScript thread only

  void progress(double fraction) {
    if (on_progress == nullptr) return;
    mailbox->post([on_progress = on_progress, fraction](napi_env env) {
      const napi_value argument = number(env, fraction);
      Environment::call(env, on_progress->Value(), 1, &argument);
    });
  }
};

napi_value check_report(napi_env env, const CheckReport& report) {
  Napi::Object object = Napi::Object::New(env);
  Napi::Array damages = Napi::Array::New(env, report.damages.size());
  for (uint32_t i = 0; i < report.damages.size(); ++i) damages.Set(i, report.damages[i]);
  object.Set("ok", report.damages.empty());
  object.Set("entries", number(env, static_cast<double>(report.entries)));
  object.Set("bytesRead", number(env, static_cast<double>(report.bytes_read)));
  object.Set("damages", damages);
  return object;
}

}  // namespace

napi_value start_check(napi_env env, const std::shared_ptr<Connection>& connection, napi_value on_progress) {
  auto work = std::make_shared<CheckWork>();
  work->mailbox = Environment::of(env)->mailbox();
  if (Napi::Value(env, on_progress).IsFunction()) {
    work->on_progress = std::make_shared<Napi::FunctionReference>(Napi::Persistent(Napi::Function(env, on_progress)));
  }
  napi_value promise = start_work(
      env, connection, "holdfast check",
      [connection, work] {
        Result<CheckReport> report =
            connection->pool().check(&work->cancelled, [work](double fraction) { work->progress(fraction); });
        if (report.is_ok()) work->report = std::move(*report);
        return std::move(report.status());
      },
      [work](napi_env env) { return check_report(env, work->report); });
  if (promise == nullptr) return nullptr;
  Napi::Object result = Napi::Object::New(env);
  result.Set("promise", promise);
  result.Set("cancel", Napi::Function::New(env, [work](const Napi::CallbackInfo&) { work->cancelled = true; }));
  return result;
}

}  // namespace holdfast::binding
