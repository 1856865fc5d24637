// The addon's door: configure, open, probe. Loaded once per environment; see environment.h for what
// each of them has.
#include "binding/backup_handle.h"
#include "binding/common_bytes.h"
#include "binding/convert.h"
#include "binding/environment.h"
#include "binding/handles.h"
#include "binding/node_api.h"
#include "binding/task.h"
#include "binding/watch_handle.h"
#include "binding/watched_work.h"
#include "engine/copies/backup.h"
#include "engine/copies/resize.h"
#include "engine/damage/salvage.h"

namespace holdfast::binding {

namespace {

// A number the TypeScript side has checked; absent when it was not given.
std::optional<double> option(const Napi::Object& options, const char* name) {
  const Napi::Value value = options.Get(name);
  if (!value.IsNumber()) return std::nullopt;
  return value.As<Napi::Number>().DoubleValue();
}

// What is no list is empty.
std::vector<std::string> strings_of(const Napi::Value& value) {
  std::vector<std::string> found;
  if (!value.IsArray()) return found;
  const Napi::Array list = value.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); i++) found.push_back(list.Get(i).ToString().Utf8Value());
  return found;
}

// Where a pool is to lie: { medium, create, size, grow, directories, atLeast }.
MediumOptions medium_options(const Napi::Object& options) {
  MediumOptions medium;
  medium.choice = static_cast<MediumChoice>(option(options, "medium").value_or(0));
  medium.create = static_cast<CreateMode>(option(options, "create").value_or(0));
  medium.size = static_cast<uint64_t>(option(options, "size").value_or(0));
  medium.at_least = static_cast<DurabilityClass>(option(options, "atLeast").value_or(1));
  medium.grow = options.Get("grow").ToBoolean().Value();
  medium.directories = strings_of(options.Get("directories"));
  return medium;
}

}  // namespace

// open(path, { of medium_options(), readOnly, foldOperations, eventualWithin, retainMs,
// retainBytes }), all numbers; see lib/options.ts.
OpenRequest open_request(const Napi::CallbackInfo& info) {
  OpenRequest request;
  request.path = info[0].As<Napi::String>().Utf8Value();
  const Napi::Object options = info[1].As<Napi::Object>();
  request.medium = medium_options(options);
  request.read_only = options.Get("readOnly").ToBoolean().Value();
  const auto operations = option(options, "foldOperations");
  if (operations) request.fold_operations = static_cast<uint64_t>(*operations);
  const auto within = option(options, "eventualWithin");
  if (within) request.eventual_within_ms = static_cast<uint32_t>(*within);
  const auto retain_ms = option(options, "retainMs"), retain_bytes = option(options, "retainBytes");
  if (retain_ms || retain_bytes) {
    request.retain = RetainWish{static_cast<uint64_t>(retain_ms.value_or(0)),
                                static_cast<uint64_t>(retain_bytes.value_or(0))};
  }
  return request;
}

