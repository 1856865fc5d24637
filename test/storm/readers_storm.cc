// Readers beside a writer, each in a process of its own, all of them killed at random moments.
//
//   readers_storm [--kills N] [--readers N] [--seed S] [--medium file|pmem] [--controls]
//
// The writer commits numbered rounds: commit n gives every key of the set the number n, in one
// batch, some of the values large; it folds, cleans and grows meanwhile, and says in shared memory,
// before a commit and after, how far it is. A reader refreshes, and each time looks at everything:
// all keys carry one number, and that is neither less than what was acknowledged before the
// refresh, nor more than what was begun, nor less than it saw before; every value is whole; and a
// snapshot it keeps for a while stays what it was.
//
// The same commit changes a region: one cell in each of its extents becomes n, and one block more
// is rewritten whole; a cell has the sum of the numbers that all those blocks carry. A block from
// another moment than the rest, older or newer, shows in the sum. A view that a reader keeps must
// stay what it was whatever becomes of the reader's pin.
//
// With --controls the bugs `reader-pins-ignored` and `reader-placed-under` are planted in the
// writer, each for itself, and a reader must notice. docs/testing.md says what this can see.
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "../seeded_random.h"
#include "base/test_hooks.h"
#include "engine/pool.h"
#include "format/region.h"

