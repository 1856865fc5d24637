// One view of a file that stays mapped from one opening to the next. A view is a private mapping
// for writing of the whole file, as libpmemobj makes one that opens copy-on-write. To map it anew
// for every state costs a fault for each of its pages that is looked at, most of what opening a
// pool costs; this program's own mmap and munmap, which stand before the C library's, give the same
// one again.
//
// Each opening finds the file's bytes, as in a new mapping: pages that were stored to, which are
// the process's own from then on, are copied from the file when it is given out again. Where the
// kernel does not say which those are, nothing is kept. One view a process, of a file that keeps
// its length; any thread.
#pragma once

#include <cstdint>

namespace holdfast::crash {

// From now on, of this file and no other; `bytes`: where all of it is mapped, shared.
void keep_view_of(int fd, const uint8_t* bytes);
void drop_kept_view();

}  // namespace holdfast::crash