namespace {

napi_value handle_of(napi_env env, const std::shared_ptr<Registry::Entry>& entry) {
  return PoolHandle::make(env, std::make_shared<Connection>(Environment::of(env), entry));
}

Napi::Value open_sync(const Napi::CallbackInfo& info) {
  Result<std::shared_ptr<Registry::Entry>> entry = Registry::process().open(open_request(info));
  if (!entry.is_ok()) return Napi::Value(info.Env(), throw_status(info.Env(), entry.status()));
  return Napi::Value(info.Env(), handle_of(info.Env(), *entry));
}

// Opened on another thread; lets go of the pool again if its environment ends before it gets to
// hear of it.
struct Opening {
  OpenRequest request;
  std::shared_ptr<Registry::Entry> entry;
  ~Opening() {
    if (entry != nullptr) (void)Registry::process().release(entry);
  }
};

Napi::Value open(const Napi::CallbackInfo& info) {
  auto opening = std::make_shared<Opening>();
  opening->request = open_request(info);
  napi_value promise = Task::start(
      info.Env(), "holdfast open",
      [opening] {
        Result<std::shared_ptr<Registry::Entry>> entry = Registry::process().open(opening->request);
        if (entry.is_ok()) opening->entry = std::move(*entry);
        return std::move(entry.status());
      },
      [opening](napi_env env) {
        napi_value handle = handle_of(env, opening->entry);
        opening->entry.reset();
        return handle;
      });
  return Napi::Value(info.Env(), promise);
}

Napi::Value probe(const Napi::CallbackInfo& info) {
  Result<PlaceReport> probed = probe_place(info[0].As<Napi::String>().Utf8Value());
  if (!probed.is_ok()) return Napi::Value(info.Env(), throw_status(info.Env(), probed.status()));
  const PlaceReport& report = *probed;
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("exists", report.exists);
  object.Set("poolMedium", report.pool_medium);
  object.Set("fileSystem", report.file_system);
  object.Set("mapSync", report.map_sync);
  object.Set("dax", report.dax);
  object.Set("deviceDax", report.device_dax);
  object.Set("pmemForced", report.pmem_forced);
  object.Set("writable", report.writable);
  object.Set("builtWithPmem", report.built_with_pmem);
  object.Set("libpmemobjVersion", report.libpmemobj_version);
  object.Set("choice", report.choice);
  object.Set("durability", report.durability == DurabilityClass::kPower ? "power" : "process");
  object.Set("reason", report.reason);
  return object;
}

Napi::Array texts(Napi::Env env, const std::vector<std::string>& lines) {
  Napi::Array array = Napi::Array::New(env, lines.size());
  for (uint32_t i = 0; i < lines.size(); ++i) array.Set(i, lines[i]);
  return array;
}

napi_value salvage_report(napi_env env_in, const SalvageReport& report) {
  const Napi::Env env(env_in);
  static const char* const sources[] = {"index", "log", "checksums"};
  Napi::Object object = Napi::Object::New(env);
  object.Set("source", sources[static_cast<int>(report.source)]);
  object.Set("entries", static_cast<double>(report.entries));
  object.Set("bytes", static_cast<double>(report.bytes));
  object.Set("unconfirmed", static_cast<double>(report.unconfirmed));
  object.Set("lost", static_cast<double>(report.lost));
  object.Set("losses", texts(env, report.losses));
  object.Set("gaps", texts(env, report.gaps));
  return object;
}

// salvage(from, to, options of the new pool, onProgress or null): { promise, cancel() }
Napi::Value salvage_pool(const Napi::CallbackInfo& info) {
  const std::string from = info[0].ToString().Utf8Value();
  const std::string to = info[1].ToString().Utf8Value();
  PoolOptions target;
  target.medium = medium_options(info[2].ToObject());
  const auto work = std::make_shared<WatchedWork>(info.Env(), info[3]);
  const auto report = std::make_shared<SalvageReport>();
  napi_value promise = Task::start(
      info.Env(), "holdfast salvage",
      [from, to, target, work, report] {
        Result<SalvageReport> saved =
            salvage(from, to, target, work->cancelled(),
                    [work](double fraction) { work->progress(fraction); });
        if (saved.is_ok()) *report = std::move(*saved);
        return std::move(saved.status());
      },
      [work, report](napi_env env) {
        work->deliver(env);
        return salvage_report(env, *report);
      });
  return {info.Env(), WatchedWork::started(info.Env(), work, promise)};
}

// resizeByCopy(path, bytes, directories?): a promise of { entries, bytes }
Napi::Value resize_copy(const Napi::CallbackInfo& info) {
  auto report = std::make_shared<CopyReport>();
  const std::string path = info[0].ToString().Utf8Value();
  const auto bytes = static_cast<uint64_t>(info[1].ToNumber().DoubleValue());
  WantedDirectories directories;
  if (info[2].IsArray()) directories = strings_of(info[2]);
  napi_value promise = Task::start(
      info.Env(), "holdfast resize",
      [report, path, bytes, directories] {
        Result<CopyReport> copied = resize_by_copy(path, bytes, nullptr, nullptr, directories);
        if (copied.is_ok()) *report = *copied;
        return std::move(copied.status());
      },
      [report](napi_env env) -> napi_value {
        Napi::Object object = Napi::Object::New(env);
        object.Set("entries", static_cast<double>(report->entries));
        object.Set("bytes", static_cast<double>(report->bytes));
        return object;
      });
  return Napi::Value(info.Env(), promise);
}

void configure(const Napi::CallbackInfo& info) {
  Environment::of(info.Env())
      ->configure(info[0].As<Napi::Function>(), info[1].As<Napi::Function>());
}

// lockFile(descriptor): false when somebody else has the file locked.
Napi::Value lock_file(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), lock_backup_file(info[0].ToNumber().Int32Value()));
}

