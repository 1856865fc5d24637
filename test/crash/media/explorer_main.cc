// crash_explorer: tries the states in which a crash can leave a pool, on both real media, and
// whether planted bugs are caught.
//
//   crash_explorer                       the share of a CI run
//   crash_explorer --minutes N           goes on with new seeds for so long
//   crash_explorer --only <part of a test's name>   --seed S   --images N
//                                        (controls: no fewer than usual)
//   crash_explorer --replay <trace> --image N --images N
//                                        one state of a trace that was kept
//
// Each test prints a line with what it has tried; the last line is "crash_explorer: N passed, N
// failed[, N skipped]". Exit code 0: none failed.
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>

#include "crash/media/explorer.h"

namespace holdfast::crash {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kPmemImages = 800, kFileImages = 6000;
constexpr uint64_t kControlImages = 2000;
constexpr uint64_t kPmemRecoveries = 2, kFileRecoveries = 6;

constexpr const char* kRecovered[] = {"fold", "clean", "large", "frames"};

struct Arguments {
  double minutes = 0;
  uint64_t seed = 0, images = 0, image = 0;  // 0: as usual
  std::string only, replay;
};

// A planted bug, and the operations in which it can show.
struct Control {
  const char* plant;
  std::vector<const char*> scripts;
  // On persistent memory each commit of a group has its own fence, and set_root begins with one
  // that covers the fold.
  bool on_pmem, on_file;
};
const std::vector<Control>& controls() {
  static const std::vector<Control> all = {
      {"barrier-left-out", {"commit", "batch"}, true, true},
      {"line-not-flushed", {"commit"}, true, false},
      {"acknowledged-before-barrier", {"commit", "batch"}, true, true},
      {"group-acknowledged-early", {"group"}, false, true},
      {"checksum-not-checked", {"batch"}, true, true},
      {"torn-record-accepted", {"batch"}, true, true},
      {"root-before-fold", {"fold", "merge"}, false, true},
      {"clean-mark-with-tail", {"close", "fold"}, true, true},
      {"released-before-fold", {"reuse"}, true, true},
      {"large-barrier-left-out", {"large"}, true, false},
      {"large-not-verified", {"large"}, false, true},
      {"superblocks-together", {"resize"}, false, true},
  };
  return all;
}

// Those that must show in a pool that grows too, and those that only such a pool can have.
constexpr const char* kGrowthControls[] = {"released-before-fold", "growth-not-synced"};

class Suite {
 public:
  Suite(const Arguments& arguments, Explorer* explorer)
      : arguments_(arguments), explorer_(explorer) {}

  // Until `enough` says so, which is asked before each test.
  void states(MediumChoice medium, uint64_t seed, const std::function<bool()>& enough) {
    for (const std::string& name : script_names(medium)) {
      if (enough()) return;
      test(title(medium, name), [&] {
        const Task made = task(medium, name, seed);
        const Outcome outcome = explorer_->explore(made);
        return sound(outcome) && (!made.script.grows || gave_back(outcome));
      });
    }
    std::vector<const char*> recovered(std::begin(kRecovered), std::end(kRecovered));
    if (medium == MediumChoice::kPmem && arguments_.minutes > 0)
      recovered.push_back("growth");  // 10 s and more: not for a CI run
    for (const char* name : recovered) {
      if (enough()) return;
      test(title(medium, std::string("recovery of ") + name), [&] {
        return sound(explorer_->explore_recovery(
            task(medium, name, seed),
            medium == MediumChoice::kPmem ? kPmemRecoveries : kFileRecoveries));
      });
    }
  }

  void teeth(MediumChoice medium) {
    for (const Control& control : controls()) {
      if (!(medium == MediumChoice::kPmem ? control.on_pmem : control.on_file)) continue;
      test(title(medium, std::string("control ") + control.plant),
           [&] { return caught(medium, control); });
    }
    if (medium != MediumChoice::kPmem) return;
    for (const char* plant : kGrowthControls) {
      test(title(medium, std::string("growth control ") + plant), [&] {
        return caught(medium, {plant, {"growth"}, true, false}, kPmemImages);
      });
    }
    test(title(medium, std::string("parts control ") + kGrowthControls[0]), [&] {
      return caught(medium, {kGrowthControls[0], {"parts"}, true, false}, kPmemImages);
    });
  }

  // Stores without a flush, in whatever the medium's tests do.
  void oracle() {
    test("pmem oracle in the native tests", [&] {
      const std::string found = explorer_->run_oracle("");
      std::printf("%s\n", found.empty()
                              ? "no line that was stored and not durable at a fence of the engine"
                              : found.c_str());
      return found.empty();
    });
    test("pmem control oracle line-not-flushed", [&] {
      const std::string found = explorer_->run_oracle("line-not-flushed");
      const bool noticed = found.find("is stored, not flushed") != std::string::npos;
      std::printf("%s: %s\n", noticed ? "caught" : "NOT CAUGHT", found.c_str());
      return noticed;
    });
  }

