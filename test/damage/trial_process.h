// A process that tries damages one after another, with limits on time and memory for each, and may
// die of any. It is given a new one's number, answers with a verdict, and is replaced after
// kTrials, after a death, and whenever a trial has left a mapping of its file.
//
// Why not a process for each: most of what a trial cost then was to fork, and to touch memory for
// the first time. What a trial finds in a process that has tried others before is a finding all the
// same; whether it is one in a new process too, alone() says. One thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "damage_check.h"

namespace holdfast::crash {

struct Trial {
  static constexpr uint64_t kMostRanges = 4;
  uint64_t seed = 0, model = 0;  // model: number of the pool; behind the last one, the backup
  uint64_t ranges = 0;
  Range range[kMostRanges];  // that were damaged
  std::vector<Range> damaged() const { return {range, range + ranges}; }
};

struct Outcome {
  int verdict = -1;  // as Verdict; -1: it died
  std::string words;
};

class TrialProcess {
 public:
  using Try = std::function<Verdict(const Trial& trial, std::string* words)>;
  // `file`: what the trials map.
  TrialProcess(Try attempt, std::string file) : try_(std::move(attempt)), file_(std::move(file)) {}
  ~TrialProcess() { end(); }
  TrialProcess(const TrialProcess&) = delete;
  TrialProcess& operator=(const TrialProcess&) = delete;

  Outcome run(const Trial& trial);
  // In a new process, which does nothing else.
  Outcome alone(const Trial& trial);
  bool has_tried() const { return trials_ > 0; }

 private:
  static constexpr int kTrials = 24;
  void begin();
  void end();
  [[noreturn]] void serve(int requests, int answers);
  Outcome died();

  const Try try_;
  const std::string file_;
  pid_t child_ = 0;
  int requests_ = -1, answers_ = -1;
  int trials_ = 0;  // of this child
};

}  // namespace holdfast::crash
