// The four things JavaScript holds: a pool, a batch, a snapshot, a range. Their methods read the
// arguments, call the engine and convert the answer; what an argument means is decided and
// explained in lib/.
//
// JavaScript thread only. Each is freed when its object is collected; a closed pool drops what its
// snapshots and ranges pin.
#pragma once

#include <memory>

#include "binding/connection.h"
#include "binding/handle.h"
#include "binding/node_api.h"
#include "binding/task.h"

namespace holdfast::binding {

class PoolHandle {
 public:
  static constexpr napi_type_tag kTag = {0x8c1f2a96d50b4e37, 0x9d04b7c1e2f86a55};
  static void define(napi_env env, Environment& environment);
  static napi_value make(napi_env env, const std::shared_ptr<Connection>& connection);

  explicit PoolHandle(std::shared_ptr<Connection> of) : connection(std::move(of)) {}
  const std::shared_ptr<Connection> connection;
};

class BatchHandle {
 public:
  static constexpr napi_type_tag kTag = {0x41d7c36e9fa2480b, 0xb5e81a0c7d3f2964};
  static void define(napi_env env, Environment& environment);
  Batch batch;
  std::shared_ptr<const std::vector<uint64_t>>
      sums;  // of its additions, also once a commit has taken the batch
};

class SnapshotHandle : public Pin {
 public:
  static constexpr napi_type_tag kTag = {0xe60b95d14c7a4f28, 0x8a3fd2769b15c0e1};
  static void define(napi_env env, Environment& environment);

  SnapshotHandle(std::shared_ptr<Connection> connection, SnapshotPtr snapshot);
  ~SnapshotHandle() override;
  void drop() override;
  void close();
  const SnapshotPtr& snapshot() const { return snapshot_; }
  // Null or undefined: the latest state. kSnapshotClosed, kInvalidArgument (not a snapshot, or
  // another pool's).
  static Status read(napi_env env, napi_value value, const Connection& connection, SnapshotPtr* to);

 private:
  std::shared_ptr<Connection> connection_;
  SnapshotPtr snapshot_;
};

class RangeHandle : public Pin {
 public:
  static constexpr napi_type_tag kTag = {0x2f94e8a07b614dc3, 0x97c6501fe3ad8b12};
  static void define(napi_env env, Environment& environment);

  RangeHandle(std::shared_ptr<Connection> connection, SnapshotPtr snapshot,
              std::unique_ptr<RangeIterator> iterator, bool with_values);
  ~RangeHandle() override;
  void drop() override;
  void close();

 private:
  static napi_value next(napi_env env, RangeHandle& self, const napi_value* arguments);
  static napi_value value(napi_env env, RangeHandle& self, const napi_value* arguments);
  static napi_value close_method(napi_env env, RangeHandle& self, const napi_value* arguments);

  std::shared_ptr<Connection> connection_;
  SnapshotPtr snapshot_;
  std::unique_ptr<RangeIterator> iterator_;
  bool with_values_;
};

class ViewPin;

// Bytes of the pool as JavaScript sees them: `bytes`, a Uint8Array over a private mapping, and
// end(). See view_handle.cc.
class ViewHandle {
 public:
  static constexpr napi_type_tag kTag = {0x5b7d10f3c2a94e86, 0xa1c94f6e03d8b275};
  static void define(napi_env env, Environment& environment);
  static napi_value make(napi_env env, const std::shared_ptr<Connection>& connection,
                         std::unique_ptr<MappedView> view);

  explicit ViewHandle(std::shared_ptr<ViewPin> of) : pin(std::move(of)) {}
  const std::shared_ptr<ViewPin> pin;
};

// Copies the value of `key` into `into` at `offset`. What JavaScript gets: the length; -1 when
// absent; -(2 + length) when it does not fit, and then nothing has been copied.
napi_value read_value(napi_env env, Connection& connection, const SnapshotPtr& snapshot, Bytes key,
                      napi_value into, napi_value offset);

// The number of a keyspace; 0 when there is none of that name and `create` is false. A new one is
// an eventual commit: the log is one sequence, so no durable commit can survive without the name it
// was made under.
Result<uint32_t> keyspace_number(Pool& pool, Bytes name, bool create);
Result<std::vector<std::string>> keyspace_names(Pool& pool);

// The arguments of open(path, options) and its like.
OpenRequest open_request(const Napi::CallbackInfo& info);

// A Task on the pool that close() waits for.
napi_value start_work(napi_env env, const std::shared_ptr<Connection>& connection, const char* name,
                      Task::Work work, Task::Finish finish = nullptr);

// A check of the whole pool, under way: { promise, cancel() }. `on_progress`: a function, or null.
napi_value start_check(napi_env env, const std::shared_ptr<Connection>& connection,
                       napi_value on_progress);

// pool.facts() and pool.stats() as objects of numbers and strings.
napi_value facts_object(napi_env env, const PoolFacts& facts);
napi_value stats_object(napi_env env, const PoolStats& stats);

}  // namespace holdfast::binding