  void skip(const std::string& name, const char* why) {
    std::printf("crash states: %s: skipped: %s\n", name.c_str(), why);
    skipped_++;
  }

  void without_pmem() {
    const char* why = "built without libpmemobj (install libpmemobj-dev)";
    for (const std::string& name : script_names(MediumChoice::kPmem)) skip("pmem " + name, why);
    for (const char* name : kRecovered) skip(std::string("pmem recovery of ") + name, why);
    skip("pmem oracle in the native tests", why);
    skip("pmem control oracle line-not-flushed", why);
    for (const Control& control : controls()) {
      if (control.on_pmem) skip(std::string("pmem control ") + control.plant, why);
    }
    for (const char* plant : kGrowthControls)
      skip(std::string("pmem growth control ") + plant, why);
    skip(std::string("pmem parts control ") + kGrowthControls[0], why);
  }

  int finish() const {
    std::printf("crash states: %lu images in all, %.0f s\n", images_, seconds_);
    std::printf("crash_explorer: %d passed, %d failed", passed_, failed_);
    if (skipped_ > 0) std::printf(", %d skipped", skipped_);
    std::printf("\n");
    return failed_ == 0 && passed_ > 0 ? 0 : 1;
  }

 private:
  static std::string title(MediumChoice medium, const std::string& name) {
    return (medium == MediumChoice::kPmem ? "pmem " : "file ") + name;
  }

  Task task(MediumChoice medium, const std::string& name, uint64_t seed) const {
    Task made;
    made.script = make_script(name, medium, seed);
    made.seed = seed;
    made.images = arguments_.images > 0           ? arguments_.images
                  : medium == MediumChoice::kPmem ? kPmemImages
                                                  : kFileImages;
    return made;
  }

  void test(const std::string& name, const std::function<bool()>& run) {
    if (name.find(arguments_.only) == std::string::npos) return;
    std::printf("crash states: %s: ", name.c_str());
    std::fflush(stdout);
    const bool held = run();
    (held ? passed_ : failed_)++;
    if (!held) std::printf("crash states: FAILED: %s\n", name.c_str());
    std::fflush(stdout);
  }

  void print(const Outcome& outcome) {
    images_ += outcome.images;
    seconds_ += outcome.seconds;
    std::printf(
        "%lu points (%lu with all their states), %lu images, %lu of them reopened, %lu wrong, %lu "
        "lines not durable when acknowledged, "
        "%.1f s (processor %.1f)\n",
        outcome.points, outcome.exhaustive_points, outcome.images, outcome.reopened,
        outcome.violations, outcome.dirty_at_ack, outcome.seconds, outcome.processor);
  }

  bool sound(const Outcome& outcome) {
    if (!outcome.broken.empty()) {
      std::printf("%s\n", outcome.broken.c_str());
      return false;
    }
    print(outcome);
    for (const std::string& message : outcome.messages) std::printf("  %s\n", message.c_str());
    return outcome.violations == 0 && outcome.dirty_at_ack == 0 && outcome.images > 0;
  }

  // Else a pool that grows has shown nothing that another would not.
  static bool gave_back(const Outcome& outcome) {
    std::printf("  blocks given back %lu times, %lu of their pages used again\n",
                outcome.given_back, outcome.used_again);
    return outcome.given_back > 0 && outcome.used_again > 0;
  }

  bool caught(MediumChoice medium, const Control& control, uint64_t images = kControlImages) {
    Outcome last;
    for (const char* script : control.scripts) {
      Task with = task(medium, script, 1);
      with.plant = control.plant;
      with.stop_at_first = true;
      with.images = std::max(arguments_.images, images);  // it ends at the first that shows the bug
      last = explorer_->explore(with);
      images_ += last.images;
      seconds_ += last.seconds;
      if (!last.broken.empty() || last.violations + last.dirty_at_ack == 0) continue;
      std::printf("caught in '%s' after %lu images, %.1f s (processor %.1f): %s\n", script,
                  last.images, last.seconds, last.processor,
                  last.messages.empty()
                      ? ""
                      : last.messages[0].substr(0, last.messages[0].find('\n')).c_str());
      return true;
    }
    std::printf("NOT CAUGHT in %lu images %s\n", last.images, last.broken.c_str());
    return false;
  }

  const Arguments arguments_;
  Explorer* const explorer_;
  int passed_ = 0, failed_ = 0, skipped_ = 0;
  uint64_t images_ = 0;
  double seconds_ = 0;
};

bool parse(int count, char** given, Arguments* out) {
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = given[i];
    if (name == "--minutes")
      out->minutes = std::strtod(given[i + 1], nullptr);
    else if (name == "--seed")
      out->seed = std::strtoull(given[i + 1], nullptr, 10);
    else if (name == "--images")
      out->images = std::strtoull(given[i + 1], nullptr, 10);
    else if (name == "--image")
      out->image = std::strtoull(given[i + 1], nullptr, 10);
    else if (name == "--only")
      out->only = given[i + 1];
    else if (name == "--replay")
      out->replay = given[i + 1];
    else
      return false;
  }
  return count % 2 == 1;
}

