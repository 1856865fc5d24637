// Finds and verifies the front of a pool on persistent memory from plain bytes, before libpmemobj
// sees the file: libpmemobj trusts what it finds, and dies or hangs on a damaged or shortened pool.
// Any thread, no state.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"
#include "format/pmem_layout.h"
#include "medium/medium.h"
#include "medium/pool_parts.h"
#include "medium/superblock.h"

namespace holdfast {

struct PmemFront {
  uint64_t offset = 0;  // of the front in the pool
  Superblock superblock;
  ChosenRoot root;
  bool closed = false;  // the last owner closed the pool
  bool grows = false;   // takes its file's space as it is needed
};

// `head`: the first kPmemFrontSearchBytes of the pool, or fewer: then what is behind is not found.
// `pool_bytes`: its size now. kNotAPool; kNewerFormat; kCorrupt: damaged, or longer or shorter than
// it was made. The root is left out: a crash inside set_root may have left both slots half written,
// until libpmemobj opens the pool and undoes that.
Result<PmemFront> find_pmem_front(Bytes head, uint64_t pool_bytes, const std::string& where);

// The same, reading as little as will do: a few pages where libpmemobj's root object says that the
// front is, else all that is to be searched. `read(offset, bytes)` gives what the pool holds there,
// or less at its end.
using ReadPool = std::function<Result<std::string>(uint64_t offset, uint64_t bytes)>;
Result<PmemFront> find_pmem_front(const ReadPool& read, uint64_t pool_bytes,
                                  const std::string& where);

// The same for a front whose place is known (`bytes` are the kPmemFrontBytes at `offset`), and its
// root as well.
Result<PmemFront> verify_pmem_front(Bytes bytes, uint64_t offset, uint64_t pool_bytes,
                                    const std::string& where);

// The mark at the beginning of each part but the first.
PmemPartMark make_part_mark(const Superblock& superblock, uint64_t number, uint64_t parts,
                            uint64_t offset, uint64_t bytes);
// kCorrupt, naming the part: another file lies where it should, or the parts are in another order.
Status check_part_marks(const PoolParts& pool, const Superblock& superblock,
                        const std::string& where);

// The bytes of a new front: superblocks and root slots in place, the marks set.
std::string make_pmem_front(const Superblock& superblock, const Root& root, bool grows);

}  // namespace holdfast
