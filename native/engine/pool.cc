// Opens a pool: for writing, once the lock is had and the medium is known, or for reading only.

#include "engine/pool.h"

#include "engine/pool/pool_impl.h"
#include "engine/read_only/read_only_pool.h"
#include "medium/pool_file.h"

namespace holdfast {

namespace {

constexpr auto kLookerGone = std::chrono::seconds(5);

// On a file system that writes every change to a new place, opening too needs some room. Nothing is
// in doubt then.
Status where_there_is_no_room(Status status, const std::string& name) {
  if (status.code() != Code::kIo || !is_disk_full(status.system_errno())) return status;
  return Status::system(Code::kDiskFull,
                        "the pool " + name +
                            " cannot be opened: its disk has no room, and its file system needs "
                            "some for every change (nothing is lost: make room, and open it again)",
                        status.system_errno());
}

}  // namespace

Result<std::shared_ptr<Pool>> Pool::open(const std::string& path, const PoolOptions& options) {
  if (options.read_only) return ReadOnlyPool::open(path, options);
  auto opened = open_medium(path, options.medium);
  // A reader that looks whether there is a writer holds the pool's lock for microseconds; on a busy
  // machine it may be made to wait just then.
  const auto until = std::chrono::steady_clock::now() + kLookerGone;
  while (opened.status().code() == Code::kLocked && std::chrono::steady_clock::now() < until &&
         !is_locked_by_writer(path)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    opened = open_medium(path, options.medium);
  }
  if (!opened.is_ok()) return std::move(opened.status());
  uint8_t uuid[16];
  std::memcpy(uuid, opened->uuid, sizeof uuid);
  auto pool = std::make_shared<PoolImpl>(std::move(*opened), path, options);
  pool->meet_readers(uuid);
  return started(std::move(pool), options);
}

Result<std::shared_ptr<Pool>> Pool::open_on(OpenedMedium&& medium, const std::string& name,
                                            const PoolOptions& options) {
  return started(std::make_shared<PoolImpl>(std::move(medium), name, options), options);
}

Result<std::shared_ptr<Pool>> Pool::started(std::shared_ptr<PoolImpl>&& pool,
                                            const PoolOptions& options) {
  Status recovered = pool->recover();
  if (!recovered.is_ok()) {
    pool->abandon();
    return where_there_is_no_room(std::move(recovered), pool->facts().path);
  }
  Status begun = options.background ? pool->start_threads() : Status();
  if (!begun.is_ok()) {
    (void)pool->close();  // what it says is of no use to who could not open it
    return begun;
  }
  return std::static_pointer_cast<Pool>(pool);
}

}  // namespace holdfast
