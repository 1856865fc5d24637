// What JavaScript calls of regions: the catalogue of their names, and reads. Their writes go through batches.
//
// Any number of threads and environments may make regions at once: keyspace 0 maps "r" + name to a number and "d" to the last number
// given out, and both and the region's size are one commit, whose conditions say that nobody was quicker.
#include "binding/region_functions.h"

#include "binding/convert.h"

namespace holdfast::binding {

namespace {

std::string region_key(char kind, Bytes name) {
  std::string key = keyspace_prefix(kCatalogueKeyspace);
  key.push_back(kind);
  return key.append(name);
}

// 0: absent.
Result<uint32_t> number_at(Pool& pool, const std::string& key) {
  Result<Reader> reader = pool.read(nullptr);
  if (!reader.is_ok()) return std::move(reader.status());
  Result<std::optional<FoundValue>> found = reader->find(key);
  if (!found.is_ok()) return std::move(found.status());
  if (!found->has_value()) return 0u;
  uint8_t bytes[sizeof(uint32_t)];
  if ((*found)->size != sizeof bytes) return Status(Code::kCorrupt, "The catalogue of regions has a number of a wrong size");
  HOLDFAST_TRY(reader->copy(**found, bytes));
  return load<uint32_t>(bytes);
}

Status make_region(Pool& pool, const std::string& name, uint64_t size, uint32_t last) {
  const std::string name_key = region_key('r', name), counter_key = region_key('d', {});
  const uint32_t number = last + 1;
  const Bytes next = bytes_of(&number, sizeof number);
  Batch batch;
  HOLDFAST_TRY(batch.require_absent(name_key));
  if (last == 0) HOLDFAST_TRY(batch.require_absent(counter_key));
  else HOLDFAST_TRY(batch.require_equal(counter_key, bytes_of(&last, sizeof last)));
  HOLDFAST_TRY(batch.put(counter_key, next));
  HOLDFAST_TRY(batch.put(name_key, next));
  HOLDFAST_TRY(batch.region_size(number, size, name));
  // Eventual, as new keyspaces are: no durable commit can survive without the commits before it.
  return std::move(pool.commit(batch, CommitMode::kEventual).status());
}

// A whole number that the TypeScript side has checked; anything else becomes one that is out of every range.
uint64_t uint64_of(napi_env env, napi_value value) {
  const double number = double_of(env, value);
  return number >= 0 && number < 9.1e15 ? static_cast<uint64_t>(number) : UINT64_MAX;
}

Status reading(napi_env env, Connection& connection, napi_value snapshot_value, SnapshotPtr* snapshot) {
  if (connection.closed()) return connection.closed_status();
  return SnapshotHandle::read(env, snapshot_value, connection, snapshot);
}

}  // namespace

Result<uint32_t> region_number(Pool& pool, const std::string& name, std::optional<uint64_t> size) {
  for (;;) {
    Result<uint32_t> known = number_at(pool, region_key('r', name));
    if (!known.is_ok()) return known;
    if (*known != 0) {
      if (!size) return known;
      Result<RegionInfo> info = pool.region_info(*known, nullptr);
      if (!info.is_ok() && info.status().code() == Code::kNotFound) continue;  // dropped in this very moment
      if (!info.is_ok()) return std::move(info.status());
      if (info->size == *size) return known;
      return Status(Code::kInvalidArgument, "The region '" + name + "' has " + std::to_string(info->size) + " bytes, not " +
                                                std::to_string(*size) + "; leave size out, or call resize()");
    }
    if (!size) return Status(Code::kNotFound, "There is no region '" + name + "'; give a size to make it");
    Result<uint32_t> last = number_at(pool, region_key('d', {}));
    if (!last.is_ok()) return last;
    Status made = make_region(pool, name, *size, *last);
    if (made.is_ok()) return *last + 1;
    if (made.code() != Code::kConflict) return made;
  }
}

// regionNumber(name, size or undefined)
napi_value region_number_of(napi_env env, PoolHandle& self, const napi_value* arguments) {
  Connection& connection = *self.connection;
  if (connection.closed()) return throw_status(env, connection.closed_status());
  const std::string name = Napi::String(env, arguments[0]).Utf8Value();
  napi_valuetype type = napi_undefined;
  napi_typeof(env, arguments[1], &type);
  const auto size = type == napi_number ? std::optional<uint64_t>(uint64_of(env, arguments[1])) : std::nullopt;
  Result<uint32_t> given = region_number(connection.pool(), name, size);
  if (!given.is_ok()) return throw_status(env, given.status());
  return number(env, *given);
}

// regionSize(number, snapshot)
napi_value region_size(napi_env env, PoolHandle& self, const napi_value* arguments) {
  SnapshotPtr snapshot;
  Status status = reading(env, *self.connection, arguments[1], &snapshot);
  if (!status.is_ok()) return throw_status(env, status);
  Result<RegionInfo> info = self.connection->pool().region_info(uint32_of(env, arguments[0]), snapshot);
  if (!info.is_ok()) return throw_status(env, info.status());
  return number(env, static_cast<double>(info->size));
}

// regionDataFrom(number, offset, snapshot): the first offset from there on that may hold anything but zeros; the size if none does
napi_value region_data_from(napi_env env, PoolHandle& self, const napi_value* arguments) {
  SnapshotPtr snapshot;
  Status status = reading(env, *self.connection, arguments[2], &snapshot);
  if (!status.is_ok()) return throw_status(env, status);
  Result<uint64_t> data = self.connection->pool().region_data_from(uint32_of(env, arguments[0]), uint64_of(env, arguments[1]), snapshot);
  if (!data.is_ok()) return throw_status(env, data.status());
  return number(env, static_cast<double>(*data));
}

// regionRead(number, offset, into: Uint8Array, snapshot): fills all of `into`.
napi_value region_read(napi_env env, PoolHandle& self, const napi_value* arguments) {
  SnapshotPtr snapshot;
  Status status = reading(env, *self.connection, arguments[3], &snapshot);
  uint8_t* to = nullptr;
  size_t size = 0;
  if (status.is_ok() && !uint8_array(env, arguments[2], &to, &size)) {
    status = Status(Code::kInvalidArgument, "A region's bytes can only be copied into a Uint8Array");
  }
  if (status.is_ok()) {
    status = self.connection->pool().region_read(uint32_of(env, arguments[0]), uint64_of(env, arguments[1]), size, to, snapshot);
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
    object.Set("size", number(env, static_cast<double>(info.size)));
    object.Set("placedBytes", number(env, static_cast<double>(info.placed_bytes)));
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
                      ? self.batch.region_write(uint32_of(env, arguments[0]), uint64_of(env, arguments[1]), bytes_of(data, size))
                      : Status(Code::kInvalidArgument, "Only bytes can be written into a region");
  return status.is_ok() ? nullptr : throw_status(env, status);
}

// regionSize(number, size, name)
napi_value batch_region_size(napi_env env, BatchHandle& self, const napi_value* arguments) {
  const std::string name = Napi::String(env, arguments[2]).Utf8Value();
  Status status = self.batch.region_size(uint32_of(env, arguments[0]), uint64_of(env, arguments[1]), name);
  return status.is_ok() ? nullptr : throw_status(env, status);
}

// regionAdd(number, offset, delta: bigint), requireCell(number, offset, expected: bigint)
template <Status (Batch::*Add)(uint32_t, uint64_t, uint64_t)>
napi_value batch_cell(napi_env env, BatchHandle& self, const napi_value* arguments) {
  uint64_t word = 0;
  bool lossless = false;
  Status status = napi_get_value_bigint_uint64(env, arguments[2], &word, &lossless) == napi_ok
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
  if (self.sums != nullptr && i < self.sums->size()) napi_create_bigint_uint64(env, (*self.sums)[i], &result);
  return result;
}

}  // namespace holdfast::binding
