#include "medium/place_facts.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "medium/pool_file.h"
#include "medium/posix_file.h"

namespace holdfast {
namespace {

struct KnownType {
  uint64_t magic;
  const char* name;
  enum Kind { kDisk, kMemory, kNetwork, kUser } kind;
};

// The kernel's numbers; what is not listed is taken for a disk.
constexpr KnownType kKnownTypes[] = {
    {0xef53, "ext4", KnownType::kDisk},
    {0x58465342, "xfs", KnownType::kDisk},
    {0x9123683e, "btrfs", KnownType::kDisk},
    {0xf2f52010, "f2fs", KnownType::kDisk},
    {0x2fc12fc1, "zfs", KnownType::kDisk},
    {0xca451a4e, "bcachefs", KnownType::kDisk},
    {0x794c7630, "overlay", KnownType::kDisk},
    {0x4d44, "vfat", KnownType::kDisk},
    {0x01021994, "tmpfs", KnownType::kMemory},
    {0x858458f6, "ramfs", KnownType::kMemory},
    {0x958458f6, "hugetlbfs", KnownType::kMemory},
    {0x6969, "nfs", KnownType::kNetwork},
    {0x6969, "nfs4", KnownType::kNetwork},
    {0x517b, "smb", KnownType::kNetwork},
    {0xff534d42, "cifs", KnownType::kNetwork},
    {0xfe534d42, "smb2", KnownType::kNetwork},
    {0xfe534d42, "smb3", KnownType::kNetwork},
    {0x01021997, "9p", KnownType::kNetwork},
    {0x00c36400, "ceph", KnownType::kNetwork},
    {0x5346414f, "afs", KnownType::kNetwork},
    {0x6b414653, "kafs", KnownType::kNetwork},
    {0x73757245, "coda", KnownType::kNetwork},
    {0x0bd00bd0, "lustre", KnownType::kNetwork},
    {0x47504653, "gpfs", KnownType::kNetwork},
    {0x19830326, "beegfs", KnownType::kNetwork},
    {0x20030528, "orangefs", KnownType::kNetwork},
    {0xaad7aaea, "panfs", KnownType::kNetwork},
    // Folders of a virtual machine's host: locks end at the machine, and vboxsf's fsync does
    // nothing.
    {0x786f4256, "vboxsf", KnownType::kNetwork},
    {0xbacbacbc, "vmhgfs", KnownType::kNetwork},
    {0x7c7c6673, "prl_fs", KnownType::kNetwork},
    {0x65735546, "fuse", KnownType::kUser},
};

// By its name in the list of mounts, where that is no disk's: 9p gives the number of the server's
// file system as its own.
KnownType known_type(uint64_t magic, const std::string& name) {
  for (const KnownType& type : kKnownTypes) {
    if (type.kind != KnownType::kDisk && type.name == name) return type;
  }
  for (const KnownType& type : kKnownTypes) {
    if (type.magic == magic) return type;
  }
  return {magic, "", KnownType::kDisk};
}

struct MountFacts {
  std::string type;
  std::string options;  // comma separated, of the mount and of the file system
  std::string source;   // such as /dev/sda1
};

// From /proc/self/mountinfo: "36 35 98:0 / /mnt rw,noatime shared:1 - ext3 /dev/root
// rw,errors=continue". By the mount's number, since files of btrfs and of some overlays have
// devices of their own, which are not listed; else by the device. Not found: empty.
MountFacts mount_of(const FileFacts& facts) {
  MountFacts found;
  std::string text;
  if (read_text("/proc/self/mountinfo", &text) != 0) return found;
  const std::string wanted =
      std::to_string(facts.device_major) + ":" + std::to_string(facts.device_minor);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, where, options, word, type, source, more;
    if (!(fields >> id >> parent >> device >> root >> where >> options)) continue;
    if (facts.mount != 0 ? id != std::to_string(facts.mount) : device != wanted) continue;
    while (fields >> word && word != "-") {
    }
    fields >> type >> source >> more;
    found = {type, options + "," + more, source};
  }
  return found;
}

bool has_option(const std::string& options, const std::string& wanted) {
  return ("," + options + ",").find("," + wanted + ",") != std::string::npos;
}

// The kernel writes blanks, commas and the like as "\\040".
std::string without_escapes(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); i++) {
    const bool escaped = text[i] == '\\' && i + 3 < text.size() &&
                         text.find_first_not_of("01234567", i + 1) >= i + 4;
    plain += escaped ? static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8)) : text[i];
    if (escaped) i += 3;
  }
  return plain;
}

