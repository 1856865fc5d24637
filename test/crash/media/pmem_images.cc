// Crash states of a pool on persistent memory: what is durable, and any subset of the other lines,
// each with what it held when it was flushed or with what it holds now. A line that was copied
// round the cache may be torn at 8 bytes; an ordinary one keeps the order of its stores, so it is
// whole.
//
// Of a pool that grows also: what system calls have changed and no sync has covered, or not; and of
// the pages whose blocks were given back any that hold again what was durable of them before
// (pmem_tracer.cc says until when).
//
// The view of a state that libpmemobj opens stays mapped for the next one (kept_view.h).
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <vector>

#include "crash/media/images.h"
#include "crash/media/kept_view.h"
#include "crash/media/libpmemobj_facts.h"
#include "medium/pool_set.h"

namespace holdfast::crash {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kLine = 64;
constexpr uint64_t kPage = 4096;
constexpr uint64_t kMostTraced = uint64_t{1} << 30;  // as in pmem_tracer.cc
// A process of this number cannot be (the kernel's largest is 4194304), so the temporary file is
// stale.
constexpr char kTemporary[] = "/.pool.holdfast-new-4194399";

class PmemImages final : public Images {
 public:
  PmemImages(const std::string& trace, const std::string& base, const std::string& folder,
             bool parts)
      : trace_(trace),
        base_(base),
        folder_(folder),
        path_(folder + "/pool"),
        parts_(parts),
        named_(!base.empty()) {
    fs::create_directories(folder + "/aside");
  }
  ~PmemImages() override {
    drop_kept_view();
    if (image_) ::munmap(image_, mapped_);
    if (fd_ >= 0) ::close(fd_);
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
        link_to(image_name(path_));
        name_part(path_);
      } else if (event->type == EventType::kResize) {
        length_ = event->b;
        set_length(length_);
      } else if (event->type == EventType::kWrite) {
        written_.push_back(
            {event->b, std::string(reinterpret_cast<const char*>(trace_.payload()), event->bytes)});
      } else if (event->type == EventType::kSync) {
        for (const Written& each : written_)
          std::memcpy(image_ + each.offset, each.bytes.data(), each.bytes.size());
        written_.clear();
        given_back_.clear();
        synced_length_ = length_;
      } else if (event->type == EventType::kPunch) {
        punch(event->a, event->b);
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
    if (!given_back_.empty() && random.one_in(2)) bring_back(&random);
    if (synced_length_ != length_ && random.one_in(2)) set_length(synced_length_);
    for (const Written& each : written_) {
      if (random.one_in(2)) land_written(each);
    }
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
    for (const uint64_t page : brought_back_) make_hole(page, kPage);
    brought_back_.clear();
    if (synced_length_ != length_) set_length(length_);
    if (named_) return;
    ::unlink(
        path_.c_str());  // the recovery has found no pool, swept what was there and made a new one
    link_to(folder_ + kTemporary);
  }

  const std::string& path() const override { return path_; }
  bool opens_a_view() const override { return named_; }
  std::string copy() override {
    if (!named_) return {};
    const std::string to = folder_ + "/aside/pool";
    copy_sparse(image_name(path_), image_name(to));
    name_part(to);
    return to;
  }
  void drop_copy() override {
    ::unlink((folder_ + "/aside/pool").c_str());
    ::unlink(image_name(folder_ + "/aside/pool").c_str());
  }

 private:
  struct Undo {
    uint64_t line;
    uint8_t content[kLine];
  };
  struct Written {
    uint64_t offset;
    std::string bytes;
  };

  // Lines that libpmemobj never flushes are not what is asked about: in half of the states all of
  // them have landed.
  void sort_lines(const DirtyLine* lines, uint64_t count) {
    lines_.clear();
    volatile_lines_.clear();
    for (uint64_t i = 0; i < count; i++) {
      decide(lines[i].line * kLine);
      const bool flushed =
          (lines[i].flags & (DirtyLine::kFlushedHere | DirtyLine::kFlushedElsewhere)) != 0;
      (!flushed && libpmemobj_never_flushes(lines[i].line * kLine) ? volatile_lines_ : lines_)
          .push_back(&lines[i]);
    }
  }

  // Something was stored there, so what the file's blocks are at that place is committed, and how
  // long the file is.
  void decide(uint64_t at) {
    given_back_.erase(at / kPage);
    if (at >= synced_length_) synced_length_ = length_;
  }

