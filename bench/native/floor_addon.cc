// What libpmem and libpmemobj take when they are called from JavaScript, through an addon that does
// nothing else; only the benchmark builds and loads it.
//
//   openRaw(path, bytes)            a ring on persistent memory, its pages touched; returns a
//                                   handle
//   rawPut(handle, value)           non-temporal copy + one fence: nothing can be quicker
//   openTx(path, bytes, keys)       a libpmemobj pool with room for so many keys; returns a handle
//   txPut(handle, key, value)       one libpmemobj transaction: allocate, copy key and value,
//                                   change a pointer, free the old one
//   close(handle)
//
// The keys of a pool are found through a hash table in memory, as a program that uses libpmemobj
// for a key-value store would do to be quick; what is timed beside the transaction is one look-up
// there. A handle may be used until it is closed, by one thread.
#include <libpmem.h>
#include <libpmemobj.h>
#include <node_api.h>

#include <cstring>
#include <string>
#include <unordered_map>

namespace {

struct Handle {
  char* ring = nullptr;
  size_t ring_bytes = 0, at = 0;
  PMEMobjpool* pool = nullptr;
  PMEMoid* slots = nullptr;
  uint64_t keys = 0;
  std::unordered_map<std::string, uint64_t> slot_of;
  std::string key;

  void close() {
    if (ring != nullptr) pmem_unmap(ring, ring_bytes);
    if (pool != nullptr) pmemobj_close(pool);
    ring = nullptr;
    pool = nullptr;
  }
};

struct Stored {
  uint32_t key_bytes, value_bytes;
};

template <size_t kCount>
struct Arguments {
  napi_value values[kCount] = {};

  Arguments(napi_env env, napi_callback_info info) {
    size_t count = kCount;
    napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
  }
  Handle* handle(napi_env env) const {
    void* found = nullptr;
    napi_get_value_external(env, values[0], &found);
    return static_cast<Handle*>(found);
  }
  std::string text(napi_env env, size_t at) const {
    size_t size = 0;
    napi_get_value_string_utf8(env, values[at], nullptr, 0, &size);
    std::string out(size, '\0');
    napi_get_value_string_utf8(env, values[at], out.data(), size + 1, &size);
    return out;
  }
  uint64_t number(napi_env env, size_t at) const {
    int64_t value = 0;
    napi_get_value_int64(env, values[at], &value);
    return static_cast<uint64_t>(value);
  }
};

napi_value fail(napi_env env, const char* what) {
  napi_throw_error(env, nullptr, what);
  return nullptr;
}

napi_value external(napi_env env, Handle* handle) {
  napi_value out;
  const auto release = [](napi_env, void* data, void*) {
    static_cast<Handle*>(data)->close();
    delete static_cast<Handle*>(data);
  };
  napi_create_external(env, handle, release, nullptr, &out);
  return out;
}

napi_value open_raw(napi_env env, napi_callback_info info) {
  const Arguments<2> given(env, info);
  auto* handle = new Handle;
  int is_pmem = 0;
  handle->ring =
      static_cast<char*>(pmem_map_file(given.text(env, 0).c_str(), given.number(env, 1),
                                       PMEM_FILE_CREATE, 0600, &handle->ring_bytes, &is_pmem));
  if (handle->ring == nullptr || !is_pmem) {
    delete handle;
    return fail(env, "cannot map a file as persistent memory here");
  }
  std::memset(handle->ring, 0, handle->ring_bytes);
  return external(env, handle);
}

napi_value raw_put(napi_env env, napi_callback_info info) {
  const Arguments<2> given(env, info);
  Handle* handle = given.handle(env);
  void* bytes = nullptr;
  size_t size = 0;
  napi_get_buffer_info(env, given.values[1], &bytes, &size);
  if (handle->at + size > handle->ring_bytes) handle->at = 0;
  pmem_memcpy(handle->ring + handle->at, bytes, size, PMEM_F_MEM_NONTEMPORAL | PMEM_F_MEM_NODRAIN);
  pmem_drain();
  handle->at += (size + 127) / 64 * 64;
  return nullptr;
}

napi_value open_tx(napi_env env, napi_callback_info info) {
  const Arguments<3> given(env, info);
  auto* handle = new Handle;
  handle->keys = given.number(env, 2);
  handle->pool = pmemobj_create(given.text(env, 0).c_str(), "bench", given.number(env, 1), 0600);
  if (handle->pool == nullptr) {
    delete handle;
    return fail(env, pmemobj_errormsg());
  }
  handle->slots = static_cast<PMEMoid*>(
      pmemobj_direct(pmemobj_root(handle->pool, handle->keys * sizeof(PMEMoid))));
  return external(env, handle);
}

napi_value tx_put(napi_env env, napi_callback_info info) {
  const Arguments<3> given(env, info);
  Handle* handle = given.handle(env);
  char key[256];
  size_t key_bytes = 0, value_bytes = 0;
  void* value = nullptr;
  napi_get_value_string_utf8(env, given.values[1], key, sizeof key, &key_bytes);
  napi_get_buffer_info(env, given.values[2], &value, &value_bytes);
  handle->key.assign(key, key_bytes);
  const uint64_t at =
      handle->slot_of.try_emplace(handle->key, handle->slot_of.size()).first->second;
  if (at >= handle->keys) return fail(env, "more keys than were asked for");
  PMEMoid* slot = &handle->slots[at];
  if (pmemobj_tx_begin(handle->pool, nullptr, TX_PARAM_NONE) != 0)
    return fail(env, pmemobj_errormsg());
  const PMEMoid made =
      pmemobj_tx_xalloc(sizeof(Stored) + key_bytes + value_bytes, 1, POBJ_XALLOC_NO_ABORT);
  if (OID_IS_NULL(made)) {
    pmemobj_tx_abort(ENOMEM);
    pmemobj_tx_end();
    return fail(env, "the libpmemobj pool is full");
  }
  auto* stored = static_cast<Stored*>(pmemobj_direct(made));
  *stored = {static_cast<uint32_t>(key_bytes), static_cast<uint32_t>(value_bytes)};
  std::memcpy(stored + 1, key, key_bytes);
  std::memcpy(reinterpret_cast<char*>(stored + 1) + key_bytes, value, value_bytes);
  pmemobj_tx_add_range_direct(slot, sizeof *slot);
  if (!OID_IS_NULL(*slot)) pmemobj_tx_free(*slot);
  *slot = made;
  pmemobj_tx_commit();
  pmemobj_tx_end();
  return nullptr;
}

napi_value close_handle(napi_env env, napi_callback_info info) {
  Arguments<1>(env, info).handle(env)->close();
  return nullptr;
}

}  // namespace

NAPI_MODULE_INIT() {
  const napi_property_descriptor functions[] = {
      {"openRaw", nullptr, open_raw, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"rawPut", nullptr, raw_put, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"openTx", nullptr, open_tx, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"txPut", nullptr, tx_put, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"close", nullptr, close_handle, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
  };
  napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions);
  return exports;
}
