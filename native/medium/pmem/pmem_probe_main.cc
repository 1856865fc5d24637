// holdfast_pmem_probe <pool>: opens a copy-on-write view of a pool, lets libpmemobj recover it, and
// uses every part of it that the medium will use. Nothing reaches the pool. Says its verdict as the
// last line on stderr: "sound", "locked" or what libpmemobj said. It may die or hang on a damaged
// pool: that is what it is for. See pmem_child.h.
#include <errno.h>
#include <inttypes.h>
#include <libpmemobj.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "format/pmem_layout.h"
#include "medium/pmem/pmem_footers.h"
#include "medium/pmem/pmem_memory.h"

namespace {

int refuse(const char* what) {
  fprintf(stderr, "%s: %s\n", what, pmemobj_errormsg());
  return 1;
}

// Of a pool set that of its parts together: each has a line with its size and its path (our own
// look at it came before). 0: a device.
uint64_t bytes_of_pool(const char* path) {
  FILE* file = fopen(path, "rb");
  if (file == nullptr) return 0;
  uint64_t bytes = 0, part = 0;
  char line[8192];
  if (fgets(line, sizeof line, file) != nullptr && strncmp(line, "PMEMPOOLSET", 11) == 0) {
    while (fgets(line, sizeof line, file) != nullptr) {
      if (sscanf(line, "%" SCNu64 " /", &part) == 1) bytes += part;
    }
  } else if (fseek(file, 0, SEEK_END) == 0 && ftell(file) > 0) {
    bytes = static_cast<uint64_t>(ftell(file));
  }
  fclose(file);
  return bytes;
}

// A damaged list may have no end, or objects that reach out of the pool.
bool walk(PMEMobjpool* pool, uint64_t pool_bytes) {
  uint64_t objects = 0;
  for (PMEMoid oid = pmemobj_first(pool); !OID_IS_NULL(oid); oid = pmemobj_next(oid)) {
    const uint64_t usable = pmemobj_alloc_usable_size(oid);
    if (oid.off >= pool_bytes || usable > pool_bytes - oid.off) return false;
    if (++objects > pool_bytes / holdfast::kPageBytes) return false;
  }
  return true;
}

bool change_root(PMEMobjpool* pool, PMEMoid root) {
  bool changed = pmemobj_tx_begin(pool, nullptr, TX_PARAM_NONE) == 0;
  if (changed && pmemobj_tx_add_range(root, 0, 64) == 0)
    pmemobj_tx_commit();
  else
    changed = false;
  return pmemobj_tx_end() == 0 && changed;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    fprintf(stderr, "usage: holdfast_pmem_probe <pool>\n");
    return 2;
  }
  // Whoever asked may be killed meanwhile: nobody then needs the answer, but the next one needs the
  // pool's lock.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  holdfast::give_libpmemobj_memory();
  int on = 1;
  if (pmemobj_ctl_set(nullptr, "copy_on_write.at_open", &on) != 0)
    return refuse("cannot ask for copy-on-write");
  PMEMobjpool* pool = pmemobj_open(arguments[1], holdfast::kPmemLayoutName);
  if (pool == nullptr && (errno == EWOULDBLOCK || errno == EAGAIN)) {
    fprintf(stderr, "locked\n");
    return 3;
  }
  if (pool == nullptr) return refuse("open");
  const uint64_t known_bytes = bytes_of_pool(arguments[1]);
  const bool sized = known_bytes != 0;
  const uint64_t pool_bytes = sized ? known_bytes : UINT64_MAX / 2;  // a device: no such bound

  if (pmemobj_root_size(pool) < holdfast::kPmemRootObjectBytes)
    return refuse("the root object is too small");
  const PMEMoid root = pmemobj_root(pool, holdfast::kPmemRootObjectBytes);
  if (OID_IS_NULL(root)) return refuse("root");
  if (!walk(pool, pool_bytes)) {
    fprintf(stderr, "the list of objects is damaged\n");
    return 1;
  }
  if (sized) holdfast::restore_pmem_footers(reinterpret_cast<uint8_t*>(pool), pool_bytes);
  pobj_action action;
  PMEMoid piece =
      pmemobj_reserve(pool, &action, holdfast::kPmemChunkBytes - holdfast::kPmemObjectHeaderBytes,
                      holdfast::kPmemSegmentType);
  if (!OID_IS_NULL(piece)) {
    if (pmemobj_publish(pool, &action, 1) != 0) return refuse("publish");
    pmemobj_free(&piece);
  } else if (errno != ENOMEM) {
    return refuse("reserve");
  }
  if (!change_root(pool, root)) return refuse("transaction");
  pmemobj_close(pool);
  fprintf(stderr, "sound\n");
  return 0;
}
