// One opened pool of one environment: its share of the engine pool, its asynchronous commits, and
// what it has pinned.
//
// JavaScript thread only, except the inbox (the engine's committer thread fills it) and end() (a
// libuv thread, when the pool is closed asynchronously). Commits of one environment happen in the
// order in which they were made: a synchronous commit first lets the asynchronous ones before it go
// through.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <unordered_set>
#include <vector>

#include "binding/environment.h"
#include "binding/registry.h"
#include "engine/pool.h"

namespace holdfast::binding {

// Completions on their way to JavaScript. Any thread. Outlives the environment if it has to.
class Inbox {
 public:
  explicit Inbox(std::shared_ptr<Mailbox> mailbox) : mailbox_(std::move(mailbox)) {}

  void expect_one();
  void deliver(std::vector<Completion>&& completions);
  // At most `at_most` of what has arrived, in order, appended to `to`.
  void take(size_t at_most, std::vector<Completion>* to);
  // Until every expected completion has arrived.
  void wait_until_all_arrived();
  bool all_arrived();
  bool empty();

 private:
  std::shared_ptr<Mailbox> mailbox_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Completion> waiting_;  // guarded by mutex_; those before next_ are taken
  size_t next_ = 0;
  uint64_t outstanding_ = 0;
};

// Something that keeps the pool's bytes in place (a snapshot, a range) and must let go when its
// pool is closed.
class Pin {
 public:
  virtual ~Pin() = default;
  virtual void drop() = 0;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Environment* environment, std::shared_ptr<Registry::Entry> entry);
  ~Connection();

  // Of all connections this process ever makes, none has the same number.
  const uint64_t number;
  // Is the connection of that number of this process still open? Any thread. One whose thread was
  // terminated no longer is.
  static bool lives(uint64_t number);

  // Not once it is closed(): finish_end() lets go of it.
  Pool& pool() { return *pool_; }
  // JavaScript thread of that environment only.
  Environment& environment() { return *environment_; }
  const std::shared_ptr<Pool>& shared_pool() { return pool_; }
  bool closed() const { return closed_.load(std::memory_order_relaxed); }
  Status closed_status() const;

  Result<Receipt> commit(Batch& batch, CommitMode mode);
  uint64_t submit(Batch&& batch, CommitMode mode);
  void flush();
  Inbox& inbox() { return *inbox_; }
  // Keeps the process alive exactly while commits are on their way.
  void hold_while_pending();

  // A batch that single operations use again and again.
  Batch& scratch() { return scratch_; }

  void pin(Pin* pin) { pins_.insert(pin); }
  void unpin(Pin* pin) { pins_.erase(pin); }

  // Work on other threads (check, fold, …); end() waits for it. True: go on. False: the pool is
  // closed.
  bool begin_work();
  void finish_work();

  // JavaScript thread: refuses new work and drops the pins. False when that was done before.
  bool begin_end();
  // Any thread, after begin_end(): completes what waits and lets go of the engine pool.
  Status finish_end();
  // Both; or waits for whoever began before. At the environment's end, and in closeSync().
  Status end();

 private:
  Environment* environment_;
  std::shared_ptr<Registry::Entry> entry_;
  std::shared_ptr<Pool> pool_;
  std::shared_ptr<Inbox> inbox_;
  std::shared_ptr<void> client_;
  Batch scratch_;
  std::unordered_set<Pin*> pins_;
  bool held_ = false;
  bool submitted_since_flush_ = false;
  std::atomic<bool> closed_{false};
  std::mutex work_mutex_;
  std::condition_variable work_done_;
  size_t work_ = 0;     // guarded by work_mutex_
  bool ended_ = false;  // guarded by work_mutex_
};

}  // namespace holdfast::binding
