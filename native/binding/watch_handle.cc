#include "binding/watch_handle.h"

#include "base/memory.h"
#include "binding/convert.h"
#include "binding/errors.h"

namespace holdfast::binding {

namespace {

constexpr uint64_t kFeedBatchBytes = 256 * 1024;  // of the log, looked at for one batch

template <typename T>
void append(std::string* to, T value) {
  to->append(reinterpret_cast<const char*>(&value), sizeof value);
}

Status no_memory(uint64_t bytes) {
  return Status(Code::kNoMemory, "No memory for a change of " + std::to_string(bytes) + " bytes");
}

Status pack(FeedCursor& cursor, const FeedCommit& commit, std::string* to) {
  append(to, static_cast<double>(commit.epoch));
  append(to, static_cast<double>(commit.time_ms));
  append(to, static_cast<uint32_t>(commit.changes.size()));
  append(to, uint32_t{0});
  for (const FeedChange& change : commit.changes) {
    append(to, __builtin_bswap32(load<uint32_t>(change.key.data())));
    append(to, static_cast<uint32_t>(change.key.size() - kKeyspacePrefixBytes));
    const bool bare =
        change.type == OperationType::kDelete || change.type == OperationType::kRegionSize;
    append(to, bare ? -1.0 : static_cast<double>(change.value_bytes));
    to->append(change.key.substr(kKeyspacePrefixBytes));
    if (!bare && change.type != OperationType::kPutLarge) to->append(change.value);
    if (change.type != OperationType::kPutLarge) continue;
    // Twice while it grows.
    if (!has_memory_for(2 * (to->size() + change.value_bytes)))
      return no_memory(change.value_bytes);
    HOLDFAST_TRY(cursor.read_large(change, [&](const uint8_t* bytes, size_t size) {
      to->append(reinterpret_cast<const char*>(bytes), size);
      return Status();
    }));
  }
  return {};
}

}  // namespace

Watch::Watch(Environment* environment, std::unique_ptr<FeedCursor> cursor)
    : environment_(environment), mailbox_(environment->mailbox()), cursor_(std::move(cursor)) {}

bool Watch::wake(bool closing) {
  auto batch = std::make_unique<std::string>(sizeof(double), '\0');
  const auto empty = [&] { return batch->size() == sizeof(double); };
  Status status;
  {
    std::lock_guard guard(mutex_);
    if (!cursor_) return false;  // end() has answered
    if (!closing) {
      while (empty() && cursor_->behind()) {
        auto given = cursor_->next(kFeedBatchBytes, [&](const FeedCommit& commit) {
          const size_t before = batch->size();
          Status packed = pack(*cursor_, commit, batch.get());
          if (!packed.is_ok()) batch->resize(before);
          return packed;
        });
        if (given.is_ok()) continue;
        status = std::move(given.status());
        break;
      }
      if (empty() && status.is_ok()) return true;  // nothing yet
      if (status.code() == Code::kFailed)
        batch->resize(
            sizeof(double));  // the last of it may be zeros in place of a page that failed
      if (!empty()) status = Status();  // what went wrong behind it is met again by the next batch
      store(reinterpret_cast<uint8_t*>(batch->data()), static_cast<double>(cursor_->reached()));
    }
  }
  if (empty()) batch.reset();
  if (status.code() == Code::kClosed) status = Status();  // the end, not an error
  answer(std::move(batch), std::move(status));
  return false;
}

void Watch::answer(std::unique_ptr<std::string> batch, Status status) {
  struct Letter {
    std::unique_ptr<std::string> batch;
    Status status;
  };
  auto letter = std::make_shared<Letter>(Letter{std::move(batch), std::move(status)});
  mailbox_->post([self = shared_from_this(), letter](napi_env env) {
    self->settle(env, std::move(letter->batch), letter->status);
  });
}

void Watch::settle(napi_env env, std::unique_ptr<std::string> batch, const Status& status) {
  if (waiting_ == nullptr) return;  // ended meanwhile
  const napi_deferred deferred = std::exchange(waiting_, nullptr);
  environment_->let_go();
  if (!status.is_ok()) {
    const napi_value error = error_of(env, status);
    if (error != nullptr) napi_reject_deferred(env, deferred, error);
    return;
  }
  napi_value value = nullptr;
  if (batch) value = array_buffer(env, std::move(batch));
  if (value == nullptr && napi_get_undefined(env, &value) != napi_ok) return;
  napi_resolve_deferred(env, deferred, value);
}

napi_value Watch::next(napi_env env, Pool& pool) {
  if (waiting_ != nullptr) {
    return throw_status(
        env, Status(Code::kInvalidArgument, "A batch of this watch is on its way already"));
  }
  napi_value promise = nullptr;
  if (napi_create_promise(env, &waiting_, &promise) != napi_ok) return nullptr;  // being terminated
  environment_->hold();
  Status added = pool.watch(shared_from_this());
  if (!added.is_ok()) answer(nullptr, std::move(added));
  return promise;
}

// The feed's thread may be reading this very moment; a batch is short.
void Watch::end() {
  {
    std::lock_guard guard(mutex_);
    cursor_.reset();
  }
  if (waiting_ != nullptr) answer(nullptr, Status());
}

WatchHandle::WatchHandle(std::shared_ptr<Connection> connection, std::shared_ptr<Watch> watch)
    : connection_(std::move(connection)), watch_(std::move(watch)) {
  connection_->pin(this);
}

WatchHandle::~WatchHandle() { close(); }

void WatchHandle::drop() {
  if (watch_ == nullptr) return;
  watch_->end();
  watch_.reset();
}

void WatchHandle::close() {
  if (watch_ == nullptr) return;
  connection_->unpin(this);
  drop();
}

napi_value WatchHandle::make(napi_env env, const std::shared_ptr<Connection>& connection,
                             std::unique_ptr<FeedCursor> cursor) {
  Environment* environment = Environment::of(env);
  auto watch = std::make_shared<Watch>(environment, std::move(cursor));
  return make_wrapped(env, environment->watch_class, new WatchHandle(connection, std::move(watch)));
}

// next(): a promise of an ArrayBuffer; of undefined at the end.
napi_value WatchHandle::next(napi_env env, WatchHandle& self, const napi_value*) {
  if (self.watch_ == nullptr) return nullptr;
  return self.watch_->next(env, self.connection_->pool());
}

napi_value WatchHandle::close_method(napi_env, WatchHandle& self, const napi_value*) {
  self.close();
  return nullptr;
}

void WatchHandle::define(napi_env env, Environment& environment) {
  const napi_property_descriptor methods[] = {
      raw_method("next", method<WatchHandle, &WatchHandle::next>),
      raw_method("close", method<WatchHandle, &WatchHandle::close_method>),
  };
  environment.watch_class = define_class(env, "NativeWatch", bare_constructor, methods);
}

}  // namespace holdfast::binding
