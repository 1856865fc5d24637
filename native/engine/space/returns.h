// Gives back what is dead and needed by nobody any more: neither by the durable fold nor by a
// snapshot nor by a reader in another process. A reader that holds back more than its allowance
// expires.
//
// Under the maintenance lock: nobody else gives back. What a crash leaves of it is free at the next
// open.
#pragma once

#include "engine/state/fold_root.h"
#include "engine/state/index_state.h"
#include "engine/state/log_state.h"
#include "engine/state/readers.h"

namespace holdfast {

class Returns {
 public:
  // `reader_bytes`: the allowance; 0: a quarter of the pool, at least 64 MiB.
  Returns(Medium& medium, LogState& log, IndexState& index, const FoldRoot& fold, Readers& readers,
          uint64_t reader_bytes)
      : medium_(medium),
        log_(log),
        index_(index),
        fold_(fold),
        readers_(readers),
        reader_bytes_(reader_bytes) {}

  void give_back();
  // Takes the oldest reader away that holds something back, and gives that back. False: there is
  // none.
  bool take_from_reader();

 private:
  uint64_t reader_allowance() const;

  Medium& medium_;
  LogState& log_;
  IndexState& index_;
  const FoldRoot& fold_;
  Readers& readers_;
  const uint64_t reader_bytes_;
};

}  // namespace holdfast
