// What the tests of the file medium share: opening one that must open, what its file takes, and a
// root to tell from others.
#pragma once
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "medium/file_medium.h"

namespace holdfast::test {

inline OpenedMedium must_open(const std::string& path, const MediumOptions& options = {}) {
  Result<OpenedMedium> opened = open_file_medium(path, options);
  INFO(opened.status().message());
  REQUIRE(opened.is_ok());
  return std::move(*opened);
}

inline Root root_of(uint8_t value) {
  Root root;
  std::memset(root.bytes, value, sizeof root.bytes);
  return root;
}

inline uint64_t size_of(const std::string& path) {
  struct stat facts;
  return ::stat(path.c_str(), &facts) == 0 ? static_cast<uint64_t>(facts.st_size) : 0;
}

inline uint64_t first_hole(const std::string& path, uint64_t from) {
  const int fd = ::open(path.c_str(), O_RDONLY);
  const off_t at = ::lseek(fd, static_cast<off_t>(from), SEEK_HOLE);
  ::close(fd);
  return static_cast<uint64_t>(at);
}

}  // namespace holdfast::test