// A kept trace is named <script>-<medium>-<seed>[-after-<state>].trace.
int replay(const Arguments& arguments, Explorer* explorer) {
  const std::string name = fs::path(arguments.replay).stem();
  char script[32] = {}, medium[8] = {};
  unsigned long seed = 0, after = 0;
  const int parts =
      std::sscanf(name.c_str(), "%31[^-]-%7[^-]-%lu-after-%lu", script, medium, &seed, &after);
  if (parts < 3) {
    std::fprintf(stderr, "crash_explorer: %s is not named like a kept trace\n",
                 arguments.replay.c_str());
    return 2;
  }
  Task task;
  task.script = make_script(
      script, std::strcmp(medium, "pmem") == 0 ? MediumChoice::kPmem : MediumChoice::kFile, seed);
  task.seed = seed;
  task.images = arguments.images > 0 ? arguments.images : 1000;
  const std::string base = fs::exists(arguments.replay + ".base") ? arguments.replay + ".base" : "";
  Explorer::Trace trace{arguments.replay, base, states_of(task.script), "", 0};
  if (parts == 4) trace = Explorer::trace_after(arguments.replay, base, task.script, after);
  const Outcome outcome = explorer->replay(task, trace, arguments.image);
  for (const std::string& message : outcome.messages) std::printf("%s\n", message.c_str());
  std::printf("%lu images, %lu wrong\n", outcome.images, outcome.violations);
  return outcome.violations == 0 ? 0 : 1;
}

int run(const Arguments& arguments, const std::string& tools) {
  char scratch[] = "/dev/shm/hf-crash-XXXXXX";
  if (::mkdtemp(scratch) == nullptr) {
    std::perror("/dev/shm");
    return 1;
  }
  Explorer explorer(tools, scratch, tools + "/../results/crash");
  if (!arguments.replay.empty()) {
    const int code = replay(arguments, &explorer);
    fs::remove_all(scratch);
    return code;
  }
  Suite suite(arguments, &explorer);
  const auto begun = std::chrono::steady_clock::now();
  uint64_t seed = arguments.seed;
  if (seed == 0)
    seed =
        arguments.minutes > 0
            ? static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()) >>
                  20
            : 1;
  const auto enough = [&] {
    return arguments.minutes > 0 &&
           std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count() >=
               60 * arguments.minutes;
  };
  do {
    if (arguments.minutes > 0) std::printf("crash states: seed %lu\n", seed);
    // In turn, so that a short time does not go to one medium alone.
    const auto on_file = [&] { suite.states(MediumChoice::kFile, seed, enough); };
    if (seed % 2 == 1) on_file();
#ifdef HOLDFAST_WITH_PMEM
    suite.states(MediumChoice::kPmem, seed, enough);
#endif
    if (seed % 2 == 0) on_file();
    seed++;
  } while (arguments.minutes > 0 && !enough());
  if (arguments.minutes > 0) {  // the controls are the ordinary run's
    fs::remove_all(scratch);
    return suite.finish();
  }
#ifdef HOLDFAST_WITH_PMEM
  suite.oracle();
  suite.teeth(MediumChoice::kPmem);
#else
  suite.without_pmem();
#endif
  suite.teeth(MediumChoice::kFile);
  fs::remove_all(scratch);
  return suite.finish();
}

}  // namespace
}  // namespace holdfast::crash

int main(int count, char** given) {
  // Thousands of pools are opened one after another: memory that is given back to the system costs
  // a fault a page when it comes again.
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
  holdfast::crash::Arguments arguments;
  if (!holdfast::crash::parse(count, given, &arguments)) {
    std::fprintf(stderr,
                 "usage: crash_explorer [--minutes N] [--seed S] [--images N] [--only NAME] "
                 "[--replay TRACE --image N]\n");
    return 2;
  }
#ifdef HOLDFAST_WITH_PMEM
  // libpmem looks at the variable once, while it is loaded: so it must be there before this program
  // begins.
  const char* force = std::getenv("PMEM_IS_PMEM_FORCE");
  if (!force || std::strcmp(force, "1") != 0) {
    ::setenv("PMEM_IS_PMEM_FORCE", "1", 1);
    ::execv("/proc/self/exe", given);
    std::perror("cannot start again with PMEM_IS_PMEM_FORCE=1");
    return 1;
  }
#endif
  return holdfast::crash::run(arguments,
                              std::filesystem::read_symlink("/proc/self/exe").parent_path());
}
