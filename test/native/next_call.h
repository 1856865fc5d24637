// Behind the system calls that the native tests have in place of libc's (system_faults.cc,
// kernel_pages.cc): the same call of a tracer that is preloaded (test/crash/media), which must see
// it, else libc's.
#pragma once

#include <dlfcn.h>

namespace holdfast::test {

template <typename F>
F next_of(const char* name) {
  return reinterpret_cast<F>(::dlsym(RTLD_NEXT, name));
}

}  // namespace holdfast::test
