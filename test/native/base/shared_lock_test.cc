// The lock of the index: nobody reads while somebody writes, whoever has the word of its own.
#include "base/shared_lock.h"

#include <doctest/doctest.h>

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

namespace holdfast::test {
namespace {

// Two words that are equal whenever nobody writes.
struct Guarded {
  SharedLock lock;
  uint64_t one = 0, other = 0;
  std::atomic<int> writers{2};

  void write(int times) {
    for (int i = 0; i < times; i++) {
      const std::unique_lock guard(lock);
      one++;
      for (int turn = 0; turn < 20; turn++) relax();
      other++;
    }
    writers--;
  }
  // How often they were not, as long as anybody writes.
  int read(bool often) {
    int wrong = 0;
    while (writers > 0) {
      often ? lock.lock_shared_often() : lock.lock_shared();
      const uint64_t before = *static_cast<volatile uint64_t*>(&one);
      for (int turn = 0; turn < 20; turn++) relax();
      if (before != *static_cast<volatile uint64_t*>(&other)) wrong++;
      lock.unlock_shared();
    }
    return wrong;
  }
};

}  // namespace

TEST_CASE("the index lock: no reader of any kind is inside with a writer") {
  constexpr int kTimes = 20'000;
  Guarded guarded;
  std::vector<int> wrong(3);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < wrong.size(); i++) {
    threads.emplace_back([&, i] {
      wrong[i] = guarded.read(i != 0);
    });  // two of them often: one of these has the word
  }
  for (int i = guarded.writers; i > 0; i--) threads.emplace_back([&] { guarded.write(kTimes); });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>{0, 0, 0});
  CHECK(guarded.one == 2 * kTimes);
  CHECK(guarded.other == 2 * kTimes);
}

TEST_CASE(
    "the index lock: a writer waits for the thread that enters often, and for each time it has "
    "entered") {
  SharedLock lock;
  lock.lock_shared_often();
  lock.lock_shared();
  std::atomic<bool> inside{false};
  std::thread writer([&] {
    const std::unique_lock guard(lock);
    inside = true;
  });
  lock.unlock_shared();
  for (int turn = 0; turn < 100 && !inside; turn++)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  CHECK_FALSE(inside.load());
  lock.unlock_shared();
  writer.join();
  CHECK(inside.load());
}

}  // namespace holdfast::test
