// Valid pools with known content, for the tests that damage them. Each shape is made by a process
// of its own, which then closes the pool or kills itself, so that the file is just what a real end
// leaves. What the pool must answer is known beside it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace holdfast::crash {

struct Range {
  uint64_t begin = 0, end = 0;
  bool meets(const Range& other) const { return begin < other.end && other.begin < end; }
};

struct Entry {
  std::string value;
  std::vector<Range> places;    // of the operation and, for a large value, its pieces: damage
                                // elsewhere must not cost it
  uint64_t commit = 0;          // number of the commit that put it
  std::vector<uint64_t> older;  // hashes of the values it had before
};

// A file's bytes in memory that processes forked later share: forking does not copy its page
// tables, and what is never touched takes no room.
class Image {
 public:
  Image() = default;
  explicit Image(size_t size);
  ~Image();
  Image(Image&& other) noexcept { swap(other); }
  Image& operator=(Image&& other) noexcept {
    swap(other);
    return *this;
  }
  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  void swap(Image& other) {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

struct Change {
  std::string key;
  uint64_t hash = 0;  // of the value; 0: a deletion
};

// What one commit put on the medium.
struct Commit {
  bool durable = false;
  uint64_t epoch = 0;
  std::vector<Range> places;    // of its operations, with the frame headers before them
  std::vector<Change> changes;  // of keys, in order
};

// The one region of a pool that has some.
struct RegionModel {
  static constexpr uint32_t kNumber = 1;
  struct Block {
    uint64_t commit = 0;          // that wrote it last
    std::vector<uint64_t> older;  // hashes of what it held before
  };
  std::string bytes;
  std::vector<Block> blocks;
};

struct ModelPool {
  std::string name;  // "file/tail", "pmem/clean", …
  bool pmem = false;
  Image image;                           // the file's bytes
  std::map<std::string, Entry> entries;  // by composite key
  std::vector<Commit> commits;           // in order
  RegionModel region;                    // of shape kRegions; else empty
  std::vector<uint32_t> used_lines;      // numbers of 64-byte lines that are not all zeros
  std::vector<Range> used;               // stretches of bytes with all of those
};

uint64_t hash_of(const std::string& bytes);

// Killed before any fold, killed behind some, closed; with a region; with all of the log kept for
// the change feed; killed before any fold, with a log of many short segments.
enum class Shape { kTail, kFolded, kClean, kRegions, kRetained, kLinks };
constexpr Shape kShapes[] = {Shape::kTail,    Shape::kFolded,   Shape::kClean,
                             Shape::kRegions, Shape::kRetained, Shape::kLinks};

// Makes the pool at `path` (removed again). Ends the program if it cannot.
ModelPool make_model_pool(const std::string& path, bool pmem, Shape shape, uint64_t seed);

// Content of the value that was put for `key` as its `version`th.
std::string value_for(const std::string& key, uint32_t version, size_t size);

// The file at `path` becomes `size` bytes of the image, quickly: only what is used or damaged is
// written, the rest are zeros.
void write_image(const uint8_t* image, uint64_t size, const std::vector<Range>& used,
                 const std::vector<Range>& damaged, const std::string& path);

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ull + 0x1234567) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  uint64_t below(uint64_t n) { return next() % n; }

 private:
  uint64_t state_;
};

}  // namespace holdfast::crash
