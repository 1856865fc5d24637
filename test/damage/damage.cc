// damage_tests: valid pools, damaged by a seed in every way a disk or a stray hand can, opened and
// used in a child process with limits on time and memory (trial_process.h). Whatever is answered
// must be right or an error that says what is damaged; never a crash, a hang, a wrong value, or
// memory without bound.
//
//   damage_tests [--count N] [--seed S] [--minutes M] [--jobs J]
//                                         N damages from seed S on, over all pools
//   damage_tests --one SEED [--verbose]   one damage again
//   damage_tests --controls               planted faults, each must be noticed
//
// The last line is doctest's summary, for scripts/count-tests.mjs.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>

#include "backup_damage.h"
#include "base/test_hooks.h"
#include "damage_check.h"
#include "medium/readers_table.h"
#include "model_pool.h"
#include "trial_process.h"

namespace holdfast::crash {
namespace {

constexpr int kKinds = 11;
const char* const kKindNames[kKinds] = {"bit",
                                        "byte",
                                        "word",
                                        "line zeroed",
                                        "sector noise",
                                        "page zeroed",
                                        "cut",
                                        "sectors swapped",
                                        "segment zeroed",
                                        "segments swapped",
                                        "sector from elsewhere"};

struct Shared {
  std::atomic<uint64_t> next, done, verdicts[8], failures, salvaged;
  std::atomic<uint64_t> by_kind[kKinds];
};

struct Options {
  uint64_t count = 5000, seed = 1;
  double minutes = 0;
  int jobs = 2;
  bool one = false, verbose = false, controls = false;
};

struct Damage {
  int kind = 0;
  uint64_t size = 0;  // of the file afterwards
  std::vector<Range> ranges;
  std::string text;
};

// A pool's image that is damaged and made whole again, over and over.
class Victim {
 public:
  explicit Victim(const ModelPool& pool) : pool_(pool), bytes_(pool.image.size()) {
    for (const uint32_t line : pool.used_lines)
      std::memcpy(bytes_.data() + line * 64ull, pool.image.data() + line * 64ull, 64);
  }

  Damage inflict(Random* random) {
    Damage damage;
    damage.size = bytes_.size();
    damage.kind = static_cast<int>(random->below(kKinds));
    const uint64_t line = any_line(random), other = any_line(random);
    switch (damage.kind) {
      case 0:
        change(line + random->below(64), static_cast<uint8_t>(1 << random->below(8))),
            hurt(&damage, line, 64);
        break;
      case 1:
        change(line + random->below(64), static_cast<uint8_t>(1 + random->below(255))),
            hurt(&damage, line, 64);
        break;
      case 2:
        noise(line + 8 * random->below(8), 8, random), hurt(&damage, line, 64);
        break;
      case 3:
        zero(&damage, line, 64);
        break;
      case 4:
        noise(line / 512 * 512, 512, random), hurt(&damage, line / 512 * 512, 512);
        break;
      case 5:
        zero(&damage, line, 4096);
        break;
      case 6:
        damage.size = random->below(bytes_.size());
        damage.ranges.push_back({damage.size, UINT64_MAX});
        break;
      case 7:
        swap(&damage, line, other, 512);
        break;
      case 8:
        zero(&damage, line, 64 * 1024);
        break;
      case 9:
        swap(&damage, line, other, 64 * 1024);
        break;
      case 10:
        if (std::memcmp(bytes_.data() + line / 512 * 512, bytes_.data() + other / 512 * 512, 512) ==
            0)
          break;  // an earlier copy: no damage
        std::memmove(bytes_.data() + line / 512 * 512, bytes_.data() + other / 512 * 512, 512);
        hurt(&damage, line / 512 * 512, 512);
        break;
    }
    damage.text = std::string(kKindNames[damage.kind]) + " at";
    for (const Range& range : damage.ranges)
      damage.text += " [" + std::to_string(range.begin) + ", " + std::to_string(range.end) + ")";
    return damage;
  }

  void write(const Damage& damage, const std::string& path) const {
    write_image(bytes_.data(), damage.size, pool_.used, damage.ranges, path);
  }

  void heal(const Damage& damage) {
    for (const Range& range : damage.ranges) {
      if (range.end != UINT64_MAX)
        std::memcpy(bytes_.data() + range.begin, pool_.image.data() + range.begin,
                    range.end - range.begin);
    }
  }

 private:
  // Of the lines in use any; one time in five of those that decide most: the first pages of the
  // pool's front.
  uint64_t any_line(Random* random) const {
    if (random->below(5) == 0 && !pool_.pmem) return random->below(16384 / 64) * 64;
    return uint64_t{pool_.used_lines[random->below(pool_.used_lines.size())]} * 64;
  }
  void change(uint64_t at, uint8_t with) { bytes_.data()[at] ^= with; }
  void noise(uint64_t at, uint64_t size, Random* random) {
    for (uint64_t i = at; i < at + size; i++)
      bytes_.data()[i] = static_cast<uint8_t>(random->next());
  }
  void hurt(Damage* damage, uint64_t at, uint64_t size) {
    damage->ranges.push_back({at, std::min<uint64_t>(at + size, bytes_.size())});
  }
  void zero(Damage* damage, uint64_t line, uint64_t unit) {
    const uint64_t at = line / unit * unit, size = std::min(unit, bytes_.size() - at);
    std::memset(bytes_.data() + at, 0, size);
    hurt(damage, at, size);
  }
  void swap(Damage* damage, uint64_t line, uint64_t other, uint64_t unit) {
    const uint64_t a = line / unit * unit, b = other / unit * unit;
    const uint64_t size = std::min(unit, bytes_.size() - std::max(a, b));
    if (a == b) return;
    std::swap_ranges(bytes_.data() + a, bytes_.data() + a + size, bytes_.data() + b);
    hurt(damage, a, size), hurt(damage, b, size);
  }

