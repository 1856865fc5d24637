// Natives wrapped in JavaScript objects, and how a method gets at them.
//
// JavaScript thread only. Methods are declared by napi_define_class, so V8 itself checks the
// receiver; an object that comes as an argument is checked by its type tag before it is unwrapped.
#pragma once

#include <cstddef>
#include <memory>

#include "base/status.h"
#include "binding/errors.h"
#include "binding/node_api.h"

namespace holdfast::binding {

// A method of `Self` as Node-API calls it, with as many arguments as any has; absent ones are
// undefined.
//
// A worker may be terminated by another thread while it is in here, and from then on any call may
// fail, unwrapping included.
template <typename Self, napi_value (*Method)(napi_env, Self&, const napi_value*)>
napi_value method(napi_env env, napi_callback_info info) {
  constexpr size_t kMaxArguments = 7;
  size_t count = kMaxArguments;
  napi_value arguments[kMaxArguments];
  napi_value receiver = nullptr;
  void* self = nullptr;
  napi_get_cb_info(env, info, &count, arguments, &receiver, nullptr);
  if (napi_unwrap(env, receiver, &self) != napi_ok || self == nullptr) return nullptr;
  return Method(env, *static_cast<Self*>(self), arguments);
}

// For a function that is bound to its native by its data, and so needs no receiver: unwrapping one
// costs about 25 ns, which only counts where a whole call takes 100.
template <typename Self, size_t N>
struct BoundCall {
  Self* self = nullptr;
  napi_value arguments[N];

  BoundCall(napi_env env, napi_callback_info info) {
    size_t count = N;
    void* data = nullptr;
    napi_get_cb_info(env, info, &count, arguments, nullptr, &data);
    self = static_cast<std::shared_ptr<Self>*>(data)->get();
  }
  napi_value operator[](size_t i) const { return arguments[i]; }
};

// Gives `object` such a function; it shares `self` for as long as it lives.
template <typename Self>
void bind_function(napi_env env, napi_value object, const char* name, napi_callback callback,
                   const std::shared_ptr<Self>& self) {
  auto* data = new std::shared_ptr<Self>(self);
  const auto free = [](napi_env, void* shared, void*) {
    delete static_cast<std::shared_ptr<Self>*>(shared);
  };
  napi_value function = nullptr;
  const bool made =
      napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, data, &function) == napi_ok &&
      napi_add_finalizer(env, function, data, free, nullptr, nullptr) == napi_ok;
  if (made)
    napi_set_named_property(env, object, name, function);
  else
    delete data;  // nobody can have called it
}

// An argument that must be a `T`: null when it is something else.
template <typename T>
T* unwrap_argument(napi_env env, napi_value value) {
  bool ours = false;
  if (napi_check_object_type_tag(env, value, &T::kTag, &ours) != napi_ok || !ours) return nullptr;
  void* data = nullptr;
  if (napi_unwrap(env, value, &data) != napi_ok) return nullptr;
  return static_cast<T*>(data);
}

inline napi_property_descriptor raw_method(const char* name, napi_callback callback) {
  return {name, nullptr, callback, nullptr, nullptr, nullptr, napi_default_method, nullptr};
}

// Wraps `native` in `object`, which owns it from here on; frees it and returns false when that
// cannot be done any more.
template <typename T>
bool wrap(napi_env env, napi_value object, T* native) {
  const auto free = [](napi_env, void* data, void*) { delete static_cast<T*>(data); };
  if (napi_wrap(env, object, native, free, nullptr, nullptr) != napi_ok) {
    delete native;
    return false;
  }
  napi_type_tag_object(env, object, &T::kTag);
  return true;
}

// A class whose objects are made by C++ only or, for Batch, by `new` without arguments.
template <size_t N>
Napi::FunctionReference define_class(napi_env env, const char* name, napi_callback constructor,
                                     const napi_property_descriptor (&methods)[N]) {
  napi_value result = nullptr;
  napi_define_class(env, name, NAPI_AUTO_LENGTH, constructor, nullptr, N, methods, &result);
  return Napi::Persistent(Napi::Function(env, result));
}

// The constructor of classes whose natives are wrapped right after construction.
napi_value bare_constructor(napi_env env, napi_callback_info info);

// A new object of a class, holding `native`.
template <typename T>
napi_value make_wrapped(napi_env env, const Napi::FunctionReference& constructor, T* native) {
  napi_value object = nullptr;
  if (napi_new_instance(env, constructor.Value(), 0, nullptr, &object) != napi_ok) {
    delete native;
    return nullptr;
  }
  return wrap(env, object, native) ? object : nullptr;
}

}  // namespace holdfast::binding
