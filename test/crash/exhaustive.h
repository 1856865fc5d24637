// Short scripts, crashed at every call of the medium, with every subset of what was pending there
// as far as a bound allows.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "world.h"

namespace holdfast::crash {

struct Coverage {
  std::string failure;  // empty: every state was recovered right
  uint64_t crash_points = 0;
  uint64_t fully = 0;   // points at which every subset was tried
  uint64_t states = 0;  // recovered and compared
};

size_t script_count();
std::string script_name(size_t script);  // with the medium it runs on
Coverage try_script(size_t script);

}  // namespace holdfast::crash
