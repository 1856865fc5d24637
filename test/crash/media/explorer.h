// Runs a script under a tracer, makes crash states from its trace and judges each, in worker
// processes that may die or hang of what they open.
//
// One thread, no pool of its own open: workers are forked.
#pragma once

#include <string>
#include <vector>

#include "crash/media/script.h"

namespace holdfast::crash {

struct Task {
  Script script;
  uint64_t seed = 1;
  uint64_t images = 1000;  // at most about so many states
  std::string plant;       // name of a planted bug, in the script and in recovery; empty: none
  bool stop_at_first = false;
};

struct Outcome {
  uint64_t points = 0, exhaustive_points = 0, images = 0, reopened = 0;
  uint64_t violations = 0;
  uint64_t dirty_at_ack = 0;  // persistent memory: lines not durable at an acknowledgement
  uint64_t given_back = 0,
           used_again = 0;  // persistent memory that grows: ranges of blocks; pages of them
  double seconds = 0, processor = 0;  // by the clock; of the workers
  std::vector<std::string> messages;  // of the first few, each with the line that repeats it
  std::string broken;                 // the script itself did not run: nothing was tried
};

class Explorer {
 public:
  struct Trace {
    std::string file, base;
    std::vector<State> states;
    std::string after;        // of a recovery: number of the state it began with
    uint64_t superseded = 0;  // of a recovery: see Expected
  };

  // `tools`: folder of crash_script and the tracers; `scratch`: a folder in memory; `keep`: where
  // traces of failures go.
  Explorer(std::string tools, std::string scratch, std::string keep);

  Outcome explore(const Task& task);
  // Crashes in the recovery of `crashes` states of the task, and what recovers from those.
  Outcome explore_recovery(const Task& task, uint64_t crashes);
  // The medium's own tests on persistent memory, with a tracer that looks for lines not durable at
  // each fence of the engine. Empty: none was found; else what was said.
  std::string run_oracle(const std::string& plant);
  // One image of a trace that was kept.
  Outcome replay(const Task& task, const Trace& trace, uint64_t image) {
    return judge_trace(task, trace, image);
  }
  // What a recovery that began with this state may leave: it, or it and one commit more.
  static Trace trace_after(const std::string& file, const std::string& base, const Script& script,
                           uint64_t number);

 private:
  bool run_script(const Task& task, const std::string& pool_folder, const std::string& base,
                  bool recover, const std::string& trace, std::string* broken);
  Outcome judge_trace(const Task& task, const Trace& trace, uint64_t only_image);
  // Lays `count` states of the trace as files and says after which commit each is.
  std::vector<std::pair<std::string, uint64_t>> pick_states(const Task& task, const Trace& trace,
                                                            uint64_t count);

  const std::string tools_, scratch_, keep_;
};

}  // namespace holdfast::crash
