// What every fallible call returns. Exceptions are off: an error is a value that must be looked at.
//
// The list of codes is closed. It is kept equal in three places by a test: here, lib/errors.ts and
// docs/errors.md. A Status is one pointer wide and null when all is well, so the fast path pays
// nothing for it. Any thread; a Status has one owner.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace holdfast {

// name in C++, name in JavaScript
#define HOLDFAST_CODES(X)                                  \
  X(kInvalidArgument, "ERR_HOLDFAST_INVALID_ARGUMENT")     \
  X(kOutOfRange, "ERR_HOLDFAST_OUT_OF_RANGE")              \
  X(kKeySize, "ERR_HOLDFAST_KEY_SIZE")                     \
  X(kValueSize, "ERR_HOLDFAST_VALUE_SIZE")                 \
  X(kBatchTooLarge, "ERR_HOLDFAST_BATCH_TOO_LARGE")        \
  X(kNotFound, "ERR_HOLDFAST_NOT_FOUND")                   \
  X(kExists, "ERR_HOLDFAST_EXISTS")                        \
  X(kNotAPool, "ERR_HOLDFAST_NOT_A_POOL")                  \
  X(kNewerFormat, "ERR_HOLDFAST_NEWER_FORMAT")             \
  X(kCorrupt, "ERR_HOLDFAST_CORRUPT")                      \
  X(kLocked, "ERR_HOLDFAST_LOCKED")                        \
  X(kPermission, "ERR_HOLDFAST_PERMISSION")                \
  X(kReadOnly, "ERR_HOLDFAST_READ_ONLY")                   \
  X(kReaderExpired, "ERR_HOLDFAST_READER_EXPIRED")         \
  X(kMediumUnavailable, "ERR_HOLDFAST_MEDIUM_UNAVAILABLE") \
  X(kDurability, "ERR_HOLDFAST_DURABILITY")                \
  X(kPoolFull, "ERR_HOLDFAST_POOL_FULL")                   \
  X(kDiskFull, "ERR_HOLDFAST_DISK_FULL")                   \
  X(kIo, "ERR_HOLDFAST_IO")                                \
  X(kFailed, "ERR_HOLDFAST_FAILED")                        \
  X(kConflict, "ERR_HOLDFAST_CONFLICT")                    \
  X(kClosed, "ERR_HOLDFAST_CLOSED")                        \
  X(kSnapshotClosed, "ERR_HOLDFAST_SNAPSHOT_CLOSED")       \
  X(kAborted, "ERR_HOLDFAST_ABORTED")                      \
  X(kCodec, "ERR_HOLDFAST_CODEC")                          \
  X(kOutcomeUnknown, "ERR_HOLDFAST_OUTCOME_UNKNOWN")       \
  X(kDiverged, "ERR_HOLDFAST_DIVERGED")                    \
  X(kRunFinished, "ERR_HOLDFAST_RUN_FINISHED")             \
  X(kRunActive, "ERR_HOLDFAST_RUN_ACTIVE")                 \
  X(kFenced, "ERR_HOLDFAST_FENCED")                        \
  X(kSuspended, "ERR_HOLDFAST_SUSPENDED")                  \
  X(kOperationMismatch, "ERR_HOLDFAST_OPERATION_MISMATCH") \
  X(kForgotten, "ERR_HOLDFAST_FORGOTTEN")                  \
  X(kNotABackup, "ERR_HOLDFAST_NOT_A_BACKUP")              \
  X(kBackupMismatch, "ERR_HOLDFAST_BACKUP_MISMATCH")       \
  X(kNoMemory, "ERR_HOLDFAST_NO_MEMORY")

enum class Code : uint8_t {
  kOk = 0,
#define HOLDFAST_CODE_MEMBER(name, text) name,
  HOLDFAST_CODES(HOLDFAST_CODE_MEMBER)
#undef HOLDFAST_CODE_MEMBER
};

// "ERR_HOLDFAST_…", or "OK".
const char* code_name(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;  // all is well
  Status(Code code, std::string message, int system_errno = 0)
      : detail_(new Detail{code, system_errno, std::move(message)}) {}

  static Status ok() { return {}; }
  // An error of the operating system: appends its text and number to `what`.
  static Status system(Code code, const std::string& what, int system_errno);

  bool is_ok() const { return detail_ == nullptr; }
  explicit operator bool() const { return is_ok(); }
  // No room, in the pool or on its disk: nothing has changed, and some may come.
  bool is_full() const { return code() == Code::kPoolFull || code() == Code::kDiskFull; }
  Code code() const { return detail_ ? detail_->code : Code::kOk; }
  int system_errno() const { return detail_ ? detail_->system_errno : 0; }
  const std::string& message() const;
  Status clone() const;

 private:
  struct Detail {
    Code code;
    int system_errno;
    std::string message;
  };
  std::unique_ptr<Detail> detail_;
};

// A value or the reason there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Status status) : status_(std::move(status)) {}

  bool is_ok() const { return status_.is_ok(); }
  explicit operator bool() const { return is_ok(); }
  T& value() { return *value_; }
  const T& value() const { return *value_; }
  T& operator*() { return *value_; }
  T* operator->() { return &*value_; }
  Status& status() { return status_; }
  const Status& status() const { return status_; }

 private:
  Status status_;
  std::optional<T> value_;
};

#define HOLDFAST_TRY(expression)                            \
  do {                                                      \
    ::holdfast::Status holdfast_status_ = (expression);     \
    if (!holdfast_status_.is_ok()) return holdfast_status_; \
  } while (0)

}  // namespace holdfast