// landIn(which, bytes): reads of that kind go there from now on.
void land_in(const Napi::CallbackInfo& info) {
  uint8_t* data = nullptr;
  size_t size = 0;
  const uint32_t which = uint32_of(info.Env(), info[0]);
  if (which >= Environment::kLandings || !uint8_array(info.Env(), info[1], &data, &size)) {
    throw_status(info.Env(), Status(Code::kInvalidArgument, "Reads land in a Uint8Array"));
    return;
  }
  Environment::of(info.Env())->landings[which].set(info.Env(), info[1], data, size);
}

// Of the realm that loaded the addon first: a test runner's own realm may have a clock that stands
// still. To ask for `process` runs JavaScript, which fails in a thread that is being ended: then
// nobody will commit there any more.
void export_ticks(napi_env env, napi_value exports) {
  napi_value global = nullptr, process = nullptr, next_tick = nullptr, set_immediate = nullptr;
  const bool there =
      napi_get_global(env, &global) == napi_ok &&
      napi_get_named_property(env, global, "process", &process) == napi_ok &&
      napi_get_named_property(env, process, "nextTick", &next_tick) == napi_ok &&
      napi_get_named_property(env, global, "setImmediate", &set_immediate) == napi_ok;
  if (!there) return;
  napi_set_named_property(env, exports, "nextTick", next_tick);
  napi_set_named_property(env, exports, "setImmediate", set_immediate);
}

}  // namespace

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  Environment* environment = new Environment(env);
  napi_set_instance_data(
      env, environment, [](napi_env, void* data, void*) { delete static_cast<Environment*>(data); },
      nullptr);
  PoolHandle::define(env, *environment);
  BatchHandle::define(env, *environment);
  SnapshotHandle::define(env, *environment);
  RangeHandle::define(env, *environment);
  ViewHandle::define(env, *environment);
  WatchHandle::define(env, *environment);
  BackupHandle::define(env, *environment);
  ScanHandle::define(env, *environment);
  RestoreHandle::define(env, *environment);
  exports.Set("NativeBatch", environment->batch_class.Value());
  exports.Set("configure", Napi::Function::New(env, configure));
  exports.Set("landIn", Napi::Function::New(env, land_in));
  exports.Set("lockFile", Napi::Function::New(env, lock_file));
  exports.Set("open", Napi::Function::New(env, open));
  exports.Set("openSync", Napi::Function::New(env, open_sync));
  exports.Set("salvage", Napi::Function::New(env, salvage_pool));
  exports.Set("resizeByCopy", Napi::Function::New(env, resize_copy));
  exports.Set("scanBackup", Napi::Function::New(env, scan_backup));
  exports.Set("restore", Napi::Function::New(env, restore_pool));
  exports.Set("probe", Napi::Function::New(env, probe));
  const napi_property_descriptor quick = raw_method("commonBytes", common_bytes);
  napi_define_properties(env, exports, 1, &quick);
  export_ticks(env, exports);  // the last: behind what fails in it nothing more can be called
  return exports;
}

NODE_API_MODULE(holdfast, initialize)

}  // namespace holdfast::binding
