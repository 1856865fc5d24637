#include "medium/mapping_guard.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <mutex>

#include "base/system_page.h"
#include "base/test_hooks.h"

namespace holdfast {
namespace {

constexpr int kSlots = 1024;

// A slot is free while `begin` is 0. `end` is set before `begin` and outlives it, so the handler
// never sees half a range.
struct Slot {
  std::atomic<uintptr_t> begin{0}, end{0};
  std::atomic<bool> failed{false};
  std::atomic<uintptr_t> failed_at{0};
};

Slot slots[kSlots];
std::mutex slots_mutex;
struct sigaction handler_before;
uintptr_t page_bytes = 0;  // the kernel's; set before there is a handler

// Reached from the handler: must not be allocated lazily, as a loaded library's thread-locals are
// by default.
__attribute__((tls_model("initial-exec"))) thread_local int inside_library = 0;

void die_of_it(int signal) {
  struct sigaction as_usual = {};
  as_usual.sa_handler = SIG_DFL;
  sigaction(signal, &as_usual,
            nullptr);  // the instruction runs again when we return, and the process ends by it
}

bool put_zeros_over(uintptr_t at) {
  const long mapped = syscall(SYS_mmap, at & ~(page_bytes - 1), page_bytes, PROT_READ | PROT_WRITE,
                              MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return mapped != -1;
}

void hand_on(int signal, siginfo_t* info, void* context) {
  if ((handler_before.sa_flags & SA_SIGINFO) != 0 && handler_before.sa_sigaction != nullptr)
    return handler_before.sa_sigaction(signal, info, context);
  if (handler_before.sa_handler == SIG_IGN || handler_before.sa_handler == SIG_DFL)
    return die_of_it(signal);
  handler_before.sa_handler(signal);
}

void on_fault(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const uintptr_t at = reinterpret_cast<uintptr_t>(info->si_addr);
  // Sent by somebody (si_code <= 0): no address, none of ours.
  for (int i = 0; info->si_code > 0 && i < kSlots; i++) {
    Slot& slot = slots[i];
    const uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    if (begin == 0 || at < begin || at >= slot.end.load(std::memory_order_acquire)) continue;
    if (inside_library > 0) {
      static const char line[] =
          "holdfast: a pool's memory failed inside libpmemobj (truncated file or media error): "
          "ending the process\n";
      (void)!write(2, line, sizeof line - 1);
      return die_of_it(signal);
    }
    slot.failed_at.store(at - begin, std::memory_order_relaxed);
    slot.failed.store(true, std::memory_order_release);
    if (!put_zeros_over(at)) return die_of_it(signal);
    errno = saved_errno;
    return;
  }
  errno = saved_errno;
  hand_on(signal, info, context);
}

void install() {
  page_bytes = system_page_bytes();
  struct sigaction ours = {};
  ours.sa_sigaction = on_fault;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK |
                  SA_NODEFER;  // a page in the handler's own way must not end us silently
  sigemptyset(&ours.sa_mask);
  sigaction(SIGBUS, &ours, &handler_before);
}

}  // namespace

bool MappingGuard::watch(const void* at, uint64_t bytes) {
  if (planted(PlantedBug::kMappingUnguarded)) return true;
  static std::once_flag installed;
  std::call_once(installed, install);
  std::lock_guard guard(slots_mutex);
  for (int i = 0; i < kSlots; i++) {
    if (slots[i].begin.load(std::memory_order_relaxed) != 0) continue;
    slots[i].failed.store(false, std::memory_order_relaxed);
    slots[i].end.store(reinterpret_cast<uintptr_t>(at) + bytes, std::memory_order_relaxed);
    slots[i].begin.store(reinterpret_cast<uintptr_t>(at), std::memory_order_release);
    slot_.store(i, std::memory_order_release);
    failed_flag_.store(&slots[i].failed, std::memory_order_release);
    return true;
  }
  return false;
}

void MappingGuard::stop() {
  const int slot = slot_.load();
  if (slot < 0) return;
  std::lock_guard guard(slots_mutex);
  failed_at_ = failed_at();
  failed_ = failed();
  failed_flag_ = &failed_;
  slot_ = -1;
  slots[slot].begin.store(0, std::memory_order_release);
}

uint64_t MappingGuard::failed_at() const {
  const int slot = slot_.load(std::memory_order_acquire);
  return slot < 0 ? failed_at_.load() : slots[slot].failed_at.load(std::memory_order_relaxed);
}

MappingGuard::InsideLibrary::InsideLibrary() { inside_library++; }
MappingGuard::InsideLibrary::~InsideLibrary() { inside_library--; }

}  // namespace holdfast
