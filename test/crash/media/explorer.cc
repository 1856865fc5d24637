#include "crash/media/explorer.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/test_hooks.h"
#include "crash/media/images.h"
#include "crash/media/judge.h"
#include "crash/media/libpmemobj_facts.h"
#include "format/layout.h"
#ifdef HOLDFAST_WITH_PMEM
#include "medium/pmem/pmem_child.h"
#endif

namespace holdfast::crash {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kNoImage = UINT64_MAX;
constexpr unsigned kSecondsPerImage = 120;  // on a busy machine too
constexpr uint64_t kReopenOneIn = 16;
constexpr int kMessages = 4;
constexpr uint64_t kWorkers = 2;

// What a worker tells; in memory that both share, so that it outlives the worker.
struct Report {
  std::atomic<uint64_t> current, images, reopened, violations;
  std::atomic<uint32_t> messages;
  std::atomic<bool> stop;
  struct Message {
    uint64_t image;
    char text[400];
  } message[kMessages];

  void violation(uint64_t image, const std::string& text) {
    violations++;
    const uint32_t slot = messages++;
    if (slot >= kMessages) return;
    message[slot].image = image;
    std::snprintf(message[slot].text, sizeof message[slot].text, "%s", text.c_str());
  }
};

// How the images are shared out over the points: as many for each as it has states, up to a cap
// that all share.
struct Plan {
  std::vector<Point> points;
  uint64_t cap = 1;
  uint64_t least =
      1;  // at random of a point with anything undecided, where there is room for as many
  // A point with much undecided (a record, a large value on its way) has more to show than one of
  // libpmemobj's own fences.
  uint64_t of(const Point& point) const {
    return std::min(point.undecided >= 8 ? 4 * cap : cap, states(point));
  }
  // All subsets, and as many again (`least` at least) at random for what a subset does not say:
  // which version, torn or not.
  static uint64_t subsets(const Point& point) {
    return point.undecided >= 20 ? UINT64_MAX / 2 : uint64_t{1} << point.undecided;
  }
  uint64_t states(const Point& point) const {
    return subsets(point) + (point.undecided == 0 ? 1 : std::max(subsets(point), least));
  }
  bool exhaustive(const Point& point) const { return 2 * subsets(point) <= of(point); }
};

std::unique_ptr<Images> images_of(const Task& task, const Explorer::Trace& trace,
                                  const std::string& folder) {
  return task.script.medium == MediumChoice::kPmem
             ? pmem_images(trace.file, trace.base, folder, task.script.parts)
             : file_images(trace.file, folder);
}

// A file's sectors can be torn each in many ways, and roots and superblocks are one sector: few
// subsets, but many states.
constexpr uint64_t kLeastOnFile = 60;

Plan make_plan(const Task& task, Images* images) {
  const uint64_t budget = task.images;
  Plan plan;
  plan.least = task.script.medium == MediumChoice::kFile ? kLeastOnFile : 1;
  while (images->next_point()) plan.points.push_back(images->point());
  const auto total = [&](uint64_t cap) {
    uint64_t sum = 0;
    plan.cap = cap;
    for (const Point& point : plan.points) sum += plan.of(point);
    return sum;
  };
  uint64_t low = 2, high = std::max<uint64_t>(budget, 3);
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    (total(middle) <= budget ? low : high) = middle;
  }
  plan.cap = low;
  return plan;
}

// Of all processes that were begun here and have ended, of user and system.
double processor_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_CHILDREN, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

uint64_t seed_of(uint64_t seed, uint64_t image) {
  return Random(seed ^ (image * 0x9E3779B97F4A7C15ull)).next();
}

Expected expected_at(const Point& point, const Explorer::Trace& trace) {
  return {&trace.states, point.acked, point.begun, trace.superseded};
}

