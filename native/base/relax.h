// Tells the processor that a loop waits for another thread.
#pragma once

namespace holdfast {

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");  // as long as a pause takes; a yield takes none
#endif
}

}  // namespace holdfast
