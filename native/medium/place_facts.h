// What a folder or file offers a pool: which file system it is on, what a file there survives,
// whether persistent memory can be mapped there. Asks, decides nothing; leaves nothing behind. Any
// thread.
//
// File systems of another machine (NFS, SMB, 9p, Ceph, ...) are refused rather than given a lower
// class: flock between hosts, and the coherence of a mapping with writes, differ by server and
// mount option and cannot be probed, and without them even the promise of class `process` (one
// owner, reads see what was written) would be a guess.
#pragma once

#include <string>

#include "base/status.h"
#include "medium/medium.h"
#include "medium/posix_file.h"

namespace holdfast {

struct FilePlace {
  std::string file_system;  // "ext4", "tmpfs", ...
  bool network = false;
  DurabilityClass durability = DurabilityClass::kProcess;
  std::string reason;  // one sentence
};

// By the kernel's number of it, and by its name in the list of mounts.
bool is_network_file_system(uint64_t magic, const std::string& name);
bool is_memory_disk(const std::string& disk);  // "zram0", by the kernel's names
// Do these options of a mount, comma separated, leave out the flushes of the disk's own cache?
bool without_barriers(const std::string& options);

// `path`: an existing file or folder. `file` is what a pool behind fdatasync survives there.
Result<FilePlace> file_place(const std::string& path);

// kMediumUnavailable on a network file system, kDurability if the place gives less than `at_least`.
Status accept_place(const FilePlace& place, DurabilityClass at_least, const std::string& path);

// Does mmap with MAP_SYNC succeed on a file in this folder (or on this device)? The kernel allows
// it only where the mapped bytes are the persistent memory itself: a proof, unlike the statx
// attribute.
Result<bool> map_sync_works(const std::string& folder);
bool is_device_dax(const std::string& path);
// Of a device dax: the pages in which alone it can be mapped (usually 2 MiB), its size (0: not
// known), and whether it is an NVDIMM's; other fast or far memory can be such a device too, and
// forgets.
uint64_t device_dax_page_bytes(const FileFacts& facts);
uint64_t device_dax_size(const FileFacts& facts);
bool device_dax_is_persistent(const FileFacts& facts);
bool pmem_is_forced();  // PMEM_IS_PMEM_FORCE=1

const char* durability_name(DurabilityClass durability);  // "power", "process"

}  // namespace holdfast
