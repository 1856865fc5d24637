// The readers' table (format/readers_layout.h), from the writer's side and from the reader's. Who
// may give what back when, and why no reader ever reads what was given away:
// docs/decisions/0008-readers-in-other-processes.md.
//
// The three orders on which all rests, each with a full fence between its steps:
//   reader: publish the pin, then read the root
//   writer: set the root, then look at the pins
//
//   reader: publish the pin, then see that nothing is being placed, then read the root
//   writer: say that regions are being placed, then look at the pins: only if there is none are
//           bytes rewritten in place
//
//   reader: copy bytes, then see that the pin stands
//   writer: take a pin away, then give segments away, or rewrite them
//
// Nothing here is made durable, and a crash of the machine ends all who use it. Threads: any;
// attach, take and the destructor of a table belong to its owner's locks.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"
#include "format/readers_layout.h"
#include "medium/mapping_guard.h"
#include "medium/medium.h"
#include "medium/posix_file.h"

namespace holdfast {

std::string readers_table_path(const std::string& pool_path);

// One reader as the writer sees it.
struct ReaderSeen {
  uint32_t slot = 0;
  uint64_t pin = 0, pid = 0, since_ms = 0, epoch = 0;
  Segment fold;
  uint64_t fold_bytes = 0, fold_checksum = 0;  // 0: it has not read the root yet
  bool consistent = true;  // false: it was stopped in the middle of changing them
};

class ReadersTable {
 public:
  // For a reader: makes the table if there is none, as accessible as the pool's file is.
  // kPermission, kReadOnly, kDiskFull, kIo; kExists: what is there is something else's, and was not
  // touched.
  static Result<std::shared_ptr<ReadersTable>> open_or_make(const std::string& pool_path);
  // For the writer: null where there is none, or none that it can use.
  static std::unique_ptr<ReadersTable> open_if_there(const std::string& pool_path);
  ~ReadersTable();
  ReadersTable(const ReadersTable&) = delete;

  // ── the reader's side
  bool writer_lives() const;  // one that looks at this table
  // May bytes of regions be changing now? Asked after the pin was published; the root is read after
  // it is false.
  bool placing() const { return header_->placing.load() != 0 && writer_lives(); }
  bool lock_as_writer();  // to keep writers from coming for a moment, or for good: see attach
  void unlock_as_writer();
  // A table that is new, another pool's, or older than the pool's newest writer becomes this
  // pool's. Under lock_as_writer.
  void make_sound(const uint8_t uuid[16], uint64_t incarnation);
  bool is_of(const uint8_t uuid[16]) const;
  const ReadersHeader& header() const { return *header_; }

  // ── the writer's side
  // Under lock_as_writer, which is kept. From here on readers believe `durable`. `before`: the
  // incarnation of the root that was found; `incarnation`: the one that this writer will set.
  void attach(const uint8_t uuid[16], uint64_t before, uint64_t incarnation, uint64_t durable,
              DurabilityClass durability);
  void publish_durable(uint64_t epoch);
  void publish_placing(bool under_way) { header_->placing.store(under_way ? 1 : 0); }
  void publish_failure() { header_->failed.store(1, std::memory_order_release); }
  uint64_t
  tick();  // the clock's next value; call it after the root was set, before the pins are looked at
  uint64_t oldest_pin() const;                // of the living; UINT64_MAX: none
  std::vector<ReaderSeen> readers() const;    // the living
  bool is_at(const std::string& path) const;  // still the file of that name, and whole
  void expire(uint32_t slot, uint64_t pin);

 private:
  friend class ReaderPin;
  ReadersTable() = default;
  int map();  // EEXIST: it is no table
  ReaderSlot* slot(uint32_t number) const;
  bool owner_lives(uint32_t number) const;

  PosixFile file_;
  MappingGuard guard_;
  uint8_t* mapped_ = nullptr;
  ReadersHeader* header_ = nullptr;
  std::mutex mutex_;  // guards mine_
  bool mine_[kReaderSlots] =
      {};  // slots held through this table: locks of one open file do not exclude each other
};

// A slot of the table, held until it goes away. Moved to what it is for by `reads`.
class ReaderPin {
 public:
  // kLocked: all slots are taken.
  static Result<std::unique_ptr<ReaderPin>> take(const std::shared_ptr<ReadersTable>& table);
  ~ReaderPin();
  ReaderPin(const ReaderPin&) = delete;

  void reads(const Segment& fold, uint64_t fold_bytes, uint64_t fold_checksum);
  void at(uint64_t epoch);
  // Asked after bytes were copied: false when they may have been given away meanwhile.
  bool stands() const;
  // As the destructor, while others may still ask whether it stands: it does not any more.
  void let_go();

 private:
  ReaderPin(std::shared_ptr<ReadersTable> table, uint32_t number)
      : table_(std::move(table)), number_(number) {}
  const std::shared_ptr<ReadersTable> table_;
  const uint32_t number_;
  uint64_t pin_ = 0;
  std::atomic<bool> gone_{false};
};

}  // namespace holdfast
