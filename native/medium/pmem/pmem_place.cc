#include "medium/pmem/pmem_place.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "medium/place_facts.h"
#include "medium/pool_file.h"

namespace holdfast {
namespace {

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && std::strcmp(value, "1") == 0;
}

constexpr uint64_t kProbeBytes = 2 * kMiB;

}  // namespace

Result<PmemDurability> pmem_durability(const PosixFile& file, const FileFacts& facts,
                                       const std::string& path) {
  // On other memory than an NVDIMM's libpmemobj dies (of signal 11, in version 1.12), forced or
  // not.
  if (facts.character_device && !device_dax_is_persistent(facts)) {
    return Status(Code::kMediumUnavailable,
                  path +
                      " is a device dax, but not of persistent memory: use one that ndctl "
                      "made in mode devdax");
  }
  // Forcing always wins: what was forced is never called durable, even where it happens to be.
  if (is_set("PMEM_IS_PMEM_FORCE")) {
    return PmemDurability{
        DurabilityClass::kProcess,
        "PMEM_IS_PMEM_FORCE=1 treats this place as persistent memory without asking: a commit "
        "survives the death of the process, not of the machine"};
  }
  bool map_sync = false;
  if (const int error = file.map_sync_works(
          facts.character_device ? device_dax_page_bytes(facts) : kProbeBytes, &map_sync)) {
    return file_error(error, "cannot map " + path);
  }
  if (!map_sync) {
    return Status(
        Code::kMediumUnavailable,
        path +
            " is not on persistent memory (mapping it with MAP_SYNC is refused), and libpmemobj is "
            "not "
            "used on ordinary files: use medium 'file', or a file system mounted with -o dax on "
            "persistent memory; to try out medium 'pmem', use /dev/shm and set "
            "PMEM_IS_PMEM_FORCE=1");
  }
  if (is_set("PMEM_NO_FLUSH")) {
    return PmemDurability{
        DurabilityClass::kProcess,
        "PMEM_NO_FLUSH=1 leaves data in the CPU's caches: a commit survives the death of the "
        "process, not of the machine"};
  }
  return PmemDurability{
      DurabilityClass::kPower,
      "mapped with MAP_SYNC on persistent memory: a commit has left the CPU's caches when it "
      "returns"};
}

Result<PmemDurability> pmem_durability_of_folder(const std::string& path) {
  const std::string folder = folder_of(path);
  PosixFile probe;
  int error = probe.create_unnamed(folder);
  if (error == 0) error = probe.truncate(kProbeBytes);
  if (error == ENOENT || error == ENOTDIR) {
    return file_error(error,
                      "cannot create the pool " + path + " (the folder " + folder + " must exist)");
  }
  if (error != 0) return file_error(error, "cannot create the pool " + path);
  return pmem_durability(probe, {}, path);
}

Result<uint64_t> device_dax_bytes(const FileFacts& facts, const std::string& path) {
  const uint64_t bytes = device_dax_size(facts);
  if (bytes == 0)
    return Status(Code::kNotAPool, path + " is a device, but not a DAX device with a size");
  return bytes;
}

}  // namespace holdfast