// What the check in a child says that precedes opening after an unclean end.
std::string probe([[maybe_unused]] const std::string& tools,
                  [[maybe_unused]] const std::string& path) {
#ifdef HOLDFAST_WITH_PMEM
  Status sound = probe_pool_in_child(tools + "/../holdfast_pmem_probe", path, 10000);
  if (!sound.is_ok()) return "the probe: " + sound.message();
#endif
  return {};
}

// One image: as a view that leaves it unchanged where the medium can do that, now and then as a
// copy that is reopened. Of a pool that grows always as a copy: blocks are taken and given back in
// the file, whatever is mapped.
std::string try_image(const Task& task, const std::string& tools, Images* images,
                      const Explorer::Trace& trace, uint64_t image, Report* report) {
  const Expected expected = expected_at(images->point(), trace);
  const bool reopens = image % kReopenOneIn == 0;
  uint64_t found = 0;
  if (!images->opens_a_view()) {
    report->reopened += reopens;
    return judge(images->path(), options_of(task.script), expected,
                 reopens ? Depth::kReopens : Depth::kGoesOn, &found);
  }
  if (!reopens && !task.script.grows) {
    const OpensViews views;
    return judge(images->path(), options_of(task.script), expected, Depth::kGoesOn, &found);
  }
  report->reopened += reopens;
  const std::string copy = images->copy();
  std::string wrong = reopens ? probe(tools, copy) : std::string();
  if (wrong.empty())
    wrong = judge(copy, options_of(task.script), expected,
                  reopens ? Depth::kReopens : Depth::kGoesOn, &found);
  images->drop_copy();
  return wrong;
}

// The images whose number is `worker` modulo the number of workers, from `from` on.
void work(const Task& task, const std::string& tools, const Explorer::Trace& trace,
          const Plan& plan, uint64_t worker, uint64_t from, uint64_t only,
          const std::string& folder, Report* report) {
  auto images = images_of(task, trace, folder);
  uint64_t number = 0;
  for (const Point& planned : plan.points) {
    if (!images->next_point() || images->point().number != planned.number) std::abort();
    const uint64_t count = plan.of(planned);
    for (uint64_t k = 0; k < count; k++, number++) {
      const bool ours = only != kNoImage ? number == only : number % kWorkers == worker;
      if (!ours || number < from) continue;
      if (report->stop) return;
      report->current = number;
      ::alarm(kSecondsPerImage);
      images->make(k, plan.exhaustive(planned) && k < Plan::subsets(planned),
                   seed_of(task.seed, number));
      const std::string wrong = try_image(task, tools, images.get(), trace, number, report);
      images->restore();
      ::alarm(0);
      report->images++;
      if (wrong.empty()) continue;
      report->violation(number, wrong + " (point " + std::to_string(planned.number) +
                                    ", acknowledged " + std::to_string(planned.acked) + ", begun " +
                                    std::to_string(planned.begun) + ")");
      if (task.stop_at_first) report->stop = true;
    }
  }
}

Report* shared_report() {
  void* at =
      ::mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) std::abort();
  return new (at) Report();
}

int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return status;
}

// Lines that were stored and not made durable when something was acknowledged. Needs no images.
uint64_t count_dirty_at_acks(const std::string& trace_file, std::string* first) {
  TraceReader trace(trace_file);
  uint64_t found = 0;
  std::set<uint64_t> forgotten;  // perhaps: another thread may be about to flush them, and then
                                 // they are not among them at the next acknowledgement
  while (const EventHeader* event = trace.next()) {
    if (event->type != EventType::kMark || event->a != static_cast<uint64_t>(MarkKind::kAcked))
      continue;
    std::set<uint64_t> before;
    before.swap(forgotten);
    for (uint64_t i = 0; i < event->count; i++) {
      const DirtyLine& line = trace.lines()[i];
      const uint64_t at = line.line * 64;
      // What another thread has flushed is on its way (a fold, say) and was not acknowledged; nor
      // was what it has stored in a lane.
      if ((line.flags & DirtyLine::kFlushedElsewhere) != 0) continue;
      if ((line.flags & DirtyLine::kFlushedHere) == 0) {
        if (at < kFirstChunk || libpmemobj_never_flushes(at)) continue;
        forgotten.insert(at);
        if (!before.contains(at)) continue;
      }
      if (found++ == 0)
        *first = "the line at byte " + std::to_string(at) + " is not durable at acknowledgement " +
                 std::to_string(event->b);
    }
  }
  return found;
}

