// A pool on a simulated disk beside the model of what it must hold: every operation is done on
// both, and every answer of the pool is compared. Crashes and faults come from the disk.
//
// Each operation returns false once a property is violated; failure() says which. One thread, but
// for the work it hands to the two others. After a crash or a failure of the pool (broken())
// operations may still be called: they are refused, as they must be.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../seeded_random.h"
#include "base/test_hooks.h"
#include "engine/pool.h"
#include "feed_watch.h"
#include "medium/simulated_medium.h"
#include "model.h"
#include "other_thread.h"

namespace holdfast::crash {

struct Geometry {
  SimulatedOptions disk;
  PoolOptions pool;
};

struct Condition {
  enum Kind { kAbsent, kPresent, kEqual } kind;
  std::string key;
  Value value;
};

struct Transaction {
  Changes changes;
  std::vector<Condition> conditions;
  CommitMode mode = CommitMode::kDurable;
};

// What was done, for the summary.
struct Tally {
  uint64_t commits = 0, crashes = 0, faults = 0, opens = 0, refused_full = 0, folds = 0,
           cleaned = 0, merges = 0, interleaved = 0;
  void add(const Tally& other);
};

class World {
 public:
  World(const Geometry& geometry, uint64_t seed, bool trace);
  // The world after a crash of another one, which stays as it is. Not opened yet.
  World(const World& before, std::shared_ptr<SimulatedDisk> disk);
  ~World();
  World(const World&) = delete;

  // ── operations
  bool open();  // after construction and after close(); a crash or fault may strike
  bool commit(const Transaction& transaction);
  bool delete_while_full();  // one key, durable: there must be room for that
  bool commit_group(const std::vector<Transaction>& transactions);
  bool settle();
  bool fold();
  bool compact();
  bool maintain(bool idle);
  bool close();  // leaves the disk to be opened again
  bool take_snapshot();
  bool drop_snapshot(size_t which);  // compares it first
  bool compare_state(const SnapshotPtr& snapshot, const State& expected);
  bool compare_state() { return compare_state(nullptr, model_.latest()); }
  bool compare_range(const std::string& low, const std::string& high, bool reverse, uint64_t limit);
  bool compare_key(const std::string& key);
  bool check();  // no damage; what is held is what is referred to; optionally exact
  bool
  check_exact();  // after compact() without snapshots: nothing waits, live bytes are what lives

  // ── the end of a process
  enum class End {
    kPowerCut,
    kKilled,
    kFirstAtomLost
  };  // the last: a power cut that spares all but the lowest pending atom
  // Ends the process, opens again (crashing inside recovery as `crash_in` says, one per attempt)
  // and compares.
  bool recover(End end, const std::vector<uint64_t>& crash_in);
  // The pool has failed (no crash): close it and open the same disk again.
  bool reopen_failed();

  // From now on (before the first open()) a reader of the change feed goes along; it reads some
  // with each feed_step().
  void follow_feed(uint64_t seed, bool forgetful) {
    feed_ = std::make_unique<FeedWatch>(seed, forgetful);
  }
  bool feed_step(bool to_the_end);
  bool compare_history();
  // In the middle of folds, merges and moves `between` is called on a third thread.
  void set_between(std::function<void(TestPoint)> between) { between_ = std::move(between); }
  // Maintenance, folds and closing are done by the second thread from now on.
  void use_second_thread(bool on) { second_ = on; }

  bool broken() const;  // crashed or failed: only recover() or reopen_failed() help
  bool crashed() const { return disk_->crashed(); }
  SimulatedDisk& disk() { return *disk_; }
  std::vector<uint32_t> pending_choices() const { return disk_->pending_choices(); }
  std::shared_ptr<SimulatedDisk> disk_for_crash(const std::vector<uint32_t>& choices) const {
    return disk_->crash_choosing(choices);
  }
  void claim_durable() { (void)claim(); }  // before a crash that is made by hand
  Model& model() { return model_; }
  size_t snapshots() const { return snapshots_.size(); }
  void fault_expected() {
    fault_armed_ = true;
    tally_.faults++;
  }
  void note_interleaved() { tally_.interleaved++; }
  bool was_full() const {
    return was_full_;
  }  // the last commit was refused for want of room, in the pool or on its disk
  const std::string& failure() const { return failure_; }
  bool fail(const std::string& what);
  void trace(const std::string& line);
  uint64_t digest() const { return digest_; }
  const Tally& tally() const { return tally_; }

 private:
  bool holds(const std::vector<Condition>& conditions) const;
  bool account(const Transaction& transaction, const Status& status, uint64_t epoch,
               const char* what);
  bool acceptable(const Status& status, const char* what);
  bool expect_open_state();
  void end_process();
  bool read_all(const SnapshotPtr& snapshot, State* out, Status* status);
  bool read_regions(const SnapshotPtr& snapshot, State* out, Status* status);
  void note(uint64_t word);
  void apart(const std::function<void()>& work);  // on the second thread, if so wished
  bool claim();                                   // what the pool says is durable must be

  const Geometry geometry_;
  Random random_;
  const bool trace_;
  std::shared_ptr<SimulatedDisk> disk_;
  std::shared_ptr<Pool> pool_;
  std::shared_ptr<void> client_;
  std::vector<Completion> completions_;
  Model model_;
  std::vector<std::pair<SnapshotPtr, State>> snapshots_;
  std::unique_ptr<FeedWatch> feed_;
  std::function<void(TestPoint)> between_;
  std::unique_ptr<OtherThread> second_thread_, third_thread_;
  bool second_ = false, in_group_ = false, in_commit_ = false, fault_armed_ = false,
       in_between_ = false, was_full_ = false, compacted_ = false;
  std::string failure_;
  uint64_t digest_ = 0;
  Tally tally_;
};

}  // namespace holdfast::crash
