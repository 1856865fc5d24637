#include "binding/connection.h"

#include <iterator>

namespace holdfast::binding {

namespace {

// The inbox whose owner is inside flush() on this thread. What completes meanwhile the owner takes
// at once; waking the event loop for it would be waste. Completions of others that happen to be
// delivered here wake theirs as always.
thread_local const Inbox* being_flushed = nullptr;

// The open connections of this process. Never destroyed: at exit threads may still be inside it.
struct Living {
  std::mutex mutex;
  std::unordered_set<uint64_t> numbers;
  uint64_t newest = 0;

  static Living& process() {
    static Living* const living = new Living();
    return *living;
  }
  uint64_t begin() {
    std::lock_guard lock(mutex);
    numbers.insert(++newest);
    return newest;
  }
  void end(uint64_t number) {
    std::lock_guard lock(mutex);
    numbers.erase(number);
  }
};

}  // namespace

void Inbox::expect_one() {
  std::lock_guard lock(mutex_);
  ++outstanding_;
}

void Inbox::deliver(std::vector<Completion>&& completions) {
  {
    std::lock_guard lock(mutex_);
    outstanding_ -= completions.size();
    waiting_.insert(waiting_.end(), std::make_move_iterator(completions.begin()),
                    std::make_move_iterator(completions.end()));
    if (outstanding_ == 0) arrived_.notify_all();
  }
  if (being_flushed != this) mailbox_->wake();
}

void Inbox::take(size_t at_most, std::vector<Completion>* to) {
  std::lock_guard lock(mutex_);
  while (at_most-- > 0 && next_ < waiting_.size()) to->push_back(std::move(waiting_[next_++]));
  if (next_ == waiting_.size()) waiting_.clear(), next_ = 0;
}

void Inbox::wait_until_all_arrived() {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [this] { return outstanding_ == 0; });
}

bool Inbox::all_arrived() {
  std::lock_guard lock(mutex_);
  return outstanding_ == 0;
}

bool Inbox::empty() {
  std::lock_guard lock(mutex_);
  return outstanding_ == 0 && waiting_.empty();
}

Connection::Connection(Environment* environment, std::shared_ptr<Registry::Entry> entry)
    : number(Living::process().begin()),
      environment_(environment),
      entry_(std::move(entry)),
      pool_(Registry::pool_of(entry_)),
      inbox_(std::make_shared<Inbox>(environment->mailbox())) {
  // The inbox, not the connection, is what the committer thread knows: it may deliver after the
  // environment has ended.
  client_ = pool_->attach([inbox = inbox_](std::vector<Completion>&& completions) {
    inbox->deliver(std::move(completions));
  });
}

Connection::~Connection() { Living::process().end(number); }

bool Connection::lives(uint64_t number) {
  Living& living = Living::process();
  std::lock_guard lock(living.mutex);
  return living.numbers.contains(number);
}

Status Connection::closed_status() const {
  return Status(Code::kClosed, "The pool has been closed; open it again to go on");
}

Result<Receipt> Connection::commit(Batch& batch, CommitMode mode) {
  if (closed()) return closed_status();
  if (held_ || submitted_since_flush_) {
    flush();
    inbox_->wait_until_all_arrived();
  }
  return pool_->commit(batch, mode);
}

uint64_t Connection::submit(Batch&& batch, CommitMode mode) {
  inbox_->expect_one();
  submitted_since_flush_ = true;
  return pool_->submit(client_, std::move(batch), mode);
}

void Connection::flush() {
  if (!submitted_since_flush_) return;
  submitted_since_flush_ = false;
  being_flushed = inbox_.get();
  pool_->flush(client_);
  being_flushed = nullptr;
}

void Connection::hold_while_pending() {
  const bool pending = !inbox_->empty();
  if (pending == held_) return;
  held_ = pending;
  if (pending)
    environment_->hold();
  else
    environment_->let_go();
}

bool Connection::begin_work() {
  std::lock_guard lock(work_mutex_);
  if (closed()) return false;
  ++work_;
  return true;
}

void Connection::finish_work() {
  std::lock_guard lock(work_mutex_);
  if (--work_ == 0) work_done_.notify_all();
}

bool Connection::begin_end() {
  {
    std::lock_guard lock(work_mutex_);
    if (closed_.exchange(true)) return false;
  }
  flush();
  const std::unordered_set<Pin*> pins = std::move(pins_);
  pins_.clear();
  for (Pin* pin : pins) pin->drop();
  return true;
}

Status Connection::finish_end() {
  {
    std::unique_lock lock(work_mutex_);
    work_done_.wait(lock, [this] { return work_ == 0; });
  }
  inbox_->wait_until_all_arrived();
  client_.reset();
  Living::process().end(number);  // from here on nothing can be committed through it
  Status released = Registry::process().release(entry_);
  // JavaScript may keep its handle for as long as it likes: memory, mappings and descriptors go
  // now, not when that is collected.
  entry_.reset();
  pool_.reset();
  std::lock_guard lock(work_mutex_);
  ended_ = true;
  work_done_.notify_all();
  return released;
}

Status Connection::end() {
  if (begin_end()) return finish_end();
  std::unique_lock lock(work_mutex_);
  work_done_.wait(lock, [this] { return ended_; });
  return Status::ok();
}

}  // namespace holdfast::binding