// Blocks that the pool gave back, and pages of them that it has stored to since. Needs no images.
void count_given_back(const std::string& trace_file, Outcome* outcome) {
  TraceReader trace(trace_file);
  std::set<uint64_t> holes;
  while (const EventHeader* event = trace.next()) {
    if (event->type == EventType::kPunch) {
      outcome->given_back++;
      for (uint64_t at = event->a; at < event->a + event->b; at += kPageBytes)
        holes.insert(at / kPageBytes);
    } else if (event->type == EventType::kFence || event->type == EventType::kMark) {
      for (uint64_t i = 0; i < event->count; i++)
        outcome->used_again += holes.erase(trace.lines()[i].line * 64 / kPageBytes);
    }
  }
}

}  // namespace

Explorer::Explorer(std::string tools, std::string scratch, std::string keep)
    : tools_(std::move(tools)), scratch_(std::move(scratch)), keep_(std::move(keep)) {}

bool Explorer::run_script(const Task& task, const std::string& pool_folder, const std::string& base,
                          bool recover, const std::string& trace, std::string* broken) {
  const bool pmem = task.script.medium == MediumChoice::kPmem;
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv(
        "LD_PRELOAD",
        (tools_ + (pmem ? "/libholdfast_pmem_tracer.so" : "/libholdfast_file_tracer.so")).c_str(),
        1);
    ::setenv(kTraceFolderVariable, pool_folder.c_str(), 1);
    ::setenv(kTraceVariable, trace.c_str(), 1);
    ::setenv("HOLDFAST_TRACE_BASE", base.empty() ? "/dev/null" : base.c_str(), 1);
    ::setenv("PMEMOBJ_NLANES", "1", 1);
    ::setenv("HOLDFAST_PLANTED_BUG", task.plant.c_str(), 1);
    const std::string program = tools_ + "/crash_script", pool = pool_folder + "/pool",
                      seed = std::to_string(task.seed);
    const char* arguments[] = {
        program.c_str(), pmem ? "pmem" : "file",        pool.c_str(), task.script.name.c_str(),
        seed.c_str(),    recover ? "recover" : nullptr, nullptr};
    ::alarm(400);
    ::execv(program.c_str(), const_cast<char* const*>(arguments));
    std::perror(program.c_str());
    ::_exit(127);
  }
  const int status = wait_for(child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
  *broken = "crash_script ended with " + (WIFSIGNALED(status)
                                              ? "signal " + std::to_string(WTERMSIG(status))
                                              : "exit code " + std::to_string(WEXITSTATUS(status)));
  return false;
}

