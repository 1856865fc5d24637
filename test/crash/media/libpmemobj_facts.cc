#include "crash/media/libpmemobj_facts.h"

#ifdef HOLDFAST_WITH_PMEM
#include <libpmemobj.h>
#endif

namespace holdfast::crash {
namespace {

void set_views([[maybe_unused]] int on) {
#ifdef HOLDFAST_WITH_PMEM
  pmemobj_ctl_set(nullptr, "copy_on_write.at_open", &on);
#endif
}

}  // namespace

OpensViews::OpensViews() { set_views(1); }
OpensViews::~OpensViews() { set_views(0); }

}  // namespace holdfast::crash
