#include "binding/environment.h"

#include "binding/connection.h"

namespace holdfast::binding {

void Landing::set(napi_env env, napi_value bytes, uint8_t* data, size_t size) {
  napi_ref holds = nullptr;
  if (napi_create_reference(env, bytes, 1, &holds) != napi_ok) return;
  if (holds_ != nullptr) napi_delete_reference(env, holds_);
  holds_ = holds;
  data_ = data;
  size_ = size;
}

void Mailbox::wake_locked() {
  if (woken_ || function_ == nullptr) return;
  woken_ = true;
  napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking);
}

void Mailbox::wake() {
  std::lock_guard lock(mutex_);
  wake_locked();
}

void Mailbox::post(std::function<void(napi_env)> letter) {
  std::lock_guard lock(mutex_);
  if (function_ == nullptr) return;
  letters_.push_back(std::move(letter));
  wake_locked();
}

void Mailbox::shut() {
  ended_ = true;
  std::lock_guard lock(mutex_);
  function_ = nullptr;
  letters_.clear();
}

bool Environment::call(napi_env env, napi_value function, size_t count,
                       const napi_value* arguments) {
  napi_value receiver = nullptr;
  napi_get_undefined(env, &receiver);
  if (napi_call_function(env, receiver, function, count, arguments, nullptr) == napi_ok)
    return true;
  bool thrown = false;
  napi_value error = nullptr;
  if (napi_is_exception_pending(env, &thrown) != napi_ok || !thrown) return false;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
  return true;
}

Environment::Environment(Napi::Env env) : env_(env), mailbox_(std::make_shared<Mailbox>()) {
  napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "holdfast"), 0, 1,
                                  nullptr, nullptr, this, &Environment::on_mail,
                                  &mailbox_->function_);
  napi_unref_threadsafe_function(env, mailbox_->function_);
  // Hooks run last in, first out: this one before the thread-safe function's own, which frees it.
  napi_add_env_cleanup_hook(env, &Environment::on_end, this);
}

Environment::~Environment() {
  // Deleted with the instance data, after on_end; references into a dead environment must not be
  // released one by one.
  make_error_.SuppressDestruct();
  on_wake_.SuppressDestruct();
  pool_class.SuppressDestruct();
  batch_class.SuppressDestruct();
  snapshot_class.SuppressDestruct();
  range_class.SuppressDestruct();
  view_class.SuppressDestruct();
  watch_class.SuppressDestruct();
  backup_class.SuppressDestruct();
  scan_class.SuppressDestruct();
  restore_class.SuppressDestruct();
}

Environment* Environment::of(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return static_cast<Environment*>(data);
}

void Environment::configure(Napi::Function make_error, Napi::Function on_wake) {
  make_error_ = Napi::Persistent(make_error);
  on_wake_ = Napi::Persistent(on_wake);
}

void Environment::hold() {
  if (holders_++ == 0) napi_ref_threadsafe_function(env_, mailbox_->function_);
}

void Environment::let_go() {
  if (--holders_ == 0) napi_unref_threadsafe_function(env_, mailbox_->function_);
}

void Environment::on_mail(napi_env env, napi_value, void* context, void*) {
  if (env == nullptr) return;  // the environment is ending
  Environment* self = static_cast<Environment*>(context);
  std::vector<std::function<void(napi_env)>> letters;
  {
    std::lock_guard lock(self->mailbox_->mutex_);
    self->mailbox_->woken_ = false;
    letters.swap(self->mailbox_->letters_);
  }
  Napi::HandleScope scope(env);
  if (!self->on_wake_.IsEmpty() && !call(env, self->on_wake_.Value(), 0, nullptr))
    self->mailbox_->ended_ = true;
  for (auto& letter : letters) letter(env);
}

void Environment::on_end(void* data) {
  Environment* self = static_cast<Environment*>(data);
  self->mailbox_->shut();
  auto connections = std::move(self->connections_);
  self->connections_.clear();
  // Nobody is left to be told of a failure here; what was acknowledged is behind its barrier
  // already.
  for (const std::shared_ptr<Connection>& connection : connections) (void)connection->end();
}

}  // namespace holdfast::binding
