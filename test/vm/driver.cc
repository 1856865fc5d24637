// The program whose machine is cut off: commits numbered steps and says ACK behind each durable
// one; or checks what is left.
//
// Step n changes a few keys in a way that follows from n alone, so the whole state follows from how
// many steps are in it, and a state that is no prefix of the steps is told at once. One thread. A
// crash leaves what it is here to show.
//
//   driver run <pool> <medium> [option=value ...]
//     steps=N      end after N steps (0: never)      size=BYTES  of a new pool
//     directory=PATH      a new pool has a part in each of these, and grows (pmem)
//     large=N      every Nth value is a large one (else every 151st)
//     class=power  refuse a lesser place             mark=DEVICE tell the device mapper of each ACK
//     pause=FIFO   when the pool is open, wait until the FIFO was written to, twice
//     plant=ack-first@N   a planted mistake: step N is acknowledged, then nothing more happens
//     plant=none@N        no mistake here (a preloaded one): nothing more happens from step N on
//     plant=torn-step@N   a planted mistake: half of step N is committed by itself, then nothing
//                         more happens
//   driver check <pool> <least>   "STATE n", exit 0; "BAD why", exit 1: no prefix, fewer than
//                                 `least`, damage, a leak
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "engine/pool.h"

namespace {

using namespace holdfast;

constexpr uint64_t kSlots = 61;
uint64_t large_every =
    151;  // a value above 256 KiB, which has segments of its own; set before anything else is done

constexpr uint64_t kFoldBytes = 512 * kKiB;  // at most what the description of a fold takes here

using Fields = std::map<std::string, std::string>;

struct Options {
  std::string medium = "auto", mark, pause, plant;
  uint64_t steps = 0, size = 0, plant_at = 0;
  bool power = false;
  std::vector<std::string> directories;
};

[[noreturn]] void bad(const std::string& why) {
  printf("BAD %s\n", why.c_str());
  fflush(stdout);
  exit(1);
}

std::string key(const std::string& name) { return std::string("\0\0\0\1", 4) + name; }

std::string slot(uint64_t n) { return key("slot/" + std::to_string(n % kSlots)); }

std::string value_of(uint64_t n) {
  uint64_t size = n % large_every == 0 ? 300000 + n % 5000
                  : n % 23 == 0        ? 9000 + n % 7000
                                       : n * 37 % 1100;
  std::string value = std::to_string(n) + ":";
  uint64_t state = n * 0x9e3779b97f4a7c15u;
  size = std::max<uint64_t>(size, value.size());
  while (value.size() < size) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const uint64_t mixed = state ^ state >> 29;
    value.append(reinterpret_cast<const char*>(&mixed), sizeof mixed);
  }
  value.resize(size);
  return value;
}

bool removes(uint64_t n) { return n % 7 == 0; }
uint64_t removed_by(uint64_t n) { return n * 5 + 3; }
bool is_eventual(uint64_t n) { return n % 5 == 3; }

void build(Batch& batch, uint64_t n, bool counter, bool rest) {
  bool fits = true;
  if (rest && removes(n)) fits = batch.remove(slot(removed_by(n))).is_ok();
  if (rest) fits = fits && batch.put(slot(n), value_of(n)).is_ok();
  if (counter) fits = fits && batch.put(key("counter"), std::to_string(n)).is_ok();
  if (!fits) bad("a batch that must fit does not");
}

// What must be there after `count` steps. Only the last writer of each slot is made in full.
Fields model_after(uint64_t count) {
  std::map<std::string, uint64_t> writer;
  for (uint64_t n = 1; n <= count; n++) {
    if (removes(n)) writer.erase(slot(removed_by(n)));
    writer[slot(n)] = n;
  }
  Fields fields;
  for (const auto& [name, n] : writer) fields[name] = value_of(n);
  if (count > 0) fields[key("counter")] = std::to_string(count);
  return fields;
}