Outcome Explorer::judge_trace(const Task& task, const Trace& trace, uint64_t only_image) {
  const auto begun = std::chrono::steady_clock::now();
  const double used_before = processor_seconds();
  Outcome outcome;
  if (task.script.medium == MediumChoice::kPmem) {
    std::string first;
    outcome.dirty_at_ack = count_dirty_at_acks(trace.file, &first);
    if (outcome.dirty_at_ack > 0) outcome.messages.push_back(first);
    count_given_back(trace.file, &outcome);
  }
  const Plan plan = make_plan(task, images_of(task, trace, scratch_ + "/plan").get());
  outcome.points = plan.points.size();
  for (const Point& point : plan.points) outcome.exhaustive_points += plan.exhaustive(point);

  std::vector<Report*> reports;
  std::vector<pid_t> children(kWorkers, 0);
  const auto start = [&](uint64_t worker, uint64_t from) {
    std::fflush(nullptr);
    children[worker] = ::fork();
    if (children[worker] != 0) return;
    planted_bug = planted_bug_named(task.plant.c_str());
    work(task, tools_, trace, plan, worker, from, only_image,
         scratch_ + "/worker-" + std::to_string(worker), reports[worker]);
    ::_exit(0);
  };
  for (uint64_t worker = 0; worker < kWorkers; worker++) reports.push_back(shared_report());
  for (uint64_t worker = 0; worker < (only_image == kNoImage ? kWorkers : 1); worker++)
    start(worker, 0);
  for (uint64_t worker = 0; worker < kWorkers; worker++) {
    Report& report = *reports[worker];
    while (children[worker] != 0) {
      const int status = wait_for(children[worker]);
      children[worker] = 0;
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) break;
      const bool hung = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
      report.images++;
      report.violation(report.current,
                       hung ? "recovery did not end in " + std::to_string(kSecondsPerImage) + " s"
                            : "recovery died: wait status " + std::to_string(status));
      std::error_code ignored;
      fs::remove_all(scratch_ + "/worker-" + std::to_string(worker), ignored);
      fs::remove_all(scratch_ + "/worker-" + std::to_string(worker) + ".aside", ignored);
      if (!task.stop_at_first && report.violations < 20 && only_image == kNoImage)
        start(worker, report.current + 1);
    }
  }
  const std::string kept = keep_ + "/" + task.script.name + "-" +
                           (task.script.medium == MediumChoice::kPmem ? "pmem" : "file") + "-" +
                           std::to_string(task.seed) +
                           (trace.after.empty() ? "" : "-after-" + trace.after) + ".trace";
  for (Report* report : reports) {
    outcome.images += report->images;
    outcome.reopened += report->reopened;
    outcome.violations += report->violations;
    for (uint32_t i = 0; i < std::min<uint32_t>(report->messages, kMessages); i++) {
      outcome.messages.push_back(
          "image " + std::to_string(report->message[i].image) + ": " + report->message[i].text +
          "\n    again: build-native/crash/crash_explorer --replay " + kept + " --image " +
          std::to_string(report->message[i].image) + " --images " + std::to_string(task.images));
    }
    ::munmap(report, sizeof *report);
  }
  if (outcome.violations > 0 && task.plant.empty() && only_image == kNoImage) {
    std::error_code failed;
    fs::create_directories(keep_, failed);
    fs::copy_file(trace.file, kept, fs::copy_options::overwrite_existing, failed);
    if (!trace.base.empty())
      fs::copy_file(trace.base, kept + ".base", fs::copy_options::overwrite_existing, failed);
  }
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  outcome.processor = processor_seconds() - used_before;
  return outcome;
}

std::string Explorer::run_oracle(const std::string& plant) {
  std::fflush(nullptr);
  const std::string log = scratch_ + "/oracle.log";
  const pid_t child = ::fork();
  if (child == 0) {
    const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(out, 1);
    ::dup2(out, 2);
    ::setenv("LD_PRELOAD", (tools_ + "/libholdfast_pmem_tracer.so").c_str(), 1);
    ::setenv(kTraceFolderVariable, "/dev/shm", 1);
    ::setenv("HOLDFAST_TRACE_ORACLE", plant.empty() ? "now and then" : "always", 1);
    ::setenv("HOLDFAST_PLANTED_BUG", plant.c_str(), 1);
    ::alarm(800);
    // A planted bug shows wherever something is appended.
    ::execl((tools_ + "/../native_tests").c_str(), "native_tests",
            plant.empty() ? "-tc=*pmem*" : "-tc=pmem: create*", nullptr);
    ::_exit(127);
  }
  const int status = wait_for(child);
  std::ifstream said(log);
  std::string line, first;
  bool looked = false;
  while (std::getline(said, line)) {
    if (line.rfind("pmem_tracer: ", 0) != 0) continue;
    looked = looked || line.find(" looked at") != std::string::npos;
    if (first.empty()) first = line;
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && looked) return {};
  return first.empty() ? "native_tests ended with wait status " + std::to_string(status) : first;
}

