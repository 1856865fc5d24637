// Views in JavaScript: an ArrayBuffer over memory that must go away while the object may stay.
//
// The memory belongs to the ArrayBuffer: it is unmapped when V8 has let go of it, or earlier, by
// end(), which detaches the ArrayBuffer first: from then on it has length 0 and nothing leads to
// the addresses any more. Should its memory have been moved elsewhere meanwhile
// (ArrayBuffer.prototype.transfer), it is not ours to take away: it becomes zeros, and is unmapped
// when V8 has let go of it.
//
// end() comes from JavaScript, from the pool's closing and from the environment's end (which a
// worker's termination is too), always on the JavaScript thread. After the last of these no
// JavaScript runs in the environment.
#include "binding/convert.h"
#include "binding/handles.h"
#include "binding/region_functions.h"

namespace holdfast::binding {

// Shared by the ArrayBuffer's finalizer and by the object that JavaScript ends it with.
class ViewPin final : public Pin {
 public:
  ViewPin(napi_env env, std::shared_ptr<Connection> connection, std::unique_ptr<MappedView> view)
      : env_(env), connection_(std::move(connection)), view_(std::move(view)) {
    connection_->pin(this);
  }
  ~ViewPin() override {
    if (connection_) connection_->unpin(this);
  }

  bool watch(napi_value buffer) {
    return napi_create_reference(env_, buffer, 0, &buffer_) == napi_ok;
  }

  void end() {
    if (!connection_) return;
    connection_->unpin(this);
    drop();
  }

  // The connection has forgotten us, or is about to.
  void drop() override {
    if (!connection_) return;
    connection_.reset();
    if (detach()) {
      view_.reset();
    } else {
      view_->blank();
    }
  }

  const MappedView& view() const { return *view_; }

 private:
  bool detach() {
    napi_handle_scope scope = nullptr;
    if (buffer_ == nullptr || napi_open_handle_scope(env_, &scope) != napi_ok) return false;
    napi_value buffer = nullptr;
    bool gone = true;
    const bool there =
        napi_get_reference_value(env_, buffer_, &buffer) == napi_ok && buffer != nullptr;
    const bool detached = there && napi_is_detached_arraybuffer(env_, buffer, &gone) == napi_ok &&
                          !gone && napi_detach_arraybuffer(env_, buffer) == napi_ok;
    napi_delete_reference(env_, buffer_);
    buffer_ = nullptr;
    napi_close_handle_scope(env_, scope);
    return detached;
  }

  const napi_env env_;
  std::shared_ptr<Connection> connection_;  // null: ended
  std::unique_ptr<MappedView> view_;
  napi_ref buffer_ = nullptr;  // weak
};

namespace {

void let_go(napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<ViewPin>*>(hint); }

// end(): the bytes are detached. Idempotent.
napi_value end_method(napi_env, ViewHandle& self, const napi_value*) {
  self.pin->end();
  return nullptr;
}

napi_value cannot(napi_env env) {
  return throw_status(
      env, Status(Code::kNoMemory, "Node.js could not make a view of memory that is not its own"));
}

uint64_t whole_number(napi_env env, napi_value value) {
  double number = 0;
  napi_get_value_double(env, value, &number);
  return number >= 0 && number < 9.1e15 ? static_cast<uint64_t>(number) : UINT64_MAX;
}

}  // namespace

napi_value ViewHandle::make(napi_env env, const std::shared_ptr<Connection>& connection,
                            std::unique_ptr<MappedView> view) {
  napi_value buffer = nullptr, bytes = nullptr;
  const size_t size = view->size;
  uint8_t* const data = view->data;
  const bool mapped = view->mapped;
  auto pin = std::make_shared<ViewPin>(env, connection, std::move(view));
  auto* hint = new std::shared_ptr<ViewPin>(pin);
  if (napi_create_external_arraybuffer(env, data, size, let_go, hint, &buffer) != napi_ok) {
    delete hint;
    return cannot(env);
  }
  if (!pin->watch(buffer) ||
      napi_create_typedarray(env, napi_uint8_array, size, buffer, 0, &bytes) != napi_ok)
    return cannot(env);
  napi_value object =
      make_wrapped(env, Environment::of(env)->view_class, new ViewHandle(std::move(pin)));
  if (object == nullptr) return nullptr;
  napi_value is_mapped = nullptr;
  napi_get_boolean(env, mapped, &is_mapped);
  napi_set_named_property(env, object, "bytes", bytes);
  napi_set_named_property(env, object, "mapped", is_mapped);
  return object;
}

void ViewHandle::define(napi_env env, Environment& environment) {
  const napi_property_descriptor methods[] = {raw_method("end", method<ViewHandle, end_method>)};
  environment.view_class = define_class(env, "NativeView", bare_constructor, methods);
}

// viewRegion(number, offset, length, snapshot): a view
napi_value view_region(napi_env env, PoolHandle& self, const napi_value* arguments) {
  const std::shared_ptr<Connection>& connection = self.connection;
  SnapshotPtr snapshot;
  Status status = connection->closed()
                      ? connection->closed_status()
                      : SnapshotHandle::read(env, arguments[3], *connection, &snapshot);
  if (!status.is_ok()) return throw_status(env, status);
  auto view =
      connection->pool().view_region(uint32_of(env, arguments[0]), whole_number(env, arguments[1]),
                                     whole_number(env, arguments[2]), snapshot);
  if (!view.is_ok()) return throw_status(env, view.status());
  return ViewHandle::make(env, connection, std::move(*view));
}

// viewValue(keyspace, key, snapshot): a view, or undefined when there is no such key
napi_value view_value(napi_env env, PoolHandle& self, const napi_value* arguments) {
  const std::shared_ptr<Connection>& connection = self.connection;
  SnapshotPtr snapshot;
  KeyBytes key;
  Status status = connection->closed() ? connection->closed_status()
                                       : key.set(env, uint32_of(env, arguments[0]), arguments[1]);
  if (status.is_ok()) status = SnapshotHandle::read(env, arguments[2], *connection, &snapshot);
  if (!status.is_ok()) return throw_status(env, status);
  auto view = connection->pool().view_value(key.bytes(), snapshot);
  if (!view.is_ok()) return throw_status(env, view.status());
  if (*view == nullptr) return nullptr;
  return ViewHandle::make(env, connection, std::move(*view));
}

}  // namespace holdfast::binding
