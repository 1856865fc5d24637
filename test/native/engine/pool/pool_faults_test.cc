// A pool on a file whose system calls fail: each one of a short script in turn. What was
// acknowledged stays, whatever fails. After a failed write or sync nothing is assumed: the pool
// refuses all work until it is opened again, and then holds the state after some commit between the
// last acknowledged and the last begun. Where the disk is only full, nothing has happened and the
// pool goes on.
#include <doctest/doctest.h>

#include <cerrno>
#include <map>
#include <string>
#include <vector>

#include "engine/pool.h"
#include "native/scratch.h"
#include "native/system_faults.h"

namespace holdfast {
namespace {

using test::Scratch;
using test::SystemCall;
using test::SystemFaults;
using State = std::map<std::string, std::string>;

constexpr int kCommits = 10;
constexpr int kLarge = 4;  // this commit has a large value

std::string key(int i) { return std::string("\0\0\0\1k", 5) + std::to_string(i % 4); }
std::string value(int i) {
  return std::string(i == kLarge ? 2500 * kKiB : 200 + 37 * static_cast<size_t>(i),
                     static_cast<char>('a' + i));
}

std::vector<State> states() {
  std::vector<State> all(1);
  for (int i = 1; i <= kCommits; i++) {
    all.push_back(all.back());
    all.back()[key(i)] = value(i);
  }
  return all;
}

Result<std::shared_ptr<Pool>> open_pool(const std::string& path) {
  PoolOptions options;
  options.medium.choice = MediumChoice::kFile;
  return Pool::open(path, options);
}

Status commit(Pool& pool, int i) {
  Batch batch;
  HOLDFAST_TRY(batch.put(key(i), value(i)));
  auto receipt = pool.commit(batch, CommitMode::kDurable);
  return receipt.is_ok() ? Status() : std::move(receipt.status());
}

State contents(Pool& pool) {
  State out;
  RangeOptions all;
  all.high = std::string(4, '\xff');
  auto range = pool.range(all, nullptr);
  REQUIRE_MESSAGE(range.is_ok(), range.status().message());
  for (;;) {
    auto given = (*range)->next(100, [&](Bytes k, const FoundValue& found, Reader& reader) {
      std::string bytes(found.size, '\0');
      CHECK(reader.copy(found, reinterpret_cast<uint8_t*>(bytes.data())).is_ok());
      out[std::string(k)] = std::move(bytes);
      return true;
    });
    REQUIRE_MESSAGE(given.is_ok(), given.status().message());
    if (*given == 0) return out;
  }
}

struct Outcome {
  int acked = 0, begun = 0;
  Status error;         // the first
  bool opened = false;  // it came as far as the first commit
};

// Commits, with folds in between. Stops at the first error; a full disk is waited out once, then
// all must go on.
Outcome run(const std::string& path) {
  Outcome out;
  auto opened = open_pool(path);
  if (!opened.is_ok()) {
    out.error = std::move(opened.status());
    return out;
  }
  out.opened = true;
  Pool& pool = **opened;
  for (int i = 1; i <= kCommits && out.error.is_ok(); i++) {
    out.begun = i;
    out.error = commit(pool, i);
    if (out.error.code() == Code::kDiskFull) {
      CAPTURE(i);
      SystemFaults::disarm();
      Status again = commit(pool, i);  // nothing has happened, so it can be done again
      REQUIRE_MESSAGE(again.is_ok(), again.message());
      out.error = Status();
    }
    if (out.error.is_ok()) out.acked = i;
    if (out.error.is_ok() && i % 3 == 0) {
      Status folded = pool.fold();
      if (!folded.is_ok() && folded.code() != Code::kDiskFull) out.error = std::move(folded);
    }
  }
  if (!out.error.is_ok()) {
    INFO(out.error.message());
    CHECK_MESSAGE((out.error.code() == Code::kIo || out.error.code() == Code::kFailed),
                  out.error.message());
    SystemFaults::disarm();
    CHECK(commit(pool, out.begun).code() == Code::kFailed);  // although the disk would work again
    CHECK(pool.fold().code() == Code::kFailed);
    CHECK(pool.settle().code() != Code::kOk);
  }
  Status closed = pool.close();
  if (out.error.is_ok() && !closed.is_ok()) out.error = std::move(closed);
  return out;
}

// What is there afterwards, with a disk that works.
void compare(const std::string& path, const Outcome& outcome) {
  static const std::vector<State> all = states();
  CAPTURE(outcome.acked);
  CAPTURE(outcome.begun);
  auto opened = open_pool(path);
  REQUIRE_MESSAGE(opened.is_ok(), opened.status().message());
  const State found = contents(**opened);
  bool right = false;
  for (int i = outcome.acked; i <= outcome.begun; i++)
    right = right || found == all[static_cast<size_t>(i)];
  CHECK(right);
  auto report = (*opened)->check(nullptr, nullptr);
  REQUIRE(report.is_ok());
  CHECK(report->damages.empty());
  Status goes_on = commit(**opened, 7);
  CHECK_MESSAGE(goes_on.is_ok(), goes_on.message());
  CHECK((*opened)->close().is_ok());
}

// The nth call of each kind, for all n the script makes.
void fail_each(SystemCall call, int error, bool lossy, int at_least) {
  const SystemFaults::Disarm disarm;
  int failed = 0;
  for (uint64_t n = 1; n < 500; n++) {
    CAPTURE(n);
    Scratch scratch = Scratch::on_disk();
    const std::string path = scratch.path("pool");
    if (lossy) SystemFaults::lose_unsynced(n);
    const uint64_t before = SystemFaults::count(call);
    SystemFaults::fail(call, n, error);
    const Outcome outcome = run(path);
    const bool struck = SystemFaults::count(call) - before >= n;
    SystemFaults::disarm();
    compare(path, outcome);
    if (!struck) break;
    failed++;
  }
  CHECK(failed >= at_least);
}

}  // namespace

TEST_CASE("faults: each fdatasync fails with EIO, and what was not synced is lost") {
  fail_each(SystemCall::kFdatasync, EIO, true, 15);
}
TEST_CASE("faults: each fdatasync fails with ENOSPC, and what was not synced is lost") {
  fail_each(SystemCall::kFdatasync, ENOSPC, true, 15);
}
TEST_CASE("faults: each fsync fails with EIO, and what was not synced is lost") {
  fail_each(SystemCall::kFsync, EIO, true, 3);
}
TEST_CASE("faults: each pwrite fails with EIO") { fail_each(SystemCall::kPwrite, EIO, false, 20); }
TEST_CASE("faults: each pwrite finds the disk full") {
  fail_each(SystemCall::kPwrite, ENOSPC, false, 20);
}
TEST_CASE("faults: each fallocate finds the disk full") {
  fail_each(SystemCall::kFallocate, ENOSPC, false, 2);
}
TEST_CASE("faults: each fallocate fails with EIO") {
  fail_each(SystemCall::kFallocate, EIO, false, 2);
}
TEST_CASE("faults: each open fails") { fail_each(SystemCall::kOpen, EMFILE, false, 2); }
TEST_CASE("faults: each mmap fails") { fail_each(SystemCall::kMmap, ENOMEM, false, 1); }

// `prlimit --fsize` below what the file has already.
TEST_CASE("faults: a limit on file length that comes later is named as what must be raised") {
  const SystemFaults::Disarm disarm;
  Scratch scratch = Scratch::on_disk();
  auto pool = open_pool(scratch.path("pool"));
  REQUIRE(pool.is_ok());
  SystemFaults::fail(SystemCall::kPwrite, 1, EFBIG, UINT64_MAX);
  const Status failed = commit(**pool, 1);
  CHECK(failed.code() == Code::kIo);
  CHECK(failed.message().find("raise the limit on file length") != std::string::npos);
  CHECK(failed.message().find("make room") == std::string::npos);
}

// btrfs, and every other file system that writes each change to a new place.
TEST_CASE("faults: a pool that finds no room for a change in place opens when there is some") {
  const SystemFaults::Disarm disarm;
  Scratch scratch = Scratch::on_disk();
  {
    auto pool = open_pool(scratch.path("pool"));
    REQUIRE(pool.is_ok());
    REQUIRE(commit(**pool, 1).is_ok());
    SystemFaults::fail(SystemCall::kPwrite, 1, ENOSPC, UINT64_MAX);
    const Status failed = commit(**pool, 2);
    CHECK(failed.code() == Code::kIo);
    CHECK(failed.message().find("make room on the disk") != std::string::npos);
    CHECK((*pool)->close().is_ok());
  }
  const Status full = open_pool(scratch.path("pool")).status().clone();
  CHECK(full.code() == Code::kDiskFull);
  CHECK(full.system_errno() == ENOSPC);
  SystemFaults::disarm();
  compare(scratch.path("pool"), Outcome{1, 2, {}, true});
}

// The first write that fails is one of a fold that nobody asked for.
TEST_CASE("faults: what failed in the background is named to who comes next") {
  const SystemFaults::Disarm disarm;
  Scratch scratch = Scratch::on_disk();
  PoolOptions options;
  options.medium.choice = MediumChoice::kFile;
  options.background = false;
  auto pool = Pool::open(scratch.path("pool"), options);
  REQUIRE(pool.is_ok());
  for (int i = 1; i <= kCommits; i++) REQUIRE(commit(**pool, i).is_ok());
  SystemFaults::fail(SystemCall::kPwrite, 1, EIO);
  CHECK((*pool)->fold().code() == Code::kIo);
  const Status refused = commit(**pool, 1);
  CHECK(refused.code() == Code::kFailed);
  CHECK(refused.message().find("Input/output error") != std::string::npos);
}

TEST_CASE("faults: a growth that fails and whose undoing fails loses nothing") {
  const SystemFaults::Disarm disarm;
  for (uint64_t n = 1; n <= 4; n++) {
    CAPTURE(n);
    Scratch scratch = Scratch::on_disk();
    SystemFaults::fail(SystemCall::kFallocate, n, ENOSPC);
    SystemFaults::fail(SystemCall::kFtruncate, 1, EIO, 100);
    const Outcome outcome = run(scratch.path("pool"));
    SystemFaults::disarm();
    compare(scratch.path("pool"), outcome);
  }
}

TEST_CASE("faults: calls that a signal interrupts are made again") {
  const SystemFaults::Disarm disarm;
  for (SystemCall call : {SystemCall::kPwrite, SystemCall::kFdatasync, SystemCall::kFsync,
                          SystemCall::kFallocate, SystemCall::kOpen}) {
    for (uint64_t n = 1; n <= 12; n++) {
      CAPTURE(static_cast<int>(call));
      CAPTURE(n);
      Scratch scratch = Scratch::on_disk();
      SystemFaults::fail(call, n, EINTR, 2);
      const Outcome outcome = run(scratch.path("pool"));
      SystemFaults::disarm();
      CHECK_MESSAGE(outcome.error.is_ok(), outcome.error.message());
      CHECK(outcome.acked == kCommits);
      compare(scratch.path("pool"), outcome);
    }
  }
}

TEST_CASE("faults: writes that are cut short are gone on with") {
  const SystemFaults::Disarm disarm;
  for (uint64_t most : {1000u, 4096u, 100000u}) {
    CAPTURE(most);
    Scratch scratch = Scratch::on_disk();
    SystemFaults::write_at_most(most);
    const Outcome outcome = run(scratch.path("pool"));
    SystemFaults::disarm();
    CHECK_MESSAGE(outcome.error.is_ok(), outcome.error.message());
    compare(scratch.path("pool"), outcome);
  }
}

}  // namespace holdfast
