// A merge under way: several neighbouring runs on their way to become one. See merge.cc. Under
// maintenance_mutex_.
#pragma once

#include <memory>
#include <vector>

#include "engine/index_state.h"

namespace holdfast {

struct MergeWork {
  MergeWork(Medium& medium, uint64_t table_bytes) : builder(medium, table_bytes) {}
  std::vector<RunPtr> inputs;  // newest first
  bool keep_deleted = false;   // there are older runs
  uint64_t bytes = 0;          // of the inputs' nodes
  uint64_t stretch = 0;        // bytes of merged tables that are switched in together
  RunPtr standing;  // what stands in the index for the oldest input: merged tables, then those of
                    // its own that are left
  std::vector<TableRef> merged;  // the first of these two
  size_t passed = 0;             // tables of the oldest input that the cursor is past
  size_t replaced = 0;           // of those, given back already
  std::unique_ptr<Cursor> cursor;
  RunBuilder builder;
};

}  // namespace holdfast
