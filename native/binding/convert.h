// JavaScript values to bytes, without an allocation where the bytes are few.
//
// JavaScript thread only; everything here borrows or lives on the caller's stack. A string becomes
// UTF-8; one with a lone surrogate is refused, because UTF-8 cannot say it and two different
// strings would become the same bytes.
#pragma once

#include <memory>
#include <string_view>
#include <type_traits>

#include "base/bytes.h"
#include "base/status.h"
#include "binding/node_api.h"
#include "engine/pool.h"

namespace holdfast::binding {

// Numbers of keyspaces. 0 is the catalogue of the names and is never handed out.
constexpr uint32_t kCatalogueKeyspace = 0;

// A whole key: the keyspace's number, big-endian, then the user's bytes.
class KeyBytes {
 public:
  // kKeySize when empty or longer than kMaxUserKeyBytes, kInvalidArgument when it is neither string
  // nor Uint8Array.
  Status set(napi_env env, uint32_t keyspace, napi_value key);
  Bytes bytes() const { return Bytes(buffer_, kKeyspacePrefixBytes + size_); }

 private:
  Status add_utf8(std::u16string_view units);
  size_t size_ = 0;
  // Larger than any key by one UTF-8 character.
  char buffer_[kKeyspacePrefixBytes + kMaxUserKeyBytes + 8];
};

// A value: borrowed from a Uint8Array, or a string's UTF-8 in a buffer of its own.
class ValueBytes {
 public:
  Status set(napi_env env, napi_value value);
  Bytes bytes() const { return bytes_; }

 private:
  Status set_long_string(napi_env env, napi_value value);
  Bytes bytes_;
  std::unique_ptr<char[]> heap_;
  char buffer_[2048];
};

// The four bytes all keys of a keyspace begin with.
std::string keyspace_prefix(uint32_t keyspace);

// The memory of a Uint8Array; false when it is something else.
bool uint8_array(napi_env env, napi_value value, uint8_t** data, size_t* size);

// An argument the TypeScript side has already checked; a wrong kind gives the zero value, never
// undefined behaviour.
inline uint32_t uint32_of(napi_env env, napi_value value) {
  uint32_t number = 0;
  napi_get_value_uint32(env, value, &number);
  return number;
}
inline double double_of(napi_env env, napi_value value, double otherwise = 0) {
  napi_get_value_double(env, value, &otherwise);
  return otherwise;
}
inline bool bool_of(napi_env env, napi_value value) {
  bool truth = false;
  napi_get_value_bool(env, value, &truth);
  return truth;
}
// A small whole one is made in its place; of any other V8 first asks whether it is one.
template <typename T>
napi_value number(napi_env env, T value) {
  napi_value result = nullptr;
  if (std::is_integral_v<T> && static_cast<uint64_t>(value) <= INT32_MAX)
    napi_create_uint32(env, static_cast<uint32_t>(value), &result);
  else
    napi_create_double(env, static_cast<double>(value), &result);
  return result;
}

// The memory becomes JavaScript's without being copied.
napi_value array_buffer(napi_env env, std::unique_ptr<std::string> bytes);

}  // namespace holdfast::binding
