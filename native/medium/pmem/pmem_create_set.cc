// Making a pool over several directories: a pool set file, and one sparse part file in each
// directory.
//
// libpmemobj takes the blocks of every part that it makes, or finds when it makes a pool. So it
// makes a pool of 8 MiB in the first part; then that part is made longer, the others are made, the
// one word by which it knows its heap's size is set, and it opens the whole (as for a single file
// that grows, docs/decisions/0009 and 0011). Then all that it could allocate is taken, in fields
// (pmem_fields.h).
//
// What a crash leaves: the set file under its temporary name, written and synced before the first
// part is made, and parts that it names. The next creation of the pool removes them (pool_file.h).
// Nothing that was there before is written to: a part's name must be new.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <random>
#include <utility>

#include "base/test_points.h"
#include "medium/place_facts.h"
#include "medium/pmem/pmem_create.h"
#include "medium/pmem/pmem_library_layout.h"
#include "medium/pmem/pmem_wrap.h"
#include "medium/pool_file.h"
#include "medium/pool_parts.h"
#include "medium/pool_set.h"

namespace holdfast {
namespace {

constexpr uint64_t kMostChunksOfField =
    kPmemZoneChunks - 1;  // the largest object of libpmemobj is a little smaller than a zone

struct Directory {
  std::string path;  // absolute
  uint64_t device = 0, inode = 0, free = 0;
};

Result<Directory> look_at_directory(const std::string& given) {
  FileFacts facts;
  FileSystemFacts system;
  const int error = path_facts(given, &facts);
  if (error == ENOENT || error == ENOTDIR) {
    return Status(Code::kNotFound,
                  "there is no directory " + given + " for a part of the pool: make it first",
                  error);
  }
  if (error != 0) return file_error(error, "cannot look at the directory " + given);
  if (facts.character_device) {
    return Status(Code::kInvalidArgument, given +
                                              " is a device: a pool takes a whole device dax by "
                                              "itself, it cannot be one of several places");
  }
  if (!facts.folder)
    return Status(Code::kInvalidArgument,
                  given + " is no directory: the parts of a pool are files in directories");
  if (const int failed = path_file_system(given, &system))
    return file_error(failed, "cannot look at the file system of " + given);
  Directory found = {resolved_path(given), facts.device, facts.inode, system.free_bytes};
  const bool writable = std::none_of(found.path.begin(), found.path.end(), [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || c == '\x7f';
  });
  if (writable) return found;
  return Status(
      Code::kInvalidArgument,
      "the directory '" + found.path +
          "' has a blank in its path, which a pool set file cannot name: use another one");
}

Result<std::vector<Directory>> look_at_directories(const std::vector<std::string>& given) {
  if (given.size() > kMaxParts) {
    return Status(Code::kInvalidArgument, "a pool lies in at most " + std::to_string(kMaxParts) +
                                              " directories, not " + std::to_string(given.size()));
  }
  std::vector<Directory> found;
  for (const std::string& one : given) {
    Result<Directory> directory = look_at_directory(one);
    if (!directory) return std::move(directory.status());
    for (const Directory& before : found) {
      if (before.device != directory->device || before.inode != directory->inode) continue;
      return Status(Code::kInvalidArgument,
                    one + " is the same directory as " + before.path + ": name each once");
    }
    found.push_back(std::move(*directory));
  }
  // Directories of one file system share what is free there.
  std::vector<Directory> shared = found;
  for (Directory& one : shared) {
    one.free /= static_cast<uint64_t>(
        std::count_if(found.begin(), found.end(),
                      [&](const Directory& other) { return other.device == one.device; }));
  }
  return shared;
}

// The weakest of them.
Result<PmemDurability> durability_of_directories(const std::vector<Directory>& directories) {
  PmemDurability weakest;
  for (size_t i = 0; i < directories.size(); i++) {
    Result<PmemDurability> here = pmem_durability_of_folder(directories[i].path + "/part");
    if (!here) return here;
    here->reason = directories[i].path + ": " + here->reason;
    if (i == 0 || here->durability < weakest.durability) weakest = *here;
  }
  return weakest;
}

std::string random_mark() {
  std::random_device random;
  char text[17];
  std::snprintf(text, sizeof text, "%08x%08x", random(), random());
  return text;
}

// The mark of a part must not lie over what libpmemobj keeps in front of a zone, nor over the
// header of its field.
bool free_for_a_mark(uint64_t at) {
  for (uint64_t zone = kPmemHeapAt + sizeof(PmemHeapHeader); zone < at + 2 * kPageBytes;
       zone += kPmemZoneBytes) {
    if (at + kPageBytes > round_down(zone, kPageBytes) &&
        at < zone + kPmemZoneFront + 2 * kPageBytes)
      return false;
  }
  return true;
}

Result<std::vector<SetPart>> plan_parts(const std::string& path,
                                        const std::vector<Directory>& directories, uint64_t bytes) {
  std::vector<uint64_t> free;
  for (const Directory& one : directories) free.push_back(one.free);
  std::vector<uint64_t> shares = share_out(bytes, free);
  if (shares.empty()) {
    return Status(Code::kOutOfRange, "size " + std::to_string(bytes) + " is too small for " +
                                         std::to_string(directories.size()) +
                                         " directories: each part has at least " +
                                         std::to_string(kMinPartBytes) + " bytes (16 MiB)");
  }
  const std::string mark = random_mark();
  std::vector<SetPart> parts;
  uint64_t offset = 0;
  for (size_t i = 0; i < shares.size(); i++) {
    if (i + 1 < shares.size() && !free_for_a_mark(offset + shares[i])) {
      shares[i] -= kPartUnit;
      shares[i + 1] += kPartUnit;
    }
    parts.push_back(
        {directories[i].path + "/" + part_name(pool_name_of(path), mark, i), shares[i]});
    offset += shares[i];
  }
  return parts;
}

// What has been made so far; all of it goes away again unless it was published.
class NewSet {
 public:
  NewSet(std::string path, std::vector<SetPart> parts)
      : path_(std::move(path)), temporary_(temporary_name(path_)), parts_(std::move(parts)) {}
  ~NewSet() {
    if (pool_ != nullptr) pmemobj_close(pool_);
    for (auto name = made_.rbegin(); name != made_.rend(); ++name)
      remove_file(*name);  // the list of them last
  }
  NewSet(const NewSet&) = delete;

