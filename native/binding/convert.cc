#include "binding/convert.h"

#include <string>

namespace holdfast::binding {

namespace {

// U+FFFD in UTF-8: what Node-API writes in place of a lone surrogate. It may also be meant, so its sight only makes us
// look.
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

bool has_lone_surrogate(napi_env env, napi_value value) {
  size_t size = 0;
  if (napi_get_value_string_utf16(env, value, nullptr, 0, &size) != napi_ok) return false;
  std::u16string text(size + 1, u'\0');
  if (napi_get_value_string_utf16(env, value, text.data(), size + 1, &size) != napi_ok) return false;
  for (size_t i = 0; i < size; ++i) {
    if (text[i] < 0xD800 || text[i] > 0xDFFF) continue;
    const bool pair = text[i] <= 0xDBFF && i + 1 < size && text[i + 1] >= 0xDC00 && text[i + 1] <= 0xDFFF;
    if (!pair) return true;
    ++i;
  }
  return false;
}

Status check_well_formed(napi_env env, napi_value value, Bytes utf8, const char* what) {
  if (utf8.find(kReplacement) == Bytes::npos || !has_lone_surrogate(env, value)) return Status::ok();
  return Status(Code::kInvalidArgument, std::string("The ") + what +
                                            " has a lone surrogate, which UTF-8 cannot say; pass it as bytes");
}

Status key_size(size_t size) {
  if (size == 0) return Status(Code::kKeySize, "The key is empty; a key has 1 to 1024 bytes");
  return Status(Code::kKeySize, "The key has more than 1024 bytes; use a shorter one, or a hash of it");
}

}  // namespace

bool uint8_array(napi_env env, napi_value value, uint8_t** data, size_t* size) {
  napi_typedarray_type type;
  void* memory = nullptr;
  if (napi_get_typedarray_info(env, value, &type, size, &memory, nullptr, nullptr) != napi_ok) return false;
  if (type != napi_uint8_array && type != napi_uint8_clamped_array) return false;
  *data = static_cast<uint8_t*>(memory);
  return true;
}

Status KeyBytes::set(napi_env env, uint32_t keyspace, napi_value key) {
  store(buffer_, __builtin_bswap32(keyspace));
  char* to = buffer_ + kKeyspacePrefixBytes;
  const size_t room = sizeof buffer_ - kKeyspacePrefixBytes;
  const napi_status status = napi_get_value_string_utf8(env, key, to, room, &size_);
  if (status == napi_ok) {
    if (size_ == 0 || size_ > kMaxUserKeyBytes) return key_size(size_);
    return check_well_formed(env, key, Bytes(to, size_), "key");
  }
  uint8_t* data = nullptr;
  size_t size = 0;
  if (status != napi_string_expected || !uint8_array(env, key, &data, &size)) {
    return Status(Code::kInvalidArgument,
                  "The key must be what the keyspace's key codec encodes to: a string or a Uint8Array");
  }
  if (size == 0 || size > kMaxUserKeyBytes) return key_size(size);
  std::memcpy(to, data, size);
  size_ = size;
  return Status::ok();
}

Status ValueBytes::set(napi_env env, napi_value value) {
  size_t size = 0;
  const napi_status status = napi_get_value_string_utf8(env, value, buffer_, sizeof buffer_, &size);
  if (status == napi_ok) {
    // A string is cut at a whole character: if four more bytes would have fitted, nothing was cut.
    if (size + 4 >= sizeof buffer_) return set_long_string(env, value);
    bytes_ = Bytes(buffer_, size);
    return check_well_formed(env, value, bytes_, "value");
  }
  uint8_t* data = nullptr;
  if (status != napi_string_expected || !uint8_array(env, value, &data, &size)) {
    return Status(Code::kInvalidArgument,
                  "The value must be what the keyspace's value codec encodes to: a string or a Uint8Array");
  }
  bytes_ = bytes_of(data, size);
  return Status::ok();
}

Status ValueBytes::set_long_string(napi_env env, napi_value value) {
  size_t size = 0;
  napi_get_value_string_utf8(env, value, nullptr, 0, &size);
  heap_.reset(new (std::nothrow) char[size + 1]);
  if (heap_ == nullptr) return Status(Code::kNoMemory, "No memory for a value of " + std::to_string(size) + " bytes");
  napi_get_value_string_utf8(env, value, heap_.get(), size + 1, &size);
  bytes_ = Bytes(heap_.get(), size);
  return check_well_formed(env, value, bytes_, "value");
}

napi_value array_buffer(napi_env env, std::unique_ptr<std::string> bytes) {
  napi_value result = nullptr;
  std::string* raw = bytes.get();
  const auto free = [](napi_env, void*, void* data) { delete static_cast<std::string*>(data); };
  if (napi_create_external_arraybuffer(env, raw->data(), raw->size(), free, raw, &result) != napi_ok) return nullptr;
  (void)bytes.release();
  return result;
}

std::string keyspace_prefix(uint32_t keyspace) {
  char bytes[kKeyspacePrefixBytes];
  store(bytes, __builtin_bswap32(keyspace));
  return std::string(bytes, sizeof bytes);
}

}  // namespace holdfast::binding