std::string option_value(const std::string& options, const std::string& name) {
  const std::string all = "," + options + ",";
  const size_t at = all.find("," + name + "=");
  if (at == std::string::npos) return "";
  const size_t begin = at + name.size() + 2;
  return without_escapes(all.substr(begin, all.find(',', begin) - begin));
}

// The kernel's description of a device.
std::string device_node(const FileFacts& facts) {
  return "/sys/dev/char/" + std::to_string(facts.special_major) + ":" +
         std::to_string(facts.special_minor);
}

uint64_t device_number(const FileFacts& facts, const char* name) {
  std::string text;
  return read_text(device_node(facts) + "/" + name, &text) == 0
             ? std::strtoull(text.c_str(), nullptr, 10)
             : 0;
}

// As durable as its upper layer, which can be looked at only from where it was mounted.
void classify_overlay(const MountFacts& mount, FilePlace* place) {
  // Newer kernels write "fsync=volatile".
  if (has_option(mount.options, "volatile") || option_value(mount.options, "fsync") == "volatile") {
    place->reason = "the overlay is mounted volatile: syncs do nothing there";
    return;
  }
  const std::string upper_path = option_value(mount.options, "upperdir");
  const bool visible = !upper_path.empty() && upper_path[0] == '/';
  Result<FilePlace> upper = visible ? file_place(upper_path) : Status(Code::kNotFound, "");
  if (upper.is_ok() && upper->durability < DurabilityClass::kPower) {
    place->reason = "an overlay, whose upper layer gives no more: " + upper->reason;
    return;
  }
  place->durability = DurabilityClass::kPower;
  place->reason = std::string("a file behind fdatasync on overlay (as durable as its upper layer") +
                  (upper.is_ok() ? ")" : ", which cannot be seen from here)");
}

// "zram0", "loop3": of a disk that is no hardware; else empty. A partition is named by its disk.
std::string virtual_disk(const FileFacts& facts, const MountFacts& mount) {
  const auto target_of = [](uint32_t major, uint32_t minor) {
    std::string target;
    const int error = link_target(
        "/sys/dev/block/" + std::to_string(major) + ":" + std::to_string(minor), &target);
    return error == 0 ? target : std::string();
  };
  std::string target = target_of(facts.device_major, facts.device_minor);
  FileFacts source;  // files of btrfs have a device that is no disk
  if (target.empty() && mount.source.rfind("/dev/", 0) == 0 &&
      path_facts(mount.source, &source) == 0)
    target = target_of(source.special_major, source.special_minor);
  const std::string folder = "/virtual/block/";
  const size_t at = target.find(folder);
  if (at == std::string::npos) return "";
  const size_t begin = at + folder.size();
  return target.substr(begin, target.find('/', begin) - begin);
}

// What a disk that is no hardware survives is what its bytes lie on. Of a loop device's file that
// cannot be seen from here nothing is known: it is taken for a disk's.
void classify_virtual_disk(const FileFacts& here, const std::string& disk, FilePlace* place) {
  if (is_memory_disk(disk)) {
    place->durability = DurabilityClass::kProcess;
    place->reason = place->file_system + " on " + disk +
                    ", which is memory: what is there survives the process, not a power cut";
    return;
  }
  std::string below;
  if (disk.rfind("loop", 0) != 0 ||
      read_text("/sys/block/" + disk + "/loop/backing_file", &below) != 0)
    return;
  if (!below.empty() && below.back() == '\n') below.pop_back();
  FileFacts facts;
  if (path_facts(below, &facts) != 0 || !facts.regular) return;
  if (facts.device == here.device) return;  // its own mount lies over that name
  Result<FilePlace> place_below = file_place(below);
  if (!place_below.is_ok() || place_below->durability == DurabilityClass::kPower) return;
  place->durability = DurabilityClass::kProcess;
  place->reason = place->file_system + " on a loop device, whose file " + below +
                  " gives no more: " + place_below->reason;
}

void classify_disk(const FileFacts& facts, const MountFacts& mount, FilePlace* place) {
  const std::string behind = "a file behind fdatasync on " + place->file_system;
  if (without_barriers(mount.options)) {
    place->reason =
        behind +
        ", but it is mounted without write barriers, so the disk's own cache is never flushed";
    return;
  }
  if (place->file_system == "overlay") return classify_overlay(mount, place);
  place->durability = DurabilityClass::kPower;
  place->reason = behind;
  classify_virtual_disk(facts, virtual_disk(facts, mount), place);
}

}  // namespace

