// What a Run holds, shared by run.cc and run_check.cc. Any thread; immutable after it was made, but
// for what it remembers.
#pragma once

#include <string>
#include <vector>

#include "index/table_reader.h"

namespace holdfast {

// Finds the table by the heads of the tables' last keys.
class TableFinder {
 public:
  // `tables` stays where it is.
  explicit TableFinder(const std::vector<TableRef>& tables);

  // The number of tables if there is none.
  size_t first_ending_at_or_after(Bytes key) const;

 private:
  const std::vector<TableRef>* tables_;
  Bytes prefix_;  // of all last keys
  size_t prefix_bytes_ = 0;
  std::vector<uint64_t> heads_;
};

struct Run::Impl {
  Impl(const Medium& medium, std::vector<TableRef> the_tables, PlaceMemories* its_memories);
  ~Impl();

  const Medium& medium;
  const std::vector<TableRef> tables;
  const TableFinder finder;
  std::vector<TableReader> readers;  // one per table
  uint64_t entries = 0;
  uint64_t bytes = 0;
  PlaceMemories* const memories;
  std::atomic<PlaceMemory*> memory{nullptr};  // made when there is something to remember
};

}  // namespace holdfast
