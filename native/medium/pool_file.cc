#include "medium/pool_file.h"

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "base/test_points.h"

namespace holdfast {
namespace {

constexpr char kTemporaryMark[] = ".holdfast-new-";

Code code_of(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return Code::kNotFound;
    case EACCES:
    case EPERM:
      return Code::kPermission;
    case EROFS:
      return Code::kReadOnly;
    case EISDIR:
      return Code::kNotAPool;
    case ENAMETOOLONG:
    case ELOOP:
      return Code::kInvalidArgument;
    case EEXIST:
      return Code::kExists;
    case ENOMEM:
      return Code::kNoMemory;
    default:
      return is_disk_full(error) ? Code::kDiskFull : Code::kIo;
  }
}

// Who holds the flock, from the kernel's list; 0 if it cannot be known (another pid namespace, no /proc). A line is
// "7: FLOCK  ADVISORY  WRITE 4711 fd:01:1048602 0 EOF": pid, then device (hexadecimal) and inode.
int64_t lock_owner(const PosixFile& file) {
  FileFacts facts;
  std::string locks;
  if (file.facts(&facts) != 0 || read_text("/proc/locks", &locks) != 0) return 0;
  std::istringstream lines(locks);
  for (std::string line; std::getline(lines, line);) {
    int64_t pid = 0;
    uint32_t device_major = 0, device_minor = 0;
    uint64_t inode = 0;
    if (std::sscanf(line.c_str(), "%*s FLOCK %*s WRITE %" SCNd64 " %x:%x:%" SCNu64, &pid, &device_major, &device_minor,
                    &inode) != 4) {
      continue;
    }
    if (inode == facts.inode && device_major == facts.device_major && device_minor == facts.device_minor) return pid;
  }
  return 0;
}

}  // namespace

bool is_disk_full(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

Status file_error(int error, const std::string& what) { return Status::system(code_of(error), what, error); }

Status lock_pool_file(PosixFile& file, const std::string& path) {
  const int error = file.try_lock();
  if (error == 0) return {};
  if (error != EWOULDBLOCK) return file_error(error, "cannot lock the pool " + path);
  const int64_t pid = lock_owner(file);
  std::string owner = "another process";
  if (pid > 0)
    owner =
        (pid == own_pid() ? "this process (pid " : "process ") + std::to_string(pid) + (pid == own_pid() ? ")" : "");
  return Status(Code::kLocked, "the pool " + path + " is open in " + owner +
                                   ": one process owns a pool; close it there or end that process");
}

std::string temporary_name(const std::string& path) {
  return folder_of(path) + "/." + name_of(path) + kTemporaryMark + std::to_string(own_pid());
}

// Stale is what nobody has locked and whose maker is dead (or has our pid: a container that starts again often gets
// the same one). The lock protects a creator in another pid namespace, the pid one that has not locked its file yet.
void sweep_stale_temporaries(const std::string& path) {
  const std::string folder = folder_of(path);
  const std::string prefix = "." + name_of(path) + kTemporaryMark;
  std::vector<std::string> names;
  if (list_folder(folder, &names) != 0) return;  // creation itself will say what is wrong with the folder
  for (const std::string& name : names) {
    if (name.compare(0, prefix.size(), prefix) != 0) continue;
    const int64_t pid = std::strtoll(name.c_str() + prefix.size(), nullptr, 10);
    if (pid <= 0 || (pid != own_pid() && !process_is_dead(pid))) continue;
    const std::string stale = folder + "/" + name;
    PosixFile file;
    if (file.open_existing(stale, true) == 0 && file.try_lock() == 0) remove_file(stale);
  }
}

Status replace_pool_file(const std::string& temporary, const std::string& path, uint32_t mode) {
  HOLDFAST_POINT("resize.before_rename");
  if (const int error = rename_replacing(temporary, path, mode)) return file_error(error, "cannot put the new pool in the place of " + path);
  if (const int error = sync_folder(folder_of(path))) return file_error(error, "cannot make the new pool's name durable");
  return {};
}

Status publish_file(const std::string& temporary, const std::string& path) {
  HOLDFAST_POINT("create.before_rename");
  const int error = rename_without_replacing(temporary, path);
  if (error == EEXIST) return Status(Code::kExists, path + " exists already");
  if (error != 0) return file_error(error, "cannot give the new pool its name " + path);
  if (const int failed = sync_folder(folder_of(path))) {
    return file_error(failed, "cannot make the name of the new pool " + path + " durable (fsync of its folder)");
  }
  return {};
}

Result<NewPoolFile> NewPoolFile::create(const std::string& path) {
  sweep_stale_temporaries(path);
  NewPoolFile made(path, temporary_name(path));
  const int error = made.file_.create_new(made.temporary_);
  if (error != 0) made.temporary_.clear();
  if (error != 0) return file_error(error, "cannot create the pool " + path);
  HOLDFAST_TRY(lock_pool_file(made.file_, made.temporary_));
  return made;
}

NewPoolFile::NewPoolFile(NewPoolFile&& other) noexcept
    : path_(std::move(other.path_)), temporary_(std::exchange(other.temporary_, {})), file_(std::move(other.file_)) {}

NewPoolFile::~NewPoolFile() {
  if (!temporary_.empty()) remove_file(temporary_);
}

Status NewPoolFile::publish() {
  Status status = publish_file(temporary_, path_);
  // Once renamed, a failed sync of the folder leaves a whole pool under its name: not ours to remove.
  if (status.is_ok() || path_exists_unfollowed(temporary_) != 0) temporary_.clear();
  return status;
}

}  // namespace holdfast
