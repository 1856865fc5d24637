#include "binding/common_bytes.h"

#include <algorithm>
#include <cstring>

#include "binding/convert.h"
#include "binding/errors.h"

namespace holdfast::binding {

namespace {

// Large ones are skipped at memcmp's speed, within the one that differs small ones, then bytes.
// Never past `size`, also when a writer in another thread (of shared memory) makes equal what was
// not.
constexpr size_t kLarge = 1024;
constexpr size_t kSmall = 32;

size_t common_front(const uint8_t* a, const uint8_t* b, size_t size) {
  size_t at = 0;
  for (const size_t step : {kLarge, kSmall, size_t{1}}) {
    while (size - at >= step && std::memcmp(a + at, b + at, step) == 0) at += step;
  }
  return at;
}

size_t common_back(const uint8_t* a_end, const uint8_t* b_end, size_t size) {
  size_t at = 0;
  for (const size_t step : {kLarge, kSmall, size_t{1}}) {
    while (size - at >= step && std::memcmp(a_end - at - step, b_end - at - step, step) == 0)
      at += step;
  }
  return at;
}

}  // namespace

napi_value common_bytes(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value arguments[3];
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  uint8_t *a = nullptr, *b = nullptr;
  size_t a_size = 0, b_size = 0;
  if (!uint8_array(env, arguments[0], &a, &a_size) ||
      !uint8_array(env, arguments[1], &b, &b_size)) {
    return throw_status(env,
                        Status(Code::kInvalidArgument,
                               "What two byte arrays have in common is asked of two Uint8Arrays"));
  }
  const size_t size = std::min(a_size, b_size);
  // Memory that is empty, or detached, may have no address.
  if (size == 0) return number(env, 0);
  const size_t common = bool_of(env, arguments[2]) ? common_back(a + a_size, b + b_size, size)
                                                   : common_front(a, b, size);
  return number(env, common);
}

}  // namespace holdfast::binding