Fields read_all(Pool& pool) {
  Fields fields;
  RangeOptions all;
  all.high = std::string(4, '\xff');
  auto range = pool.range(all, nullptr);
  if (!range) bad("range: " + range.status().message());
  for (;;) {
    std::string failure;
    auto given = (*range)->next(64, [&](Bytes found_key, const FoundValue& found, Reader& reader) {
      std::string bytes(found.size, '\0');
      const Status copied = reader.copy(found, reinterpret_cast<uint8_t*>(bytes.data()));
      if (!copied.is_ok()) failure = copied.message();
      fields[std::string(found_key)] = std::move(bytes);
      return true;
    });
    if (!given) bad("range: " + given.status().message());
    if (!failure.empty()) bad("copy: " + failure);
    if (*given == 0) return fields;
  }
}

// Every segment that is held is part of the log, the index, a large value or the one fold, or is a
// log segment kept ready: nothing leaks.
void check_space(Pool& pool) {
  const PoolStats stats = pool.stats();
  const uint64_t held = stats.capacity_bytes - stats.free_bytes;
  const uint64_t known =
      stats.log_bytes + stats.index_bytes + stats.large_bytes + stats.spare_bytes;
  if (held > known + kFoldBytes) {
    bad("leak: " + std::to_string(held) + " bytes are held, " + std::to_string(known) +
        " of them are known");
  }
}

// Returns how many steps are in the pool, or ends the process: it is no whole number of them.
uint64_t verify(Pool& pool, uint64_t least) {
  Fields found = read_all(pool);
  const auto counter = found.find(key("counter"));
  const uint64_t count =
      counter == found.end() ? 0 : strtoull(counter->second.c_str(), nullptr, 10);
  if (found != model_after(count)) {
    bad("the state is not that after " + std::to_string(count) + " steps (" +
        std::to_string(found.size()) + " keys)");
  }
  if (count < least) {
    bad("step " + std::to_string(least) + " was acknowledged, only " + std::to_string(count) +
        " are there");
  }
  auto report = pool.check(nullptr, nullptr);
  if (!report) bad("check: " + report.status().message());
  if (!report->damages.empty()) bad("check: " + report->damages.front());
  return count;
}

std::shared_ptr<Pool> open_pool(const std::string& path, const Options& options, CreateMode mode,
                                bool background = true) {
  PoolOptions open;
  open.medium.choice = options.medium == "pmem"   ? MediumChoice::kPmem
                       : options.medium == "file" ? MediumChoice::kFile
                                                  : MediumChoice::kAuto;
  open.medium.create = mode;
  open.medium.size = options.size;
  open.medium.directories = options.directories;
  open.medium.grow = !options.directories.empty();
  if (options.power) open.medium.at_least = DurabilityClass::kPower;
  // No thread of the pool's may make a planted mistake good before the host has cut the power, by
  // the sync of a segment kept ready for instance.
  open.background = background && options.plant.empty();
  open.fold_operations = 700;  // so that many folds, and the cleaning behind them, are cut through
  auto pool = Pool::open(path, open);
  if (!pool)
    bad("open " + std::string(code_name(pool.status().code())) + " " + pool.status().message());
  return *pool;
}

void tell_mapper(const std::string& device, uint64_t n) {
  const std::string command = "dmsetup message " + device + " 0 mark ack" + std::to_string(n);
  if (system(command.c_str()) != 0) bad("dmsetup message failed");
}

void wait_for_writer(const std::string& fifo) {
  char byte;
  const int fd = open(fifo.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) bad("cannot open " + fifo);
  while (read(fd, &byte, 1) > 0) {
  }
  close(fd);
}

[[noreturn]] void stand_still() {
  printf("PLANTED\n");
  fflush(stdout);
  for (;;) pause();
}

void plant(Pool& pool, const Options& options, uint64_t n) {
  if (options.plant == "ack-first") printf("ACK %llu\n", static_cast<unsigned long long>(n));
  if (options.plant == "torn-step") {
    Batch half;
    build(half, n, true, false);
    if (!pool.commit(half, CommitMode::kDurable)) bad("the planted half could not be committed");
  }
  stand_still();
}

