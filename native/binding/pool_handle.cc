// The pool's methods: the quick ones read and commit on this thread; the slow ones start a Task.
#include <algorithm>

#include "binding/backup_handle.h"
#include "binding/convert.h"
#include "binding/handles.h"
#include "binding/region_functions.h"
#include "binding/task.h"
#include "binding/watch_handle.h"

namespace holdfast::binding {

napi_value bare_constructor(napi_env env, napi_callback_info info) {
  napi_value receiver = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, &receiver, nullptr);
  return receiver;
}

namespace {

// Where the next value lands that is read.
enum class Next { kAnywhere, kBehind };

// Values that land one behind the other land in memory that no cache has, and the lock that is let
// go of behind a copy waits for it. So the place of the next one is fetched while JavaScript is
// busy: as much as this one took, since nobody knows.
void expect_landing(const uint8_t* from, size_t bytes) {
  constexpr size_t kMost = 4 * kKiB;
  // The first line is at hand: the value before ends in it.
  for (size_t at = kCacheLineBytes; at <= std::min(bytes, kMost); at += kCacheLineBytes)
    __builtin_prefetch(from + at, 1);
}

// See read_value.
napi_value read_into(napi_env env, Connection& connection, const SnapshotPtr& snapshot, Bytes key,
                     uint8_t* to, size_t room, Next next) {
  Result<Reader> reader = connection.pool().read(snapshot);
  if (!reader.is_ok()) return throw_status(env, reader.status());
  Result<std::optional<FoundValue>> found = reader->find(key, {to, room});
  if (!found.is_ok()) return throw_status(env, found.status());
  if (!found->has_value()) return number(env, -1);
  const FoundValue& value = **found;
  if (value.size > room) return number(env, -2 - static_cast<double>(value.size));
  const Status copied = reader->copy(value, to);
  if (!copied.is_ok()) return throw_status(env, copied);
  if (next == Next::kBehind)
    expect_landing(to + value.size, std::min(value.size, room - value.size));
  return number(env, value.size);
}

napi_value no_room_there(napi_env env) {
  return throw_status(env,
                      Status(Code::kInvalidArgument,
                             "A value can only be copied into a Uint8Array, within its length"));
}

}  // namespace

napi_value read_value(napi_env env, Connection& connection, const SnapshotPtr& snapshot, Bytes key,
                      napi_value into, napi_value offset) {
  uint8_t* to = nullptr;
  size_t size = 0;
  const size_t at = uint32_of(env, offset);
  if (!uint8_array(env, into, &to, &size) || at > size) return no_room_there(env);
  return read_into(env, connection, snapshot, key, to + at, size - at, Next::kAnywhere);
}

