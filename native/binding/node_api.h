// node-addon-api, as this addon uses it; the only include of it.
//
// In a worker that is being terminated no JavaScript can run and every call may fail.
// node-addon-api then wants to throw, cannot, and would end the whole process; with this setting it
// returns instead, and the environment ends as it was going to.
#pragma once

#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#include <napi.h>
