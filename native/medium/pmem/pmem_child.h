// Lets a child process open a copy-on-write view of a pool before we open it ourselves.
// libpmemobj does not survive damage: of 700 damaged pools it died on 119 and hung on one. What
// dies, hangs or is refused there is kCorrupt here. The child runs recovery, walks, allocates,
// frees and closes; nothing of it reaches the pool.
//
// What this cannot see: damage that libpmemobj steps over without noticing. Our own data has
// checksums for that.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace holdfast {

// The program built beside this addon (or test); empty if it is not there.
std::string pmem_probe_program();

// Longer for larger pools, whose recovery may have more to do.
uint64_t pmem_probe_limit_ms(uint64_t pool_bytes);

// OK: sound. kCorrupt: died of a signal, worked longer than the limit (or waited very much longer),
// or refused. kLocked. kIo: the child could not be run. The limit is on the child's processor time:
// a busy machine does not make a pool look damaged.
Status probe_pool_in_child(const std::string& program, const std::string& path, uint64_t limit_ms);

}  // namespace holdfast
