#include "medium/pool_file.h"

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "base/test_points.h"
#include "medium/pool_parts.h"

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
    case ENODEV:
      return Code::kMediumUnavailable;
    default:
      return is_disk_full(error) ? Code::kDiskFull : Code::kIo;
  }
}

// Who holds the flock, from the kernel's list; 0 if it cannot be known (another pid namespace, no
// /proc). A line is "7: FLOCK  ADVISORY  WRITE 4711 fd:01:1048602 0 EOF": pid, then device
// (hexadecimal) and inode.
int64_t lock_owner(const PosixFile& file) {
  FileFacts facts;
  std::string locks;
  if (file.facts(&facts) != 0 || read_text("/proc/locks", &locks) != 0) return 0;
  std::istringstream lines(locks);
  for (std::string line; std::getline(lines, line);) {
    int64_t pid = 0;
    uint32_t device_major = 0, device_minor = 0;
    uint64_t inode = 0;
    if (std::sscanf(line.c_str(), "%*s FLOCK %*s WRITE %" SCNd64 " %x:%x:%" SCNu64, &pid,
                    &device_major, &device_minor, &inode) != 4) {
      continue;
    }
    if (inode == facts.inode && device_major == facts.device_major &&
        device_minor == facts.device_minor)
      return pid;
  }
  return 0;
}

// None where the pool is one file.
Status list_parts(const std::string& path, std::vector<std::string>* names) {
  Result<PoolParts> pool = PoolParts::open(path, false);
  if (!pool) return std::move(pool.status());
  for (const PoolPart& part : pool->parts()) {
    if (pool->is_set()) names->push_back(part.path);
  }
  return {};
}

}  // namespace