  const ModelPool& pool_;
  Image bytes_;
};

std::string scratch_folder() {
  static const std::string folder = [] {
    std::string pattern =
        (::access("/dev/shm", W_OK) == 0 ? std::string("/dev/shm") : std::string("/tmp")) +
        "/hf-damage-XXXXXX";
    if (!::mkdtemp(pattern.data())) std::abort();
    return pattern;
  }();
  return folder;
}

// What there is to be damaged.
struct Models {
  std::vector<ModelPool> pools;
  BackupModel backup;
};

// Tries damages of all models in processes of their own.
class Tester {
 public:
  Tester(const Models& models, std::string control)
      : models_(models),
        control_(std::move(control)),
        path_(scratch_folder() + "/pool-" + std::to_string(::getpid())),
        process_([this](const Trial& trial, std::string* words) { return attempt(trial, words); },
                 path_) {}

  // One damage, decided by its seed alone. Returns false when the answer was wrong.
  bool try_one(uint64_t seed, bool verbose, Shared* shared) {
    Trial trial;
    trial.seed = seed;
    trial.model = seed % (models_.pools.size() + 1);
    const bool of_backup = is_backup(trial);
    Damage damage;
    if (!of_backup) damage = prepare(&trial);
    const bool in_a_used_process = process_.has_tried();
    Outcome outcome = process_.run(trial);
    const bool wrong = is_wrong(outcome);
    if (wrong && control_.empty() && in_a_used_process) {
      clean_up();
      if (!of_backup) prepare(&trial);
      outcome.words += is_wrong(process_.alone(trial))
                           ? "\n  (in a new process too)"
                           : "\n  (only in a process that had tried the damages before it)";
    }
    clean_up();
    if (shared) {
      if (!of_backup) shared->by_kind[damage.kind]++;
      shared->verdicts[outcome.verdict < 0 ? 7 : outcome.verdict]++;
    }
    if (verbose || (wrong && control_.empty())) say(trial, damage, outcome, wrong);
    return !wrong;
  }

 private:
  bool is_backup(const Trial& trial) const { return trial.model == models_.pools.size(); }
  static bool is_wrong(const Outcome& outcome) {
    return outcome.verdict < 0 || outcome.verdict == static_cast<int>(Verdict::kWrong);
  }

  // Lays the damaged pool at path_.
  Damage prepare(Trial* trial) {
    static std::map<uint64_t, Victim> victims;
    Random random(trial->seed);
    Victim& victim = victims.try_emplace(trial->model, models_.pools[trial->model]).first->second;
    const Damage damage = victim.inflict(&random);
    victim.write(damage, path_);
    victim.heal(damage);
    trial->ranges = damage.ranges.size();
    if (trial->ranges > Trial::kMostRanges) std::abort();
    std::copy(damage.ranges.begin(), damage.ranges.end(), trial->range);
    return damage;
  }

  // In the process that may die of it.
  Verdict attempt(const Trial& trial, std::string* words) const {
    static const PlantedBug usual = planted_bug;
    planted_bug = usual;  // whatever an earlier trial has planted
    if (is_backup(trial))
      return try_damaged_backup(models_.backup, trial.seed, path_, control_ == "wrong-restore",
                                words);
    const std::vector<Range> damaged = trial.damaged();
    return ask({models_.pools[trial.model], damaged, path_, trial.seed, control_}, words);
  }

  void clean_up() const {
    for (const std::string& left : {path_, path_ + ".saved", readers_table_path(path_)})
      ::unlink(left.c_str());
  }

  void say(const Trial& trial, const Damage& damage, const Outcome& outcome, bool wrong) const {
    const std::string name = is_backup(trial) ? "backup" : models_.pools[trial.model].name;
    std::printf("%s: seed %llu, %s, %s: %s\n%s", wrong ? "FAILED" : "ok",
                static_cast<unsigned long long>(trial.seed), name.c_str(), damage.text.c_str(),
                outcome.words.c_str(), wrong ? "" : "\n");
    if (wrong)
      std::printf("\n  again: build-native/damage_tests --one %llu --verbose\n",
                  static_cast<unsigned long long>(trial.seed));
    std::fflush(stdout);
  }

