// The page in which this kernel maps memory: 4 KiB on x86-64, 4, 16 or 64 KiB on arm64. What is
// mapped, advised or asked about begins at one. The format's own page is 4 KiB everywhere
// (kPageBytes, format/layout.h). Header only, any thread.
#pragma once

#include <unistd.h>

#include <cstdint>

#include "base/bytes.h"

namespace holdfast {

inline uint64_t system_page_bytes() {
  static const auto bytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

inline bool is_at_system_page(uint64_t at) { return at % system_page_bytes() == 0; }

}  // namespace holdfast
