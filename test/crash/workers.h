// Spreads numbered pieces of work over processes, so that one that dies or hangs is a result and
// not the end.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace holdfast::crash {

struct Report {
  uint64_t number = 0;
  bool died = false;  // the process ended or hung: `text` says how
  std::string text;   // what the work returned
};

// Calls `work(number)` in `processes` children for from, from + 1, ... until `count` are done,
// `deadline_s` seconds have passed (0: no limit) or `each` returns false. `each` is called here, in
// any order. A piece that takes longer than `limit_s` is killed. Returns how many were done.
uint64_t spread(unsigned processes, uint64_t from, uint64_t count, double deadline_s,
                double limit_s, const std::function<std::string(uint64_t number)>& work,
                const std::function<bool(const Report&)>& each);

}  // namespace holdfast::crash