  const Models& models_;
  const std::string control_;
  const std::string path_;
  TrialProcess process_;
};

void worker(const Models& models, const Options& options, time_t until, Shared* shared) {
  Tester tester(models, "");
  for (;;) {
    const uint64_t n = shared->next++;
    if (until == 0 ? n >= options.count : ::time(nullptr) >= until) return;
    if (!tester.try_one(options.seed + n, options.verbose, shared)) shared->failures++;
    shared->done++;
    if (shared->failures >= 20) return;
  }
}

// Runs `count` damages with a planted fault; it must be noticed at least once.
bool control_is_caught(const Models& models, const std::string& control, uint64_t count) {
  Tester tester(models, control);
  for (uint64_t seed = 1; seed <= count; seed++) {
    if (!tester.try_one(seed, false, nullptr)) {
      std::printf("control %s: caught after %llu damages\n", control.c_str(),
                  static_cast<unsigned long long>(seed));
      return true;
    }
  }
  std::printf("control %s: NOT caught in %llu damages\n", control.c_str(),
              static_cast<unsigned long long>(count));
  return false;
}

Models make_models() {
  Models models;
  std::vector<ModelPool>& pools = models.pools;
  for (const bool pmem : {false, true}) {
#ifndef HOLDFAST_WITH_PMEM
    if (pmem) continue;
#endif
    for (const Shape shape : kShapes) {
      pools.push_back(make_model_pool(scratch_folder() + "/model", pmem, shape, pools.size() + 1));
    }
  }
  models.backup = make_backup_model(scratch_folder() + "/model", 1);
  return models;
}

void summary(int passed, int failed, int skipped) {
  std::printf("[doctest] test cases: %d | %d passed | %d failed | %d skipped\n",
              passed + failed + skipped, passed, failed, skipped);
}

int run(const Options& options) {
  const Models models = make_models();
  for (const ModelPool& pool : models.pools) {
    std::printf("damage: %s: %zu bytes, %zu of them in use, %zu entries\n", pool.name.c_str(),
                pool.image.size(), pool.used_lines.size() * 64, pool.entries.size());
  }
  std::fflush(stdout);
  if (options.one) return Tester(models, "").try_one(options.seed, true, nullptr) ? 0 : 1;
  int passed = 0, failed = 0;
  if (options.controls) {
    for (const std::string& control : controls())
      (control_is_caught(models, control, 5000) ? passed : failed)++;
    summary(passed, failed, 0);
    return failed == 0 ? 0 : 1;
  }
  auto* shared = static_cast<Shared*>(
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  const time_t begun = ::time(nullptr);
  const time_t until = options.minutes ? begun + static_cast<time_t>(options.minutes * 60) : 0;
  std::vector<pid_t> workers;
  for (int i = 0; i < options.jobs; i++) {
    const pid_t child = ::fork();
    if (child == 0) {
      worker(models, options, until, shared);
      std::fflush(stdout);
      std::_Exit(0);
    }
    workers.push_back(child);
  }
  for (const pid_t child : workers) ::waitpid(child, nullptr, 0);
  std::printf(
      "damage: %llu damages on %zu pools and a backup in %lld s: %llu harmless, %llu partly lost "
      "and said so, %llu refused, %llu "
      "wrong or died\n",
      static_cast<unsigned long long>(shared->done), models.pools.size(),
      static_cast<long long>(::time(nullptr) - begun),
      static_cast<unsigned long long>(shared->verdicts[0]),
      static_cast<unsigned long long>(shared->verdicts[1]),
      static_cast<unsigned long long>(shared->verdicts[2]),
      static_cast<unsigned long long>(shared->failures));
  const bool all_done = until != 0 || shared->done == options.count;
  summary(shared->failures == 0 && all_done ? 1 : 0, shared->failures == 0 && all_done ? 0 : 1, 0);
  return shared->failures == 0 && all_done ? 0 : 1;
}

}  // namespace
}  // namespace holdfast::crash

int main(int argc, char** argv) {
  // libpmem looks at the variable once, while it is loaded.
  const char* force = std::getenv("PMEM_IS_PMEM_FORCE");
  if (!force || std::strcmp(force, "1") != 0) {
    ::setenv("PMEM_IS_PMEM_FORCE", "1", 1);
    ::execv("/proc/self/exe", argv);
    return 1;
  }
  holdfast::crash::Options options;
  for (int i = 1; i < argc; i++) {
    const std::string word = argv[i];
    const auto number = [&] { return i + 1 < argc ? std::strtoull(argv[++i], nullptr, 10) : 0; };
    if (word == "--count")
      options.count = number();
    else if (word == "--seed")
      options.seed = number();
    else if (word == "--minutes")
      options.minutes = i + 1 < argc ? std::strtod(argv[++i], nullptr) : 0;
    else if (word == "--jobs")
      options.jobs = static_cast<int>(number());
    else if (word == "--one")
      options.one = true, options.seed = number();
    else if (word == "--verbose")
      options.verbose = true;
    else if (word == "--controls")
      options.controls = true;
    else {
      std::fprintf(stderr, "unknown: %s\n", argv[i]);
      return 2;
    }
  }
  const int code = holdfast::crash::run(options);
  const std::string folder = holdfast::crash::scratch_folder();
  ::rmdir(folder.c_str());
  return code;
}
