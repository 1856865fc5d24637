// A pool's bytes by its path, whether they are one file or the parts of a pool set: the one place
// that knows which byte is in which file.
//
// An offset here is an offset in the pool. The parts of a set follow each other without gaps, each
// exactly as long as the set file says; one that is missing, shorter or longer, or named twice is
// refused and named, or (for salvage) read as zeros. That a part is the right one is told by its
// mark (format/pmem_layout.h).
//
// The pool's lock is on its first file. Threads: as PosixFile. Keeps no state that a crash could
// leave half done.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "medium/medium.h"
#include "medium/posix_file.h"

namespace holdfast {

struct PoolPart {
  std::string path;
  uint64_t offset = 0, bytes = 0;  // of a pool that is one file: 0, and not kept
  PosixFile file;                  // closed: the part is missing, and reads as zeros
};

class PoolParts {
 public:
  enum class Damaged { kRefuse, kReadAsZeros };

  // kNotFound (a part is missing), kCorrupt (a part has another length or is named twice),
  // kNotAPool (a set that is not ours), kMediumUnavailable (a device in a set), and what the system
  // says.
  static Result<PoolParts> open(const std::string& path, bool writable,
                                Damaged damaged = Damaged::kRefuse);
  PoolParts() = default;
  PoolParts(PoolParts&&) = default;
  PoolParts& operator=(PoolParts&&) = default;

  bool is_open() const { return !parts_.empty(); }
  bool is_set() const { return set_.is_open(); }
  void close();
  // What lies there: a pool that is one file has itself for its only part.
  const std::vector<PoolPart>& parts() const { return parts_; }
  std::vector<PoolPart>& parts() { return parts_; }
  // What carries the lock, and what is asked where any file of the pool will do.
  PosixFile& first() { return parts_.front().file; }
  // Of what has the pool's name, with the size of the whole pool.
  int facts(FileFacts* facts) const;

  // False: one of the files has been removed, or its file system does not count names.
  bool all_have_names() const;

  int read_at(uint64_t offset, void* to, size_t size, size_t* got) const;
  int map_shared(uint64_t bytes, const uint8_t** at) const;
  int map_private_over(uint64_t offset, uint64_t bytes, void* at) const;
  int next_data(uint64_t offset, uint64_t* found) const;
  int reserve(uint64_t offset, uint64_t bytes);
  int give_back(uint64_t offset, uint64_t bytes);
  int sync_all();
  std::vector<MediumPart> report() const;  // of a set; else empty

 private:
  Status open_set(const std::string& path, bool writable, Damaged damaged);
  // Calls with each file that [offset, offset + bytes) lies in, the piece's offset there, its
  // length and how far in the range it begins.
  template <typename Call>
  int for_each(uint64_t offset, uint64_t bytes, Call call) const;

  PosixFile set_;       // the set file
  uint64_t bytes_ = 0;  // of a set
  std::vector<PoolPart> parts_;
};

// Removes a pool that nobody uses: its parts first, where it is a set. `named_by_us`: only parts
// whose names we gave.
void remove_pool(const std::string& path, bool named_by_us);

}  // namespace holdfast
