// Children that may do what a test program must not: become nobody, or have mounts of their own,
// which go with them.
#pragma once

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

namespace holdfast::test {

inline constexpr int kMayNotMount = 100;  // an answer of such a child: needs root

// Runs `work` in a child. Its answer, or -1.
template <typename Work>
int in_child(Work work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  int how = 0;
  if (::waitpid(child, &how, 0) != child || !WIFEXITED(how)) return -1;
  return WEXITSTATUS(how);
}

// In a child: from here on what it mounts is seen by nobody else.
inline bool has_own_mounts() {
  return ::unshare(CLONE_NEWNS) == 0 &&
         ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

}  // namespace holdfast::test
