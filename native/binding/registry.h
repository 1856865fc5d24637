// The pools this process has open. Worker threads load the addon too; those that open the same file
// share one engine pool, which is closed when the last of them lets go.
//
// Any thread. One registry per process, never destroyed: at exit threads may still be inside it.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/pool.h"

namespace holdfast::binding {

// What an opener asked for. What is absent was left to the default, and so agrees with whatever is
// open already.
struct OpenRequest {
  std::string path;
  MediumOptions medium;
  std::optional<uint64_t> fold_operations;
  std::optional<uint32_t> eventual_within_ms;
  bool read_only =
      false;  // a pool of its own: the process may have the same one open for writing too
  std::optional<RetainWish> retain;

  PoolOptions pool_options() const;
};

class Registry {
 public:
  struct Entry;

  static Registry& process();

  // Opens the pool, or joins the one that is open; waits for one that is being opened or closed by
  // another thread. Beyond the engine's errors: kInvalidArgument when it is open with other
  // options, kExists, kDurability.
  Result<std::shared_ptr<Entry>> open(const OpenRequest& request);
  // Lets go; the last one closes the engine pool before this returns. Once per successful open().
  Status release(const std::shared_ptr<Entry>& entry);

  static const std::shared_ptr<Pool>& pool_of(const std::shared_ptr<Entry>& entry);

 private:
  std::shared_ptr<Entry> find(const OpenRequest& request, const std::string& path);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<Entry>> entries_;  // guarded by mutex_
};

}  // namespace holdfast::binding
