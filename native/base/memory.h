// Is there memory for as much as this? Asked before a container is made that large, since it would
// throw where nothing catches. The answer holds for a moment only: another thread may take the
// memory first. Then the process ends, as if it were killed.
#pragma once

#include <cstddef>
#include <new>

namespace holdfast {

inline bool has_memory_for(size_t bytes) {
  void* const taken = ::operator new(bytes, std::nothrow);
  ::operator delete(taken);
  return taken != nullptr;
}

}  // namespace holdfast