  // Keeps what may come back; of a page that was punched before and not stored to since, what it
  // held before that.
  void punch(uint64_t offset, uint64_t bytes) {
    static constexpr char kZeros[kPage] = {};
    for (uint64_t at = offset; at < offset + bytes; at += kPage) {
      if (std::memcmp(image_ + at, kZeros, kPage) == 0) continue;
      given_back_[at / kPage].assign(reinterpret_cast<const char*>(image_ + at), kPage);
    }
    make_hole(offset, bytes);
  }

  void bring_back(Random* random) {
    const uint64_t one_in = std::array<uint64_t, 4>{1, 2, 2, 16}[random->below(4)];
    for (const auto& [page, bytes] : given_back_) {
      if (!random->one_in(one_in)) continue;
      std::memcpy(image_ + page * kPage, bytes.data(), kPage);
      brought_back_.push_back(page * kPage);
    }
  }

  void make_hole(uint64_t offset, uint64_t bytes) {
    if (::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                    static_cast<off_t>(bytes)) != 0)
      std::abort();
  }
  void set_length(uint64_t bytes) {
    if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) std::abort();
  }

  void keep(uint64_t line) {
    undo_.emplace_back();
    undo_.back().line = line;
    std::memcpy(undo_.back().content, image_ + line * kLine, kLine);
  }

  void land_written(const Written& written) {
    for (uint64_t line = written.offset / kLine;
         line * kLine < written.offset + written.bytes.size(); line++)
      keep(line);
    std::memcpy(image_ + written.offset, written.bytes.data(), written.bytes.size());
  }

  void land(const DirtyLine& line, bool whole, Random* random) {
    uint8_t* at = image_ + line.line * kLine;
    keep(line.line);
    const uint8_t* from = random->one_in(2) ? line.flushed : line.live;
    const bool torn = (line.flags & DirtyLine::kStreamed) != 0 && !whole && random->one_in(4);
    for (uint64_t word = 0; word < kLine; word += 8) {
      if (!torn || random->one_in(2)) std::memcpy(at + word, from + word, 8);
    }
  }

  void land_flushed() {
    for (uint64_t i = 0; fence_ && i < lines_.size(); i++) {
      const DirtyLine& line = *lines_[i];
      if ((line.flags & DirtyLine::kFlushedHere) != 0)
        std::memcpy(image_ + line.line * kLine, line.flushed, kLine);
    }
    lines_.clear();
    fence_ = false;
  }

  void lay_base(uint64_t length) {
    length_ = synced_length_ = length;
    mapped_ = std::max(length, kMostTraced);
    const std::string master = folder_ + "/aside/master";
    if (!base_.empty()) copy_sparse(base_, master);
    fd_ = ::open(master.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd_ < 0) std::abort();
    set_length(length);
    void* mapped = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (mapped == MAP_FAILED) std::abort();
    image_ = static_cast<uint8_t*>(mapped);
    keep_view_of(fd_, image_);
    link_to(named_ ? image_name(path_) : folder_ + kTemporary);
    if (named_) name_part(path_);
  }

  // The file in which the bytes of the pool at `path` are.
  std::string image_name(const std::string& path) const { return parts_ ? path + ".part" : path; }
  void name_part(const std::string& path) const {
    if (parts_) std::ofstream(path) << pool_set_text({{image_name(path), length_}});
  }

  void link_to(const std::string& name) {
    if (::link((folder_ + "/aside/master").c_str(), name.c_str()) != 0 && errno != EEXIST)
      std::abort();
  }

  TraceReader trace_;
  const std::string base_, folder_, path_;
  const bool parts_;
  bool named_;  // else a crash leaves only a temporary file
  uint8_t* image_ = nullptr;
  int fd_ = -1;  // of the image, which is mapped beyond its end
  uint64_t length_ = 0, synced_length_ = 0, mapped_ = 0;
  std::vector<const DirtyLine*> lines_, volatile_lines_;
  bool fence_ = false;
  std::vector<Undo> undo_;
  std::map<uint64_t, std::string>
      given_back_;  // by page: what it held when its block was given back
  std::vector<uint64_t> brought_back_;
  std::vector<Written> written_;  // by system calls, since the last sync
};

}  // namespace

std::unique_ptr<Images> pmem_images(const std::string& trace, const std::string& base,
                                    const std::string& folder, bool parts) {
  return std::make_unique<PmemImages>(trace, base, folder, parts);
}

}  // namespace holdfast::crash
