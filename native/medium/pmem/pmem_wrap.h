// The one place from which our own bytes reach persistent memory. Everything goes through libpmem's
// dynamic symbols, so a preloaded tracer sees every copy, flush and fence. (libpmemobj's own
// metadata goes through the same symbols.)
//
// Threads: any. A fence covers only what its own thread copied or flushed before.
#pragma once

#include <libpmem.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/test_hooks.h"

namespace holdfast {

// Whole lines go round the cache, so one fence is all that is left to do: 100 ns against 170 ns
// with clwb, and never a read of the line. Unaligned ends are stored and flushed. Not durable
// before pmem_fence().
inline void pmem_place(void* to, const void* from, size_t size) {
  if (planted(PlantedBug::kLineNotFlushed)) {
    std::memcpy(to, from, size);
    return;
  }
  pmem_memcpy(to, from, size, PMEM_F_MEM_NONTEMPORAL | PMEM_F_MEM_NODRAIN);
}

inline void pmem_fence() { pmem_drain(); }

// One aligned word, old or new after a crash; durable when it returns.
inline void pmem_store_word(uint64_t* to, uint64_t value) {
  __atomic_store_n(to, value, __ATOMIC_RELAXED);
  pmem_persist(to, sizeof *to);
}

}  // namespace holdfast