  Result<PMEMobjpool*> make(uint64_t pool_bytes, PmemFront* front) {
    HOLDFAST_TRY(write_set());
    HOLDFAST_TRY(make_first(pool_bytes, front));
    HOLDFAST_TRY(make_longer(pool_bytes));
    HOLDFAST_TRY(make_fields(pool_bytes));
    mark_parts(front->superblock);
    HOLDFAST_TRY(sync_parts());
    HOLDFAST_POINT("set.before_publish");
    HOLDFAST_TRY(publish());
    return std::exchange(pool_, nullptr);
  }

 private:
  std::string what(const std::string& which) const {
    return "cannot make " + which + " of the pool " + path_;
  }

  // The list of all parts is durable before any of them is made.
  Status write_set() {
    if (const int error = set_.create_new(temporary_))
      return file_error(error, "cannot create the pool " + path_);
    made_.push_back(temporary_);
    HOLDFAST_TRY(lock_pool_file(set_, temporary_));
    const std::string text = pool_set_text(parts_);
    uint64_t writes = 0;
    int error = set_mode(temporary_, kPmemPoolMode);
    if (error == 0) error = set_.write_at(0, text.data(), text.size(), &writes);
    if (error == 0) error = set_.sync_all();
    if (error == 0) error = sync_folder(folder_of(temporary_));
    if (error != 0) return file_error(error, what("the set file"));
    for (const SetPart& part : parts_) {
      if (path_exists_unfollowed(part.path) == 0) {
        return Status(
            Code::kExists,
            part.path +
                " exists already: it is not overwritten; move it away, or use another directory");
      }
    }
    return {};
  }