namespace holdfast {
namespace {

constexpr int kKeys = 24;
constexpr int kLargeKeys = 2;
constexpr int kMostReaders = 16;
constexpr int kViolation = 42;
constexpr auto kPatience = std::chrono::seconds(3);

// The region: in extent e a cell at its begin; behind it, in the extents' rest, the blocks that are
// rewritten by turns. The sum is the last cell.
constexpr uint32_t kRegion = 1;
constexpr uint64_t kExtents = 5;
constexpr uint64_t kTurnBlocks = 101;
constexpr uint64_t kRegionBytes = kExtents * kExtentDataBytes;
constexpr uint64_t kSumCell = kRegionBytes - 8;
constexpr uint64_t cell_at(uint64_t extent) { return extent * kExtentDataBytes + 8; }
// Spread over all extents; never the block of a cell.
constexpr uint64_t turn_block_at(uint64_t turn) {
  return (turn % kExtents * kExtentBlocks + 1 + turn / kExtents * 19) * kRegionBlockBytes;
}
static_assert(1 + kTurnBlocks / kExtents * 19 < kExtentBlocks - 1);

// In memory that all processes share and no kill touches.
struct Shared {
  std::atomic<uint64_t> begun{0}, acknowledged{0};
  std::atomic<uint64_t> refreshes{0}, generations{0}, expired{0}, snapshots{0}, views{0},
      writers{0};
  std::atomic<bool> stop{false};
  char violation[512] = {};
};
Shared* shared = nullptr;

[[noreturn]] void violated(const std::string& what) {
  std::snprintf(shared->violation, sizeof shared->violation, "%s", what.c_str());
  std::_Exit(kViolation);
}

std::string key_of(int i) {
  char name[16];
  std::snprintf(name, sizeof name, "key%03d", i);
  return std::string("\0\0\0\1", 4) + name;
}

// What a value begins with: the commit it is of, and the one that large values were last put by.
struct Said {
  uint64_t number = 0, large = 0;
};

// The rest follows from that and the key, so that a mixture of two commits shows.
std::string value_of(int key, Said said) {
  Random random(said.number * 1000 + static_cast<uint64_t>(key));
  const uint64_t length =
      key < kLargeKeys ? 270000 + random.below(200000) : 16 + random.below(3000);
  std::string value(length,
                    static_cast<char>('a' + (said.number + static_cast<uint64_t>(key)) % 26));
  std::memcpy(value.data(), &said, sizeof said);
  return value;
}

// A whole block: its commit's number, and what follows from it.
std::string turn_block_of(uint64_t number) {
  std::string block(kRegionBlockBytes, static_cast<char>('A' + number % 57));
  std::memcpy(block.data(), &number, sizeof number);
  return block;
}

uint64_t word_at(const std::string& bytes, uint64_t offset) {
  uint64_t word = 0;
  std::memcpy(&word, bytes.data() + offset, sizeof word);
  return word;
}

// The sum of the numbers of all blocks, each of which must be whole.
uint64_t sum_of(const std::string& region) {
  uint64_t sum = 0;
  for (uint64_t turn = 0; turn < kTurnBlocks; turn++) {
    const uint64_t at = turn_block_at(turn), number = word_at(region, at);
    sum += number;
    if (number == 0 || (number % kTurnBlocks == turn &&
                        region.compare(at, kRegionBlockBytes, turn_block_of(number)) == 0))
      continue;
    violated("the block at " + std::to_string(at) + " of the region, of commit " +
             std::to_string(number) + ", is not what was written");
  }
  return sum;
}

// The number that the region carries in all its extents.
uint64_t number_of_region(const std::string& region) {
  const uint64_t number = word_at(region, cell_at(0));
  for (uint64_t extent = 1; extent < kExtents; extent++) {
    const uint64_t other = word_at(region, cell_at(extent));
    if (other != number)
      violated("extent " + std::to_string(extent) + " is of commit " + std::to_string(other) +
               ", the first of " + std::to_string(number));
  }
  const uint64_t sum = sum_of(region), said = word_at(region, kSumCell);
  const std::string block = "a block of the region is not of commit " + std::to_string(number);
  if (sum != said)
    violated(block + ": the sum is " + std::to_string(sum) + ", not " + std::to_string(said));
  return number;
}

void write_region(Batch& batch, uint64_t number, std::vector<uint64_t>* turns) {
  uint64_t sum = 0;
  (*turns)[number % kTurnBlocks] = number;
  for (const uint64_t turn : *turns) sum += turn;
  for (uint64_t extent = 0; extent < kExtents; extent++)
    (void)batch.region_write(kRegion, cell_at(extent), bytes_of(&number, sizeof number)).is_ok();
  (void)batch.region_write(kRegion, turn_block_at(number % kTurnBlocks), turn_block_of(number))
      .is_ok();
  (void)batch.region_write(kRegion, kSumCell, bytes_of(&sum, sizeof sum)).is_ok();
}

PoolOptions options_of(bool pmem) {
  PoolOptions options;
  options.medium.choice = pmem ? MediumChoice::kPmem : MediumChoice::kFile;
  options.medium.size = pmem ? 96 * kMiB : 0;
  options.fold_operations = 400;
  options.reader_bytes = 48 * kMiB;
  return options;
}

std::shared_ptr<Pool> open_writer(const std::string& path, bool pmem) {
  for (int tries = 0;; tries++) {
    auto opened = Pool::open(path, options_of(pmem));
    if (opened.is_ok()) return *opened;
    if (opened.status().code() != Code::kLocked || tries == 500)
      violated("the writer cannot open: " + opened.status().message());
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

// Whole commits of one number, until told to stop or killed.
void write_on(const std::string& path, bool pmem, uint64_t seed) {
  Random random(seed);
  auto pool = open_writer(path, pmem);
  shared->writers++;
  uint64_t number = shared->begun, large = 0;
  std::vector<uint64_t> turns(kTurnBlocks);  // the commits that the region's blocks are of
  const bool has_region = pool->region_info(kRegion, nullptr).is_ok();
  if (has_region) {
    std::string region(kRegionBytes, '\0');
    if (!pool->region_read(kRegion, 0, kRegionBytes, reinterpret_cast<uint8_t*>(region.data()),
                           nullptr)
             .is_ok())
      violated("the writer cannot read its region");
    (void)number_of_region(region);
    for (uint64_t turn = 0; turn < kTurnBlocks; turn++)
      turns[turn] = word_at(region, turn_block_at(turn));
  }
  bool makes_region = !has_region;
  const uint64_t until = number + 40 + random.below(400);
  while (!shared->stop && number < until) {
    Batch batch;
    number++;
    if (large == 0 || random.below(8) == 0) large = number;
    for (int i = large == number ? 0 : kLargeKeys; i < kKeys; i++)
      (void)batch.put(key_of(i), value_of(i, {number, large})).is_ok();
    if (std::exchange(makes_region, false))
      (void)batch.region_size(kRegion, kRegionBytes, "numbers").is_ok();
    write_region(batch, number, &turns);
    shared->begun = number;
    auto receipt =
        pool->commit(batch, random.below(4) == 0 ? CommitMode::kEventual : CommitMode::kDurable);
    if (!receipt.is_ok()) violated("a commit failed: " + receipt.status().message());
    if (random.below(3) == 0) {
      if (!pool->settle().is_ok()) violated("settle failed");
      shared->acknowledged = number;
    }
    if (random.below(10) == 0 && !pool->fold().is_ok()) violated("a fold failed");
    if (random.below(60) == 0 && !pool->compact().is_ok()) violated("a compaction failed");
  }
  if (!pool->close().is_ok()) violated("the writer cannot close");
  shared->acknowledged = number;
}

// The number that all keys of a state carry; 0 for an empty pool.
Result<uint64_t> number_of(Pool& pool, const SnapshotPtr& snapshot, uint64_t least, uint64_t most) {
  RangeOptions all;
  all.low = key_of(0);
  all.high = key_of(999);
  auto range = pool.range(all, snapshot);
  if (!range.is_ok()) return std::move(range.status());
  std::vector<std::string> values;
  while (true) {
    Status copied;
    auto given = (*range)->next(10, [&](Bytes, const FoundValue& value, Reader& reader) {
      values.emplace_back(value.size, '\0');
      copied = reader.copy(value, reinterpret_cast<uint8_t*>(values.back().data()));
      return copied.is_ok();
    });
    if (!given.is_ok()) return std::move(given.status());
    if (!copied.is_ok()) return copied;
    if (*given == 0) break;
  }
  Said all_say;
  for (int i = static_cast<int>(values.size()) - 1; i >= 0;
       i--) {  // the last key is always of the newest commit
    const std::string& value = values[static_cast<size_t>(i)];
    Said said;
    if (value.size() < sizeof said)
      violated("a value of " + std::to_string(value.size()) + " bytes");
    std::memcpy(&said, value.data(), sizeof said);
    const std::string what =
        "key " + std::to_string(i) + " of commit " + std::to_string(said.number);
    if (value != value_of(i, said)) violated("the bytes of " + what + " are not what was put");
    if (i == kKeys - 1) all_say = said;
    const uint64_t expected = i < kLargeKeys ? all_say.large : all_say.number;
    if (said.number != expected || said.large != all_say.large)
      violated(what + " is seen beside commit " + std::to_string(expected));
  }
  const uint64_t number = all_say.number;
  if (!values.empty() && values.size() != kKeys) violated(std::to_string(values.size()) + " keys");
  if (number < least || number > most) {
    violated("commit " + std::to_string(number) + " is seen; at least " + std::to_string(least) +
             " was acknowledged or seen before, at most " + std::to_string(most) + " begun");
  }
  return number;
}

// The region as of the snapshot: by reading it, or by a view, which is given back when there was
// one.
Result<std::string> region_of(Pool& pool, const SnapshotPtr& snapshot,
                              std::unique_ptr<MappedView>* view) {
  auto info = pool.region_info(kRegion, snapshot);
  if (!info.is_ok() && info.status().code() == Code::kNotFound) return std::string();
  if (!info.is_ok()) return std::move(info.status());
  if (info->size != kRegionBytes || info->name != "numbers")
    violated("a region of " + std::to_string(info->size) + " bytes");
  std::string region(kRegionBytes, '\0');
  if (view != nullptr) {
    auto shown = pool.view_region(kRegion, 0, kRegionBytes, snapshot);
    if (!shown.is_ok()) return std::move(shown.status());
    std::memcpy(region.data(), (*shown)->data, kRegionBytes);
    *view = std::move(*shown);
    return region;
  }
  Status read = pool.region_read(kRegion, 0, kRegionBytes,
                                 reinterpret_cast<uint8_t*>(region.data()), snapshot);
  if (!read.is_ok()) return read;
  return region;
}

// As number_of, and the region is of the same commit.
Result<uint64_t> number_of_all(Pool& pool, const SnapshotPtr& snapshot, uint64_t least,
                               uint64_t most, std::unique_ptr<MappedView>* view = nullptr) {
  auto number = number_of(pool, snapshot, least, most);
  if (!number.is_ok()) return number;
  auto region = region_of(pool, snapshot, view);
  if (!region.is_ok()) return std::move(region.status());
  const uint64_t of_region = region->empty() ? 0 : number_of_region(*region);
  if (of_region != *number)
    violated("the region is of commit " + std::to_string(of_region) + " beside keys of commit " +
             std::to_string(*number));
  return number;
}

bool gone(const Status& status) {
  if (status.code() != Code::kReaderExpired)
    violated("reading failed: " + std::string(code_name(status.code())) + " " + status.message());
  shared->expired++;
  return true;
}

void read_on(const std::string& path, uint64_t seed, bool may_expire) {
  Random random(seed);
  PoolOptions options;
  options.read_only = true;
  options.wait_for_writer_ms = 20000;
  std::shared_ptr<Pool> pool;
  while (!shared->stop && !pool) {
    auto opened = Pool::open(path, options);
    if (opened.is_ok()) pool = *opened;
    // The pool is not there yet, or has nothing in it yet.
    else if (opened.status().code() != Code::kNotFound &&
             opened.status().code() != Code::kNotAPool) {
      violated("a reader cannot open: " + opened.status().message());
    } else
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  uint64_t seen = 0, epoch = 0, kept_number = 0, last_fold = 0;
  SnapshotPtr kept;
  std::unique_ptr<MappedView> view;
  std::string viewed;
  while (!shared->stop) {
    const uint64_t acknowledged = shared->acknowledged;
    auto refreshed = pool->refresh();
    if (!refreshed.is_ok())
      violated("refresh failed: " + std::string(code_name(refreshed.status().code())) + " " +
               refreshed.status().message());
    if (*refreshed < epoch)
      violated("the epoch went back from " + std::to_string(epoch) + " to " +
               std::to_string(*refreshed));
    epoch = *refreshed;
    shared->refreshes++;
    const uint64_t begun = shared->begun;
    auto now = pool->snapshot();
    if (!now.is_ok()) {
      if (gone(now.status()) && !may_expire) violated("expired");
      continue;
    }
    const bool views = random.below(6) == 0;
    if (views) view = nullptr;
    auto number =
        number_of_all(*pool, *now, std::max(seen, acknowledged), begun, views ? &view : nullptr);
    if (views && view) {
      viewed.assign(reinterpret_cast<const char*>(view->data), view->size);
      shared->views++;
    }
    if (view && std::memcmp(viewed.data(), view->data, view->size) != 0)
      violated("a view has changed");
    if (number.is_ok())
      seen = *number;
    else if (gone(number.status()) && !may_expire)
      violated("expired");
    const uint64_t fold = pool->stats().folded_epoch;
    if (fold != last_fold) shared->generations++;
    last_fold = fold;
    if (kept) {
      auto again = number_of_all(*pool, kept, kept_number, kept_number);
      if (!again.is_ok()) {
        gone(again.status());
        kept = nullptr;
      } else if (random.below(20) == 0) {
        kept = nullptr;
      }
    } else if (number.is_ok() && random.below(4) == 0) {
      kept = *now;
      kept_number = seen;
      shared->snapshots++;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random.below(2000)));
  }
}

template <typename Work>
pid_t start(Work work) {
  const pid_t child = fork();
  if (child != 0) return child;
  work();
  std::_Exit(0);
}

struct Plan {
  bool pmem = false;
  int kills = 60;
  int readers = 4;
  uint64_t seed = 1;
  bool may_expire = true;
};

enum class Verdict { kSound, kViolated, kNothingTried };

Verdict storm(const Plan& plan, const std::string& folder) {
  const std::string path = folder + "/pool";
  Random random(plan.seed);
  new (shared) Shared();
  uint64_t seed = plan.seed * 1000000;
  pid_t writer = -1, readers[kMostReaders];
  const auto begin_writer = [&] {
    writer = start([&, at = seed++] { write_on(path, plan.pmem, at); });
  };
  const auto begin_reader = [&](int i) {
    readers[i] = start([&, at = seed++] { read_on(path, at, plan.may_expire); });
  };
  begin_writer();
  for (int i = 0; i < plan.readers; i++) begin_reader(i);
  int killed = 0;
  bool sound = true;
  uint64_t begun = 0, refreshes = 0;
  bool impatient = false;
  auto next = std::chrono::steady_clock::now();
  const auto limit = next + std::chrono::seconds(120 + 2 * plan.kills);
  while (sound && killed < plan.kills) {
    int status = 0;
    const pid_t ended = waitpid(-1, &status, WNOHANG);
    if (ended > 0) {
      const bool ours = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
      if (!ours && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) sound = false;
      if (sound && ended == writer) begin_writer();
      for (int i = 0; i < plan.readers && sound; i++) {
        if (ended == readers[i]) begin_reader(i);
      }
      continue;
    }
    // On a busy machine a while longer: kills that come before anybody has got anywhere try
    // nothing. Now and then they do.
    const auto now = std::chrono::steady_clock::now();
    const bool moved = shared->begun > begun && shared->refreshes > refreshes;
    if (now >= next + (moved || impatient ? std::chrono::seconds(0) : kPatience)) {
      begun = shared->begun;
      refreshes = shared->refreshes;
      impatient = random.below(4) == 0;
      kill(random.below(3) == 0 ? readers[random.below(static_cast<uint64_t>(plan.readers))]
                                : writer,
           SIGKILL);
      killed++;
      next = std::chrono::steady_clock::now() + std::chrono::milliseconds(20 + random.below(400));
      if (next > limit) break;
    }
    usleep(1000);
  }
  shared->stop = true;
  const auto settle = [&](pid_t child) {
    int status = 0;
    if (waitpid(child, &status, 0) != child) return;
    const bool ours = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    sound = sound && (ours || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
  };
  settle(writer);
  for (int i = 0; i < plan.readers; i++) settle(readers[i]);
  const auto count = [](const std::atomic<uint64_t>& counted) {
    return static_cast<unsigned long long>(counted.load());
  };
  std::printf(
      "readers_storm: %s, %d readers, seed %llu: %llu commits by %llu writers, %d kills, %llu "
      "refreshes, %llu folds followed, "
      "%llu snapshots and %llu views kept, %llu expired%s%s\n",
      plan.pmem ? "pmem" : "file", plan.readers, static_cast<unsigned long long>(plan.seed),
      count(shared->begun), count(shared->writers), killed, count(shared->refreshes),
      count(shared->generations), count(shared->snapshots), count(shared->views),
      count(shared->expired), sound ? "" : "; VIOLATED: ",
      sound                ? ""
      : *shared->violation ? shared->violation
                           : "a process died");
  std::fflush(stdout);
  const bool lived = shared->refreshes > 0 && shared->begun > 0 && shared->generations > 0;
  if (!sound) return Verdict::kViolated;
  return lived ? Verdict::kSound : Verdict::kNothingTried;
}

Verdict in_scratch(const Plan& plan) {
  const auto parent =
      plan.pmem ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path();
  std::string folder = (parent / "hf-readers-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return Verdict::kNothingTried;
  const Verdict verdict = storm(plan, folder);
  std::error_code ignored;  // what cannot be removed is left to the system's cleaning
  std::filesystem::remove_all(folder, ignored);
  return verdict;
}

}  // namespace
}  // namespace holdfast

int main(int count, char** arguments) {
  using namespace holdfast;
  Plan plan;
  bool controls = false;
  std::string medium;
  for (int i = 1; i < count; i++) {
    const std::string name = arguments[i];
    const char* value = i + 1 < count ? arguments[i + 1] : "";
    if (name == "--controls")
      controls = true;
    else if (name == "--kills")
      plan.kills = std::atoi(value), i++;
    else if (name == "--readers")
      plan.readers = std::min(std::atoi(value), kMostReaders), i++;
    else if (name == "--seed")
      plan.seed = std::strtoull(value, nullptr, 10), i++;
    else if (name == "--medium")
      medium = value, i++;
    else
      return std::fprintf(stderr, "readers_storm: unknown option %s\n", name.c_str()), 2;
  }
  setenv("PMEM_IS_PMEM_FORCE", "1", 1);
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 2;
  shared = static_cast<Shared*>(memory);
  int passed = 0, failed = 0;
#ifdef HOLDFAST_WITH_PMEM
  const char* const media[] = {"file", "pmem"};
#else
  const char* const media[] = {"file"};
#endif
  for (const char* one : media) {
    if (!medium.empty() && medium != one) continue;
    plan.pmem = one[0] == 'p';
    bool sound = true;
    if (controls) {
      for (const char* bug : {"reader-pins-ignored", "reader-placed-under"}) {
        planted_bug = planted_bug_named(bug);
        bool caught = false;
        for (int tries = 0; tries < 20 && !caught; tries++, plan.seed++)
          caught = in_scratch(plan) == Verdict::kViolated;
        std::printf("readers_storm: the planted bug %s was %s on medium %s\n", bug,
                    caught ? "caught" : "NOT caught", one);
        sound = sound && caught;
      }
    } else {
      sound = in_scratch(plan) == Verdict::kSound;
    }
    (sound ? passed : failed)++;
  }
  std::printf("readers_storm: %d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}
