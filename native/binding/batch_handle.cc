// The batch JavaScript fills: put, delete and the conditions, copied as they come.
#include "binding/convert.h"
#include "binding/handles.h"
#include "binding/region_functions.h"

namespace holdfast::binding {

namespace {

napi_value construct(napi_env env, napi_callback_info info) {
  napi_value receiver = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, &receiver, nullptr);
  wrap(env, receiver, new BatchHandle());
  return receiver;
}

template <Status (Batch::*Add)(Bytes)>
napi_value add_key(napi_env env, BatchHandle& self, const napi_value* arguments) {
  KeyBytes key;
  Status status = key.set(env, uint32_of(env, arguments[0]), arguments[1]);
  if (status.is_ok()) status = (self.batch.*Add)(key.bytes());
  return status.is_ok() ? nullptr : throw_status(env, status);
}

template <Status (Batch::*Add)(Bytes, Bytes)>
napi_value add_entry(napi_env env, BatchHandle& self, const napi_value* arguments) {
  KeyBytes key;
  ValueBytes value;
  Status status = key.set(env, uint32_of(env, arguments[0]), arguments[1]);
  if (status.is_ok()) status = value.set(env, arguments[2]);
  if (status.is_ok()) status = (self.batch.*Add)(key.bytes(), value.bytes());
  return status.is_ok() ? nullptr : throw_status(env, status);
}

// putNew(keyspace, key, value): that the key is absent, and the change that puts it.
napi_value put_new(napi_env env, BatchHandle& self, const napi_value* arguments) {
  KeyBytes key;
  ValueBytes value;
  Status status = key.set(env, uint32_of(env, arguments[0]), arguments[1]);
  if (status.is_ok()) status = value.set(env, arguments[2]);
  if (status.is_ok()) status = self.batch.require_absent(key.bytes());
  if (status.is_ok()) status = self.batch.put(key.bytes(), value.bytes());
  return status.is_ok() ? nullptr : throw_status(env, status);
}

// As a bigint: numbers of JavaScript do not hold 64 bits.
napi_value digest(napi_env env, BatchHandle& self, const napi_value*) {
  napi_value result = nullptr;
  napi_create_bigint_uint64(env, self.batch.digest(), &result);
  return result;
}

napi_value clear(napi_env, BatchHandle& self, const napi_value*) {
  self.batch.clear();
  return nullptr;
}

}  // namespace

void BatchHandle::define(napi_env env, Environment& environment) {
  const napi_property_descriptor methods[] = {
      raw_method("put", method<BatchHandle, add_entry<&Batch::put>>),
      raw_method("putNew", method<BatchHandle, put_new>),
      raw_method("delete", method<BatchHandle, add_key<&Batch::remove>>),
      raw_method("requireAbsent", method<BatchHandle, add_key<&Batch::require_absent>>),
      raw_method("requirePresent", method<BatchHandle, add_key<&Batch::require_present>>),
      raw_method("requireEqual", method<BatchHandle, add_entry<&Batch::require_equal>>),
      raw_method("regionWrite", method<BatchHandle, batch_region_write>),
      raw_method("regionSize", method<BatchHandle, batch_region_size>),
      raw_method("regionAdd", method<BatchHandle, batch_cell<&Batch::region_add>>),
      raw_method("requireCell", method<BatchHandle, batch_cell<&Batch::require_cell>>),
      raw_method("sum", method<BatchHandle, batch_sum>),
      raw_method("digest", method<BatchHandle, digest>),
      raw_method("clear", method<BatchHandle, clear>),
  };
  environment.batch_class = define_class(env, "NativeBatch", construct, methods);
}

}  // namespace holdfast::binding
