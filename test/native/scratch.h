// Files of tests: a folder of its own for each, removed with all that is in it. HOLDFAST_TEST_TMP
// names where (default: beside the test program, so that it is on an ordinary disk); memory: under
// /dev/shm, or where HOLDFAST_TEST_MEMORY says; by default where the system keeps temporary files.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

namespace holdfast::test {

class Scratch {
 public:
  Scratch() : Scratch(std::filesystem::temp_directory_path().string()) {}
  static Scratch on_disk() {
    const char* root = std::getenv("HOLDFAST_TEST_TMP");
    return Scratch(root ? root
                        : std::filesystem::read_symlink("/proc/self/exe").parent_path().string());
  }
  static Scratch in_memory() {
    const char* root = std::getenv("HOLDFAST_TEST_MEMORY");
    return Scratch(root ? root : "/dev/shm");
  }
  // Where a barrier costs nothing, for what is about much work and not about the disk.
  static Scratch quick() { return memory_is_there() ? in_memory() : Scratch(); }
  static bool memory_is_there() { return ::access("/dev/shm", W_OK) == 0; }

  ~Scratch() {
    std::error_code ignored;
    if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
  }
  Scratch(Scratch&& other) noexcept : folder_(std::exchange(other.folder_, {})) {}

  const std::string& folder() const { return folder_; }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  size_t entries() const {
    size_t n = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_)) n++;
    return n;
  }

 private:
  explicit Scratch(const std::string& root) {
    std::string name = root + "/hf-test-XXXXXX";
    if (::mkdtemp(name.data())) folder_ = std::filesystem::absolute(name).string();
    if (folder_.empty()) {
      std::perror(name.c_str());
      std::abort();
    }
    ::chmod(folder_.c_str(), 0755);
  }
  std::string folder_;
};

inline std::string bytes_of_file(const std::string& path) {
  std::ostringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

// In place of what is there.
inline void copy_over(const std::string& from, const std::string& to) {
  std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing);
}

inline void write_at(const std::string& path, uint64_t offset, const std::string& bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(offset));
  file << bytes;
}

}  // namespace holdfast::test
