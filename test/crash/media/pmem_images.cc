// Crash states of a pool on persistent memory: what is durable, and any subset of the other lines, each with what it held
// when it was flushed or with what it holds now. A line that was copied round the cache may be torn at 8 bytes; an ordinary
// one keeps the order of its stores, so it is whole.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "crash/media/images.h"
#include "crash/media/libpmemobj_facts.h"

namespace holdfast::crash {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kLine = 64;
// A process of this number cannot be (the kernel's largest is 4194304), so the temporary file is stale.
constexpr char kTemporary[] = "/.pool.holdfast-new-4194399";

class PmemImages final : public Images {
 public:
  PmemImages(const std::string& trace, const std::string& base, const std::string& folder)
      : trace_(trace), base_(base), folder_(folder), path_(folder + "/pool"), named_(!base.empty()) {
    fs::create_directories(folder + "/aside");
  }
  ~PmemImages() override {
    if (image_) ::munmap(image_, length_);
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  bool next_point() override {
    land_flushed();
    while (const EventHeader* event = trace_.next()) {
      if (event->type == EventType::kBase) {
        lay_base(event->a);
      } else if (event->type == EventType::kLink) {
        named_ = true;
        ::unlink((folder_ + kTemporary).c_str());
        link_to(path_);
      } else if (event->type == EventType::kFence || event->type == EventType::kMark) {
        const bool interesting = event->type == EventType::kFence ? focused_ : note_mark(*event);
        sort_lines(trace_.lines(), event->count);
        fence_ = event->type == EventType::kFence;
        if (interesting && image_) {
          point_.number++;
          point_.undecided = lines_.size();
          return true;
        }
        land_flushed();
      }
    }
    return false;
  }

  void make(uint64_t k, bool exhaustive, uint64_t seed) override {
    Random random(seed);
    Landing landing(k, exhaustive, lines_.size(), &random);
    for (uint64_t i = 0; i < lines_.size(); i++) {
      if (landing.landed(i)) land(*lines_[i], exhaustive, &random);
    }
    if (random.one_in(2)) return;
    for (const DirtyLine* line : volatile_lines_) land(*line, true, &random);
  }

  void restore() override {
    while (!undo_.empty()) {
      std::memcpy(image_ + undo_.back().line * kLine, undo_.back().content, kLine);
      undo_.pop_back();
    }
    if (named_) return;
    ::unlink(path_.c_str());  // the recovery has found no pool, swept what was there and made a new one
    link_to(folder_ + kTemporary);
  }

  const std::string& path() const override { return path_; }
  bool opens_a_view() const override { return named_; }
  std::string copy() override {
    if (!named_) return {};
    const std::string to = folder_ + "/aside/pool";
    std::error_code failed;
    fs::copy_file(path_, to, fs::copy_options::overwrite_existing, failed);
    if (failed) std::abort();
    return to;
  }
  void drop_copy() override { ::unlink((folder_ + "/aside/pool").c_str()); }

 private:
  struct Undo {
    uint64_t line;
    uint8_t content[kLine];
  };

  // Lines that libpmemobj never flushes are not what is asked about: in half of the states all of them have landed.
  void sort_lines(const DirtyLine* lines, uint64_t count) {
    lines_.clear();
    volatile_lines_.clear();
    for (uint64_t i = 0; i < count; i++) {
      const bool flushed = (lines[i].flags & (DirtyLine::kFlushedHere | DirtyLine::kFlushedElsewhere)) != 0;
      (!flushed && libpmemobj_never_flushes(lines[i].line * kLine) ? volatile_lines_ : lines_).push_back(&lines[i]);
    }
  }

  void land(const DirtyLine& line, bool whole, Random* random) {
    uint8_t* at = image_ + line.line * kLine;
    undo_.emplace_back();
    undo_.back().line = line.line;
    std::memcpy(undo_.back().content, at, kLine);
    const uint8_t* from = random->one_in(2) ? line.flushed : line.live;
    const bool torn = (line.flags & DirtyLine::kStreamed) != 0 && !whole && random->one_in(4);
    for (uint64_t word = 0; word < kLine; word += 8) {
      if (!torn || random->one_in(2)) std::memcpy(at + word, from + word, 8);
    }
  }

  void land_flushed() {
    for (uint64_t i = 0; fence_ && i < lines_.size(); i++) {
      const DirtyLine& line = *lines_[i];
      if ((line.flags & DirtyLine::kFlushedHere) != 0) std::memcpy(image_ + line.line * kLine, line.flushed, kLine);
    }
    lines_.clear();
    fence_ = false;
  }

  void lay_base(uint64_t length) {
    length_ = length;
    const std::string master = folder_ + "/aside/master";
    if (!base_.empty()) fs::copy_file(base_, master, fs::copy_options::overwrite_existing);
    const int fd = ::open(master.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(length)) != 0) std::abort();
    void* mapped = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    if (mapped == MAP_FAILED) std::abort();
    image_ = static_cast<uint8_t*>(mapped);
    link_to(named_ ? path_ : folder_ + kTemporary);
  }

  void link_to(const std::string& name) {
    if (::link((folder_ + "/aside/master").c_str(), name.c_str()) != 0 && errno != EEXIST) std::abort();
  }

  TraceReader trace_;
  const std::string base_, folder_, path_;
  bool named_;  // else a crash leaves only a temporary file
  uint8_t* image_ = nullptr;
  uint64_t length_ = 0;
  std::vector<const DirtyLine*> lines_, volatile_lines_;
  bool fence_ = false;
  std::vector<Undo> undo_;
};

}  // namespace

std::unique_ptr<Images> pmem_images(const std::string& trace, const std::string& base, const std::string& folder) {
  return std::make_unique<PmemImages>(trace, base, folder);
}

}  // namespace holdfast::crash
