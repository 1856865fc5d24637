// pool.check(): the work on a libuv thread, its progress and its cancelling from JavaScript, and
// the report as an object.
#include "binding/convert.h"
#include "binding/handles.h"
#include "binding/task.h"
#include "binding/watched_work.h"

namespace holdfast::binding {

namespace {

napi_value check_report(napi_env env, const CheckReport& report) {
  Napi::Object object = Napi::Object::New(env);
  Napi::Array damages = Napi::Array::New(env, report.damages.size());
  for (uint32_t i = 0; i < report.damages.size(); ++i) damages.Set(i, report.damages[i]);
  object.Set("ok", report.damages.empty());
  object.Set("entries", number(env, report.entries));
  object.Set("bytesRead", number(env, report.bytes_read));
  object.Set("damages", damages);
  return object;
}

}  // namespace

napi_value start_check(napi_env env, const std::shared_ptr<Connection>& connection,
                       napi_value on_progress) {
  const auto work = std::make_shared<WatchedWork>(env, on_progress);
  const auto report = std::make_shared<CheckReport>();
  napi_value promise = start_work(
      env, connection, "holdfast check",
      [connection, work, report] {
        Result<CheckReport> checked = connection->pool().check(
            work->cancelled(), [work](double fraction) { work->progress(fraction); });
        if (checked.is_ok()) *report = std::move(*checked);
        return std::move(checked.status());
      },
      [work, report](napi_env env) {
        work->deliver(env);
        return check_report(env, *report);
      });
  return WatchedWork::started(env, work, promise);
}

}  // namespace holdfast::binding
