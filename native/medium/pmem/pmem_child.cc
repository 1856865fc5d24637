#include "medium/pmem/pmem_child.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/bytes.h"
#include "medium/posix_file.h"

extern char** environ;

namespace holdfast {
namespace {

uint64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

// A tracer preloaded into us must not take the child's copy for the pool itself.
std::vector<char*> child_environment() {
  std::vector<char*> kept;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::strncmp(*variable, "LD_PRELOAD=", 11) != 0) kept.push_back(*variable);
  }
  kept.push_back(nullptr);
  return kept;
}

// stdin and stdout: nothing. stderr: the pipe on which the child says its verdict.
int spawn(const std::string& program, const std::string& path, int verdict_fd, pid_t* child) {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&files, verdict_fd, 2);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> environment = child_environment();
  char* arguments[] = {const_cast<char*>(program.c_str()), const_cast<char*>(path.c_str()),
                       nullptr};
  const int error =
      posix_spawn(child, program.c_str(), &files, &attributes, arguments, environment.data());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  return error;
}

// What a process that is starved by others has worked so far; all the time there is where that
// cannot be known.
uint64_t processor_ms(pid_t process) {
  clockid_t clock;
  timespec worked;
  if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &worked) != 0)
    return UINT64_MAX;
  return static_cast<uint64_t>(worked.tv_sec) * 1000 +
         static_cast<uint64_t>(worked.tv_nsec) / 1000000;
}

// Reads until the child has closed its end, i.e. has ended. False: the time is over. On a busy
// machine a sound pool takes long too: so the limit is on what the child works, and a child that
// only waits is given kPatience times as long.
bool read_verdict(int fd, pid_t child, uint64_t limit_ms, std::string* verdict) {
  constexpr uint64_t kPatience = 20;
  const uint64_t begun = now_ms();
  uint64_t deadline = begun + limit_ms;
  for (;;) {
    const uint64_t now = now_ms();
    if (now >= deadline) {
      if (now >= begun + kPatience * limit_ms || processor_ms(child) >= limit_ms) return false;
      deadline = now + limit_ms / 10 + 1;
    }
    pollfd waiting = {fd, POLLIN, 0};
    const int ready = poll(&waiting, 1, static_cast<int>(deadline - now));
    if (ready < 0 && errno != EINTR) return false;
    if (ready <= 0) continue;
    char text[1024];
    const ssize_t got = read(fd, text, sizeof text);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return true;
    if (verdict->size() < 4096) verdict->append(text, static_cast<size_t>(got));
  }
}

// The child's wait status, or -1: somebody else has reaped it (SIGCHLD is ignored in this process).
int reap(pid_t child) {
  int status = 0;
  pid_t reaped;
  do reaped = waitpid(child, &status, 0);
  while (reaped < 0 && errno == EINTR);
  return reaped == child ? status : -1;
}

std::string last_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const size_t newline = text.rfind('\n');
  return newline == std::string::npos ? text : text.substr(newline + 1);
}

Status judge(const std::string& path, const std::string& verdict, int status) {
  const std::string line = last_line(verdict);
  if (line == "sound") return {};
  if (line == "locked")
    return Status(Code::kLocked, "the pool " + path + " is open in another process");
  std::string how = line.empty() ? "ended without a verdict" : "said: " + line;
  if (status != -1 && WIFSIGNALED(status)) {
    // Nobody but the out-of-memory killer or a person does that; it says nothing about the pool.
    if (WTERMSIG(status) == SIGKILL) {
      return Status(Code::kIo,
                    "the process that checks the pool " + path + " was killed: open it again");
    }
    how = "died of signal " + std::to_string(WTERMSIG(status)) + " (" +
          strsignal(WTERMSIG(status)) + ")";
  }
  return Status(Code::kCorrupt, "libpmemobj's part of the pool " + path +
                                    " is damaged: the process that opened a copy of it first " +
                                    how + "; restore the pool from a backup");
}

}  // namespace

// Beside the addon; in a program that has us linked in, beside that program.
std::string pmem_probe_program() {
  std::string places[2];
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&pmem_probe_program), &self) != 0 &&
      self.dli_fname != nullptr) {
    places[0] = self.dli_fname;
  }
  if (link_target("/proc/self/exe", &places[1]) != 0) places[1].clear();
  for (const std::string& place : places) {
    const std::string program = folder_of(place) + "/holdfast_pmem_probe";
    if (!place.empty() && access(program.c_str(), X_OK) == 0) return program;
  }
  return {};
}

uint64_t pmem_probe_limit_ms(uint64_t pool_bytes) { return 5000 + 500 * (pool_bytes / kGiB); }

Status probe_pool_in_child(const std::string& program, const std::string& path, uint64_t limit_ms) {
  int verdict_pipe[2];
  if (pipe2(verdict_pipe, O_CLOEXEC) != 0)
    return Status::system(Code::kIo, "cannot check the pool " + path, errno);
  pid_t child = 0;
  const int error = spawn(program, path, verdict_pipe[1], &child);
  close(verdict_pipe[1]);
  if (error != 0) {
    close(verdict_pipe[0]);
    return Status::system(Code::kIo, "cannot run " + program + " to check the pool " + path, error);
  }
  std::string verdict;
  const bool ended = read_verdict(verdict_pipe[0], child, limit_ms, &verdict);
  close(verdict_pipe[0]);
  if (!ended) kill(child, SIGKILL);
  const int status = reap(child);
  if (!ended) {
    return Status(Code::kCorrupt, "libpmemobj's part of the pool " + path +
                                      " is damaged: opening a copy of it did not end in " +
                                      std::to_string(limit_ms) +
                                      " ms; restore the pool from a backup");
  }
  return judge(path, verdict, status);
}

}  // namespace holdfast
