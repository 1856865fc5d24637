// damage_tests: valid pools, damaged by a seed in every way a disk or a stray hand can, opened and used in a child
// process with limits on time and memory. Whatever is answered must be right or an error that says what is damaged;
// never a crash, a hang, a wrong value, or memory without bound.
//
//   damage_tests [--count N] [--seed S] [--minutes M] [--jobs J]    N damages from seed S on, over all pools
//   damage_tests --one SEED [--verbose]                             one damage again
//   damage_tests --controls                                         planted faults, each must be noticed
//
// The last line is doctest's summary, for scripts/count-tests.mjs.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <map>

#include "backup_damage.h"
#include "damage_check.h"
#include "medium/readers_table.h"
#include "model_pool.h"

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
        change(line + random->below(64), static_cast<uint8_t>(1 << random->below(8))), hurt(&damage, line, 64);
        break;
      case 1:
        change(line + random->below(64), static_cast<uint8_t>(1 + random->below(255))), hurt(&damage, line, 64);
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
    std::vector<uint32_t> lines = pool_.used_lines;
    for (const Range& range : damage.ranges) {
      if (range.end == UINT64_MAX) continue;
      for (uint64_t line = range.begin / 64; line * 64 < range.end; line++)
        lines.push_back(static_cast<uint32_t>(line));
    }
    std::sort(lines.begin(), lines.end());
    write_image(bytes_.data(), damage.size, lines, path);
  }

  void heal(const Damage& damage) {
    for (const Range& range : damage.ranges) {
      if (range.end != UINT64_MAX)
        std::memcpy(bytes_.data() + range.begin, pool_.image.data() + range.begin, range.end - range.begin);
    }
  }

 private:
  // Of the lines in use any; one time in five of those that decide most: the first pages of the pool's front.
  uint64_t any_line(Random* random) const {
    if (random->below(5) == 0 && !pool_.pmem) return random->below(16384 / 64) * 64;
    return uint64_t{pool_.used_lines[random->below(pool_.used_lines.size())]} * 64;
  }
  void change(uint64_t at, uint8_t with) { bytes_.data()[at] ^= with; }
  void noise(uint64_t at, uint64_t size, Random* random) {
    for (uint64_t i = at; i < at + size; i++) bytes_.data()[i] = static_cast<uint8_t>(random->next());
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

// What is tried of one damage.
using Trial = std::function<Verdict(std::string* words)>;

// In a child: opens and uses the damaged pool; its exit code is the verdict, its words go to the pipe.
[[noreturn]] void child_main(const Trial& trial, int out) {
  rlimit memory = {uint64_t{1} << 30, uint64_t{1} << 30};
  rlimit processor = {20, 20};
  rlimit core = {0, 0};
  ::setrlimit(RLIMIT_DATA, &memory);
  ::setrlimit(RLIMIT_CPU, &processor);
  ::setrlimit(RLIMIT_CORE, &core);
  ::alarm(240);  // the limit is that on processor time; this one is for a process that waits for ever
  std::string words;
  const Verdict verdict = trial(&words);
  (void)!::write(out, words.data(), std::min<size_t>(words.size(), 60000));
  std::_Exit(static_cast<int>(verdict));
}

struct Outcome {
  int verdict = -1;  // as Verdict; -1: it died
  std::string words;
};

Outcome run_child(const Trial& trial) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
  const pid_t child = ::fork();
  if (child == 0) child_main(trial, ends[1]);
  ::close(ends[1]);
  Outcome outcome;
  char buffer[4096];
  for (ssize_t n; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    outcome.words.append(buffer, static_cast<size_t>(n));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) < 8)
    outcome.verdict = WEXITSTATUS(status);
  else if (WIFSIGNALED(status))
    outcome.words += std::string("died of ") + strsignal(WTERMSIG(status));
  else
    outcome.words += "ended with code " + std::to_string(WEXITSTATUS(status));
  return outcome;
}