namespace {

CommitMode mode_of(napi_env env, napi_value eventual) {
  return bool_of(env, eventual) ? CommitMode::kEventual : CommitMode::kDurable;
}

// The key (and the snapshot) of a read; throws and returns false when one of them is wrong or the
// pool is closed.
bool read_arguments(napi_env env, Connection& connection, napi_value keyspace, napi_value key_value,
                    napi_value snapshot_value, KeyBytes* key, SnapshotPtr* snapshot) {
  Status status = connection.closed() ? connection.closed_status()
                                      : key->set(env, uint32_of(env, keyspace), key_value);
  if (status.is_ok()) status = SnapshotHandle::read(env, snapshot_value, connection, snapshot);
  if (!status.is_ok()) throw_status(env, status);
  return status.is_ok();
}

// get(keyspace, key, into, offset, snapshot): see read_value.
napi_value get(napi_env env, napi_callback_info info) {
  BoundCall<Connection, 5> call(env, info);
  Connection& connection = *call.self;
  KeyBytes key;
  SnapshotPtr snapshot;
  if (!read_arguments(env, connection, call[0], call[1], call[4], &key, &snapshot)) return nullptr;
  return read_value(env, connection, snapshot, key.bytes(), call[2], call[3]);
}

// getToSlab(keyspace, key, offset), getToScratch(keyspace, key, offset): the same of the newest
// state, into what landIn() was given.
template <Environment::LandingPlace Where>
napi_value get_newest(napi_env env, napi_callback_info info) {
  BoundCall<Connection, 3> call(env, info);
  Connection& connection = *call.self;
  const Landing& landing = connection.environment().landings[Where];
  const size_t at = uint32_of(env, call[2]);
  if (at > landing.size()) return no_room_there(env);
  KeyBytes key;
  const Status status = connection.closed() ? connection.closed_status()
                                            : key.set(env, uint32_of(env, call[0]), call[1]);
  if (!status.is_ok()) return throw_status(env, status);
  return read_into(env, connection, nullptr, key.bytes(), landing.data() + at, landing.size() - at,
                   Where == Environment::kSlab ? Next::kBehind : Next::kAnywhere);
}

// has(keyspace, key, snapshot)
napi_value has(napi_env env, napi_callback_info info) {
  BoundCall<Connection, 3> call(env, info);
  Connection& connection = *call.self;
  KeyBytes key;
  SnapshotPtr snapshot;
  if (!read_arguments(env, connection, call[0], call[1], call[2], &key, &snapshot)) return nullptr;
  Result<Reader> reader = connection.pool().read(snapshot);
  if (!reader.is_ok()) return throw_status(env, reader.status());
  Result<std::optional<FoundValue>> found = reader->find(key.bytes());
  if (!found.is_ok()) return throw_status(env, found.status());
  return Napi::Boolean::New(env, found->has_value());
}

// connectionLives(number): of any thread of this process.
napi_value connection_lives(napi_env env, PoolHandle&, const napi_value* arguments) {
  double number = 0;
  napi_get_value_double(env, arguments[0], &number);
  return Napi::Boolean::New(env, number > 0 && Connection::lives(static_cast<uint64_t>(number)));
}

// writtenAt(keyspace, key): the epoch; undefined where it is not known.
napi_value written_at(napi_env env, PoolHandle& self, const napi_value* arguments) {
  Connection& connection = *self.connection;
  KeyBytes key;
  Status status = connection.closed() ? connection.closed_status()
                                      : key.set(env, uint32_of(env, arguments[0]), arguments[1]);
  if (!status.is_ok()) return throw_status(env, status);
  Result<std::optional<uint64_t>> epoch = connection.pool().written_at(key.bytes());
  if (!epoch.is_ok()) return throw_status(env, epoch.status());
  return epoch->has_value() ? number(env, **epoch) : nullptr;
}

// The single-operation batch of putSync and put, or deleteSync and delete.
Status fill_put(napi_env env, const BoundCall<Connection, 4>& call, Batch& batch) {
  KeyBytes key;
  ValueBytes value;
  HOLDFAST_TRY(key.set(env, uint32_of(env, call[0]), call[1]));
  HOLDFAST_TRY(value.set(env, call[2]));
  return batch.put(key.bytes(), value.bytes());
}

Status fill_delete(napi_env env, const BoundCall<Connection, 4>& call, Batch& batch) {
  KeyBytes key;
  HOLDFAST_TRY(key.set(env, uint32_of(env, call[0]), call[1]));
  return batch.remove(key.bytes());
}

// putSync(keyspace, key, value, eventual), deleteSync(keyspace, key, _, eventual): the epoch.
template <Status (*Fill)(napi_env, const BoundCall<Connection, 4>&, Batch&)>
napi_value commit_one(napi_env env, napi_callback_info info) {
  BoundCall<Connection, 4> call(env, info);
  Connection& connection = *call.self;
  Batch& batch = connection.scratch();
  batch.clear();
  const Status filled = Fill(env, call, batch);
  if (!filled.is_ok()) return throw_status(env, filled);
  Result<Receipt> receipt = connection.commit(batch, mode_of(env, call[3]));
  if (!receipt.is_ok()) return throw_status(env, receipt.status());
  return number(env, receipt->epoch);
}

// put(keyspace, key, value, eventual), delete(keyspace, key, _, eventual): queues; the ticket.
template <Status (*Fill)(napi_env, const BoundCall<Connection, 4>&, Batch&)>
napi_value submit_one(napi_env env, napi_callback_info info) {
  BoundCall<Connection, 4> call(env, info);
  Connection& connection = *call.self;
  Batch batch;
  const Status filled = connection.closed() ? connection.closed_status() : Fill(env, call, batch);
  if (!filled.is_ok()) return throw_status(env, filled);
  return number(env, connection.submit(std::move(batch), mode_of(env, call[3])));
}

BatchHandle* batch_argument(napi_env env, napi_value value) {
  BatchHandle* handle = unwrap_argument<BatchHandle>(env, value);
  if (handle == nullptr)
    throw_status(env, Status(Code::kInvalidArgument, "Not a batch; make one with pool.batch()"));
  return handle;
}

// commitSync(batch, eventual): the epoch. The batch is empty afterwards, whatever came of it.
napi_value commit_sync(napi_env env, PoolHandle& self, const napi_value* arguments) {
  BatchHandle* handle = batch_argument(env, arguments[0]);
  if (handle == nullptr) return nullptr;
  Result<Receipt> receipt = self.connection->commit(handle->batch, mode_of(env, arguments[1]));
  handle->batch.clear();
  if (!receipt.is_ok()) return throw_status(env, receipt.status());
  return number(env, receipt->epoch);
}

// submit(batch, eventual): queues and empties it; the ticket.
napi_value submit(napi_env env, PoolHandle& self, const napi_value* arguments) {
  Connection& connection = *self.connection;
  BatchHandle* handle = batch_argument(env, arguments[0]);
  if (handle == nullptr) return nullptr;
  if (connection.closed()) return throw_status(env, connection.closed_status());
  const uint64_t ticket = connection.submit(std::move(handle->batch), mode_of(env, arguments[1]));
  handle->batch = Batch();
  return number(env, ticket);
}

// One completion as JavaScript takes it: [ticket, epoch] into the array, or [ticket, -1] and its
// error into `failures`.
void hand_over(napi_env env, const Completion& completion, double* to, Napi::Array failures) {
  to[0] = static_cast<double>(completion.ticket);
  to[1] = completion.status.is_ok() ? static_cast<double>(completion.epoch) : -1;
  if (!completion.status.is_ok()) failures.Set(failures.Length(), error_of(env, completion.status));
}

// drain(into: Float64Array, failures: Error[]): number of completions taken. flush() first hands
// over what is queued.
napi_value drain_into(napi_env env, Connection& connection, napi_value into, napi_value failures) {
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  const napi_status got =
      napi_get_typedarray_info(env, into, &type, &length, &data, nullptr, nullptr);
  if (got != napi_ok || type != napi_float64_array) {
    return throw_status(
        env, Status(Code::kInvalidArgument, "Completions are taken into a Float64Array"));
  }
  std::vector<Completion> completions;
  connection.inbox().take(length / 2, &completions);
  for (size_t i = 0; i < completions.size(); ++i) {
    hand_over(env, completions[i], static_cast<double*>(data) + 2 * i, Napi::Array(env, failures));
  }
  connection.hold_while_pending();
  return number(env, completions.size());
}

napi_value drain(napi_env env, PoolHandle& self, const napi_value* arguments) {
  return drain_into(env, *self.connection, arguments[0], arguments[1]);
}

napi_value flush(napi_env env, PoolHandle& self, const napi_value* arguments) {
  self.connection->flush();
  return drain_into(env, *self.connection, arguments[0], arguments[1]);
}

}  // namespace

