#include "binding/convert.h"

#include <string>

namespace holdfast::binding {

namespace {

// U+FFFD in UTF-8: what Node-API writes in place of a lone surrogate. It may also be meant, so its
// sight only makes us look.
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

bool is_high_surrogate(char16_t unit) { return unit >= 0xD800 && unit < 0xDC00; }
bool is_low_surrogate(char16_t unit) { return unit >= 0xDC00 && unit < 0xE000; }

bool has_lone_surrogate(napi_env env, napi_value value) {
  size_t size = 0;
  if (napi_get_value_string_utf16(env, value, nullptr, 0, &size) != napi_ok) return false;
  std::u16string text(size + 1, u'\0');
  if (napi_get_value_string_utf16(env, value, text.data(), size + 1, &size) != napi_ok)
    return false;
  for (size_t i = 0; i < size; ++i) {
    if (is_low_surrogate(text[i])) return true;
    if (!is_high_surrogate(text[i])) continue;
    if (i + 1 == size || !is_low_surrogate(text[i + 1])) return true;
    ++i;
  }
  return false;
}

Status lone_surrogate(const char* what) {
  return Status(Code::kInvalidArgument,
                std::string("The ") + what +
                    " has a lone surrogate, which UTF-8 cannot say; pass it as bytes");
}

Status check_well_formed(napi_env env, napi_value value, Bytes utf8, const char* what) {
  const bool well_formed =
      utf8.find(kReplacement) == Bytes::npos || !has_lone_surrogate(env, value);
  return well_formed ? Status::ok() : lone_surrogate(what);
}

// So many of the units, counted from the first, are ASCII. They are written as bytes, four at a
// time.
size_t ascii_of(const char16_t* units, size_t size, char* to) {
  size_t at = 0;
  for (; at + 4 <= size; at += 4) {
    const uint64_t four = load<uint64_t>(units + at);
    if ((four & 0xFF80'FF80'FF80'FF80) != 0) break;
    const uint64_t pairs = four | four >> 8;  // in bytes 0 and 1, 4 and 5
    store(to + at, static_cast<uint32_t>((pairs & 0xFFFF) | (pairs >> 16 & 0xFFFF'0000)));
  }
  for (; at < size && units[at] < 0x80; ++at) to[at] = static_cast<char>(units[at]);
  return at;
}

// Of a code point that is no surrogate. The number of bytes, at most 4.
size_t utf8_of(uint32_t point, char* to) {
  const auto rest = [point](int shift) {
    return static_cast<char>(0x80 | (point >> shift & 0x3F));
  };
  if (point < 0x80) {
    to[0] = static_cast<char>(point);
    return 1;
  }
  if (point < 0x800) {
    to[0] = static_cast<char>(0xC0 | point >> 6);
    to[1] = rest(0);
    return 2;
  }
  if (point < 0x10000) {
    to[0] = static_cast<char>(0xE0 | point >> 12);
    to[1] = rest(6);
    to[2] = rest(0);
    return 3;
  }
  to[0] = static_cast<char>(0xF0 | point >> 18);
  to[1] = rest(12);
  to[2] = rest(6);
  to[3] = rest(0);
  return 4;
}

Status key_size(size_t size) {
  if (size == 0) return Status(Code::kKeySize, "The key is empty; a key has 1 to 1024 bytes");
  return Status(Code::kKeySize,
                "The key has more than 1024 bytes; use a shorter one, or a hash of it");
}

}  // namespace

bool uint8_array(napi_env env, napi_value value, uint8_t** data, size_t* size) {
  napi_typedarray_type type;
  void* memory = nullptr;
  if (napi_get_typedarray_info(env, value, &type, size, &memory, nullptr, nullptr) != napi_ok)
    return false;
  if (type != napi_uint8_array && type != napi_uint8_clamped_array) return false;
  *data = static_cast<uint8_t*>(memory);
  return true;
}

// A string is asked for as UTF-16, which V8 copies whole; as UTF-8 it gives it unit by unit, which
// takes twice as long for a key of 17.
Status KeyBytes::set(napi_env env, uint32_t keyspace, napi_value key) {
  constexpr size_t kRoom = kMaxUserKeyBytes + 2;  // a unit is a byte at least: what has too many is
                                                  // seen to have one too many, before a terminator
  store(buffer_, __builtin_bswap32(keyspace));
  char* const to = buffer_ + kKeyspacePrefixBytes;
  char16_t units[kRoom];
  size_t size = 0;
  const napi_status status = napi_get_value_string_utf16(env, key, units, kRoom, &size);
  if (status == napi_ok) {
    if (size == 0 || size > kMaxUserKeyBytes) return key_size(size);
    size_ = ascii_of(units, size, to);
    return size_ == size ? Status::ok()
                         : add_utf8(std::u16string_view(units + size_, size - size_));
  }
  uint8_t* data = nullptr;
  if (status != napi_string_expected || !uint8_array(env, key, &data, &size)) {
    return Status(
        Code::kInvalidArgument,
        "The key must be what the keyspace's key codec encodes to: a string or a Uint8Array");
  }
  if (size == 0 || size > kMaxUserKeyBytes) return key_size(size);
  std::memcpy(to, data, size);
  size_ = size;
  return Status::ok();
}

// Behind what is there already.
Status KeyBytes::add_utf8(std::u16string_view units) {
  char* const to = buffer_ + kKeyspacePrefixBytes;
  for (size_t i = 0; i < units.size(); ++i) {
    const size_t left = units.size() - i;
    const uint32_t point = is_high_surrogate(units[i]) && left > 1 && is_low_surrogate(units[i + 1])
                               ? 0x10000 + ((units[i] - 0xD800u) << 10) + (units[i + 1] - 0xDC00u)
                               : units[i];
    if (point >= 0xD800 && point < 0xE000) return lone_surrogate("key");
    if (point >= 0x10000) ++i;
    size_ += utf8_of(point, to + size_);
    if (size_ > kMaxUserKeyBytes) return key_size(size_);
  }
  return Status::ok();
}

Status ValueBytes::set(napi_env env, napi_value value) {
  uint8_t* data = nullptr;
  size_t size = 0;
  if (uint8_array(env, value, &data, &size)) {
    bytes_ = bytes_of(data, size);
    return Status::ok();
  }
  const napi_status status = napi_get_value_string_utf8(env, value, buffer_, sizeof buffer_, &size);
  if (status != napi_ok) {
    return Status(
        Code::kInvalidArgument,
        "The value must be what the keyspace's value codec encodes to: a string or a Uint8Array");
  }
  // A string is cut at a whole character: if four more bytes would have fitted, nothing was cut.
  if (size + 4 >= sizeof buffer_) return set_long_string(env, value);
  bytes_ = Bytes(buffer_, size);
  return check_well_formed(env, value, bytes_, "value");
}

Status ValueBytes::set_long_string(napi_env env, napi_value value) {
  size_t size = 0;
  napi_get_value_string_utf8(env, value, nullptr, 0, &size);
  heap_.reset(new (std::nothrow) char[size + 1]);
  if (heap_ == nullptr)
    return Status(Code::kNoMemory, "No memory for a value of " + std::to_string(size) + " bytes");
  napi_get_value_string_utf8(env, value, heap_.get(), size + 1, &size);
  bytes_ = Bytes(heap_.get(), size);
  return check_well_formed(env, value, bytes_, "value");
}

napi_value array_buffer(napi_env env, std::unique_ptr<std::string> bytes) {
  napi_value result = nullptr;
  std::string* raw = bytes.get();
  const auto free = [](napi_env, void*, void* data) { delete static_cast<std::string*>(data); };
  if (napi_create_external_arraybuffer(env, raw->data(), raw->size(), free, raw, &result) !=
      napi_ok)
    return nullptr;
  (void)bytes.release();
  return result;
}

std::string keyspace_prefix(uint32_t keyspace) {
  char bytes[kKeyspacePrefixBytes];
  store(bytes, __builtin_bswap32(keyspace));
  return std::string(bytes, sizeof bytes);
}

}  // namespace holdfast::binding
