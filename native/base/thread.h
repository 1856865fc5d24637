// A thread whose beginning may fail: std::thread throws then, and nothing here catches.
//
// start() once, by whoever owns it; join() before it goes.
#pragma once

#include <pthread.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/status.h"

namespace holdfast {

class Thread {
 public:
  Thread() = default;
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;

  // kNoMemory: the system has none to give; `main` is not called.
  Status start(const std::string& for_what, std::function<void()> main) {
    auto given = std::make_unique<std::function<void()>>(std::move(main));
    const auto run = [](void* handed) -> void* {
      const std::unique_ptr<std::function<void()>> taken(
          static_cast<std::function<void()>*>(handed));
      (*taken)();
      return nullptr;
    };
    const int error = pthread_create(&id_, nullptr, run, given.get());
    if (error != 0)
      return Status(Code::kNoMemory, "the operating system gave no thread for " + for_what, error);
    (void)given.release();
    started_ = true;
    return {};
  }
  bool joinable() const { return started_; }
  void join() {
    pthread_join(id_, nullptr);
    started_ = false;
  }
  void swap(Thread& other) {
    std::swap(id_, other.id_);
    std::swap(started_, other.started_);
  }

 private:
  pthread_t id_ = {};
  bool started_ = false;
};

}  // namespace holdfast