  // libpmemobj makes a pool of the first part, 8 MiB, from a set file of its own.
  Status make_first(uint64_t pool_bytes, PmemFront* front) {
    HOLDFAST_POINT("set.before_first");
    const std::string first_set = temporary_ + kFirstSetMark;
    PosixFile file;
    const std::string text = pool_set_text({{parts_[0].path, kFirstPmemBytes}});
    uint64_t writes = 0;
    remove_file(first_set);  // left by a process that had our number
    int error = file.create_new(first_set);
    if (error == 0) made_.push_back(first_set);
    if (error == 0) error = file.write_at(0, text.data(), text.size(), &writes);
    if (error != 0) return file_error(error, what("the set file"));
    error = make_empty_part(parts_[0].path, kFirstPmemBytes);
    if (error != 0) return file_error(error, what("the first part"));
    made_.push_back(parts_[0].path);
    pool_ = make_pmem_pool(first_set);
    if (pool_ == nullptr) return pmem_create_error(path_, errno);
    Result<PmemFront> written = write_pmem_front(pool_, pool_bytes, true);
    if (!written) return std::move(written.status());
    *front = *written;
    pmemobj_close(std::exchange(pool_, nullptr));
    remove_file(first_set);
    return {};
  }

  Status make_longer(uint64_t pool_bytes) {
    HOLDFAST_POINT("set.before_parts");
    for (size_t i = 0; i < parts_.size(); i++) {
      PosixFile part;
      int error =
          i == 0 ? part.open_existing(parts_[0].path, true) : part.create_new(parts_[i].path);
      if (error == 0 && i > 0) made_.push_back(parts_[i].path);
      if (error == 0) error = set_mode(parts_[i].path, kPmemPoolMode);
      if (error == 0) error = part.truncate(parts_[i].bytes);
      if (error != 0) return file_error(error, what("the part " + parts_[i].path));
    }
    Result<PoolParts> opened = PoolParts::open(temporary_, true);
    if (!opened) return std::move(opened.status());
    files_ = std::move(*opened);
    // What libpmemobj and we store to besides segments gets its space here: a store into a full
    // file system ends the process.
    int error = 0;
    for (const PoolPart& part : files_.parts()) {
      if (error == 0 && part.offset > 0) error = files_.reserve(part.offset, kPageBytes);
    }
    for (uint64_t zone = kPmemHeapAt + sizeof(PmemHeapHeader);
         error == 0 && zone + kPmemZoneFront < pool_bytes; zone += kPmemZoneBytes) {
      error = files_.reserve(zone, kPmemZoneFront);
      const uint64_t last_chunk =
          zone + kPmemZoneBytes - kPmemLibraryChunkBytes;  // belongs to no field
      if (error == 0 && last_chunk + kPageBytes < pool_bytes)
        error = files_.reserve(last_chunk, kPageBytes);
    }
    const uint64_t heap_bytes = pool_bytes - kPmemHeapAt;
    uint64_t writes = 0;
    if (error == 0) {
      error = files_.first().write_at(kPmemDescriptorAt + offsetof(PmemDescriptor, heap_size),
                                      &heap_bytes, sizeof heap_bytes, &writes);
    }
    if (error != 0)
      return file_error(error, "cannot make the new pool " + path_ + " as long as it may grow");
    set_.unlock();  // libpmemobj locks it while it reads it, and from then on the parts are locked
    pool_ = pmemobj_open(temporary_.c_str(), kPmemLayoutName);
    if (pool_ == nullptr)
      return Status(Code::kIo,
                    "cannot open the new pool " + path_ + " again: " + pmemobj_errormsg(), errno);
    return {};
  }