napi_value start_work(napi_env env, const std::shared_ptr<Connection>& connection, const char* name,
                      Task::Work work, Task::Finish finish) {
  if (!connection->begin_work()) return throw_status(env, connection->closed_status());
  const auto counted = [connection, work = std::move(work)] {
    Status status = work();
    connection->finish_work();
    return status;
  };
  napi_value promise = Task::start(env, name, counted, std::move(finish));
  if (promise == nullptr) connection->finish_work();
  return promise;
}

namespace {

template <Status (Pool::*Method)()>
napi_value pool_work(napi_env env, PoolHandle& self, const napi_value*) {
  const std::shared_ptr<Connection>& connection = self.connection;
  return start_work(env, connection, "holdfast",
                    [connection] { return (connection->pool().*Method)(); });
}

// A worker that is terminated waits for what it began. That it ends shows only when mail is
// brought.
Pool::Abandoned when_ended(napi_env env) {
  return [mailbox = Environment::of(env)->mailbox()] {
    mailbox->wake();
    return mailbox->ended();
  };
}

// compact(): a promise.
napi_value compact(napi_env env, PoolHandle& self, const napi_value*) {
  const std::shared_ptr<Connection>& connection = self.connection;
  return start_work(env, connection, "holdfast compact", [connection, abandoned = when_ended(env)] {
    return connection->pool().compact(abandoned);
  });
}

// resize(bytes): a promise.
napi_value resize(napi_env env, PoolHandle& self, const napi_value* arguments) {
  const std::shared_ptr<Connection>& connection = self.connection;
  double bytes = 0;
  napi_get_value_double(env, arguments[0], &bytes);
  return start_work(env, connection, "holdfast resize",
                    [connection, bytes, abandoned = when_ended(env)] {
                      return connection->pool().resize(static_cast<uint64_t>(bytes), abandoned);
                    });
}

// refresh(): a promise of the epoch. refreshSync(): the epoch.
napi_value refresh(napi_env env, PoolHandle& self, const napi_value*) {
  const std::shared_ptr<Connection>& connection = self.connection;
  auto epoch = std::make_shared<uint64_t>(0);
  return start_work(
      env, connection, "holdfast refresh",
      [connection, epoch] {
        Result<uint64_t> refreshed = connection->pool().refresh();
        if (refreshed.is_ok()) *epoch = *refreshed;
        return std::move(refreshed.status());
      },
      [epoch](napi_env in) { return number(in, static_cast<double>(*epoch)); });
}

napi_value refresh_sync(napi_env env, PoolHandle& self, const napi_value*) {
  Connection& connection = *self.connection;
  if (connection.closed()) return throw_status(env, connection.closed_status());
  const Result<uint64_t> refreshed = connection.pool().refresh();
  return refreshed.is_ok() ? number(env, refreshed.value()) : throw_status(env, refreshed.status());
}

napi_value snapshot(napi_env env, PoolHandle& self, const napi_value*) {
  const std::shared_ptr<Connection>& connection = self.connection;
  if (connection->closed()) return throw_status(env, connection->closed_status());
  Result<SnapshotPtr> made = connection->pool().snapshot();
  if (!made.is_ok()) return throw_status(env, made.status());
  const uint64_t epoch = connection->pool().epoch_of(*made);
  auto* handle = new SnapshotHandle(connection, std::move(*made));
  napi_value object = make_wrapped(env, Environment::of(env)->snapshot_class, handle);
  if (object == nullptr) return nullptr;
  napi_set_named_property(env, object, "epoch", number(env, epoch));
  return object;
}

// A bound: a Uint8Array, which may be longer than a key; or null, which means the keyspace's own
// end.
std::string bound(napi_env env, uint32_t keyspace, napi_value value, uint32_t otherwise) {
  uint8_t* data = nullptr;
  size_t size = 0;
  if (!uint8_array(env, value, &data, &size)) return keyspace_prefix(otherwise);
  return keyspace_prefix(keyspace).append(reinterpret_cast<const char*>(data), size);
}

RangeOptions bounds(napi_env env, napi_value keyspace_value, napi_value low, napi_value high) {
  const uint32_t keyspace = uint32_of(env, keyspace_value);
  RangeOptions options;
  options.low = bound(env, keyspace, low, keyspace);
  options.high = bound(env, keyspace, high, keyspace + 1);
  return options;
}

// watch(keyspace or 0, low, high, from or -1, lag, region or 0): a cursor of the change feed. The
// catalogue of keyspaces is not in it.
napi_value watch(napi_env env, PoolHandle& self, const napi_value* arguments) {
  const std::shared_ptr<Connection>& connection = self.connection;
  if (connection->closed()) return throw_status(env, connection->closed_status());
  FeedOptions options;
  const uint32_t keyspace = uint32_of(env, arguments[0]);
  options.low = keyspace_prefix(1);
  if (keyspace != 0) {
    const RangeOptions range = bounds(env, arguments[0], arguments[1], arguments[2]);
    options.low = range.low, options.high = range.high;
  }
  double from = -1, lag = 0;
  napi_get_value_double(env, arguments[3], &from);
  napi_get_value_double(env, arguments[4], &lag);
  if (from >= 0) options.after = static_cast<uint64_t>(from);
  options.lag_bytes = static_cast<uint64_t>(lag);
  options.region = uint32_of(env, arguments[5]);
  connection->flush();  // what was committed before this call is not news
  Result<std::unique_ptr<FeedCursor>> cursor = connection->pool().feed(options);
  if (!cursor.is_ok()) return throw_status(env, cursor.status());
  const double reached = static_cast<double>((*cursor)->reached());
  napi_value object = WatchHandle::make(env, connection, std::move(*cursor));
  if (object != nullptr) napi_set_named_property(env, object, "epoch", number(env, reached));
  return object;
}

// backup(since or -1, scan or null): see BackupHandle.
napi_value backup(napi_env env, PoolHandle& self, const napi_value* arguments) {
  return BackupHandle::begin(env, self.connection, arguments[0], arguments[1]);
}

// count(keyspace, low, high, snapshot)
napi_value count(napi_env env, PoolHandle& self, const napi_value* arguments) {
  Connection& connection = *self.connection;
  SnapshotPtr snapshot;
  Status status = connection.closed() ? connection.closed_status() : Status();
  if (status.is_ok()) status = SnapshotHandle::read(env, arguments[3], connection, &snapshot);
  if (!status.is_ok()) return throw_status(env, status);
  Result<uint64_t> counted = connection.pool().count(
      bounds(env, arguments[0], arguments[1], arguments[2]), snapshot, nullptr);
  if (!counted.is_ok()) return throw_status(env, counted.status());
  return number(env, *counted);
}

// range(keyspace, low, high, reverse, limit, withValues, snapshot)
napi_value range(napi_env env, PoolHandle& self, const napi_value* arguments) {
  const std::shared_ptr<Connection>& connection = self.connection;
  SnapshotPtr snapshot;
  Status status = connection->closed() ? connection->closed_status() : Status();
  if (status.is_ok()) status = SnapshotHandle::read(env, arguments[6], *connection, &snapshot);
  if (!status.is_ok()) return throw_status(env, status);
  RangeOptions options = bounds(env, arguments[0], arguments[1], arguments[2]);
  options.reverse = bool_of(env, arguments[3]);
  options.keys_only = !bool_of(env, arguments[5]);
  double limit = 0;
  napi_get_value_double(env, arguments[4], &limit);
  if (limit < 9e15) options.limit = static_cast<uint64_t>(limit);  // Infinity: no limit
  if (snapshot == nullptr) {
    Result<SnapshotPtr> made = connection->pool().snapshot();
    if (!made.is_ok()) return throw_status(env, made.status());
    snapshot = std::move(*made);
  }
  Result<std::unique_ptr<RangeIterator>> made = connection->pool().range(options, snapshot);
  if (!made.is_ok()) return throw_status(env, made.status());
  return make_wrapped(env, Environment::of(env)->range_class,
                      new RangeHandle(connection, std::move(snapshot), std::move(*made),
                                      bool_of(env, arguments[5])));
}

// keyspaceNumber(name, create)
napi_value keyspace(napi_env env, PoolHandle& self, const napi_value* arguments) {
  Connection& connection = *self.connection;
  if (connection.closed()) return throw_status(env, connection.closed_status());
  const std::string name = Napi::String(env, arguments[0]).Utf8Value();
  Result<uint32_t> given = keyspace_number(connection.pool(), name, bool_of(env, arguments[1]));
  if (!given.is_ok()) return throw_status(env, given.status());
  return number(env, *given);
}

napi_value keyspaces(napi_env env, PoolHandle& self, const napi_value*) {
  Connection& connection = *self.connection;
  if (connection.closed()) return throw_status(env, connection.closed_status());
  Result<std::vector<std::string>> names = keyspace_names(connection.pool());
  if (!names.is_ok()) return throw_status(env, names.status());
  Napi::Array array = Napi::Array::New(env, names->size());
  for (uint32_t i = 0; i < names->size(); ++i) array.Set(i, (*names)[i]);
  return array;
}

napi_value facts(napi_env env, PoolHandle& self, const napi_value*) {
  Connection& connection = *self.connection;
  if (connection.closed()) return throw_status(env, connection.closed_status());
  return facts_object(env, connection.pool().facts());
}

napi_value stats(napi_env env, PoolHandle& self, const napi_value*) {
  Connection& connection = *self.connection;
  if (connection.closed()) return throw_status(env, connection.closed_status());
  return stats_object(env, connection.pool().stats());
}

// check(onProgress or null): { promise, cancel() }
napi_value check(napi_env env, PoolHandle& self, const napi_value* arguments) {
  return start_check(env, self.connection, arguments[0]);
}

// close(): a promise; closeSync(): when it returns. Both complete what waits first.
napi_value close(napi_env env, PoolHandle& self, const napi_value*) {
  const std::shared_ptr<Connection> connection = self.connection;
  if (!connection->begin_end()) return nullptr;
  Environment::of(env)->remove(connection);
  napi_value promise =
      Task::start(env, "holdfast close", [connection] { return connection->finish_end(); });
  if (promise == nullptr) (void)connection->finish_end();
  return promise;
}

napi_value close_sync(napi_env env, PoolHandle& self, const napi_value*) {
  const std::shared_ptr<Connection> connection = self.connection;
  const Status closed = connection->end();
  Environment::of(env)->remove(connection);
  return closed.is_ok() ? nullptr : throw_status(env, closed);
}

napi_value settle_sync(napi_env env, PoolHandle& self, const napi_value*) {
  Connection& connection = *self.connection;
  if (connection.closed()) return throw_status(env, connection.closed_status());
  connection.flush();
  connection.inbox().wait_until_all_arrived();
  const Status settled = connection.pool().settle();
  return settled.is_ok() ? nullptr : throw_status(env, settled);
}

}  // namespace

