#include "crash/media/images.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace holdfast::crash {

TraceReader::TraceReader(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat facts;
  if (fd < 0 || ::fstat(fd, &facts) != 0) {
    std::perror(path.c_str());
    std::exit(3);
  }
  size_ = static_cast<uint64_t>(facts.st_size);
  if (size_ > 0) {
    void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) std::abort();
    begin_ = static_cast<const uint8_t*>(mapped);
  }
  ::close(fd);
}

TraceReader::~TraceReader() {
  if (begin_) ::munmap(const_cast<uint8_t*>(begin_), size_);
}

const EventHeader* TraceReader::next() {
  if (size_ - at_ < sizeof(EventHeader)) return nullptr;
  const auto* header = reinterpret_cast<const EventHeader*>(begin_ + at_);
  const bool lines = header->type == EventType::kFence || header->type == EventType::kMark;
  const uint64_t bytes = lines ? header->count * sizeof(DirtyLine) : header->bytes;
  if (bytes > size_ - at_ - sizeof(EventHeader)) return nullptr;
  payload_ = begin_ + at_ + sizeof(EventHeader);
  at_ += sizeof(EventHeader) + bytes;
  return header;
}

bool Images::note_mark(const EventHeader& event) {
  switch (static_cast<MarkKind>(event.a)) {
    case MarkKind::kBegun:
      point_.begun = event.b;
      return false;
    case MarkKind::kAcked:
      point_.acked = static_cast<int64_t>(event.b);
      return focused_;
    case MarkKind::kFocus:
      focused_ = event.b != 0;
      return false;
  }
  return false;
}

void copy_sparse(const std::string& from, const std::string& to) {
  const int in = ::open(from.c_str(), O_RDONLY | O_CLOEXEC);
  const int out = ::open(to.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  struct stat facts;
  if (in < 0 || out < 0 || ::fstat(in, &facts) != 0 || ::ftruncate(out, facts.st_size) != 0)
    std::abort();
  static char buffer[1 << 18];
  for (off_t at = ::lseek(in, 0, SEEK_DATA); at >= 0 && at < facts.st_size;
       at = ::lseek(in, at, SEEK_DATA)) {
    for (const off_t end = ::lseek(in, at, SEEK_HOLE); at < end;) {
      const ssize_t n =
          ::pread(in, buffer, std::min<size_t>(sizeof buffer, static_cast<size_t>(end - at)), at);
      if (n <= 0 || ::pwrite(out, buffer, static_cast<size_t>(n), at) != n) std::abort();
      at += n;
    }
  }
  ::close(in);
  ::close(out);
}

Landing::Landing(uint64_t k, bool exhaustive, uint64_t count, Random* random)
    : k_(k), random_(random) {
  if (exhaustive) {
    kind_ = Kind::kBits;
  } else if (k < 2) {
    kind_ = k == 0 ? Kind::kNone : Kind::kAll;
  } else {
    static constexpr Kind kKinds[] = {Kind::kOne, Kind::kAllButOne, Kind::kPrefix, Kind::kPrefix,
                                      Kind::kFew, Kind::kHalf,      Kind::kHalf,   Kind::kMost};
    kind_ = kKinds[random->below(sizeof kKinds / sizeof kKinds[0])];
  }
  pick_ = random->below(count);
}

bool Landing::landed(uint64_t i) {
  switch (kind_) {
    case Kind::kBits:
      return (k_ >> i & 1) != 0;
    case Kind::kNone:
      return false;
    case Kind::kAll:
      return true;
    case Kind::kOne:
      return i == pick_;
    case Kind::kAllButOne:
      return i != pick_;
    case Kind::kPrefix:
      return i < pick_;
    case Kind::kFew:
      return random_->one_in(8);
    case Kind::kHalf:
      return random_->one_in(2);
    case Kind::kMost:
      return !random_->one_in(8);
  }
  return false;
}

}  // namespace holdfast::crash
