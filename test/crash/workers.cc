#include "workers.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace holdfast::crash {

namespace {

using Clock = std::chrono::steady_clock;

struct Worker {
  pid_t pid = -1;
  int to = -1, from = -1;  // pipes
  uint64_t number = 0;
  bool busy = false;
  Clock::time_point begun;
};

bool write_all(int fd, const void* data, size_t size) {
  const auto* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::write(fd, at, size);
    if (n <= 0) return false;
    at += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

bool read_all(int fd, void* data, size_t size) {
  auto* at = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t n = ::read(fd, at, size);
    if (n <= 0) return false;
    at += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

[[noreturn]] void serve(int in, int out, const std::function<std::string(uint64_t)>& work) {
  uint64_t number = 0;
  while (read_all(in, &number, sizeof number)) {
    const std::string text = work(number);
    const uint64_t size = text.size();
    if (!write_all(out, &size, sizeof size) || !write_all(out, text.data(), size)) break;
  }
  std::_Exit(0);
}

bool start(Worker* worker, const std::vector<Worker>& others,
           const std::function<std::string(uint64_t)>& work) {
  int to[2], from[2];
  if (::pipe(to) != 0 || ::pipe(from) != 0) return false;
  std::fflush(stdout);
  worker->pid = ::fork();
  if (worker->pid < 0) return false;
  if (worker->pid == 0) {
    for (const Worker& other : others) {
      if (other.pid > 0 && &other != worker) ::close(other.to), ::close(other.from);
    }
    ::close(to[1]), ::close(from[0]);
    serve(to[0], from[1], work);
  }
  ::close(to[0]), ::close(from[1]);
  worker->to = to[1], worker->from = from[0];
  return true;
}

std::string end(Worker* worker, bool kill) {
  if (kill) ::kill(worker->pid, SIGKILL);
  ::close(worker->to), ::close(worker->from);
  int status = 0;
  ::waitpid(worker->pid, &status, 0);
  worker->pid = -1;
  worker->busy = false;
  if (kill) return "it took too long";
  return WIFSIGNALED(status) ? "the process died of signal " + std::to_string(WTERMSIG(status))
                             : "the process ended with code " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

uint64_t spread(unsigned processes, uint64_t from, uint64_t count, double deadline_s,
                double limit_s, const std::function<std::string(uint64_t)>& work,
                const std::function<bool(const Report&)>& each) {
  const auto begun = Clock::now();
  const auto seconds = [](Clock::time_point since) {
    return std::chrono::duration<double>(Clock::now() - since).count();
  };
  std::vector<Worker> workers(processes);
  uint64_t given = 0, done = 0;
  bool more = true;
  while (true) {
    bool any = false;
    for (Worker& worker : workers) {
      const bool late = deadline_s > 0 && seconds(begun) > deadline_s;
      if (!worker.busy && more && !late && given < count) {
        if (worker.pid < 0 && !start(&worker, workers, work)) {
          std::perror("cannot start a process");
          std::abort();
        }
        worker.number = from + given++;
        worker.busy = true;
        worker.begun = Clock::now();
        if (!write_all(worker.to, &worker.number, sizeof worker.number)) worker.begun = {};
      }
      any = any || worker.busy;
    }
    if (!any) break;
    std::vector<pollfd> waiting;
    for (const Worker& worker : workers)
      waiting.push_back({worker.busy ? worker.from : -1, POLLIN, 0});
    ::poll(waiting.data(), waiting.size(), 200);
    for (size_t i = 0; i < workers.size(); i++) {
      Worker& worker = workers[i];
      if (!worker.busy) continue;
      Report report{worker.number, false, {}};
      const bool hung = waiting[i].revents == 0 && seconds(worker.begun) > limit_s;
      if (waiting[i].revents == 0 && !hung) continue;
      uint64_t size = 0;
      if (!hung && read_all(worker.from, &size, sizeof size)) {
        report.text.resize(size);
        report.died = !read_all(worker.from, report.text.data(), size);
        worker.busy = false;
      } else {
        report.died = true;
      }
      if (report.died) report.text = end(&worker, hung);
      done++;
      more = each(report) && more;
    }
  }
  for (Worker& worker : workers) {
    if (worker.pid > 0) end(&worker, false);
  }
  return done;
}

}  // namespace holdfast::crash