napi_value PoolHandle::make(napi_env env, const std::shared_ptr<Connection>& connection) {
  Environment* environment = Environment::of(env);
  environment->add(connection);
  napi_value object = make_wrapped(env, environment->pool_class, new PoolHandle(connection));
  if (object == nullptr) return nullptr;
  napi_set_named_property(env, object, "connection", number(env, connection->number));
  bind_function(env, object, "get", get, connection);
  bind_function(env, object, "getToSlab", get_newest<Environment::kSlab>, connection);
  bind_function(env, object, "getToScratch", get_newest<Environment::kScratch>, connection);
  bind_function(env, object, "has", has, connection);
  bind_function(env, object, "putSync", commit_one<fill_put>, connection);
  bind_function(env, object, "deleteSync", commit_one<fill_delete>, connection);
  bind_function(env, object, "put", submit_one<fill_put>, connection);
  bind_function(env, object, "delete", submit_one<fill_delete>, connection);
  return object;
}

void PoolHandle::define(napi_env env, Environment& environment) {
  const napi_property_descriptor methods[] = {
      raw_method("count", method<PoolHandle, count>),
      raw_method("range", method<PoolHandle, range>),
      raw_method("watch", method<PoolHandle, watch>),
      raw_method("backup", method<PoolHandle, backup>),
      raw_method("snapshot", method<PoolHandle, snapshot>),
      raw_method("writtenAt", method<PoolHandle, written_at>),
      raw_method("connectionLives", method<PoolHandle, connection_lives>),
      raw_method("commitSync", method<PoolHandle, commit_sync>),
      raw_method("submit", method<PoolHandle, submit>),
      raw_method("flush", method<PoolHandle, flush>),
      raw_method("drain", method<PoolHandle, drain>),
      raw_method("keyspaceNumber", method<PoolHandle, keyspace>),
      raw_method("keyspaces", method<PoolHandle, keyspaces>),
      raw_method("regionNumber", method<PoolHandle, region_number_of>),
      raw_method("regionSize", method<PoolHandle, region_size>),
      raw_method("regionDataFrom", method<PoolHandle, region_data_from>),
      raw_method("regionRead", method<PoolHandle, region_read>),
      raw_method("regions", method<PoolHandle, regions>),
      raw_method("viewRegion", method<PoolHandle, view_region>),
      raw_method("viewValue", method<PoolHandle, view_value>),
      raw_method("facts", method<PoolHandle, facts>),
      raw_method("stats", method<PoolHandle, stats>),
      raw_method("settle", method<PoolHandle, pool_work<&Pool::settle>>),
      raw_method("settleSync", method<PoolHandle, settle_sync>),
      raw_method("fold", method<PoolHandle, pool_work<&Pool::fold>>),
      raw_method("compact", method<PoolHandle, compact>),
      raw_method("resize", method<PoolHandle, resize>),
      raw_method("refresh", method<PoolHandle, refresh>),
      raw_method("refreshSync", method<PoolHandle, refresh_sync>),
      raw_method("check", method<PoolHandle, check>),
      raw_method("close", method<PoolHandle, close>),
      raw_method("closeSync", method<PoolHandle, close_sync>),
  };
  environment.pool_class = define_class(env, "NativePool", bare_constructor, methods);
}

}  // namespace holdfast::binding
