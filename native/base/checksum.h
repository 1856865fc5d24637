// The 64-bit checksum of everything on the medium: XXH3, from the system's header where it is
// installed, else from our own portable implementation of the published algorithm
// (xxh3_portable.h). Both give the same numbers; a test compares them. No state, any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace holdfast {

// Of `size` bytes.
uint64_t checksum(const void* data, size_t size);
// The same sum, while what is behind the first `skipped` bytes is copied to `to`. What is there
// then counts only where the sum is the right one.
uint64_t checksum_copying(const void* data, size_t size, size_t skipped, uint8_t* to);
// Of `size` bytes, at most 240 of them, bound to a place by `seed`.
uint64_t checksum_seeded(const void* data, size_t size, uint64_t seed);

}  // namespace holdfast
