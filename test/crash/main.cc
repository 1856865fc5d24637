// crash_simulator: the layer "simulator" of docs/testing.md.
//
//   crash_simulator                       the share of an ordinary test run: controls, scripts,
//                                         20,000 seeds
//   crash_simulator --seeds N [--from S]  N seeds from S on (S: 1)
//   crash_simulator --minutes M           new seeds for M minutes, from one that the clock chooses
//                                         (or --from)
//   crash_simulator --seed S              one seed, with a trace
//   crash_simulator --scripts, --controls, --remembered
//                                         only these
//   --jobs N                              processes; as many as there are processors
//
// A planted bug is chosen with HOLDFAST_PLANTED_BUG=name. Prints a line for each thing that failed,
// with the command that repeats it, and at the end "crash_simulator: N passed, N failed": a batch
// of up to 1,000 seeds, a script on a medium, and a control count as one test each. Exit code 0
// only if nothing failed.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "controls.h"
#include "exhaustive.h"
#include "simulation.h"
#include "workers.h"

using namespace holdfast;
using namespace holdfast::crash;

namespace {

constexpr uint64_t kBatch = 1000;
constexpr uint64_t kUsualSeeds = 20000;
constexpr uint64_t kTwice = 64;  // every so manieth seed is run twice: the same must happen
constexpr double kSeedLimit_s = 300;

// Seeds that once found a bug. The simulator changes and with it what a seed does; what they found
// is also a control or a script.
constexpr uint64_t kRemembered[] = {88, 225, 681, 858, 885, 905, 4526, 71383};

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point begun) {
  return std::chrono::duration<double>(Clock::now() - begun).count();
}

struct Options {
  uint64_t seeds = 0, from = 1;
  bool seed = false, from_given = false, scripts = false, controls = false, remembered = false;
  double minutes = 0;
  unsigned jobs = 1;
};

struct Totals {
  uint64_t passed = 0, failed = 0;
  void count(bool held) { (held ? passed : failed)++; }
};

unsigned long long wide(uint64_t number) { return number; }

std::string replay_line(uint64_t seed) {
  const std::string bug =
      planted_bug == PlantedBug::kNone
          ? ""
          : std::string("HOLDFAST_PLANTED_BUG=") + std::getenv("HOLDFAST_PLANTED_BUG") + " ";
  return "repeat with: " + bug + "build-native/crash_simulator --seed " + std::to_string(seed);
}

// A verdict as it goes through a pipe: the tally, then the failure.
std::string pack(const Verdict& verdict) {
  return std::string(reinterpret_cast<const char*>(&verdict.tally), sizeof verdict.tally) +
         verdict.failure;
}
Verdict unpack(const Report& report) {
  Verdict verdict;
  if (report.died) {
    verdict.failure = report.text;
  } else {
    std::memcpy(&verdict.tally, report.text.data(), sizeof verdict.tally);
    verdict.failure = report.text.substr(sizeof verdict.tally);
  }
  return verdict;
}

Verdict one_seed(uint64_t seed) {
  Verdict verdict = simulate(seed, false);
  if (seed % kTwice == 0 && verdict.failure.empty() &&
      simulate(seed, false).digest != verdict.digest) {
    verdict.failure = "the same seed did not do the same twice";
  }
  return verdict;
}

void run_seeds(const Options& options, uint64_t count, double deadline_s, Totals* totals) {
  const auto begun = Clock::now();
  std::map<uint64_t, bool> batches;  // did all its seeds hold?
  Tally tally;
  uint64_t failures = 0;
  const uint64_t done = spread(
      options.jobs, options.from, count, deadline_s, kSeedLimit_s,
      [](uint64_t seed) { return pack(one_seed(seed)); },
      [&](const Report& report) {
        const Verdict verdict = unpack(report);
        bool& held = batches.emplace((report.number - options.from) / kBatch, true).first->second;
        tally.add(verdict.tally);
        if (!verdict.failure.empty()) {
          held = false;
          failures++;
          std::printf("seed %llu: %s\n  %s\n", wide(report.number), verdict.failure.c_str(),
                      replay_line(report.number).c_str());
        }
        return failures < 20;
      });
  for (const auto& [batch, held] : batches) totals->count(held);
  std::printf(
      "simulator: %llu seeds tried, %llu failed, %.0f s: %llu commits, %llu crashes, %llu faults "
      "armed, %llu openings, %llu commits into a "
      "full pool, %llu folds, %llu merges, %llu segments cleaned, %llu interleavings\n",
      wide(done), wide(failures), seconds_since(begun), wide(tally.commits), wide(tally.crashes),
      wide(tally.faults), wide(tally.opens), wide(tally.refused_full), wide(tally.folds),
      wide(tally.merges), wide(tally.cleaned), wide(tally.interleaved));
}

void run_remembered(Totals* totals) {
  bool held = true;
  for (const uint64_t seed : kRemembered) {
    const Verdict verdict = simulate(seed, false);
    if (verdict.failure.empty()) continue;
    held = false;
    std::printf("seed %llu: %s\n  %s\n", wide(seed), verdict.failure.c_str(),
                replay_line(seed).c_str());
  }
  totals->count(held);
}

