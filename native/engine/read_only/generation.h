// One fold of a pool that another process may be writing, with the tail as far as it is known: a
// PoolImpl without threads whose medium maps the file read-only. Its slot in the readers' table
// (medium/readers_table.h) keeps in place what that fold and tail refer to; it goes when the last
// snapshot of the PoolImpl does.
//
// Made and gone on with by one thread at a time; its pool is read by any. Nothing is written.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/pool/pool_impl.h"
#include "engine/read_only/writer_seen.h"
#include "log/tail.h"

namespace holdfast {

// What a stretch of the tail says, with bytes of its own: applied once it is known that it was
// rightly read.
struct TailStretch {
  struct Change {
    std::string key;
    Place place;
    uint64_t epoch;
  };
  struct RegionOperation {
    std::string bytes;
    OperationForm form;
    uint64_t epoch;
  };
  std::vector<Change> changes;
  std::vector<RegionOperation> region_operations;
  std::vector<std::pair<Segment, uint64_t>> linked;  // and their sequences
  uint64_t bytes = 0;
  bool whole = true;
  std::unique_ptr<Tail> tail;  // behind it: in the place of the other once all of it is shown

  void gather(const FrameView& frame);
};

class Generation {
 public:
  // By the fold that `root` names, which was read behind the pin (null: no writer lives). Without
  // its tail yet.
  static Result<std::shared_ptr<Generation>> make(const WriterSeen& writer,
                                                  std::unique_ptr<ReaderPin> pin,
                                                  const RootWords& root, const std::string& path,
                                                  const PoolOptions& options);
  // What follows in the tail, up to `limit`. Nothing is shown of it yet.
  Status read_on(uint64_t limit, TailStretch* found) const;
  // Shows it, all at once: what read_on() found, and nothing else was shown since.
  Status show(TailStretch* found);
  // The pool refuses work, and lets go of its slot.
  static void end(PoolImpl& pool);

  bool expired() const { return medium_->expired(); }
  uint64_t folded_epoch() const { return pool->fold_.block.epoch; }

  std::shared_ptr<PoolImpl> pool;
  RootWords root;
  // A writer died (or its fold failed) while it placed regions: the first walk makes them whole,
  // as recovery does.
  bool torn = false;

 private:
  Status take_fold();

  const ReadingMedium* medium_ = nullptr;
  std::unique_ptr<LogReader> reader_;
  std::unique_ptr<Tail> tail_;
};

}  // namespace holdfast
