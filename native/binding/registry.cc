#include "binding/registry.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>

namespace holdfast::binding {

enum class EntryState { kOpening, kOpen, kClosing };

struct Registry::Entry {
  std::string path;  // canonical
  dev_t device = 0;
  ino_t inode = 0;
  EntryState state = EntryState::kOpening;
  size_t holders = 1;
  OpenRequest request;
  std::shared_ptr<Pool> pool;
};

namespace {

// The folder is resolved and the name kept, so that a pool that is not there yet has the path it
// will have.
std::string canonical(const std::string& path) {
  char resolved[PATH_MAX];
  if (realpath(path.c_str(), resolved) != nullptr) return resolved;
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "."
                             : slash == 0               ? "/"
                                                        : path.substr(0, slash);
  if (realpath(folder.c_str(), resolved) == nullptr) return path;
  return std::string(resolved) + "/" + path.substr(slash == std::string::npos ? 0 : slash + 1);
}

Status disagree(const std::string& path, const char* what) {
  return Status(Code::kInvalidArgument, path + " is already open in this process with another " +
                                            what +
                                            "; open it with the same options, or close it first");
}

// May a second opener with these wishes join a pool opened with those?
Status agree(const OpenRequest& wish, const OpenRequest& opened, Pool& pool) {
  if (wish.medium.create == CreateMode::kExclusive) {
    return Status(
        Code::kExists,
        wish.path + " is there already (this process has it open), and create is 'exclusive'");
  }
  const PoolFacts facts = pool.facts();
  const char* medium = wish.medium.choice == MediumChoice::kPmem ? "pmem" : "file";
  if (wish.medium.choice != MediumChoice::kAuto && facts.medium != medium)
    return disagree(wish.path, "medium");
  if (wish.medium.at_least > facts.durability) {
    return Status(Code::kDurability,
                  wish.path + " gives less than was asked for: " + facts.durability_reason);
  }
  if (wish.medium.size != 0 && wish.medium.size != opened.medium.size)
    return disagree(wish.path, "size");
  const PoolOptions mine = wish.pool_options(), theirs = opened.pool_options();
  if (wish.fold_operations && mine.fold_operations != theirs.fold_operations) {
    return disagree(wish.path, "foldOperations");
  }
  if (wish.eventual_within_ms && mine.eventual_within_ms != theirs.eventual_within_ms) {
    return disagree(wish.path, "eventualWithin");
  }
  if (!wish.retain) return Status::ok();
  const PoolStats stats = pool.stats();
  return *wish.retain == RetainWish{stats.retain_ms, stats.retain_bytes}
             ? Status::ok()
             : disagree(wish.path, "retain");
}

}  // namespace

PoolOptions OpenRequest::pool_options() const {
  PoolOptions options;
  options.medium = medium;
  options.read_only = read_only;
  if (fold_operations) options.fold_operations = *fold_operations;
  if (eventual_within_ms) options.eventual_within_ms = *eventual_within_ms;
  options.retain = retain;
  return options;
}

Registry& Registry::process() {
  static Registry* const registry = new Registry();
  return *registry;
}

const std::shared_ptr<Pool>& Registry::pool_of(const std::shared_ptr<Entry>& entry) {
  return entry->pool;
}

// An open pool is known by its inode, whatever path leads to it; one that is coming or going also
// by its path.
std::shared_ptr<Registry::Entry> Registry::find(const OpenRequest& request,
                                                const std::string& path) {
  struct stat file = {};
  const bool there = stat(request.path.c_str(), &file) == 0;
  for (const std::shared_ptr<Entry>& entry : entries_) {
    if (entry->request.read_only != request.read_only) continue;
    if (there && entry->inode == file.st_ino && entry->device == file.st_dev) return entry;
    if (entry->state == EntryState::kOpening && entry->path == path) return entry;
  }
  return nullptr;
}

Result<std::shared_ptr<Registry::Entry>> Registry::open(const OpenRequest& request) {
  const std::string path = canonical(request.path);
  std::unique_lock lock(mutex_);
  for (;;) {
    std::shared_ptr<Entry> entry = find(request, path);
    if (entry == nullptr) break;
    if (entry->state != EntryState::kOpen) {
      changed_.wait(lock);
      continue;
    }
    HOLDFAST_TRY(agree(request, entry->request, *entry->pool));
    ++entry->holders;
    return entry;
  }
  auto entry = std::make_shared<Entry>();
  entry->path = path;
  entry->request = request;
  entries_.push_back(entry);
  lock.unlock();

  Result<std::shared_ptr<Pool>> opened = Pool::open(request.path, request.pool_options());
  struct stat file = {};
  const bool there = opened.is_ok() && stat(request.path.c_str(), &file) == 0;

  lock.lock();
  if (opened.is_ok()) {
    entry->pool = std::move(*opened);
    entry->state = EntryState::kOpen;
    if (there) entry->device = file.st_dev, entry->inode = file.st_ino;
  } else {
    std::erase(entries_, entry);
  }
  changed_.notify_all();
  if (!opened.is_ok()) return std::move(opened.status());
  return entry;
}

Status Registry::release(const std::shared_ptr<Entry>& entry) {
  {
    std::lock_guard lock(mutex_);
    if (--entry->holders != 0) return Status::ok();
    entry->state = EntryState::kClosing;
  }
  Status closed = entry->pool->close();
  std::lock_guard lock(mutex_);
  std::erase(entries_, entry);
  changed_.notify_all();
  return closed;
}

}  // namespace holdfast::binding