void run_scripts(const Options& options, Totals* totals) {
  const auto begun = Clock::now();
  uint64_t points = 0, fully = 0, states = 0;
  spread(
      options.jobs, 0, script_count(), 0, 600,
      [](uint64_t script) {
        const Coverage c = try_script(script);
        return std::to_string(c.crash_points) + " " + std::to_string(c.fully) + " " +
               std::to_string(c.states) + "\n" + c.failure;
      },
      [&](const Report& report) {
        unsigned long long p = 0, f = 0, s = 0;
        std::string failure = report.text;
        if (!report.died) {
          std::sscanf(report.text.c_str(), "%llu %llu %llu", &p, &f, &s);
          failure = report.text.substr(report.text.find('\n') + 1);
        }
        points += p, fully += f, states += s;
        totals->count(failure.empty());
        if (!failure.empty())
          std::printf("script '%s': %s\n", script_name(report.number).c_str(), failure.c_str());
        return true;
      });
  std::printf(
      "scripts: %llu on two media, %llu crash points (%llu with every subset), %llu states "
      "recovered and compared, %.0f s\n",
      wide(script_count() / 2), wide(points), wide(fully), wide(states), seconds_since(begun));
}

// What the scripts that a control names say of the bug; empty: nothing. In processes of their own,
// as everything here.
std::string caught_by_script(const Options& options, const Control& control) {
  std::string first;
  spread(
      options.jobs, 0, script_count(), 0, 600,
      [&](uint64_t script) {
        return script_name(script).find(control.script) == std::string::npos
                   ? std::string()
                   : try_script(script).failure;
      },
      [&](const Report& report) {
        if (first.empty()) first = report.died ? "" : report.text;
        return true;
      });
  return first;
}

// Each control in processes of its own; ends with the first seed that notices the bug.
void run_controls(const Options& options, Totals* totals) {
  const auto begun = Clock::now();
  uint64_t caught = 0;
  for (const Control& control : kControls) {
    planted_bug = planted_bug_named(control.bug);
    std::string first;
    uint64_t by = 0, tried = 0;
    if (control.script) first = caught_by_script(options, control);
    spread(
        options.jobs, 1, control.seeds, 0, kSeedLimit_s,
        [](uint64_t seed) { return pack(simulate(seed, false)); },
        [&](const Report& report) {
          const Verdict verdict = unpack(report);
          tried++;
          if (verdict.failure.empty() || !first.empty()) return first.empty();
          first = verdict.failure;
          by = report.number;
          return false;
        });
    planted_bug = PlantedBug::kNone;
    totals->count(!first.empty());
    caught += !first.empty();
    if (control.script && !first.empty()) {
      std::printf("control '%s' caught by script '%s': %s\n", control.bug, control.script,
                  first.substr(0, 140).c_str());
    } else if (first.empty()) {
      std::printf("control '%s' (%s) was NOT caught in %llu seeds\n", control.bug, control.what,
                  wide(tried));
    } else {
      std::printf("control '%s' caught by seed %llu: %s\n", control.bug, wide(by),
                  first.substr(0, 140).c_str());
    }
  }
  std::printf("controls: %llu of %zu planted bugs caught, %.0f s\n", wide(caught),
              std::size(kControls), seconds_since(begun));
}

bool parse(int argc, char** argv, Options* options) {
  options->jobs = static_cast<unsigned>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
  for (int i = 1; i < argc; i++) {
    const std::string name = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : nullptr;
    if (name == "--scripts" || name == "--controls" || name == "--remembered") {
      (name == "--scripts"    ? options->scripts
       : name == "--controls" ? options->controls
                              : options->remembered) = true;
      continue;
    }
    if (!value) return false;
    i++;
    if (name == "--seeds")
      options->seeds = std::strtoull(value, nullptr, 10);
    else if (name == "--from")
      options->from = std::strtoull(value, nullptr, 10), options->from_given = true;
    else if (name == "--seed")
      options->from = std::strtoull(value, nullptr, 10), options->seed = true;
    else if (name == "--minutes")
      options->minutes = std::strtod(value, nullptr);
    else if (name == "--jobs")
      options->jobs = static_cast<unsigned>(std::max(1ul, std::strtoul(value, nullptr, 10)));
    else
      return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  Options options;
  if (!parse(argc, argv, &options)) {
    std::fprintf(stderr,
                 "usage: crash_simulator [--seeds N] [--from S] [--minutes M] [--seed S] "
                 "[--scripts] [--controls] [--remembered] [--jobs N]\n");
    return 2;
  }
  Totals totals;
  if (options.seed) {
    const Verdict verdict = simulate(options.from, true);
    std::printf("seed %llu: %s\n", wide(options.from),
                verdict.failure.empty() ? "every property held" : verdict.failure.c_str());
    return verdict.failure.empty() ? 0 : 1;
  }
  const bool all = !options.scripts && !options.controls && !options.remembered &&
                   options.seeds == 0 && options.minutes == 0;
  if (all || options.controls) run_controls(options, &totals);
  if (all || options.remembered) run_remembered(&totals);
  if (all || options.scripts) run_scripts(options, &totals);
  if (options.minutes > 0) {
    if (!options.from_given)
      options.from =
          static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()) >> 10;
    run_seeds(options, UINT64_MAX, options.minutes * 60, &totals);
  } else if (all || options.seeds > 0) {
    run_seeds(options, all ? kUsualSeeds : options.seeds, 0, &totals);
  }
  std::printf("crash_simulator: %llu passed, %llu failed\n", wide(totals.passed),
              wide(totals.failed));
  return totals.failed == 0 && totals.passed > 0 ? 0 : 1;
}
