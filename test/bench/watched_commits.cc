// watched_commits <file|pmem> <folder> <commits> <watched|unwatched>: commits on one thread, beside
// a watcher that waits for something else or beside none. For callgrind (watcher-cost.test.ts): it
// prints nothing and measures nothing.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "engine/pool.h"

namespace holdfast {
namespace {

std::string key_in(uint32_t keyspace, const std::string& key) {
  std::string out(4, '\0');
  for (int i = 0; i < 4; i++)
    out[static_cast<size_t>(i)] = static_cast<char>(keyspace >> (24 - 8 * i));
  return out + key;
}

// What a watcher does that nothing is for: it looks at what has come, passes over it, and waits
// again.
struct IdleWatcher final : FeedWaiter {
  std::unique_ptr<FeedCursor> cursor;
  bool wake(bool closing) override {
    if (closing) return false;
    auto given = cursor->next(kMiB, [](const FeedCommit&) { return Status(); });
    if (!given.is_ok() || *given != 0) std::abort();
    return true;
  }
};

int run(bool pmem, const std::string& folder, int commits, bool watched) {
  PoolOptions options;
  options.medium.choice = pmem ? MediumChoice::kPmem : MediumChoice::kFile;
  if (pmem) options.medium.size = 64 * kMiB;
  auto pool = Pool::open(folder + "/pool", options);
  if (!pool.is_ok()) return std::fprintf(stderr, "%s\n", pool.status().message().c_str()), 1;
  if (watched) {
    FeedOptions other;
    other.low = key_in(2, "");
    other.high = key_in(3, "");
    auto cursor = (*pool)->feed(other);
    if (!cursor.is_ok()) return 1;
    auto watcher = std::make_shared<IdleWatcher>();
    watcher->cursor = std::move(*cursor);
    if (!(*pool)->watch(watcher).is_ok()) return 1;
  }
  Batch batch;
  const std::string value(256, 'x');
  for (int i = 0; i < commits; i++) {
    batch.clear();
    if (!batch.put(key_in(1, "key" + std::to_string(i % 100)), value).is_ok()) return 1;
    if (!(*pool)->commit(batch, CommitMode::kDurable).is_ok()) return 1;
  }
  return (*pool)->close().is_ok() ? 0 : 1;
}

}  // namespace
}  // namespace holdfast

int main(int count, char** given) {
  if (count != 5)
    return std::fprintf(
               stderr,
               "usage: watched_commits <file|pmem> <folder> <commits> <watched|unwatched>\n"),
           2;
  return holdfast::run(std::strcmp(given[1], "pmem") == 0, given[2], std::atoi(given[3]),
                       std::strcmp(given[4], "watched") == 0);
}
