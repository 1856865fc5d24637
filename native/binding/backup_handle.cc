#include "binding/backup_handle.h"

#include "binding/convert.h"
#include "binding/errors.h"
#include "binding/handles.h"
#include "binding/task.h"

namespace holdfast::binding {

namespace {

void set(napi_env env, napi_value object, const char* name, double value) {
  napi_set_named_property(env, object, name, number(env, value));
}

Status ended() {
  return Status(Code::kClosed, "The backup has ended: it was closed, or its pool was");
}

}  // namespace

// ── backup

napi_value BackupHandle::begin(napi_env env, const std::shared_ptr<Connection>& connection,
                               napi_value since, napi_value scan) {
  BackupOptions options;
  const double epoch = double_of(env, since, -1);
  if (epoch >= 0) options.since = static_cast<uint64_t>(epoch);
  napi_valuetype type = napi_null;
  napi_typeof(env, scan, &type);
  ScanHandle* handle = type == napi_object ? unwrap_argument<ScanHandle>(env, scan) : nullptr;
  if (handle != nullptr) options.resume = handle->scan.progress();
  auto shared = std::make_shared<Shared>();
  return start_work(
      env, connection, "holdfast backup",
      [connection, shared, options] {
        auto begun = Backup::begin(connection->shared_pool(), options);
        if (begun.is_ok()) shared->backup = std::move(*begun);
        return std::move(begun.status());
      },
      [connection, shared](napi_env in) {
        return make_wrapped(in, Environment::of(in)->backup_class,
                            new BackupHandle(connection, shared));
      });
}

BackupHandle::BackupHandle(std::shared_ptr<Connection> connection, std::shared_ptr<Shared> shared)
    : connection_(std::move(connection)), shared_(std::move(shared)) {
  connection_->pin(this);
  if (connection_->closed()) drop();  // the pool was closed while it began
}

BackupHandle::~BackupHandle() {
  connection_->unpin(this);
  drop();
}

// Waits for the block that is being made.
void BackupHandle::drop() {
  std::lock_guard guard(shared_->mutex);
  shared_->backup = nullptr;
}

// next(): a promise of the next block; of undefined behind the last.
napi_value BackupHandle::next(napi_env env, BackupHandle& self, const napi_value*) {
  auto block = std::make_shared<std::unique_ptr<std::string>>(std::make_unique<std::string>());
  return start_work(
      env, self.connection_, "holdfast backup",
      [shared = self.shared_, block] {
        std::lock_guard guard(shared->mutex);
        if (!shared->backup) return ended();
        auto more = shared->backup->next(block->get());
        if (more.is_ok() && !*more) block->reset();
        return std::move(more.status());
      },
      [block](napi_env in) { return *block ? array_buffer(in, std::move(*block)) : nullptr; });
}

napi_value BackupHandle::status(napi_env env, BackupHandle& self, const napi_value*) {
  BackupStatus status;
  {
    std::lock_guard guard(self.shared_->mutex);
    if (!self.shared_->backup) return throw_status(env, ended());
    status = self.shared_->backup->status();
  }
  napi_value object = nullptr;
  napi_create_object(env, &object);
  set(env, object, "epoch", static_cast<double>(status.epoch));
  set(env, object, "entries", static_cast<double>(status.entries));
  set(env, object, "commits", static_cast<double>(status.commits));
  set(env, object, "bytes", static_cast<double>(status.bytes));
  set(env, object, "fraction", status.fraction);
  return object;
}

napi_value BackupHandle::close(napi_env, BackupHandle& self, const napi_value*) {
  self.connection_->unpin(&self);
  self.drop();
  return nullptr;
}

void BackupHandle::define(napi_env env, Environment& environment) {
  const napi_property_descriptor methods[] = {
      raw_method("next", method<BackupHandle, &BackupHandle::next>),
      raw_method("status", method<BackupHandle, &BackupHandle::status>),
      raw_method("close", method<BackupHandle, &BackupHandle::close>),
  };
  environment.backup_class = define_class(env, "NativeBackup", bare_constructor, methods);
}

// ── what is there already

namespace {

// write(bytes)
napi_value scan_write(napi_env env, ScanHandle& self, const napi_value* arguments) {
  uint8_t* data = nullptr;
  size_t size = 0;
  if (!uint8_array(env, arguments[0], &data, &size))
    return throw_status(env, Status(Code::kInvalidArgument, "A scan takes bytes"));
  const Status read = self.scan.write(bytes_of(data, size));
  return read.is_ok() ? nullptr : throw_status(env, read);
}

napi_value scan_progress(napi_env env, ScanHandle& self, const napi_value*) {
  const BackupProgress& progress = self.scan.progress();
  napi_value object = nullptr;
  napi_create_object(env, &object);
  napi_set_named_property(env, object, "begun", Napi::Boolean::New(env, progress.begun));
  napi_set_named_property(env, object, "ended", Napi::Boolean::New(env, progress.ended));
  set(env, object, "goodBytes", static_cast<double>(progress.good_bytes));
  set(env, object, "epoch", static_cast<double>(progress.totals.epoch));
  set(env, object, "time", static_cast<double>(progress.totals.time_ms));
  return object;
}

}  // namespace

void ScanHandle::define(napi_env env, Environment& environment) {
  const napi_property_descriptor methods[] = {
      raw_method("write", method<ScanHandle, scan_write>),
      raw_method("progress", method<ScanHandle, scan_progress>),
  };
  environment.scan_class = define_class(env, "NativeBackupScan", bare_constructor, methods);
}

Napi::Value scan_backup(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Napi::Value(env, make_wrapped(env, Environment::of(env)->scan_class,
                                       new ScanHandle(info[0].ToString().Utf8Value())));
}

// ── restore

namespace {

Status given_up() { return Status(Code::kClosed, "The restore has ended"); }

napi_value restore_task(napi_env env, const std::shared_ptr<Restore>& restore,
                        std::function<Status(Restore&)> work, Task::Finish finish = nullptr) {
  if (!restore) return throw_status(env, given_up());
  return Task::start(
      env, "holdfast restore", [restore, work = std::move(work)] { return work(*restore); },
      std::move(finish));
}

// part(name)
napi_value restore_part(napi_env env, RestoreHandle& self, const napi_value* arguments) {
  if (!self.restore) return throw_status(env, given_up());
  self.restore->part(Napi::String(env, arguments[0]).Utf8Value());
  return nullptr;
}

// write(bytes): a promise. The bytes must not change until it has settled.
napi_value restore_write(napi_env env, RestoreHandle& self, const napi_value* arguments) {
  uint8_t* data = nullptr;
  size_t size = 0;
  if (!uint8_array(env, arguments[0], &data, &size))
    return throw_status(env, Status(Code::kInvalidArgument, "A restore takes bytes"));
  auto kept =
      std::make_shared<Napi::ObjectReference>(Napi::Persistent(Napi::Object(env, arguments[0])));
  return restore_task(env, self.restore, [kept, data, size](Restore& restore) {
    return restore.write(bytes_of(data, size));
  });
}

napi_value restore_part_end(napi_env env, RestoreHandle& self, const napi_value*) {
  return restore_task(env, self.restore, [](Restore& restore) { return restore.part_end(); });
}

// finish(): a promise of the report
napi_value restore_finish(napi_env env, RestoreHandle& self, const napi_value*) {
  auto report = std::make_shared<RestoreReport>();
  return restore_task(
      env, self.restore,
      [report](Restore& restore) {
        auto finished = restore.finish();
        if (finished.is_ok()) *report = *finished;
        return std::move(finished.status());
      },
      [report](napi_env in) {
        napi_value object = nullptr;
        napi_create_object(in, &object);
        set(in, object, "epoch", static_cast<double>(report->epoch));
        set(in, object, "time", static_cast<double>(report->time_ms));
        set(in, object, "entries", static_cast<double>(report->entries));
        set(in, object, "commits", static_cast<double>(report->commits));
        set(in, object, "bytes", static_cast<double>(report->bytes));
        set(in, object, "parts", static_cast<double>(report->parts));
        return object;
      });
}

// abandon(): a promise; the pool is closed, what is there is to be removed.
napi_value restore_abandon(napi_env env, RestoreHandle& self, const napi_value*) {
  if (!self.restore) return nullptr;
  auto last = std::make_shared<std::shared_ptr<Restore>>(std::move(self.restore));
  self.restore = nullptr;
  return Task::start(env, "holdfast restore", [last] {
    last->reset();
    return Status();
  });
}

}  // namespace

void RestoreHandle::define(napi_env env, Environment& environment) {
  const napi_property_descriptor methods[] = {
      raw_method("part", method<RestoreHandle, restore_part>),
      raw_method("write", method<RestoreHandle, restore_write>),
      raw_method("partEnd", method<RestoreHandle, restore_part_end>),
      raw_method("finish", method<RestoreHandle, restore_finish>),
      raw_method("abandon", method<RestoreHandle, restore_abandon>),
  };
  environment.restore_class = define_class(env, "NativeRestore", bare_constructor, methods);
}

Napi::Value restore_pool(const Napi::CallbackInfo& info) {
  const OpenRequest request = open_request(info);
  RestoreTarget target;
  const double epoch = info[2].ToNumber().DoubleValue(), time = info[3].ToNumber().DoubleValue();
  if (epoch >= 0) target.epoch = static_cast<uint64_t>(epoch);
  if (time >= 0) target.time_ms = static_cast<uint64_t>(time);
  auto restored = std::make_shared<std::shared_ptr<Restore>>();
  napi_value promise = Task::start(
      info.Env(), "holdfast restore",
      [request, target, restored] {
        auto begun = Restore::begin(request.path, request.pool_options(), target);
        if (begun.is_ok()) *restored = std::move(*begun);
        return std::move(begun.status());
      },
      [restored](napi_env env) {
        return make_wrapped(env, Environment::of(env)->restore_class,
                            new RestoreHandle(std::move(*restored)));
      });
  return Napi::Value(info.Env(), promise);
}

}  // namespace holdfast::binding
