// What one JavaScript environment (the main thread, or a worker) has of Holdfast: its instance
// data.
//
// JavaScript thread of that environment only, except Mailbox, which the engine's threads use. When
// the environment ends (worker.terminate, process.exit) one clean-up hook shuts the mailbox and
// lets go of every pool; nothing of the environment is touched from another thread afterwards.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_set>
#include <vector>

#include "binding/node_api.h"

namespace holdfast::binding {

class Connection;

// Memory of JavaScript's that reads land in again and again, so that a read needs not be handed it:
// that costs as much as finding a small value. lib/slab.ts keeps each of them attached while it may
// be read into.
class Landing {
 public:
  void set(napi_env env, napi_value bytes, uint8_t* data, size_t size);
  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  napi_ref holds_ = nullptr;  // the bytes; never deleted in a dead environment
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// The way from any thread to this environment's JavaScript thread: one thread-safe function. Any
// thread.
class Mailbox {
 public:
  // JavaScript will look for completions. Cheap when it has been woken already and has not looked
  // yet.
  void wake();
  // Runs `letter` on the JavaScript thread soon. Dropped when the environment has ended.
  void post(std::function<void(napi_env)> letter);
  void shut();
  // JavaScript runs no more there, though the environment may still wait for work on other threads:
  // that need not go on. Any thread.
  bool ended() const { return ended_.load(std::memory_order_relaxed); }

 private:
  friend class Environment;
  void wake_locked();
  std::atomic<bool> ended_{false};
  std::mutex mutex_;
  napi_threadsafe_function function_ = nullptr;         // guarded by mutex_; null once shut
  bool woken_ = false;                                  // guarded by mutex_
  std::vector<std::function<void(napi_env)>> letters_;  // guarded by mutex_
};

class Environment {
 public:
  explicit Environment(Napi::Env env);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  static Environment* of(napi_env env);

  // configure(makeError, onWake): set once by lib/native-binding.ts.
  void configure(Napi::Function make_error, Napi::Function on_wake);
  const Napi::FunctionReference& make_error() const { return make_error_; }
  const std::shared_ptr<Mailbox>& mailbox() const { return mailbox_; }

  // Calls a function of the user's from outside JavaScript. What it throws is an uncaught
  // exception, as from a timer. False: JavaScript runs no more here.
  static bool call(napi_env env, napi_value function, size_t count, const napi_value* arguments);

  // While any connection is held the process stays alive to hear of its commits.
  void hold();
  void let_go();

  void add(const std::shared_ptr<Connection>& connection) { connections_.insert(connection); }
  void remove(const std::shared_ptr<Connection>& connection) { connections_.erase(connection); }

  // For values that last, and for those that are decoded at once.
  enum LandingPlace : uint32_t { kSlab = 0, kScratch = 1, kLandings = 2 };
  Landing landings[kLandings];

  Napi::FunctionReference pool_class, batch_class, snapshot_class, range_class, watch_class;
  Napi::FunctionReference backup_class, scan_class, restore_class, view_class;

 private:
  static void on_mail(napi_env env, napi_value, void* context, void*);
  static void on_end(void* self);

  napi_env env_;
  Napi::FunctionReference make_error_, on_wake_;
  std::shared_ptr<Mailbox> mailbox_;
  size_t holders_ = 0;
  std::unordered_set<std::shared_ptr<Connection>> connections_;
};

}  // namespace holdfast::binding
