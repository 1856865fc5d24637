// Memory for libpmemobj's own bookkeeping: 11 MiB in 10,000 pieces for each open pool. From malloc,
// each of its 2,900 pages costs a fault of its own, which is most of what pmemobj_open takes. Here
// it is one piece whose pages are taken all at once: 62 faults in place of 2,900.
//
// One piece in a process, enough for one open pool; further pools have theirs from malloc. Copies
// of this code in one process (two versions of the package) share libpmemobj, and a copy could not
// take back what another has given: the first that opens a pool gives. Freed blocks are used again
// by size, so that opening and closing again and again takes no more of it. Threads: any; one lock,
// held for nanoseconds.
#pragma once

namespace holdfast {

// Before the first other call of libpmemobj; once, further calls do nothing. Without room for the
// piece: malloc as ever.
void give_libpmemobj_memory();

}  // namespace holdfast
