// What a place is known by: the mount that a file is in, and what lies below an overlay.
#include "medium/place_facts.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

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