// A commit has failed: nothing may be accepted any more until the pool is reopened.
int end_failed(Pool& pool, uint64_t n, const Status& status) {
  printf("FAILED %llu %s\n", static_cast<unsigned long long>(n), code_name(status.code()));
  Batch again;
  build(again, n, true, true);
  const auto refused = pool.commit(again, CommitMode::kDurable);
  printf("THEN %s\n", refused ? "ACCEPTED" : code_name(refused.status().code()));
  fflush(stdout);
  return 3;
}

int run(const std::string& path, const Options& options) {
  const auto pool = open_pool(path, options, CreateMode::kIfMissing);
  const PoolStats stats = pool->stats();
  const uint64_t there = verify(*pool, 0);
  printf("OPEN medium=%s class=%s state=%llu\n", stats.medium.c_str(),
         stats.durability == DurabilityClass::kPower ? "power" : "process",
         static_cast<unsigned long long>(there));
  fflush(stdout);
  for (int i = 0; i < 2 && !options.pause.empty(); i++) wait_for_writer(options.pause);
  Batch batch;
  for (uint64_t n = there + 1; options.steps == 0 || n <= there + options.steps; n++) {
    if (!options.plant.empty() && n == options.plant_at) plant(*pool, options, n);
    batch.clear();
    build(batch, n, true, true);
    const auto receipt =
        pool->commit(batch, is_eventual(n) ? CommitMode::kEventual : CommitMode::kDurable);
    if (!receipt) return end_failed(*pool, n, receipt.status());
    if (is_eventual(n)) continue;
    printf("ACK %llu\n", static_cast<unsigned long long>(n));
    fflush(stdout);
    if (!options.mark.empty()) tell_mapper(options.mark, n);
    if (n % 1000 == 0 && !pool->compact().is_ok()) bad("compact failed");
  }
  const Status closed = pool->close();
  if (!closed.is_ok()) bad("close: " + closed.message());
  printf("DONE\n");
  return 0;
}

// Twice: what recovery made of the pool must be as sound as what it found.
int check(const std::string& path, uint64_t least) {
  uint64_t there = least;
  for (int time = 0; time < 2; time++) {
    // The second time no thread of the pool's folds, cleans or makes a segment ready meanwhile.
    const auto pool = open_pool(path, {}, CreateMode::kNever, time == 0);
    there = verify(*pool, there);
    if (time == 1) check_space(*pool);
    const Status closed = pool->close();
    if (!closed.is_ok()) bad("close: " + closed.message());
  }
  printf("STATE %llu\n", static_cast<unsigned long long>(there));
  return 0;
}

Options parse(int count, char** arguments, int first) {
  Options options;
  for (int i = first; i < count; i++) {
    const std::string argument = arguments[i];
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    if (name == "steps")
      options.steps = strtoull(value.c_str(), nullptr, 10);
    else if (name == "size")
      options.size = strtoull(value.c_str(), nullptr, 10);
    else if (name == "directory")
      options.directories.push_back(value);
    else if (name == "large")
      large_every = strtoull(value.c_str(), nullptr, 10);
    else if (name == "mark")
      options.mark = value;
    else if (name == "pause")
      options.pause = value;
    else if (name == "class")
      options.power = value == "power";
    else if (name == "plant") {
      const size_t at = value.find('@');
      options.plant = value.substr(0, at);
      options.plant_at =
          at == std::string::npos ? 1 : strtoull(value.c_str() + at + 1, nullptr, 10);
    } else
      bad("unknown option " + argument);
  }
  return options;
}

}  // namespace

int main(int count, char** arguments) {
  setvbuf(stdout, nullptr, _IOLBF, 4096);
  const std::string verb = count > 2 ? arguments[1] : "";
  if (verb == "check" && count == 4)
    return check(arguments[2], strtoull(arguments[3], nullptr, 10));
  if (verb == "run" && count >= 4) {
    Options options = parse(count, arguments, 4);
    options.medium = arguments[3];
    return run(arguments[2], options);
  }
  fprintf(stderr, "usage: see the head of test/vm/driver.cc\n");
  return 2;
}
