// What the tests of the medium on libpmemobj share: a folder on tmpfs, opening a pool there that
// must open, and a closed one.
#pragma once
#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "format/pmem_layout.h"
#include "medium/pmem/pmem_front.h"
#include "medium/pmem/pmem_medium.h"

namespace holdfast::test {

namespace fs = std::filesystem;
inline constexpr uint64_t kSmall = 32 * kMiB;

// A folder on tmpfs, gone at the end of the test.
class Place {
 public:
  explicit Place(const char* root = "/dev/shm") {
    std::string name = std::string(root) + "/holdfast-pmem-test-XXXXXX";
    REQUIRE(mkdtemp(name.data()) != nullptr);
    folder_ = name;
  }
  ~Place() { fs::remove_all(folder_); }
  std::string path(const char* name = "pool") const { return folder_ + "/" + name; }
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
};

inline MediumOptions options(CreateMode create = CreateMode::kIfMissing, uint64_t size = kSmall) {
  MediumOptions made;
  made.choice = MediumChoice::kPmem;
  made.create = create;
  made.size = size;
  return made;
}

inline OpenedMedium open_or_fail(const std::string& path, MediumOptions how = options()) {
  Result<OpenedMedium> opened = open_pmem_medium(path, how);
  REQUIRE_MESSAGE(opened.is_ok(), opened.status().message());
  return std::move(*opened);
}

inline Status status_of(const std::string& path,
                        MediumOptions how = options(CreateMode::kNever, 0)) {
  Result<OpenedMedium> opened = open_pmem_medium(path, how);
  return opened ? Status() : std::move(opened.status());
}

inline Root root_of(uint8_t byte) {
  Root root;
  std::memset(root.bytes, byte, sizeof root.bytes);
  return root;
}

// Makes a closed pool and says where its front is.
inline uint64_t make_closed_pool(const std::string& path) {
  open_or_fail(path).medium->close();
  std::ifstream file(path, std::ios::binary);
  std::string head(kPmemFrontSearchBytes, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  Result<PmemFront> front = find_pmem_front(head, kSmall, path);
  REQUIRE(front.is_ok());
  CHECK(front->closed);
  return front->offset;
}

}  // namespace holdfast::test
