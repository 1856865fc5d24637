// One native process of the kill storm: the same lines, the same kinds of commits as
// node-child.mjs, in the test build, which can end itself at named points. See storm.mjs.
//
//   storm_child <pool> <medium> <generation> <seed> <close after ms, 0: never>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "../seeded_random.h"
#include "engine/pool.h"

namespace holdfast {
namespace {

constexpr int kThreads = 3;
constexpr uint64_t kBudget = 400;
const std::string kPrefix("\0\0\0\1", 4);
std::string lie;

void say(const std::string& line) {
  const std::string whole = line + "\n";
  for (size_t at = 0; at < whole.size();) {
    const ssize_t n = ::write(1, whole.data() + at, whole.size() - at);
    if (n <= 0) std::_Exit(9);
    at += static_cast<size_t>(n);
  }
}

std::string value_of(const std::string& id, size_t length) {
  std::string value = id + ":" + std::to_string(length) + ":";
  if (value.size() < length)
    value.resize(length,
                 static_cast<char>('a' + (id.size() * 7 + static_cast<uint8_t>(id.back())) % 26));
  return value;
}

std::string describe(const std::string& value) {
  const size_t first = value.find(':');
  const size_t second = first == std::string::npos ? first : value.find(':', first + 1);
  if (second == std::string::npos || first == 0 || second > 60) return "DAMAGED";
  const std::string id = value.substr(0, first),
                    length = value.substr(first + 1, second - first - 1);
  return value_of(id, std::strtoull(length.c_str(), nullptr, 10)) == value ? id + ":" + length
                                                                           : "DAMAGED";
}

class Committer {
 public:
  Committer(Pool& pool, std::string generation, int thread, uint64_t seed)
      : pool_(pool), generation_(std::move(generation)), thread_(thread), random_(seed) {}

  void one(const std::vector<std::string>& gone = {}) {
    const std::string id =
        generation_ + "." + std::to_string(thread_) + "." + std::to_string(next_++);
    const bool eventual = random_.below(3) == 0;
    Batch batch, torn;
    std::string said;
    const auto put = [&](const std::string& key, size_t length) {
      Batch& into = lie == "torn" && key[0] == 'c' ? torn : batch;
      (void)into.put(kPrefix + key, value_of(id, length)).is_ok();
      said += key + "=" + std::to_string(length) + ",";
    };
    const auto remove = [&](const std::string& key) {
      (void)batch.remove(kPrefix + key).is_ok();
      said += "-" + key + ",";
    };
    for (const std::string& key : gone) remove(key);
    std::set<std::string> keys;
    for (uint64_t i = random_.below(5) + 1; i > 0; i--)
      keys.insert("d" + std::to_string(random_.below(150)));
    for (const std::string& key : keys)
      random_.below(8) == 0
          ? remove(key)
          : put(key, random_.below(100) < 70 ? random_.below(300) : random_.below(20000));
    if (random_.below(60) == 0)
      put("big" + std::to_string(random_.below(4)), 270000 + random_.below(200000));
    put("c/" + id, 0);
    said.pop_back();
    say("B " + id + (eventual ? " e " : " d ") + said);
    if (lie == "early") {
      say("A " + id + " " + std::to_string(1000000000 + next_));
      std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
    if (lie == "extra") (void)batch.put(kPrefix + "x/" + id, "0.0.0:0:").is_ok();
    if (lie == "lost" && random_.below(50) == 0) {
      say("A " + id + " 1");
      return;
    }
    auto receipt = pool_.commit(batch, eventual ? CommitMode::kEventual : CommitMode::kDurable);
    if (lie == "torn") {
      std::this_thread::sleep_for(std::chrono::microseconds(300));
      if (receipt.is_ok()) receipt = pool_.commit(torn, CommitMode::kDurable);
    }
    if (receipt.is_ok()) {
      if (lie != "early") say("A " + id + " " + std::to_string(receipt->epoch));
    } else if (receipt.status().code() == Code::kPoolFull) {
      say("F " + id);
    } else if (receipt.status().code() != Code::kClosed) {
      say("X " + id + " " + code_name(receipt.status().code()) + " " + receipt.status().message());
    }
  }

  void storm(const std::atomic<bool>& stop) {
    while (next_ < kBudget && !stop) {
      one();
      if (random_.below(40) == 0) (void)pool_.fold().is_ok();
      if (random_.below(120) == 0) (void)pool_.compact().is_ok();
      std::this_thread::sleep_for(std::chrono::microseconds(random_.below(200)));
    }
  }

 private:
  Pool& pool_;
  const std::string generation_;
  const int thread_;
  Random random_;
  uint64_t next_ = 0;
};

std::shared_ptr<Pool> open_pool(const std::string& path, bool pmem) {
  PoolOptions options;
  options.medium.choice = pmem ? MediumChoice::kPmem : MediumChoice::kFile;
  options.medium.size = pmem ? 40 * kMiB : 0;
  options.fold_operations = 300;
  for (int tries = 0;; tries++) {
    auto opened = Pool::open(path, options);
    if (opened.is_ok()) return *opened;
    // The process killed just before may not be quite gone.
    if (opened.status().code() != Code::kLocked || tries == 200) {
      std::fprintf(stderr, "%s: %s\n", code_name(opened.status().code()),
                   opened.status().message().c_str());
      std::_Exit(5);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

// Says what is in the pool; returns the keys that commits have left as their marks.
std::vector<std::string> say_all(Pool& pool) {
  std::vector<std::string> marks;
  RangeOptions all;
  all.low = kPrefix;
  all.high = std::string("\0\0\0\2", 4);
  auto range = pool.range(all, nullptr);
  for (bool more = range.is_ok(); more;) {
    auto given = (*range)->next(256, [&](Bytes key, const FoundValue& found, Reader& reader) {
      std::string value(found.size, '\0');
      const bool copied = reader.copy(found, reinterpret_cast<uint8_t*>(value.data())).is_ok();
      const std::string name(key.substr(kPrefix.size()));
      say("S " + name + " " + (copied ? describe(value) : "UNREADABLE"));
      if (name[0] == 'c') marks.push_back(name);
      return true;
    });
    if (!given.is_ok()) say("X range " + given.status().message());
    more = given.is_ok() && *given > 0;
  }
  return marks;
}

int run(char** arguments) {
  const std::string path = arguments[1], generation = arguments[3];
  const uint64_t seed = std::strtoull(arguments[4], nullptr, 10);
  const long close_after = std::atol(arguments[5]);
  say("O");
  std::shared_ptr<Pool> pool = open_pool(path, std::strcmp(arguments[2], "pmem") == 0);
  const std::vector<std::string> marks = say_all(*pool);
  say("R");
  Committer first(*pool, generation, 0, seed);
  first.one(marks);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 1; i < kThreads; i++) {
    threads.emplace_back(
        [&, i] { Committer(*pool, generation, i, seed + static_cast<uint64_t>(i)).storm(stop); });
  }
  if (close_after > 0) {
    threads.emplace_back([&] { first.storm(stop); });
    std::this_thread::sleep_for(std::chrono::milliseconds(close_after));
    stop = true;
  } else {
    first.storm(stop);
  }
  for (std::thread& thread : threads) thread.join();
  say("C");
  const Status closed = pool->close();
  if (!closed.is_ok()) say("X close " + closed.message());
  say("D");
  return 0;
}

}  // namespace
}  // namespace holdfast

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  if (const char* wanted = std::getenv("HOLDFAST_STORM_LIE")) holdfast::lie = wanted;
  return holdfast::run(argv);
}
