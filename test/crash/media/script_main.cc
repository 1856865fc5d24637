// crash_script <pmem|file> <pool> <script> <seed> [recover]: runs one script on a pool and tells a
// preloaded tracer what it has begun and what was acknowledged. With "recover" it opens a pool that
// a crash left, puts one more commit and closes it: the crash states of recovery itself are made
// from that.
//
// Exit code 0: all steps were done. Without a tracer the marks go nowhere.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>

#include "crash/media/script.h"
#include "crash/media/trace_format.h"
#include "engine/copies/backup.h"

namespace holdfast::crash {
namespace {

void mark(MarkKind kind, uint64_t number) {
  if (holdfast_trace_mark) holdfast_trace_mark(static_cast<uint64_t>(kind), number);
}

[[noreturn]] void die(const char* what, const Status& status) {
  std::fprintf(stderr, "crash_script: %s: %s\n", what, status.message().c_str());
  std::exit(1);
}

Batch batch_of(const Step& step) {
  Batch batch;
  for (const Change& change : step.changes) {
    Status added;
    if (!is_region_key(change.key)) {
      added = change.removed ? batch.remove(change.key) : batch.put(change.key, change.value);
    } else if (change.key == size_key()) {
      added = batch.region_size(1, std::stoull(change.value), "region");
    } else {
      const uint64_t slot = std::stoull(change.key.substr(change.key.find('-') + 1));
      added = batch.region_write(1, slot * kSlotBytes, change.value);
    }
    if (!added.is_ok()) die("batch", added);
  }
  return batch;
}

class Runner {
 public:
  Runner(const Script& script, std::string path) : script_(script), path_(std::move(path)) {}

  void run() {
    for (size_t i = 0; i < script_.steps.size(); i++) {
      if (script_.steps[i].kind == StepKind::kGroup)
        i = group(i);
      else if (script_.steps[i].kind == StepKind::kBackup)
        i = backup(i);
      else
        step(script_.steps[i]);
    }
  }

 private:
  void step(const Step& step) {
    switch (step.kind) {
      case StepKind::kFocus:
        return mark(MarkKind::kFocus, 1);
      case StepKind::kOpen:
        return open();
      case StepKind::kCommit:
        return commit(step, CommitMode::kDurable);
      case StepKind::kEventual:
        return commit(step, CommitMode::kEventual);
      case StepKind::kSettle:
        return acknowledge(pool_->settle(), "settle");
      case StepKind::kFold:
        return must(pool_->fold(), "fold");
      case StepKind::kCompact:
        return must(pool_->compact(), "compact");
      case StepKind::kResize:
        return must(pool_->resize(step.bytes), "resize");
      case StepKind::kClose:
        acknowledge(pool_->close(), "close");
        pool_.reset();
        return;
      case StepKind::kPause:
        std::this_thread::sleep_for(std::chrono::milliseconds(450));
        return;
      case StepKind::kGroup:
      case StepKind::kBackup:
        return;
    }
  }

  void open() {
    mark(MarkKind::kBegun, begun_);
    auto pool = Pool::open(path_, options_of(script_, path_));
    if (!pool.is_ok()) die("open", pool.status());
    pool_ = *pool;
    mark(MarkKind::kAcked, begun_);
  }

  void commit(const Step& step, CommitMode mode) {
    Batch batch = batch_of(step);
    mark(MarkKind::kBegun, ++begun_);
    auto receipt = pool_->commit(batch, mode);
    if (!receipt.is_ok()) die("commit", receipt.status());
    if (mode == CommitMode::kDurable) mark(MarkKind::kAcked, begun_);
  }

  // Completions run on the committer thread, so the acknowledgement is marked there, where a user
  // would hear of it.
  size_t group(size_t from) {
    std::mutex mutex;
    std::condition_variable changed;
    const uint64_t before = begun_;
    uint64_t completed = before;
    auto client = pool_->attach([&](std::vector<Completion>&& done) {
      for (const Completion& each : done) {
        if (!each.status.is_ok()) die("group", each.status);
      }
      const std::lock_guard guard(mutex);
      completed += done.size();
      mark(MarkKind::kAcked, completed);
      changed.notify_all();
    });
    size_t i = from;
    for (; i < script_.steps.size() && script_.steps[i].kind == StepKind::kGroup; i++) {
      mark(MarkKind::kBegun, ++begun_);
      pool_->submit(client, batch_of(script_.steps[i]), CommitMode::kDurable);
    }
    pool_->flush(client);
    std::unique_lock guard(mutex);
    changed.wait(guard, [&] { return completed == begun_; });
    return i - 1;
  }

  // Where the blocks go is the caller's affair (lib/backup.ts); what the pool does for them is not
  // to be seen in it.
  size_t backup(size_t from) {
    BackupOptions options;
    auto running = Backup::begin(pool_, options);
    if (!running.is_ok()) die("backup", running.status());
    size_t i = from + 1;
    for (bool more = true; more;) {
      std::string block;
      auto next = (*running)->next(&block);
      if (!next.is_ok()) die("backup", next.status());
      more = *next;
      if (i < script_.steps.size() && script_.steps[i].kind == StepKind::kEventual)
        commit(script_.steps[i++], CommitMode::kEventual);
    }
    return i - 1;
  }

  void must(const Status& status, const char* what) {
    if (!status.is_ok()) die(what, status);
  }
  void acknowledge(const Status& status, const char* what) {
    must(status, what);
    mark(MarkKind::kAcked, begun_);
  }

  const Script& script_;
  const std::string path_;
  std::shared_ptr<Pool> pool_;
  uint64_t begun_ = 0;
};

// State 0 is what the crash had left, state 1 that and one commit more.
int recover(const Script& script, const std::string& path) {
  mark(MarkKind::kFocus, 1);
  auto pool = Pool::open(path, options_of(script));
  if (!pool.is_ok()) die("open", pool.status());
  mark(MarkKind::kAcked, 0);
  Batch batch;
  const Change change = change_after_crash();
  Status added = batch.put(change.key, change.value);
  if (!added.is_ok()) die("batch", added);
  mark(MarkKind::kBegun, 1);
  auto receipt = (*pool)->commit(batch, CommitMode::kDurable);
  if (!receipt.is_ok()) die("commit", receipt.status());
  mark(MarkKind::kAcked, 1);
  Status closed = (*pool)->close();
  if (!closed.is_ok()) die("close", closed);
  return 0;
}

}  // namespace
}  // namespace holdfast::crash

int main(int count, char** arguments) {
  using namespace holdfast;
  if (count < 5) {
    std::fprintf(stderr, "usage: crash_script <pmem|file> <pool> <script> <seed> [recover]\n");
    return 2;
  }
  const MediumChoice medium =
      std::strcmp(arguments[1], "pmem") == 0 ? MediumChoice::kPmem : MediumChoice::kFile;
  const crash::Script script =
      crash::make_script(arguments[3], medium, std::strtoull(arguments[4], nullptr, 10));
  if (script.steps.empty()) {
    std::fprintf(stderr, "crash_script: there is no script %s\n", arguments[3]);
    return 2;
  }
  if (count > 5) return crash::recover(script, arguments[2]);
  crash::Runner(script, arguments[2]).run();
  return 0;
}
