// Tells the processor that a loop waits for another thread.
#pragma once

namespace holdfast {

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace holdfast
