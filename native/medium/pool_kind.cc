#include "medium/pool_kind.h"

#include <cerrno>
#include <cstring>

#include "format/layout.h"
#include "format/pmem_layout.h"
#include "medium/place_facts.h"
#include "medium/pool_file.h"
#include "medium/pool_set.h"
#include "medium/posix_file.h"

namespace holdfast {
namespace {

bool has_at(Bytes head, uint64_t offset, const char (&magic)[8]) {
  return head.size() >= offset + sizeof magic &&
         std::memcmp(head.data() + offset, magic, sizeof magic) == 0;
}

// A device can only be mapped, in whole pages of its own.
Result<PoolKind> kind_of_device(const std::string& path, const FileFacts& facts) {
  PosixFile file;
  if (const int error = file.open_existing(path, false))
    return file_error(error, "cannot open " + path);
  const uint64_t bytes = device_dax_page_bytes(facts);
  const uint8_t* mapped = nullptr;
  if (const int error = file.map_shared(bytes, &mapped))
    return file_error(error, "cannot map " + path);
  const bool is_pool = kind_of_head(bytes_of(mapped, kSegmentsOffset)) == PoolKind::kPmem;
  PosixFile::unmap(mapped, bytes);
  return is_pool ? PoolKind::kPmem : PoolKind::kDevice;
}

}  // namespace

PoolKind kind_of_head(Bytes head) {
  if (has_at(head, 0, kPmemobjSignature) || is_pool_set(head)) return PoolKind::kPmem;
  for (int i = 0; i < 2; i++) {
    if (has_at(head, kSuperblockOffsets[i], kSuperblockMagic)) return PoolKind::kFile;
    if (has_at(head, kRootSlotOffsets[i], kRootSlotMagic)) return PoolKind::kFile;
  }
  return PoolKind::kForeign;
}

Result<PoolKind> kind_at(const std::string& path) {
  if (path.empty() || path.find('\0') != std::string::npos) {
    return Status(Code::kInvalidArgument,
                  "the path of a pool must not be empty and must not contain a zero byte");
  }
  FileFacts facts;
  const int error = path_facts(path, &facts);
  if (error == ENOENT && path_exists_unfollowed(path) == 0) {
    return Status(
        Code::kNotFound,
        path + " is a symbolic link that points to nothing: remove it or create what it points to");
  }
  if (error == ENOENT)
    return path.back() == '/'
               ? Result<PoolKind>(Status(Code::kNotAPool, path + " names a folder, not a pool"))
               : Result<PoolKind>(PoolKind::kNothing);
  if (error != 0) return file_error(error, "cannot look at " + path);
  if (facts.folder) return Status(Code::kNotAPool, path + " is a folder: name a file in it");
  if (is_device_dax(path)) return kind_of_device(path, facts);
  if (!facts.regular) return Status(Code::kNotAPool, path + " is neither a file nor a device dax");

  PosixFile file;
  if (const int failed = file.open_existing(path, false))
    return file_error(failed, "cannot open " + path);
  char head[kSegmentsOffset];
  size_t got = 0;
  if (const int failed = file.read_at(0, head, sizeof head, &got))
    return file_error(failed, "cannot read " + path);
  return kind_of_head(Bytes(head, got));
}

Status check_mode(PoolKind kind, CreateMode mode, const std::string& path) {
  if (kind == PoolKind::kDevice) return {};
  if (kind == PoolKind::kNothing && mode == CreateMode::kNever) {
    return Status(Code::kNotFound,
                  "there is no pool at " + path + ": create it, or look for the right path");
  }
  if (kind != PoolKind::kNothing && mode == CreateMode::kExclusive) {
    return Status(
        Code::kExists,
        path + " exists already: open it without demanding a new one, or choose another path");
  }
  return {};
}

Status wrong_medium(const std::string& path, const char* is, const char* asked) {
  return Status(Code::kMediumUnavailable, "the pool " + path + " is on the medium '" + is +
                                              "', it cannot be opened as '" + asked +
                                              "': leave the medium to 'auto'");
}

}  // namespace holdfast
