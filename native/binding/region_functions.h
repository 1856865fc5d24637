// The functions of pools and batches that are of regions; see region_functions.cc. JavaScript
// thread only.
#pragma once

#include "binding/handles.h"

namespace holdfast::binding {

// In catalogue.cc: the number of a region; makes the region when there is none and a size is given.
// kNotFound, kInvalidArgument (it has another size).
Result<uint32_t> region_number(Pool& pool, const std::string& name, std::optional<uint64_t> size);

napi_value region_number_of(napi_env env, PoolHandle& self, const napi_value* arguments);
napi_value region_size(napi_env env, PoolHandle& self, const napi_value* arguments);
napi_value region_data_from(napi_env env, PoolHandle& self, const napi_value* arguments);
napi_value region_read(napi_env env, PoolHandle& self, const napi_value* arguments);
napi_value regions(napi_env env, PoolHandle& self, const napi_value* arguments);

// In view_handle.cc.
napi_value view_region(napi_env env, PoolHandle& self, const napi_value* arguments);
napi_value view_value(napi_env env, PoolHandle& self, const napi_value* arguments);

napi_value batch_region_write(napi_env env, BatchHandle& self, const napi_value* arguments);
napi_value batch_region_size(napi_env env, BatchHandle& self, const napi_value* arguments);
template <Status (Batch::*Add)(uint32_t, uint64_t, uint64_t)>
napi_value batch_cell(napi_env env, BatchHandle& self, const napi_value* arguments);
napi_value batch_sum(napi_env env, BatchHandle& self, const napi_value* arguments);

}  // namespace holdfast::binding
