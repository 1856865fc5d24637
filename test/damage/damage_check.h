// What is asked of a damaged pool, in a process that may die of it.
#pragma once

#include <string>
#include <vector>

#include "model_pool.h"

namespace holdfast::crash {

enum class Verdict : int {
  kHarmless = 0,  // everything was answered right
  kPartly = 1,    // something is damaged and was named; all else was right
  kRefused = 2,   // the pool does not open, and says why
  kWrong = 3,     // a wrong answer
};

struct Question {
  const ModelPool& pool;
  const std::vector<Range>& damaged;
  std::string path;
  uint64_t seed;
  std::string control;  // a planted fault, or empty
};

Verdict ask(const Question& question, std::string* words);

// The faults that can be planted.
std::vector<std::string> controls();

}  // namespace holdfast::crash
