// What happens when a page of a pool's mapping cannot be had: the file was truncated by somebody
// else, the disk is full under a hole, or the memory has an error. The kernel says so with SIGBUS,
// in the middle of a read or store.
//
// A guard watches one mapping. On such a fault a private page of zeros is put over the bad one, the
// guard is marked failed, and the instruction goes on. Zeros never pass for anything valid
// (everything is checksummed), and whoever hands out bytes or acknowledges a commit asks failed()
// afterwards. Inside a call of libpmemobj going on would be worse than dying (its books would read
// as zeros, with its locks held): there one line is written and the process ends.
//
// A fault at an address that no guard watches goes to whoever handled SIGBUS before us. The handler
// is put in with the first guard and stays. It calls mmap and write by number, takes no lock and
// allocates nothing.
//
// Threads: a guard belongs to its medium; failed() from any thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace holdfast {

class MappingGuard {
 public:
  MappingGuard() = default;
  ~MappingGuard() { stop(); }
  MappingGuard(const MappingGuard&) = delete;
  MappingGuard& operator=(const MappingGuard&) = delete;

  // Begins to watch. False: 1024 mappings are watched already; a fault then ends the process, as
  // without a guard.
  bool watch(const void* at, uint64_t bytes);
  // Before the mapping goes away. Keeps what failed() says.
  void stop();

  bool failed() const {
    return failed_flag_.load(std::memory_order_acquire)->load(std::memory_order_acquire);
  }
  // Where in the mapping the first bad page was met.
  uint64_t failed_at() const;

  // While one lives, a fault on its thread ends the process.
  class InsideLibrary {
   public:
    InsideLibrary();
    ~InsideLibrary();
    InsideLibrary(const InsideLibrary&) = delete;
    InsideLibrary& operator=(const InsideLibrary&) = delete;
  };

 private:
  std::atomic<int> slot_{-1};
  std::atomic<bool> failed_{false};  // while it does not watch
  std::atomic<const std::atomic<bool>*> failed_flag_{
      &failed_};  // or that of its slot: asked several times a commit
  std::atomic<uint64_t> failed_at_{0};
};

}  // namespace holdfast
