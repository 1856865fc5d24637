// The one place where a native failure becomes a JavaScript error.
//
// JavaScript thread only. The error's class is chosen in lib/errors.ts: the factory set by
// configure() is called with (code, message, errno), so that `instanceof` works and the list of
// classes lives in one language only.
#pragma once

#include "base/status.h"
#include "binding/node_api.h"

namespace holdfast::binding {

// The error for a status that is not ok. Never throws; falls back to a plain Error carrying `code`.
napi_value error_of(napi_env env, const Status& status);

// Throws that error and returns null, so that a method may end with `return throw_status(env,
// status)`.
napi_value throw_status(napi_env env, const Status& status);

}  // namespace holdfast::binding
