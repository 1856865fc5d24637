// Tells what is at a path: nothing, a pool of which medium, or something else. Reads a few pages,
// changes nothing. Any thread.
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/status.h"
#include "medium/open_medium.h"

namespace holdfast {

enum class PoolKind : uint8_t {
  kNothing,
  kFile,
  kPmem,    // libpmemobj's signature, or a pool set; whether it is a sound pool of ours is for the
            // pmem medium to say
  kDevice,  // a device dax without that signature: the pmem medium says what is on it, or creates a
            // pool
  kForeign,  // a file, but no pool that can be recognised (the file medium says what exactly is
             // wrong with it)
};

// By the first bytes of a file.
PoolKind kind_of_head(Bytes head);
// kNotAPool for folders and special files, kPermission, kIo, ...
Result<PoolKind> kind_at(const std::string& path);

// kNotFound and kExists, as `mode` demands.
Status check_mode(PoolKind kind, CreateMode mode, const std::string& path);
Status wrong_medium(const std::string& path, const char* is, const char* asked);

}  // namespace holdfast
