// How many bytes two byte arrays have in common, at their beginning or at their end.
//
// For checkpoints: what changed in a typed array is found at the speed at which memory is read.
// JavaScript's own comparison says only that two arrays differ, so finding where takes a dozen
// calls that each look at a part; and a loop over elements is twenty times as slow.
//
// JavaScript thread only; nothing is kept.
#pragma once

#include "binding/node_api.h"

namespace holdfast::binding {

// commonBytes(a, b, fromEnd): a number. Both are Uint8Arrays (a Buffer is one).
napi_value common_bytes(napi_env env, napi_callback_info info);

}  // namespace holdfast::binding
