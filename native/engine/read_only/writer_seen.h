// The writer of a pool as one sees it who reads in another process: whether it lives, how far it
// has made the pool durable, and that it knows of us.
//
// The writer is never waited for but once, when it has to take notice of the first reader, and
// where a reader that had no pin comes while regions are placed, or while a writer opens the pool.
//
// One thread at a time; table() any, once it is open. Nothing of the pool is written; what a crash
// leaves in the table the next who takes a place in it clears away (medium/readers_table.h).
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "engine/pool.h"
#include "format/fold.h"
#include "medium/readers_table.h"
#include "medium/reading_medium.h"

namespace holdfast {

class WriterSeen {
 public:
  // What there is to know at one moment.
  struct Moment {
    uint64_t attachments = 0, durable = 0;
    bool lives = false, failed = false;
    bool operator==(const Moment&) const = default;
  };

  WriterSeen(const std::string& path, const PoolOptions& options)
      : path_(path), options_(options) {}

  // Maps the pool's file and finds, or makes, the table. As open_medium().
  Status begin();
  // Returns when it is known that no writer lives, or that the one that does looks at our table.
  // kLocked: it can't be followed from here (says why).
  Status meet();
  Moment look() const;
  Result<RootWords> read_root() const;
  // With a published pin, before the root is read. kLocked: it takes too long.
  Status wait_while_placing() const;
  Status wait_for_recovery() const;

  const std::shared_ptr<PoolBytes>& bytes() const { return bytes_; }
  const std::shared_ptr<ReadersTable>& table() const { return table_; }
  uint64_t incarnation() const { return incarnation_; }

 private:
  Status meet_without_table();

  const std::string& path_;
  const PoolOptions& options_;
  std::shared_ptr<PoolBytes> bytes_;
  std::shared_ptr<ReadersTable> table_;  // null where none can be made
  uint64_t incarnation_ = 0;             // without a table: of the root as it was when nobody wrote
};

}  // namespace holdfast
