// What a place is known by: the mount that a file is in, and what lies below an overlay or a loop
// device.
#include "medium/place_facts.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "native/own_mounts.h"
#include "native/scratch.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

bool make_folders(const Scratch& scratch, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (::mkdir(scratch.path(name).c_str(), 0755) != 0) return false;
  }
  return true;
}

bool gives_only_process(const std::string& path, const std::string& because) {
  Result<FilePlace> place = file_place(path);
  return place.is_ok() && place->durability == DurabilityClass::kProcess &&
         place->reason.find(because) != std::string::npos;
}

// The answer of a child with its own mounts in which the scratch's "memory" is in memory.
template <typename Work>
int with_memory_mounted(const Scratch& scratch, Work work) {
  return in_child([&] {
    if (!has_own_mounts() ||
        ::mount("tmpfs", scratch.path("memory").c_str(), "tmpfs", 0, "size=1m") != 0)
      return kMayNotMount;
    return work();
  });
}

}  // namespace

// Its files have another device than the overlay where the layers are not of one file system.
TEST_CASE("place: an overlay that is mounted volatile gives class process, to its files too") {
  const Scratch scratch = Scratch::on_disk();
  REQUIRE(make_folders(scratch, {"memory", "upper", "work", "merged"}));
  const int answer = with_memory_mounted(scratch, [&] {
    const std::string layers = "volatile,xino=off,lowerdir=" + scratch.path("memory") +
                               ",upperdir=" + scratch.path("upper") +
                               ",workdir=" + scratch.path("work");
    const std::string merged = scratch.path("merged");
    if (::mount("overlay", merged.c_str(), "overlay", 0, layers.c_str()) != 0) return kMayNotMount;
    if (!gives_only_process(merged, "volatile")) return 1;
    std::ofstream(merged + "/file") << "bytes";
    return gives_only_process(merged + "/file", "volatile") ? 0 : 2;
  });
  if (answer == kMayNotMount) {
    MESSAGE("skipped: mounting an overlay needs root");
    return;
  }
  CHECK(answer == 0);
}

TEST_CASE("place: an overlay gives no more than its upper layer, also where that has a blank") {
  const Scratch scratch = Scratch::on_disk();
  REQUIRE(make_folders(scratch, {"memory", "lower", "merged"}));
  const int answer = with_memory_mounted(scratch, [&] {
    if (!make_folders(scratch, {"memory/up per", "memory/work"})) return 1;
    const std::string layers = "lowerdir=" + scratch.path("lower") +
                               ",upperdir=" + scratch.path("memory/up per") +
                               ",workdir=" + scratch.path("memory/work");
    const std::string merged = scratch.path("merged");
    if (::mount("overlay", merged.c_str(), "overlay", 0, layers.c_str()) != 0) return kMayNotMount;
    return gives_only_process(merged, "tmpfs") ? 0 : 2;
  });
  if (answer == kMayNotMount) {
    MESSAGE("skipped: mounting an overlay needs root");
    return;
  }
  CHECK(answer == 0);
}

TEST_CASE("place: a loop device gives no more than the place of its file") {
  const Scratch scratch = Scratch::on_disk();
  REQUIRE(make_folders(scratch, {"memory", "mounted"}));
  const int answer = in_child([&] {
    if (!has_own_mounts() || ::mount("tmpfs", scratch.path("memory").c_str(), "tmpfs", 0, "") != 0)
      return kMayNotMount;
    for (const bool in_memory : {true, false}) {
      const std::string image = scratch.path(in_memory ? "memory/image" : "image");
      const std::string mounted = scratch.path("mounted");
      const std::string make = "truncate -s 4M '" + image + "' && mke2fs -q -F '" + image +
                               "' 2>/dev/null && mount -o loop '" + image + "' '" + mounted +
                               "' 2>/dev/null";
      if (std::system(make.c_str()) != 0) return kMayNotMount;
      Result<FilePlace> place = file_place(mounted);
      const bool process = gives_only_process(mounted, "loop device");
      ::umount(mounted.c_str());  // the device goes with its mount
      if (!place.is_ok() || process != in_memory) return 1;
    }
    return 0;
  });
  if (answer == kMayNotMount) {
    MESSAGE("skipped: a loop device needs root and mke2fs");
    return;
  }
  CHECK(answer == 0);
}

// 9p says the number of the file system that its server has the files on.
TEST_CASE("place: a network file system is known by its number and by its name") {
  constexpr uint64_t kExt4 = 0xef53;
  for (const char* name : {"9p", "nfs", "nfs4", "cifs", "smb3", "ceph", "vboxsf"})
    CHECK_MESSAGE(is_network_file_system(kExt4, name), name);
  CHECK(is_network_file_system(0x786f4256, "vboxsf"));
  CHECK(is_network_file_system(0x6969, ""));  // a mount that is not listed
  CHECK_FALSE(is_network_file_system(kExt4, "ext4"));
  CHECK_FALSE(is_network_file_system(kExt4, ""));
}

TEST_CASE("place: disks that are memory are known by their names") {
  for (const char* disk : {"ram0", "zram12", "nullb0"}) CHECK_MESSAGE(is_memory_disk(disk), disk);
  for (const char* disk : {"loop0", "dm-0", "md127", "zd16", "", "zramble"})
    CHECK_FALSE_MESSAGE(is_memory_disk(disk), disk);
}

TEST_CASE("place: mounted without barriers, in the words of each file system") {
  for (const char* options :
       {"rw,nobarrier", "rw,relatime,rw,barrier=0", "rw,barrier=none,user_xattr",
        "rw,mode=adaptive,fsync_mode=nobarrier,memory=normal", "rw,journal_flush_disabled"})
    CHECK_MESSAGE(without_barriers(options), options);
  for (const char* options :
       {"rw,relatime", "rw,barrier=1", "rw,fsync_mode=posix", "rw,barrier=flush"})
    CHECK_FALSE_MESSAGE(without_barriers(options), options);
}