std::string scratch_folder() {
  static const std::string folder = [] {
    std::string pattern =
        (::access("/dev/shm", W_OK) == 0 ? std::string("/dev/shm") : std::string("/tmp")) + "/hf-damage-XXXXXX";
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

Outcome try_pool(const ModelPool& pool, size_t number, uint64_t seed, const std::string& control, Damage* damage) {
  static std::map<size_t, Victim> victims;
  Random random(seed);
  Victim& victim = victims.try_emplace(number, pool).first->second;
  *damage = victim.inflict(&random);
  const std::string path = scratch_folder() + "/pool-" + std::to_string(::getpid());
  victim.write(*damage, path);
  victim.heal(*damage);
  const Question question{pool, damage->ranges, path, seed, control};
  const Outcome outcome = run_child([&](std::string* words) { return ask(question, words); });
  ::unlink(path.c_str());
  ::unlink((path + ".saved").c_str());
  ::unlink(readers_table_path(path).c_str());
  return outcome;
}

Outcome try_backup(const BackupModel& backup, uint64_t seed, const std::string& control) {
  const std::string path = scratch_folder() + "/restored-" + std::to_string(::getpid());
  const Outcome outcome = run_child([&](std::string* words) {
    return try_damaged_backup(backup, seed, path, control == "wrong-restore", words);
  });
  ::unlink(path.c_str());
  return outcome;
}

// One damage, decided by its seed alone. Returns false when the answer was wrong.
bool try_one(const Models& models, uint64_t seed, const std::string& control, bool verbose, Shared* shared) {
  Damage damage;
  const size_t number = seed % (models.pools.size() + 1);
  const bool of_backup = number == models.pools.size();
  const std::string name = of_backup ? "backup" : models.pools[number].name;
  const Outcome outcome = of_backup ? try_backup(models.backup, seed, control) : try_pool(models.pools[number], number, seed, control, &damage);
  if (shared) {
    if (!of_backup) shared->by_kind[damage.kind]++;
    shared->verdicts[outcome.verdict < 0 ? 7 : outcome.verdict]++;
  }
  const bool wrong = outcome.verdict < 0 || outcome.verdict == static_cast<int>(Verdict::kWrong);
  if (verbose || (wrong && control.empty())) {
    std::printf("%s: seed %llu, %s, %s: %s\n%s", wrong ? "FAILED" : "ok", static_cast<unsigned long long>(seed),
                name.c_str(), damage.text.c_str(), outcome.words.c_str(), wrong ? "" : "\n");
    if (wrong)
      std::printf("\n  again: build-native/damage_tests --one %llu --verbose\n", static_cast<unsigned long long>(seed));
    std::fflush(stdout);
  }
  return !wrong;
}

void worker(const Models& models, const Options& options, time_t until, Shared* shared) {
  for (;;) {
    const uint64_t n = shared->next++;
    if (until == 0 ? n >= options.count : ::time(nullptr) >= until) return;
    if (!try_one(models, options.seed + n, "", options.verbose, shared)) shared->failures++;
    shared->done++;
    if (shared->failures >= 20) return;
  }
}

// Runs `count` damages with a planted fault; it must be noticed at least once.
bool control_is_caught(const Models& models, const std::string& control, uint64_t count) {
  for (uint64_t seed = 1; seed <= count; seed++) {
    if (!try_one(models, seed, control, false, nullptr)) {
      std::printf("control %s: caught after %llu damages\n", control.c_str(), static_cast<unsigned long long>(seed));
      return true;
    }
  }
  std::printf("control %s: NOT caught in %llu damages\n", control.c_str(), static_cast<unsigned long long>(count));
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
  std::printf("[doctest] test cases: %d | %d passed | %d failed | %d skipped\n", passed + failed + skipped, passed,
              failed, skipped);
}

int run(const Options& options) {
  const Models models = make_models();
  for (const ModelPool& pool : models.pools) {
    std::printf("damage: %s: %zu bytes, %zu of them in use, %zu entries\n", pool.name.c_str(), pool.image.size(),
                pool.used_lines.size() * 64, pool.entries.size());
  }
  std::fflush(stdout);
  if (options.one) return try_one(models, options.seed, "", true, nullptr) ? 0 : 1;
  int passed = 0, failed = 0;
  if (options.controls) {
    for (const std::string& control : controls()) (control_is_caught(models, control, 400) ? passed : failed)++;
    summary(passed, failed, 0);
    return failed == 0 ? 0 : 1;
  }
  auto* shared =
      static_cast<Shared*>(::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
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
      "damage: %llu damages on %zu pools and a backup in %lld s: %llu harmless, %llu partly lost and said so, %llu refused, %llu "
      "wrong or died\n",
      static_cast<unsigned long long>(shared->done), models.pools.size(), static_cast<long long>(::time(nullptr) - begun),
      static_cast<unsigned long long>(shared->verdicts[0]), static_cast<unsigned long long>(shared->verdicts[1]),
      static_cast<unsigned long long>(shared->verdicts[2]), static_cast<unsigned long long>(shared->failures));
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