bool is_disk_full(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

Status file_error(int error, const std::string& what) {
  // It is made under a longer one, and its readers' table has a longer one too.
  if (error == ENAMETOOLONG)
    return Status::system(code_of(error),
                          what + " (give it a shorter name: 220 bytes are always short enough)",
                          error);
  if (error == ENODEV)
    return Status::system(code_of(error),
                          what +
                              " (its file system does not let files be mapped, as FUSE with "
                              "direct_io: mount it otherwise, or put the pool on another)",
                          error);
  return Status::system(code_of(error), what, error);
}

Status lock_pool_file(PosixFile& file, const std::string& path) {
  int error = file.try_lock();
  // NFS keeps everybody else out only for a file that is open for writing; salvage reads.
  if (error == EBADF) error = file.try_lock_shared();
  if (error == 0) return {};
  if (error != EWOULDBLOCK) return file_error(error, "cannot lock the pool " + path);
  const int64_t pid = lock_owner(file);
  std::string owner = "another process";
  if (pid > 0)
    owner = pid == own_pid()
                ? "this process (pid " + std::to_string(pid) +
                      ", perhaps through another copy of the package: `npm ls holdfast`)"
                : "process " + std::to_string(pid);
  return Status(Code::kLocked,
                "the pool " + path + " is open in " + owner +
                    ": one process owns a pool; close it there, or read beside it with readOnly");
}

Status removed_error(const std::string& pool) {
  return Status::system(
      Code::kIo,
      "the file of " + pool +
          ", or a part of it, was removed while it was open, and is gone once it is closed. "
          "Restore a backup, or, without one, first copy it from /proc/" +
          std::to_string(own_pid()) + "/fd, where `ls -l` shows it as deleted",
      ENOENT);
}

Status written_over_error(const std::string& pool) {
  return Status::system(Code::kIo,
                        "somebody has written over the file of " + pool +
                            " while it was open: close the pool, and restore a backup, or save "
                            "what is left with holdfast salvage",
                        EIO);
}

bool is_locked_by_writer(const std::string& path) {
  Result<PoolParts> pool = PoolParts::open(path, false);
  if (!pool || pool->first().try_lock_shared() != 0) return true;
  pool->first().unlock();
  return false;
}

std::string temporary_name(const std::string& path) {
  return folder_of(path) + "/." + name_of(path) + kTemporaryMark + std::to_string(own_pid());
}

std::string pool_name_of(const std::string& path) {
  std::string name = name_of(path);
  for (size_t mark; !name.empty() && name[0] == '.' &&
                    (mark = name.rfind(kTemporaryMark)) != std::string::npos && mark > 0;) {
    name = name.substr(1, mark - 1);
  }
  return name;
}

namespace {

// Its parts too: unless the name is only left over from giving the file its own by linking,
// somebody else has made the file, or somebody has a part open.
void remove_stale(const std::string& stale, const PosixFile& file) {
  FileFacts facts;
  const bool ours_alone = file.facts(&facts) == 0 && facts.names == 1 && facts.user == own_user();
  const size_t mark = sizeof kFirstSetMark - 1;
  const bool lists_parts =
      ours_alone &&
      (stale.size() < mark || stale.compare(stale.size() - mark, mark, kFirstSetMark) != 0);
  if (!lists_parts) {
    remove_file(stale);
    return;
  }
  Result<PoolParts> pool = PoolParts::open(stale, true, PoolParts::Damaged::kReadAsZeros);
  for (size_t i = 0; pool.is_ok() && pool->is_set() && i < pool->parts().size(); i++) {
    PosixFile& part = pool->parts()[i].file;
    if (part.is_open() && part.try_lock() != 0) return;
  }
  remove_pool(stale, true);
}

}  // namespace

// Stale is what nobody has locked and whose maker is dead (or has our pid: a container that starts
// again often gets the same one). The lock protects a creator in another pid namespace, the pid one
// that has not locked its file yet. A resize makes its copy under a temporary name, so while it is
// made it has a temporary name of that.
void sweep_stale_temporaries(const std::string& path) {
  const std::string folder = folder_of(path);
  const std::string prefix = "." + name_of(path) + kTemporaryMark;
  std::vector<std::string> names;
  if (list_folder(folder, &names) != 0)
    return;  // creation itself will say what is wrong with the folder
  for (const std::string& name : names) {
    const size_t begin = name.compare(0, prefix.size() + 1, "." + prefix) == 0 ? 1 : 0;
    if (name.compare(begin, prefix.size(), prefix) != 0) continue;
    const int64_t pid = std::strtoll(name.c_str() + begin + prefix.size(), nullptr, 10);
    if (pid <= 0 || (pid != own_pid() && !process_is_dead(pid))) continue;
    const std::string stale = folder + "/" + name;
    PosixFile file;
    if (file.open_existing(stale, true) == 0 && file.try_lock() == 0) remove_stale(stale, file);
  }
}

// Who used the old file must not be shut out of the new one, as its user was where root had made
// it. Of the group as much as is allowed.
Status may_replace(const std::string& temporary, const std::string& path, const FileFacts& old) {
  FileFacts made;
  if (const int error = path_facts(temporary, &made))
    return file_error(error, "cannot look at " + temporary);
  if (made.user == old.user || own_user() == 0) return {};
  return Status(Code::kPermission,
                "the pool " + path + " is user " + std::to_string(old.user) +
                    "'s, a copy in its place would be user " + std::to_string(made.user) +
                    "'s: let its user, or root, resize it",
                EPERM);
}

namespace {

int make_alike(const std::string& made_path, const FileFacts& old) {
  PosixFile made;
  FileFacts facts;
  int error = made.open_existing(made_path, true);
  if (error == 0) {
    (void)made.give_to(old.user, old.group, old.mode);
    error = made.facts(&facts);
  }
  return error == 0 && (facts.user != old.user || facts.mode != old.mode) ? EPERM : error;
}

}  // namespace

Status replace_pool_file(const std::string& temporary, const std::string& path,
                         const FileFacts& old) {
  HOLDFAST_POINT("resize.before_rename");
  const std::string what = "cannot put the new pool in the place of " + path;
  std::vector<std::string> old_parts, new_parts;
  HOLDFAST_TRY(list_parts(path, &old_parts));
  HOLDFAST_TRY(list_parts(temporary, &new_parts));
  for (const std::string& part : new_parts) {
    if (const int error = make_alike(part, old)) return file_error(error, what);
  }
  if (const int error = make_alike(temporary, old)) return file_error(error, what);
  int error = old_parts.empty() ? EINVAL : exchange_names(temporary, path);
  const bool exchanged = error == 0;
  if (error == EINVAL || error == ENOSYS) error = rename_replacing(temporary, path);
  if (error != 0) return file_error(error, what);
  if (const int failed = sync_folder(folder_of(path)))
    return file_error(failed, "cannot make the new pool's name durable");
  HOLDFAST_POINT("resize.before_old_parts");
  for (const std::string& part : old_parts) remove_file(part);
  if (exchanged) remove_file(temporary);
  return {};
}

Status publish_file(const std::string& temporary, const std::string& path) {
  HOLDFAST_POINT("create.before_rename");
  const int error = rename_without_replacing(temporary, path);
  if (error == EEXIST) return Status(Code::kExists, path + " exists already");
  if (error != 0) return file_error(error, "cannot give the new pool its name " + path);
  if (const int failed = sync_folder(folder_of(path))) {
    return file_error(
        failed, "cannot make the name of the new pool " + path + " durable (fsync of its folder)");
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
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      file_(std::move(other.file_)) {}

NewPoolFile::~NewPoolFile() {
  if (!temporary_.empty()) remove_file(temporary_);
}

Status NewPoolFile::publish() {
  Status status = publish_file(temporary_, path_);
  // Once renamed, a failed sync of the folder leaves a whole pool under its name: not ours to
  // remove.
  if (status.is_ok() || path_exists_unfollowed(temporary_) != 0) temporary_.clear();
  return status;
}

}  // namespace holdfast