Outcome Explorer::explore(const Task& task) {
  const std::string folder = scratch_ + "/script";
  fs::create_directories(folder);
  const Trace trace{scratch_ + "/trace", "", states_of(task.script), "", 0};
  Outcome outcome;
  const bool ran = run_script(task, folder, "", false, trace.file, &outcome.broken);
  fs::remove_all(folder);
  if (ran) outcome = judge_trace(task, trace, kNoImage);
  fs::remove(trace.file);
  return outcome;
}

std::vector<std::pair<std::string, uint64_t>> Explorer::pick_states(const Task& task,
                                                                    const Trace& trace,
                                                                    uint64_t count) {
  const Plan plan = make_plan(task, images_of(task, trace, scratch_ + "/plan").get());
  std::vector<std::pair<std::string, uint64_t>> picked;
  auto images = images_of(task, trace, scratch_ + "/pick");
  Random random(task.seed);
  uint64_t left = plan.points.size();
  while (left > 0 && picked.size() < count && images->next_point()) {
    const bool take = random.below(left--) < count - picked.size();
    if (!take || images->point().acked < 0) continue;
    images->make(2 + random.below(100), false, random.next());
    // A fork judges it, so that this process never opens a pool.
    const std::string state = scratch_ + "/state-" + std::to_string(picked.size());
    copy_sparse(images->path(), state);
    images->restore();
    const std::string judged = state + ".judged";
    copy_sparse(state, judged);
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(kSecondsPerImage);
      uint64_t found = 0;
      const std::string wrong = judge(judged, options_of(task.script),
                                      expected_at(images->point(), trace), Depth::kGoesOn, &found);
      ::_exit(wrong.empty() ? static_cast<int>(found) : 255);
    }
    const int status = wait_for(child);
    fs::remove(judged);
    const uint64_t found = WIFEXITED(status) ? static_cast<uint64_t>(WEXITSTATUS(status)) : 255;
    picked.emplace_back(state, found);
  }
  return picked;
}

Outcome Explorer::explore_recovery(const Task& task, uint64_t crashes) {
  const std::string folder = scratch_ + "/script";
  fs::create_directories(folder);
  const Trace first{scratch_ + "/trace", "", states_of(task.script), "", 0};
  Outcome sum;
  if (!run_script(task, folder, "", false, first.file, &sum.broken)) return sum;
  fs::remove(folder + "/pool");
  for (const auto& [state, number] : pick_states(task, first, crashes)) {
    if (number >= first.states.size()) {
      sum.violations++;
      sum.messages.push_back("a state whose recovery was to be crashed does not recover");
      continue;
    }
    Task nested = task;
    nested.images = std::max<uint64_t>(task.images / crashes, 20);
    const Trace second = trace_after(scratch_ + "/trace-2", state, task.script, number);
    copy_sparse(state, folder + "/pool");
    if (!run_script(nested, folder, state, true, second.file, &sum.broken)) break;
    const Outcome each = judge_trace(nested, second, kNoImage);
    sum.points += each.points;
    sum.exhaustive_points += each.exhaustive_points;
    sum.images += each.images;
    sum.reopened += each.reopened;
    sum.violations += each.violations;
    sum.dirty_at_ack += each.dirty_at_ack;
    sum.seconds += each.seconds;
    sum.processor += each.processor;
    sum.messages.insert(sum.messages.end(), each.messages.begin(), each.messages.end());
    fs::remove(state);
  }
  fs::remove_all(folder);
  return sum;
}

Explorer::Trace Explorer::trace_after(const std::string& file, const std::string& base,
                                      const Script& script, uint64_t number) {
  const std::vector<State> before = states_of(script);
  Trace trace{file, base, std::vector<State>(2, before.at(number)), std::to_string(number), 0};
  const Change change = change_after_crash();
  trace.states[1][change.key] = change.value;
  for (uint64_t i = 0; i < number; i++)
    trace.superseded += large_bytes_of(before[i], script.medium == MediumChoice::kPmem);
  return trace;
}

}  // namespace holdfast::crash
