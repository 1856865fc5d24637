// Crash states of a pool on a file: what was synced, and of the rest any subset of its 512-byte
// sectors, each in any version that was written since, some torn inside; the length that was synced
// or a later one; the names as of the last sync of the folder and any number of the changes after
// it, in their order.
//
// A recovery changes the files; what it has written is noted by this program's own pwrite,
// ftruncate and fallocate, which stand before the C library's, and taken back.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "crash/media/images.h"

namespace holdfast::crash {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kFew = 4;  // sectors that are undecided: a superblock or a root is under way
constexpr uint64_t kSector = 512;
constexpr uint64_t kFilePage =
    4096;  // of the file system the files are in: what is written of one is written of all of it

struct Touched {
  uint64_t inode, offset, bytes;
};
std::mutex touched_mutex;
std::vector<Touched> touched;  // guarded by touched_mutex

void touch(int fd, uint64_t offset, uint64_t bytes) {
  struct stat facts;
  const int error = errno;
  if (::fstat(fd, &facts) == 0) {
    const std::lock_guard guard(touched_mutex);
    touched.push_back({facts.st_ino, offset, bytes});
  }
  errno = error;
}

std::vector<Touched> take_touched() {
  const std::lock_guard guard(touched_mutex);
  return std::exchange(touched, {});
}

class FileImages final : public Images {
 public:
  FileImages(const std::string& trace, const std::string& folder)
      : trace_(trace), folder_(folder), aside_(folder + ".aside"), path_(folder + "/pool") {
    fs::create_directories(folder_);
    fs::create_directories(aside_);
  }
  ~FileImages() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
    fs::remove_all(aside_, ignored);
  }

  bool next_point() override {
    settle();
    while (const EventHeader* event = trace_.next()) {
      switch (event->type) {
        case EventType::kMark:
          if (note_mark(*event) && !files_.empty()) return stop(nullptr);
          break;
        case EventType::kSync:
        case EventType::kFolderSync:
          if (focused_) return stop(event);
          settle_event(*event);
          break;
        default:
          note(*event);
      }
    }
    return false;
  }

  void make(uint64_t k, bool exhaustive, uint64_t seed) override {
    take_touched();
    Random random(seed);
    Landing landing(k, exhaustive, undecided_.size(), &random);
    Stretch stretch;
    for (uint64_t i = 0; i < undecided_.size(); i++) {
      if (!landing.landed(i)) continue;
      const auto& [file, sector, versions] = undecided_[i];
      const uint64_t which =
          exhaustive || random.one_in(2) ? versions->size() - 1 : random.below(versions->size());
      land(&files_[file], sector, (*versions)[which], exhaustive, &random, &stretch);
    }
    finish(&stretch);
    for (File& file : files_) set_length(&file, k, &random);
    const uint64_t renamed = k == 0   ? 0
                             : k == 1 ? folder_changes_.size()
                                      : random.below(folder_changes_.size() + 1);
    std::map<std::string, uint64_t> names = durable_names_;
    for (uint64_t i = 0; i < renamed; i++) apply(folder_changes_[i], &names);
    show(names);
  }

