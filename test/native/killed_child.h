// This program again, in a process of its own that is killed at a named point (base/test_points.h,
// main.cc).
#pragma once

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

namespace holdfast::test {

// `child`: the variable by which main.cc knows what to do, with `what`; `flag`: another that is
// set. False: it ended otherwise.
inline bool killed_at(const char* point, const char* child, const std::string& what,
                      const char* flag = nullptr) {
  const pid_t pid = fork();
  if (pid == 0) {
    setenv("HOLDFAST_POINT_KILL", point, 1);
    setenv(child, what.c_str(), 1);
    if (flag) setenv(flag, "1", 1);
    execl("/proc/self/exe", "native_tests", static_cast<char*>(nullptr));
    _Exit(8);
  }
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

}  // namespace holdfast::test