  Status make_fields(uint64_t pool_bytes) {
    uint64_t taken = 0;  // of the first zone: the run in which the root object lies
    for (uint64_t zone = kPmemHeapAt + sizeof(PmemHeapHeader); zone + kPmemZoneFront < pool_bytes;
         zone += kPmemZoneBytes) {
      if (zone == kPmemHeapAt + sizeof(PmemHeapHeader)) {
        const auto run = load<PmemChunkHeader>(base() + zone + sizeof(PmemZoneHeader));
        if (run.type != kPmemRun)
          return Status(Code::kIo,
                        "libpmemobj has laid out the new pool " + path_ + " in an unusual way");
        taken = run.chunks;
      }
      const uint64_t room =
          std::min((pool_bytes - zone - kPmemZoneFront) / kPmemLibraryChunkBytes, kPmemZoneChunks);
      const uint64_t chunks =
          std::min(room - std::min(room, std::exchange(taken, 0)), kMostChunksOfField);
      if (chunks == 0) continue;
      PMEMoid field;
      if (pmemobj_alloc(pool_, &field, chunks * kPmemLibraryChunkBytes - kPmemObjectHeaderBytes,
                        kPmemFieldType, nullptr, nullptr) != 0) {
        return Status(
            Code::kIo,
            "libpmemobj cannot give the space of the new pool " + path_ + ": " + pmemobj_errormsg(),
            errno);
      }
    }
    return {};
  }

  void mark_parts(const Superblock& superblock) {
    const std::vector<PoolPart>& parts = files_.parts();
    for (size_t i = 1; i < parts.size(); i++) {
      const PmemPartMark mark =
          make_part_mark(superblock, i, parts.size(), parts[i].offset, parts[i].bytes);
      pmem_place(base() + parts[i].offset, &mark, sizeof mark);
    }
    pmem_fence();
  }

  Status sync_parts() {
    int error = files_.sync_all();
    for (size_t i = 0; error == 0 && i < parts_.size(); i++)
      error = sync_folder(folder_of(parts_[i].path));
    return error == 0 ? Status() : file_error(error, "cannot sync the new pool " + path_);
  }

  // libpmemobj's locks are on the parts, not on the set file's name: the pool stays open, and ours.
  Status publish() {
    Status status = publish_file(temporary_, path_);
    // Once renamed, a failed sync of the folder leaves a whole pool under its name: not ours to
    // remove.
    if (status.is_ok() || path_exists_unfollowed(temporary_) != 0) made_.clear();
    return status;
  }

  uint8_t* base() const { return reinterpret_cast<uint8_t*>(pool_); }

  const std::string path_, temporary_;
  const std::vector<SetPart> parts_;
  std::vector<std::string> made_;
  PosixFile set_;
  PoolParts files_;
  PMEMobjpool* pool_ = nullptr;
};

}  // namespace

Result<OpenedMedium> create_pmem_set(const std::string& path, const MediumOptions& options) {
  FoundPmem made;
  HOLDFAST_TRY(check_new_pmem_size(options, &made.pool_bytes));
  Result<std::vector<Directory>> directories = look_at_directories(options.directories);
  if (!directories) return std::move(directories.status());
  Result<PmemDurability> durability = durability_of_directories(*directories);
  if (!durability) return std::move(durability.status());
  HOLDFAST_TRY(check_pmem_class(*durability, options, path));
  made.durability = *durability;
  Result<std::vector<SetPart>> parts = plan_parts(path, *directories, made.pool_bytes);
  if (!parts) return std::move(parts.status());
  sweep_stale_temporaries(path);
  NewSet set(path, std::move(*parts));
  Result<PMEMobjpool*> pool = set.make(made.pool_bytes, &made.front);
  if (!pool) return std::move(pool.status());
  return opened_pmem(*pool, made, true);
}

}  // namespace holdfast
