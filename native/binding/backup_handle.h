// Backups, and pools restored from them, as JavaScript drives them: blocks are made and taken here,
// written and read there.
//
// JavaScript thread, but for the work itself, which is done on libuv threads one call at a time.
#pragma once

#include <memory>
#include <mutex>

#include "binding/connection.h"
#include "binding/handle.h"
#include "binding/node_api.h"
#include "engine/copies/backup.h"
#include "engine/copies/restore.h"

namespace holdfast::binding {

// A backup under way. Ends with its pool.
class BackupHandle : public Pin {
 public:
  static constexpr napi_type_tag kTag = {0x6f21d09be8534ac7, 0x83be51f70c9d264a};
  static void define(napi_env env, Environment& environment);
  // backup(since or -1, scan or null): a promise of one.
  static napi_value begin(napi_env env, const std::shared_ptr<Connection>& connection,
                          napi_value since, napi_value scan);

  struct Shared {
    std::mutex mutex;
    std::unique_ptr<Backup> backup;  // guarded by mutex; null: ended
  };
  BackupHandle(std::shared_ptr<Connection> connection, std::shared_ptr<Shared> shared);
  ~BackupHandle() override;
  void drop() override;

 private:
  static napi_value next(napi_env env, BackupHandle& self, const napi_value* arguments);
  static napi_value status(napi_env env, BackupHandle& self, const napi_value* arguments);
  static napi_value close(napi_env env, BackupHandle& self, const napi_value* arguments);
  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Shared> shared_;
};

// What an interrupted or finished backup holds.
class ScanHandle {
 public:
  static constexpr napi_type_tag kTag = {0x1d7ab2c94e60f835, 0xb60e9f43d15c78a2};
  static void define(napi_env env, Environment& environment);
  explicit ScanHandle(const std::string& name) : scan(name) {}
  BackupScan scan;
};

class RestoreHandle {
 public:
  static constexpr napi_type_tag kTag = {0x940ce36fb17d52a8, 0xc25f80d1e4937b6e};
  static void define(napi_env env, Environment& environment);
  explicit RestoreHandle(std::shared_ptr<Restore> restored) : restore(std::move(restored)) {}
  std::shared_ptr<Restore> restore;  // null: given up
};

// The addon's scanBackup(name) and restore(path, options, epoch or -1, time or -1).
Napi::Value scan_backup(const Napi::CallbackInfo& info);
Napi::Value restore_pool(const Napi::CallbackInfo& info);

}  // namespace holdfast::binding
