// Reads a backup from bytes that come in pieces of any size; verifies every block before anything
// of it is passed on.
//
// Threads: one at a time. Trusts nothing: lengths are bounded, kinds and order are checked, and
// what is not exactly a backup is kNotABackup (its beginning) or kCorrupt (anything behind).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "format/backup.h"

namespace holdfast {

// What is done with what a backup holds, in its order. An error ends the reading.
class BackupSink {
 public:
  virtual ~BackupSink() = default;
  virtual Status begin(const BackupBegin&) { return {}; }
  virtual Status entries(uint64_t) { return {}; }
  virtual Status commit(uint64_t, uint64_t) { return {}; }
  virtual Status put(Bytes, Bytes) { return {}; }
  virtual Status remove(Bytes) { return {}; }
  // As the operations of the log, in order.
  virtual Status region(OperationType, Bytes, Bytes) { return {}; }
  virtual Status large_begin(Bytes, uint64_t) { return {}; }
  virtual Status large_bytes(Bytes) { return {}; }
  virtual Status large_end() { return {}; }
  virtual Status end(const BackupEnd&) { return {}; }
};

class BackupReader {
 public:
  BackupReader(BackupSink& sink, std::string name) : sink_(sink), name_(std::move(name)) {}
  Status write(Bytes bytes);
  Status finish();  // no more bytes come: kCorrupt unless the end block was the last

  bool begun() const { return index_ > 0; }
  bool ended() const { return ended_; }
  uint64_t taken() const { return taken_; }  // bytes of whole blocks
  uint64_t chain() const { return chain_; }
  uint32_t index() const { return index_; }
  bool between_items() const { return large_left_ == 0; }

 private:
  Status block(const BlockHeader& header, Bytes payload);
  Status items(Bytes payload);
  Status damaged(const std::string& why) const;

  BackupSink& sink_;
  const std::string name_;
  std::string pending_;  // of a block that is not whole yet
  uint64_t chain_ = 0, taken_ = 0, large_left_ = 0;
  uint32_t index_ = 0;
  bool ended_ = false;
};

// How far an interrupted backup came.
struct BackupProgress {
  bool begun = false;
  BackupBegin head;
  BackupEnd totals;         // so far; all of it where `ended`
  bool ended = false;       // it is whole: nothing is to be gone on with
  uint64_t good_bytes = 0;  // what lies behind is cut off
  uint64_t chain = 0;
  uint32_t index = 0;
  bool in_commits = false;  // the entries are complete; the commits before `reached` are there, and
                            // some of that one
  uint64_t first_epoch = 0;  // of the first entries: commits are needed from there on
  uint64_t reached = 0;
  std::string last_key;  // entries up to this key are there
};

class BackupScan {
 public:
  explicit BackupScan(const std::string& name);
  ~BackupScan();
  BackupScan(const BackupScan&) = delete;
  // Never fails for what an interruption leaves: reading simply ends there. kNotABackup where it
  // does not begin as one.
  Status write(Bytes bytes);
  const BackupProgress& progress() const { return good_; }

 private:
  class Sink;
  std::unique_ptr<Sink> sink_;
  std::unique_ptr<BackupReader> reader_;
  BackupProgress good_;
  bool over_ = false;
};

}  // namespace holdfast