bool is_network_file_system(uint64_t magic, const std::string& name) {
  return known_type(magic, name).kind == KnownType::kNetwork;
}

bool is_memory_disk(const std::string& disk) {
  const std::string kind = disk.substr(0, disk.find_first_of("0123456789"));
  return kind == "ram" || kind == "zram" || kind == "nullb";
}

// ext4, xfs, btrfs and nilfs2 write "nobarrier".
bool without_barriers(const std::string& options) {
  for (const char* option :
       {"nobarrier", "barrier=0", "barrier=none", "fsync_mode=nobarrier", "journal_flush_disabled"})
    if (has_option(options, option)) return true;
  return false;
}

Result<FilePlace> file_place(const std::string& path) {
  FileFacts facts;
  FileSystemFacts system;
  if (const int error = path_facts(path, &facts))
    return file_error(error, "cannot look at " + path);
  if (const int error = path_file_system(path, &system))
    return file_error(error, "cannot look at the file system of " + path);
  const MountFacts mount = mount_of(facts);
  const KnownType type = known_type(system.type, mount.type);
  FilePlace place;
  place.file_system = !mount.type.empty() ? mount.type : *type.name ? type.name : "unknown";
  switch (type.kind) {
    case KnownType::kDisk:
      classify_disk(facts, mount, &place);
      break;
    case KnownType::kMemory:
      place.reason =
          place.file_system + " is memory: what is there survives the process, not a power cut";
      break;
    case KnownType::kUser:
      place.reason = place.file_system +
                     " is a file system in user space: what its sync promises cannot be known";
      break;
    case KnownType::kNetwork:
      place.network = true;
      place.reason = place.file_system +
                     " is a network file system: locks and mappings cannot be relied on there";
      break;
  }
  return place;
}

Status accept_place(const FilePlace& place, DurabilityClass at_least, const std::string& path) {
  if (place.network) {
    return Status(Code::kMediumUnavailable, "cannot keep a pool at " + path + ": " + place.reason +
                                                "; put it on a disk of this machine");
  }
  if (place.durability < at_least) {
    return Status(Code::kDurability, "durability '" + std::string(durability_name(at_least)) +
                                         "' was asked for, but " + path + " gives only '" +
                                         durability_name(place.durability) + "': " + place.reason +
                                         "; take another place, or ask for less");
  }
  return {};
}

Result<bool> map_sync_works(const std::string& folder) {
  PosixFile file;
  int error = file.create_unnamed(folder);
  if (error == EOPNOTSUPP ||
      error == EISDIR) {  // no unnamed files there: a named one, removed at once
    const std::string name = folder + "/.holdfast-probe-" + std::to_string(own_pid());
    error = file.create_new(name);
    if (error == 0) remove_file(name);
  }
  if (error != 0) return file_error(error, "cannot make a file in " + folder);
  bool works = false;
  error = file.reserve(0, 4096);
  if (error == EOPNOTSUPP) error = file.truncate(4096);
  if (error == 0) error = file.map_sync_works(4096, &works);
  if (error != 0) return file_error(error, "cannot map a file in " + folder);
  return works;
}

bool is_device_dax(const std::string& path) {
  FileFacts facts;
  if (path_facts(path, &facts) != 0 || !facts.character_device) return false;
  std::string target;
  return link_target(device_node(facts) + "/subsystem", &target) == 0 && name_of(target) == "dax";
}

uint64_t device_dax_page_bytes(const FileFacts& facts) {
  const uint64_t bytes = device_number(facts, "align");
  return bytes == 0 ? 2 * kMiB : bytes;
}

uint64_t device_dax_size(const FileFacts& facts) { return device_number(facts, "size"); }

bool device_dax_is_persistent(const FileFacts& facts) {
  std::string target;
  return link_target(device_node(facts), &target) == 0 &&
         target.find("/ndbus") != std::string::npos;
}

bool pmem_is_forced() {
  const char* value = std::getenv("PMEM_IS_PMEM_FORCE");
  return value && std::strcmp(value, "1") == 0;
}

const char* durability_name(DurabilityClass durability) {
  return durability == DurabilityClass::kPower ? "power" : "process";
}

}  // namespace holdfast
