#include "trial_process.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace holdfast::crash {
namespace {

constexpr rlim_t kMemory = rlim_t{1} << 30;
constexpr rlim_t kProcessorSeconds = 20;
constexpr unsigned kSeconds =
    240;  // the limit is that on processor time; this one is for a process that waits for ever
constexpr uint32_t kMostWords = 60000;

struct Answer {
  int32_t verdict;
  uint32_t words;  // bytes that follow
  bool left_mapping;
};

bool read_all(int fd, void* to, size_t size) {
  for (char* at = static_cast<char*>(to); size > 0;) {
    const ssize_t n = ::read(fd, at, size);
    if (n <= 0) return false;
    at += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

bool write_all(int fd, const void* from, size_t size) {
  for (const char* at = static_cast<const char*>(from); size > 0;) {
    const ssize_t n = ::write(fd, at, size);
    if (n <= 0) return false;
    at += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

// Both limits are on one trial.
void limit_time() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  rlimit processor{};
  ::getrlimit(RLIMIT_CPU, &processor);
  processor.rlim_cur =
      static_cast<rlim_t>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + kProcessorSeconds;
  ::setrlimit(RLIMIT_CPU, &processor);
  ::alarm(kSeconds);
}

bool is_mapped(const std::string& file) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find(file) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

[[noreturn]] void TrialProcess::serve(int requests, int answers) {
  const rlimit memory = {kMemory, kMemory}, core = {0, 0};
  ::setrlimit(RLIMIT_DATA, &memory);
  ::setrlimit(RLIMIT_CORE, &core);
  ::signal(SIGPIPE, SIG_DFL);
  // Memory that is given back to the system costs a fault a page when it comes again.
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
  Trial trial;
  while (read_all(requests, &trial, sizeof trial)) {
    limit_time();
    std::string words;
    const Verdict verdict = try_(trial, &words);
    const auto size = static_cast<uint32_t>(std::min<size_t>(words.size(), kMostWords));
    const Answer answer = {static_cast<int32_t>(verdict), size, is_mapped(file_)};
    if (!write_all(answers, &answer, sizeof answer) || !write_all(answers, words.data(), size))
      break;
    ::alarm(0);
  }
  std::_Exit(0);
}

void TrialProcess::begin() {
  ::signal(SIGPIPE, SIG_IGN);  // a child that has died is noticed by its answer
  int down[2], up[2];
  if (::pipe2(down, O_CLOEXEC) != 0 || ::pipe2(up, O_CLOEXEC) != 0) std::abort();
  child_ = ::fork();
  if (child_ < 0) std::abort();
  if (child_ == 0) {
    ::close(down[1]);
    ::close(up[0]);
    serve(down[0], up[1]);
  }
  ::close(down[0]);
  ::close(up[1]);
  requests_ = down[1];
  answers_ = up[0];
  trials_ = 0;
}

void TrialProcess::end() {
  if (child_ == 0) return;
  ::close(requests_);
  ::close(answers_);
  ::waitpid(child_, nullptr, 0);
  child_ = 0;
  trials_ = 0;
}

Outcome TrialProcess::died() {
  ::close(requests_);
  ::close(answers_);
  int status = 0;
  ::waitpid(child_, &status, 0);
  child_ = 0;
  Outcome outcome;
  outcome.words = WIFSIGNALED(status) ? std::string("died of ") + ::strsignal(WTERMSIG(status))
                                      : "ended with code " + std::to_string(WEXITSTATUS(status));
  return outcome;
}

Outcome TrialProcess::run(const Trial& trial) {
  if (child_ == 0) begin();
  Answer answer{};
  if (!write_all(requests_, &trial, sizeof trial) || !read_all(answers_, &answer, sizeof answer))
    return died();
  Outcome outcome;
  outcome.words.resize(answer.words);
  if (!read_all(answers_, outcome.words.data(), answer.words)) return died();
  outcome.verdict = answer.verdict;
  trials_++;
  if (trials_ >= kTrials || answer.left_mapping) end();
  return outcome;
}

Outcome TrialProcess::alone(const Trial& trial) {
  end();
  const Outcome outcome = run(trial);
  end();
  return outcome;
}

}  // namespace holdfast::crash
