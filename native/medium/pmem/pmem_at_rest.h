// Is libpmemobj's part of a pool at rest: exactly as libpmemobj leaves it when nothing of its own
// is under way? Told from plain bytes, without libpmemobj, which dies or hangs on damage.
//
// At rest means that every field by which libpmemobj finds its way is the only one that it can be:
// the places of lanes and heap, no log that waits to be replayed and none that reaches on into the
// pool, zones that are whole chains of blocks, each used block one of our segments with the header
// it must have, one run which holds the root object and nothing else. What follows: libpmemobj
// opens such a pool, walks, allocates and frees by these fields alone, so it cannot go astray.
//
// A pool that is not at rest is not necessarily damaged: the process may have died inside
// libpmemobj, or another version made it. Then a copy is opened in a child process first
// (pmem_child.h). Reads what libpmemobj will read anyway: the lanes' heads, all chunk headers and
// 16 bytes of each segment; nothing that grows with what is stored in them. Any thread, no state.
#pragma once

#include <string>

#include "medium/pmem/pmem_front.h"

namespace holdfast {

// `front`: as find_pmem_front() found it. Not at rest: says in `why` what is otherwise. False too
// if it cannot be read.
bool pmem_is_at_rest(const ReadPool& read, uint64_t pool_bytes, const PmemFront& front,
                     std::string* why);

}  // namespace holdfast
