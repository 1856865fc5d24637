// What a pool's file needs whatever the medium: wording of the system's errors, the pool's lock,
// atomic creation.
//
// The lock is flock on the pool's own file: there is no lock file, and the kernel drops it with the
// process, however that dies. Creation: under a temporary name in the same folder, filled, synced,
// renamed without replacing, folder synced. A crash in between leaves a temporary file that nobody
// has locked; the next creation in that place removes it.
#pragma once

#include <string>

#include "base/status.h"
#include "medium/posix_file.h"

namespace holdfast {

// `what` failed with this errno: kPermission, kReadOnly, kDiskFull, kNotFound, ... as the errno
// says, else kIo.
Status file_error(int error, const std::string& what);
bool is_disk_full(int error);

// kLocked, naming the owner's pid where it can be known.
Status lock_pool_file(PosixFile& file, const std::string& path);
// Of a pool whose lock could not be had: is it a writer's? Not that of a reader which asks the same
// thing just now (PoolBytes::writer_holds_lock).
bool is_locked_by_writer(const std::string& path);
// `pool`: as the message is to name it. It was removed while it was open.
Status removed_error(const std::string& pool);
Status written_over_error(const std::string& pool);  // by somebody, while it was open

// A pool being created. Removed again unless published.
class NewPoolFile {
 public:
  // Removes what dead creators of the same pool have left, then makes and locks the temporary file.
  static Result<NewPoolFile> create(const std::string& path);
  NewPoolFile(NewPoolFile&& other) noexcept;
  NewPoolFile& operator=(NewPoolFile&&) = delete;
  ~NewPoolFile();

  PosixFile& file() { return file_; }
  const std::string& temporary_path() const { return temporary_; }

  // Gives the file (its content already synced) its name and makes that durable. kExists: another
  // was quicker. The lock goes on with file(). Crash: no pool before the rename, the whole pool
  // after it.
  Status publish();

 private:
  NewPoolFile(std::string path, std::string temporary)
      : path_(std::move(path)), temporary_(std::move(temporary)) {}
  std::string path_;
  std::string temporary_;  // empty once published
  PosixFile file_;
};

// ".<name>.holdfast-new-<pid>" in the folder of `path`: for media that make their file by other
// means (libpmemobj).
std::string temporary_name(const std::string& path);
constexpr char kFirstSetMark[] = ".first";  // behind a temporary name: a set file with which
                                            // libpmemobj begins a pool; names nothing to be removed
// The name of a pool, also where it is made under a temporary one.
std::string pool_name_of(const std::string& path);
// Removes what creations in this place have left that died: temporary files, and the parts that
// they name.
void sweep_stale_temporaries(const std::string& path);
// kPermission where the old pool's user could not have the new one.
Status may_replace(const std::string& temporary, const std::string& path, const FileFacts& old);
// Gives the new pool the old one's user, mode and name, and makes that durable. Crash: the old pool
// or the new one. Parts of the old one are removed last: it has the temporary name until then, so
// that they are swept after a crash (not where the file system cannot exchange names).
Status replace_pool_file(const std::string& temporary, const std::string& path,
                         const FileFacts& old);
Status publish_file(const std::string& temporary, const std::string& path);

}  // namespace holdfast
