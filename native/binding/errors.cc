#include "binding/errors.h"

#include "binding/environment.h"

namespace holdfast::binding {

namespace {

napi_value string_of(napi_env env, const char* text, size_t size) {
  napi_value value = nullptr;
  napi_create_string_utf8(env, text, size, &value);
  return value;
}

}  // namespace

napi_value error_of(napi_env env, const Status& status) {
  const char* name = code_name(status.code());
  napi_value arguments[3] = {string_of(env, name, NAPI_AUTO_LENGTH),
                             string_of(env, status.message().data(), status.message().size()),
                             nullptr};
  napi_create_int32(env, status.system_errno(), &arguments[2]);
  Environment* environment = Environment::of(env);
  if (environment != nullptr && !environment->make_error().IsEmpty()) {
    napi_value receiver, error = nullptr;
    napi_get_undefined(env, &receiver);
    if (napi_call_function(env, receiver, environment->make_error().Value(), 3, arguments,
                           &error) == napi_ok) {
      return error;
    }
  }
  napi_value error = nullptr;
  napi_create_error(env, arguments[0], arguments[1], &error);
  return error;
}

napi_value throw_status(napi_env env, const Status& status) {
  napi_value error = error_of(env, status);
  // In an environment that is being terminated there is nobody left to throw to, and no error
  // object either.
  if (error != nullptr) napi_throw(env, error);
  return nullptr;
}

}  // namespace holdfast::binding
