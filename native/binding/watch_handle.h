// The change feed, held by JavaScript: one cursor, and at most one batch of commits on its way.
//
// next() on the JavaScript thread; the batch is read and packed on the feed's own thread
// (engine/state/feed_tail.h) and handed back as one ArrayBuffer. Nothing is read ahead: while
// JavaScript does not ask, the commits stay in the log. Layout of a batch, all numbers
// little-endian:
//
//   the batch: [epoch up to which all is given f64] commits
//   a commit:  [epoch f64][time f64][changes u32][zero u32] changes
//   a change:  [keyspace u32][key length u32][value length f64, -1: deleted] key, value
//   of a region: [ignored u32][8 u32][bytes f64, -1: a new size] offset or size u64, the bytes
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "binding/connection.h"
#include "binding/handle.h"
#include "binding/node_api.h"

namespace holdfast::binding {

// What the JavaScript object, the feed's thread and a letter on its way share. Any thread.
class Watch final : public FeedWaiter, public std::enable_shared_from_this<Watch> {
 public:
  Watch(Environment* environment, std::unique_ptr<FeedCursor> cursor);

  bool wake(bool closing) override;
  // JavaScript thread. The promise of the next batch; undefined in it: the end.
  napi_value next(napi_env env, Pool& pool);
  // JavaScript thread: ends it; a batch on its way is dropped, its promise gets the end.
  void end();

 private:
  void answer(std::unique_ptr<std::string> batch, Status status);
  void settle(napi_env env, std::unique_ptr<std::string> batch, const Status& status);

  Environment* const environment_;  // touched on its JavaScript thread only
  const std::shared_ptr<Mailbox> mailbox_;
  std::mutex mutex_;
  std::unique_ptr<FeedCursor> cursor_;  // guarded by mutex_; null: ended
  napi_deferred waiting_ = nullptr;     // JavaScript thread only
};

class WatchHandle : public Pin {
 public:
  static constexpr napi_type_tag kTag = {0x5b0e6df7c2914a83, 0xa1d7f3584b9e2c60};
  static void define(napi_env env, Environment& environment);
  static napi_value make(napi_env env, const std::shared_ptr<Connection>& connection,
                         std::unique_ptr<FeedCursor> cursor);

  WatchHandle(std::shared_ptr<Connection> connection, std::shared_ptr<Watch> watch);
  ~WatchHandle() override;
  void drop() override;

 private:
  static napi_value next(napi_env env, WatchHandle& self, const napi_value* arguments);
  static napi_value close_method(napi_env env, WatchHandle& self, const napi_value* arguments);
  void close();

  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Watch> watch_;  // null: closed
};

}  // namespace holdfast::binding
