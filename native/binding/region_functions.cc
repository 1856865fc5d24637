// What JavaScript calls of regions: their numbers and names, reads, and what a batch writes to
// them.
#include "binding/region_functions.h"

#include "binding/convert.h"

namespace holdfast::binding {

namespace {

// A whole number that the TypeScript side has checked; anything else becomes one that is out of
// every range.
uint64_t uint64_of(napi_env env, napi_value value) {
  const double number = double_of(env, value);
  return number >= 0 && number < 9.1e15 ? static_cast<uint64_t>(number) : UINT64_MAX;
}

Status reading(napi_env env, Connection& connection, napi_value snapshot_value,
               SnapshotPtr* snapshot) {
  if (connection.closed()) return connection.closed_status();
  return SnapshotHandle::read(env, snapshot_value, connection, snapshot);
}

}  // namespace

// regionNumber(name, size or undefined)
napi_value region_number_of(napi_env env, PoolHandle& self, const napi_value* arguments) {
  Connection& connection = *self.connection;
  if (connection.closed()) return throw_status(env, connection.closed_status());
  const std::string name = Napi::String(env, arguments[0]).Utf8Value();
  napi_valuetype type = napi_undefined;
  napi_typeof(env, arguments[1], &type);
  const auto size =
      type == napi_number ? std::optional<uint64_t>(uint64_of(env, arguments[1])) : std::nullopt;
  Result<uint32_t> given = region_number(connection.pool(), name, size);
  if (!given.is_ok()) return throw_status(env, given.status());
  return number(env, *given);
}

// regionSize(number, snapshot)
napi_value region_size(napi_env env, PoolHandle& self, const napi_value* arguments) {
  SnapshotPtr snapshot;
  Status status = reading(env, *self.connection, arguments[1], &snapshot);
  if (!status.is_ok()) return throw_status(env, status);
  Result<RegionInfo> info =
      self.connection->pool().region_info(uint32_of(env, arguments[0]), snapshot);
  if (!info.is_ok()) return throw_status(env, info.status());
  return number(env, info->size);
}

// regionDataFrom(number, offset, snapshot): the first offset from there on that may hold anything
// but zeros; the size if none does
napi_value region_data_from(napi_env env, PoolHandle& self, const napi_value* arguments) {
  SnapshotPtr snapshot;
  Status status = reading(env, *self.connection, arguments[2], &snapshot);
  if (!status.is_ok()) return throw_status(env, status);
  Result<uint64_t> data = self.connection->pool().region_data_from(
      uint32_of(env, arguments[0]), uint64_of(env, arguments[1]), snapshot);
  if (!data.is_ok()) return throw_status(env, data.status());
  return number(env, *data);
}

// regionRead(number, offset, into: Uint8Array, snapshot): fills all of `into`.
napi_value region_read(napi_env env, PoolHandle& self, const napi_value* arguments) {
  SnapshotPtr snapshot;
  Status status = reading(env, *self.connection, arguments[3], &snapshot);
  uint8_t* to = nullptr;
  size_t size = 0;
  if (status.is_ok() && !uint8_array(env, arguments[2], &to, &size)) {
    status =
        Status(Code::kInvalidArgument, "A region's bytes can only be copied into a Uint8Array");
  }
  if (status.is_ok()) {
    status = self.connection->pool().region_read(uint32_of(env, arguments[0]),
                                                 uint64_of(env, arguments[1]), size, to, snapshot);
  }
  return status.is_ok() ? nullptr : throw_status(env, status);
}

// regions(snapshot): [{ name, size, placedBytes }]
napi_value regions(napi_env env, PoolHandle& self, const napi_value* arguments) {
  SnapshotPtr snapshot;
  Status status = reading(env, *self.connection, arguments[0], &snapshot);
  if (!status.is_ok()) return throw_status(env, status);
  Result<std::vector<RegionInfo>> all = self.connection->pool().regions(snapshot);
  if (!all.is_ok()) return throw_status(env, all.status());
  Napi::Array array = Napi::Array::New(env, all->size());
  for (uint32_t i = 0; i < all->size(); ++i) {
    const RegionInfo& info = (*all)[i];
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", info.name);
    object.Set("size", number(env, info.size));
    object.Set("placedBytes", number(env, info.placed_bytes));
    array.Set(i, object);
  }
  return array;
}

// ── batches

// regionWrite(number, offset, bytes)
napi_value batch_region_write(napi_env env, BatchHandle& self, const napi_value* arguments) {
  uint8_t* data = nullptr;
  size_t size = 0;
  Status status = uint8_array(env, arguments[2], &data, &size)
                      ? self.batch.region_write(uint32_of(env, arguments[0]),
                                                uint64_of(env, arguments[1]), bytes_of(data, size))
                      : Status(Code::kInvalidArgument, "Only bytes can be written into a region");
  return status.is_ok() ? nullptr : throw_status(env, status);
}

// regionSize(number, size, name)
napi_value batch_region_size(napi_env env, BatchHandle& self, const napi_value* arguments) {
  const std::string name = Napi::String(env, arguments[2]).Utf8Value();
  Status status =
      self.batch.region_size(uint32_of(env, arguments[0]), uint64_of(env, arguments[1]), name);
  return status.is_ok() ? nullptr : throw_status(env, status);
}

// regionAdd(number, offset, delta: bigint), requireCell(number, offset, expected: bigint)
template <Status (Batch::*Add)(uint32_t, uint64_t, uint64_t)>
napi_value batch_cell(napi_env env, BatchHandle& self, const napi_value* arguments) {
  uint64_t word = 0;
  bool lossless = false;
  Status status =
      napi_get_value_bigint_uint64(env, arguments[2], &word, &lossless) == napi_ok
          ? (self.batch.*Add)(uint32_of(env, arguments[0]), uint64_of(env, arguments[1]), word)
          : Status(Code::kInvalidArgument, "A cell of 64 bits is a bigint");
  self.sums = self.batch.sums();
  return status.is_ok() ? nullptr : throw_status(env, status);
}
template napi_value batch_cell<&Batch::region_add>(napi_env, BatchHandle&, const napi_value*);
template napi_value batch_cell<&Batch::require_cell>(napi_env, BatchHandle&, const napi_value*);

// sum(i): what the i-th addition made of its cell. Only once the commit has succeeded.
napi_value batch_sum(napi_env env, BatchHandle& self, const napi_value* arguments) {
  const uint32_t i = uint32_of(env, arguments[0]);
  napi_value result = nullptr;
  if (self.sums != nullptr && i < self.sums->size())
    napi_create_bigint_uint64(env, (*self.sums)[i], &result);
  return result;
}

}  // namespace holdfast::binding
