// The append lock: one at a time is inside, and who waits comes in without being woken.
#include "base/short_lock.h"

#include <doctest/doctest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace holdfast::test {

TEST_CASE("the append lock: what is done under it is done by one thread at a time") {
  constexpr uint64_t kTimes = 20'000, kThreads = 3;
  ShortLock lock;
  uint64_t one = 0, other = 0, torn = 0;
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < kThreads; i++) {
    threads.emplace_back([&, i] {
      for (uint64_t n = 0; n < kTimes; n++) {
        std::unique_lock guard(lock, std::defer_lock);
        if (i != 0 || !guard.try_lock()) guard.lock();  // one of them asks first
        torn += one != other;
        one++;
        for (int turn = 0; turn < 5; turn++) relax();
        other++;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(torn == 0);
  CHECK(one == kThreads * kTimes);
  CHECK(other == one);
}

TEST_CASE("the append lock: it is not had twice, and who has slept for it comes in") {
  ShortLock lock;
  std::unique_lock held(lock);
  CHECK_FALSE(lock.try_lock());
  std::atomic<bool> inside{false};
  std::thread waits([&] {
    const std::lock_guard guard(lock);
    inside = true;
  });
  std::this_thread::sleep_for(
      std::chrono::milliseconds(5));  // it is past looking again and again by then
  CHECK_FALSE(inside);
  held.unlock();
  waits.join();
  CHECK(inside);
}

TEST_CASE("the append lock: a condition is waited for with it") {
  ShortLock lock;
  std::condition_variable_any changed;
  bool done = false;
  std::thread does([&] {
    const std::lock_guard guard(lock);
    done = true;
    changed.notify_all();
  });
  std::unique_lock guard(lock);
  changed.wait(guard, [&] { return done; });
  guard.unlock();
  does.join();
  CHECK(done);
}

}  // namespace holdfast::test
