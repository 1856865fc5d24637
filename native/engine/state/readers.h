// The writer's side of readers in other processes: what it tells them (how far the pool is durable)
// and what it keeps for them.
//
// No table, no cost: a commit asks one pointer. The table is made by the first reader
// (medium/readers_table.h); a writer looks for it when it opens the pool, and a few times a second
// later. Why nothing a reader reads is given away: docs/decisions/0008.
//
// Threads: durable(), announce() and failed() from any; the rest under the owner's locks (the
// engine's maintenance and append locks).
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "format/fold.h"
#include "medium/open_medium.h"
#include "medium/readers_table.h"

namespace holdfast {

class Readers {
 public:
  // Before the pool is recovered. Waits a moment for a reader that is looking
  // whether there is a writer.
  void attach_at_open(const std::string& path, const uint8_t uuid[16], const Medium& medium);
  // Later: has a first reader come, or has the table been replaced? `durable`, `incarnation`: the
  // pool's.
  void look(uint64_t incarnation, const std::atomic<uint64_t>& durable);

  bool attached() const { return table_.load(std::memory_order_acquire) != nullptr; }
  void durable(uint64_t epoch) {
    ReadersTable* table = table_.load(std::memory_order_acquire);
    if (table != nullptr) [[unlikely]]
      table->publish_durable(epoch);
  }
  // Tells them, and then the process (`believe`), without a look in between: a table found there
  // would be told of neither.
  template <typename Believe>
  void announce(uint64_t epoch, Believe&& believe) {
    std::lock_guard guard(announcing_);
    durable(epoch);
    believe();
  }
  void failed();

  // The clock after a tick, and the oldest living pin then; {0, none} without a table.
  struct Pins {
    uint64_t clock = 0, oldest = UINT64_MAX;
  };
  Pins pins();
  // Bytes of regions are about to be rewritten in place. False: somebody reads, so they must not
  // be. True: nobody does, and until end_placing() whoever comes waits (medium/readers_table.h).
  bool begin_placing();
  // The same where it must be: all that read expire first. At once, or when the next one begins.
  void place_even_under_readers();
  void make_way() { make_way_ = true; }
  void end_placing();
  // Takes the oldest pins away (all readers that have that one). False: there was none.
  bool expire_oldest();
  void expire(const ReaderSeen& reader);
  std::vector<ReaderSeen> list() const;
  uint64_t expired() const { return expired_.load(std::memory_order_relaxed); }

  // Nobody is told anything any more. The tables stay mapped until the pool goes: a commit may be
  // looking at one.
  void detach();

 private:
  std::string path_;
  uint8_t uuid_[16] = {};
  DurabilityClass durability_ = DurabilityClass::kProcess;
  bool placing_ = false, make_way_ = false;  // under the append lock, as look()
  std::mutex announcing_;                    // a leaf
  std::atomic<ReadersTable*> table_{nullptr};
  std::vector<std::unique_ptr<ReadersTable>>
      tables_;  // the last one counts; the others may still be in a commit's hand
  std::atomic<uint64_t> expired_{0};
};

}  // namespace holdfast