  void restore() override {
    const std::vector<Touched> all = take_touched();
    for (File& file : files_) {
      std::vector<Piece> pieces = std::exchange(file.applied, {});
      for (const Touched& range : all) {
        if (range.inode == file.inode)
          pieces.push_back(
              {range.offset, range.bytes == UINT64_MAX ? UINT64_MAX : range.offset + range.bytes});
      }
      std::sort(pieces.begin(), pieces.end(),
                [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
      uint64_t done = 0;
      for (const Piece& piece : pieces) {
        const uint64_t from = std::max(piece.begin, done),
                       end = std::min<uint64_t>(piece.end, file.content.size());
        if (from >= end) continue;
        put(file, from, file.content.data() + from, end - from);
        done = end;
      }
      if (::syscall(SYS_ftruncate, file.fd, file.content.size()) != 0) std::abort();
    }
  }

  const std::string& path() const override { return path_; }

 private:
  using Sector = std::vector<uint8_t>;
  struct Piece {
    uint64_t begin, end;
  };
  struct File {
    int fd = -1;
    uint64_t inode = 0;
    std::vector<uint8_t> content;   // durable
    uint64_t length = 0;            // now
    std::vector<uint64_t> lengths;  // it had since the last sync
    std::map<uint64_t, std::vector<Sector>>
        versions;  // of sectors written since the last sync; the last is the present one
    std::vector<Piece> applied;  // of the state that is laid out
  };
  struct FolderChange {
    bool added;
    std::string name;
    uint64_t file;
  };
  // Pages one behind another, with what has landed in them: written at once.
  struct Stretch {
    File* file = nullptr;
    uint64_t begin = 0;
    std::vector<uint8_t> bytes;
  };
  struct Undecided {
    uint64_t file, sector;
    const std::vector<Sector>* versions;
  };

  bool stop(const EventHeader* event) {
    pending_event_ = event;
    undecided_.clear();
    for (uint64_t i = 0; i < files_.size(); i++) {
      for (const auto& [sector, versions] : files_[i].versions) {
        const Sector durable = durable_sector(files_[i], sector);
        const auto differs = [&](const Sector& version) { return version != durable; };
        if (std::any_of(versions.begin(), versions.end(), differs))
          undecided_.push_back({i, sector, &versions});
      }
    }
    point_.number++;
    point_.undecided = undecided_.size() + folder_changes_.size();
    for (const File& file : files_) point_.undecided += file.lengths.empty() ? 0 : 1;
    return true;
  }

  static Sector durable_sector(const File& file, uint64_t sector) {
    Sector out(kSector, 0);
    const uint64_t at = sector * kSector;
    if (at < file.content.size())
      std::memcpy(out.data(), file.content.data() + at,
                  std::min<uint64_t>(kSector, file.content.size() - at));
    return out;
  }

  void settle() {
    if (pending_event_) settle_event(*pending_event_);
    pending_event_ = nullptr;
  }

  void settle_event(const EventHeader& event) {
    if (event.type == EventType::kFolderSync) {
      for (const FolderChange& change : folder_changes_) apply(change, &durable_names_);
      folder_changes_.clear();
      show(durable_names_);
      return;
    }
    File& file = files_[event.a];
    file.content.resize(file.length, 0);
    for (const auto& [sector, versions] : file.versions) {
      const uint64_t at = sector * kSector;
      if (at >= file.length) continue;
      const uint64_t size = std::min<uint64_t>(kSector, file.length - at);
      std::memcpy(file.content.data() + at, versions.back().data(), size);
      put(file, at, file.content.data() + at, size);
    }
    if (::syscall(SYS_ftruncate, file.fd, file.content.size()) != 0) std::abort();
    file.versions.clear();
    file.lengths.clear();
  }

  void note(const EventHeader& event) {
    const char* text = reinterpret_cast<const char*>(trace_.payload());
    switch (event.type) {
      case EventType::kFile: {
        File file;
        const std::string name(text, event.count);
        const std::string store = aside_ + "/" + std::to_string(event.a);
        file.fd = ::open(store.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        struct stat facts;
        if (file.fd < 0 || ::fstat(file.fd, &facts) != 0 || event.a != files_.size()) std::abort();
        file.inode = facts.st_ino;
        file.length = event.b;
        file.content.assign(trace_.payload() + event.count, trace_.payload() + event.bytes);
        put(file, 0, file.content.data(), file.content.size());
        // A file that was there already has had its name for long; a new one has it once its folder
        // was synced.
        if (event.b > 0)
          durable_names_[name] = event.a;
        else
          folder_changes_.push_back({true, name, event.a});
        files_.push_back(std::move(file));
        show(durable_names_);
        break;
      }
      case EventType::kWrite:
        write(&files_[event.a], event.b, trace_.payload(), event.bytes);
        break;
      case EventType::kResize:
        files_[event.a].lengths.push_back(event.b);
        files_[event.a].length = event.b;
        break;
      case EventType::kLink:
        folder_changes_.push_back({true, std::string(text, event.bytes), event.a});
        break;
      case EventType::kUnlink:
        folder_changes_.push_back({false, std::string(text, event.bytes), 0});
        break;
      default:
        break;
    }
  }

  static void write(File* file, uint64_t offset, const uint8_t* data, uint64_t size) {
    if (offset + size > file->length) {
      file->length = offset + size;
      file->lengths.push_back(file->length);
    }
    while (size > 0) {
      const uint64_t sector = offset / kSector, inside = offset % kSector;
      const uint64_t piece = std::min(size, kSector - inside);
      auto& versions = file->versions[sector];
      Sector next = versions.empty() ? durable_sector(*file, sector) : versions.back();
      std::memcpy(next.data() + inside, data, piece);
      if (versions.size() == 4)
        versions.erase(versions.begin() + 1);  // many small records: the first and the last count
      versions.push_back(std::move(next));
      offset += piece;
      data += piece;
      size -= piece;
    }
  }

  // Where a tear leaves part of the change on either side; 0: it is within one word.
  static uint64_t cut_between(const Sector& was, const Sector& is, Random* random) {
    uint64_t first = kSector / 8, last = 0;
    for (uint64_t word = 0; word < kSector / 8; word++) {
      if (std::memcmp(was.data() + 8 * word, is.data() + 8 * word, 8) == 0) continue;
      first = std::min(first, word);
      last = word;
    }
    return first < last ? 8 * (first + 1 + random->below(last - first)) : 0;
  }

  void land(File* file, uint64_t sector, const Sector& version, bool exhaustive, Random* random,
            Stretch* stretch) {
    uint8_t* laid = in_stretch(file, sector, stretch);
    std::memcpy(laid, version.data(), kSector);
    const bool few = undecided_.size() <= kFew;
    if (!exhaustive && random->one_in(few ? 2 : 16)) {  // torn: the disk wrote only one end of it
      const Sector was = durable_sector(*file, sector);
      const uint64_t cut = few ? cut_between(was, version, random) : 8 * random->below(kSector / 8);
      const bool head = random->one_in(2);
      if (head)
        std::memcpy(laid + cut, was.data() + cut, kSector - cut);
      else
        std::memcpy(laid, was.data(), cut);
    }
  }

  // Where this sector is in the stretch, which begins anew unless the sector's page is its last one
  // or the next.
  uint8_t* in_stretch(File* file, uint64_t sector, Stretch* stretch) {
    const uint64_t page = sector * kSector / kFilePage * kFilePage;
    const uint64_t end = stretch->begin + stretch->bytes.size();
    if (stretch->file != file || page > end || page < stretch->begin) {
      finish(stretch);
      stretch->file = file;
      stretch->begin = page;
    }
    const uint64_t inside = page - stretch->begin;
    if (inside == stretch->bytes.size()) {
      stretch->bytes.resize(inside + kFilePage, 0);
      const uint64_t durable = std::min<uint64_t>(
          kFilePage, file->content.size() - std::min<uint64_t>(page, file->content.size()));
      if (durable > 0)
        std::memcpy(stretch->bytes.data() + inside, file->content.data() + page, durable);
    }
    return stretch->bytes.data() + (sector * kSector - stretch->begin);
  }

  static void finish(Stretch* stretch) {
    if (stretch->bytes.empty()) return;
    put(*stretch->file, stretch->begin, stretch->bytes.data(), stretch->bytes.size());
    stretch->file->applied.push_back({stretch->begin, stretch->begin + stretch->bytes.size()});
    stretch->bytes.clear();
  }

  // A sector behind the length that has landed is not there.
  static void set_length(File* file, uint64_t k, Random* random) {
    uint64_t length = file->length;
    if (!file->lengths.empty() && k != 1) {
      const uint64_t which = k == 0 ? 0 : random->below(file->lengths.size() + 1);
      length = which == 0 ? file->content.size() : file->lengths[which - 1];
    }
    if (::syscall(SYS_ftruncate, file->fd, length) != 0) std::abort();
    if (length < file->content.size()) touch(file->fd, length, UINT64_MAX);
  }

  static void apply(const FolderChange& change, std::map<std::string, uint64_t>* names) {
    if (change.added)
      (*names)[change.name] = change.file;
    else
      names->erase(change.name);
  }

  // The folder has these names, and no others. Only the name a temporary file has gets another
  // number: its maker is dead.
  void show(const std::map<std::string, uint64_t>& names) {
    std::map<std::string, uint64_t> wanted;
    for (const auto& [name, file] : names) {
      const size_t mark = name.find(".holdfast-new-");
      wanted[mark == std::string::npos ? name : name.substr(0, mark) + ".holdfast-new-4194399"] =
          file;
    }
    for (const auto& entry : fs::directory_iterator(folder_)) {
      const auto at = wanted.find(entry.path().filename().string());
      struct stat facts;
      const bool right = at != wanted.end() && ::stat(entry.path().c_str(), &facts) == 0 &&
                         facts.st_ino == files_[at->second].inode;
      if (right)
        wanted.erase(at);
      else
        ::unlink(entry.path().c_str());
    }
    for (const auto& [name, file] : wanted) {
      if (::link((aside_ + "/" + std::to_string(file)).c_str(), (folder_ + "/" + name).c_str()) !=
          0)
        std::abort();
    }
  }

  static void put(const File& file, uint64_t offset, const uint8_t* data, uint64_t size) {
    while (size > 0) {
      const long n = ::syscall(SYS_pwrite64, file.fd, data, size, offset);
      if (n <= 0) std::abort();
      offset += static_cast<uint64_t>(n);
      data += n;
      size -= static_cast<uint64_t>(n);
    }
  }

  TraceReader trace_;
  const std::string folder_, aside_, path_;
  std::vector<File> files_;
  std::map<std::string, uint64_t> durable_names_;
  std::vector<FolderChange> folder_changes_;  // since the last sync of the folder
  std::vector<Undecided> undecided_;
  const EventHeader* pending_event_ = nullptr;
};

}  // namespace

std::unique_ptr<Images> file_images(const std::string& trace, const std::string& folder) {
  return std::make_unique<FileImages>(trace, folder);
}

}  // namespace holdfast::crash

extern "C" {

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  holdfast::crash::touch(fd, static_cast<uint64_t>(offset), size);
  return ::syscall(SYS_pwrite64, fd, data, size, offset);
}

int ftruncate(int fd, off_t size) noexcept {
  holdfast::crash::touch(fd, static_cast<uint64_t>(size), UINT64_MAX);
  return static_cast<int>(::syscall(SYS_ftruncate, fd, size));
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
  holdfast::crash::touch(fd, static_cast<uint64_t>(offset), static_cast<uint64_t>(size));
  return static_cast<int>(::syscall(SYS_fallocate, fd, mode, offset, size));
}

// What is crashed into is in memory: there is nothing to wait for.
int fdatasync(int) { return 0; }

}  // extern "C"
