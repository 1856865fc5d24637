// A pinned epoch, held by JavaScript.
#include "binding/convert.h"
#include "binding/handles.h"

namespace holdfast::binding {

SnapshotHandle::SnapshotHandle(std::shared_ptr<Connection> connection, SnapshotPtr snapshot)
    : connection_(std::move(connection)), snapshot_(std::move(snapshot)) {
  connection_->pin(this);
}

SnapshotHandle::~SnapshotHandle() { close(); }

void SnapshotHandle::drop() { snapshot_.reset(); }

void SnapshotHandle::close() {
  if (snapshot_ == nullptr) return;
  connection_->unpin(this);
  drop();
}

Status SnapshotHandle::read(napi_env env, napi_value value, const Connection& connection,
                            SnapshotPtr* to) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  if (type == napi_null || type == napi_undefined) return Status::ok();
  SnapshotHandle* handle = unwrap_argument<SnapshotHandle>(env, value);
  if (handle == nullptr || handle->connection_.get() != &connection) {
    return Status(Code::kInvalidArgument,
                  "The snapshot is not one of this pool's; make it with pool.snapshot()");
  }
  if (handle->snapshot_ == nullptr) {
    return Status(Code::kSnapshotClosed,
                  "The snapshot has been closed; make a new one with pool.snapshot()");
  }
  *to = handle->snapshot_;
  return Status::ok();
}

namespace {

napi_value close_method(napi_env, SnapshotHandle& self, const napi_value*) {
  self.close();
  return nullptr;
}

}  // namespace

void SnapshotHandle::define(napi_env env, Environment& environment) {
  const napi_property_descriptor methods[] = {
      raw_method("close", method<SnapshotHandle, close_method>)};
  environment.snapshot_class = define_class(env, "NativeSnapshot", bare_constructor, methods);
}

}  // namespace holdfast::binding
