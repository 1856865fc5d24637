#include "medium/pool_parts.h"

#include <algorithm>
#include <cerrno>

#include "format/layout.h"
#include "medium/pool_file.h"
#include "medium/pool_set.h"

namespace holdfast {
namespace {

std::string numbered_part(size_t number, const std::string& part, const std::string& path) {
  return "part " + std::to_string(number) + " of the pool " + path + ", " + part + ", ";
}

Status part_error(int error, size_t number, const std::string& part, const std::string& path) {
  if (error != ENOENT && error != ENOTDIR)
    return file_error(error, "cannot open " + numbered_part(number, part, path));
  return Status(
      Code::kNotFound,
      numbered_part(number, part, path) +
          "is not where the set file says: mount its file system, or correct the path in " + path,
      error);
}

}  // namespace

template <typename Call>
int PoolParts::for_each(uint64_t offset, uint64_t bytes, Call call) const {
  uint64_t done = 0;
  for (const PoolPart& part : parts_) {
    const uint64_t end = part.offset + part.bytes;
    if (done == bytes) break;
    if (offset + done >= end) continue;
    const uint64_t piece = std::min(bytes - done, end - (offset + done));
    if (const int error = call(part, offset + done - part.offset, piece, done)) return error;
    done += piece;
  }
  return 0;
}

Result<PoolParts> PoolParts::open(const std::string& path, bool writable, Damaged damaged) {
  PoolParts opened;
  PosixFile file;
  if (const int error = file.open_existing(path, writable))
    return file_error(error, "cannot open the pool " + path);
  FileFacts facts;
  if (const int error = file.facts(&facts))
    return file_error(error, "cannot look at the pool " + path);
  char head[16];
  size_t got = 0;
  if (facts.regular && file.read_at(0, head, sizeof head, &got) == 0 &&
      is_pool_set(Bytes(head, got))) {
    opened.set_ = std::move(file);
    HOLDFAST_TRY(opened.open_set(path, writable, damaged));
    return opened;
  }
  opened.parts_.emplace_back();
  opened.parts_[0].path = path;
  opened.parts_[0].file = std::move(file);
  return opened;
}

Status PoolParts::open_set(const std::string& path, bool writable, Damaged damaged) {
  std::string text;
  if (const int error = read_text(path, &text))
    return file_error(error, "cannot read the pool set " + path);
  Result<std::vector<SetPart>> listed = parse_pool_set(text, path);
  if (!listed) return std::move(listed.status());
  std::vector<FileFacts> seen;
  for (const SetPart& wanted : *listed) {
    PoolPart part;
    part.path = wanted.path;
    part.offset = bytes_;
    part.bytes = wanted.bytes;
    bytes_ += wanted.bytes;
    const size_t number = parts_.size();
    FileFacts facts;
    int error = part.file.open_existing(part.path, writable);
    if (error == 0) error = part.file.facts(&facts);
    const bool twice = std::any_of(seen.begin(), seen.end(), [&](const FileFacts& one) {
      return one.inode == facts.inode && one.device == facts.device;
    });
    Status refused;
    if (error != 0) {
      refused = part_error(error, number, part.path, path);
    } else if (facts.character_device) {
      refused = Status(Code::kMediumUnavailable,
                       numbered_part(number, part.path, path) +
                           "is a device: a pool over several places has files in directories");
    } else if (!facts.regular) {
      refused = Status(Code::kCorrupt,
                       numbered_part(number, part.path, path) +
                           "is no file: put the part back, or restore the pool from a backup");
    } else if (facts.size != part.bytes) {
      refused =
          Status(Code::kCorrupt,
                 numbered_part(number, part.path, path) + "has " + std::to_string(facts.size) +
                     " bytes, not " + std::to_string(part.bytes) + ": it is " +
                     (facts.size < part.bytes ? "truncated" : "another file, or was appended to") +
                     "; put the part back, or restore the pool from a backup");
    } else if (twice) {
      refused =
          Status(Code::kCorrupt, numbered_part(number, part.path, path) +
                                     "is the same file as a part before it: correct the set file");
    }
    if (!refused.is_ok()) {
      if (damaged == Damaged::kRefuse) return refused;
      if (refused.code() == Code::kPermission) return refused;
      if (error != 0 || twice || !facts.regular || facts.size == 0) part.file.close();
    }
    if (error == 0) seen.push_back(facts);
    parts_.push_back(std::move(part));
  }
  if (std::none_of(parts_.begin(), parts_.end(),
                   [](const PoolPart& part) { return part.file.is_open(); })) {
    return Status(Code::kNotFound, "no part of the pool " + path + " is there");
  }
  return {};
}

void PoolParts::close() {
  parts_.clear();
  set_.close();
  bytes_ = 0;
}

bool PoolParts::all_have_names() const {
  const auto has_name = [](const PosixFile& file) {
    FileFacts facts;
    return !file.is_open() || file.facts(&facts) != 0 || facts.names > 0;
  };
  return (!is_set() || has_name(set_)) &&
         std::all_of(parts_.begin(), parts_.end(),
                     [&](const PoolPart& part) { return has_name(part.file); });
}

int PoolParts::facts(FileFacts* facts) const {
  if (!is_set()) return parts_.front().file.facts(facts);
  const int error = set_.facts(facts);
  facts->size = bytes_;
  return error;
}

int PoolParts::read_at(uint64_t offset, void* to, size_t size, size_t* got) const {
  if (!is_set()) return parts_.front().file.read_at(offset, to, size, got);
  *got = 0;
  return for_each(offset, size,
                  [&](const PoolPart& part, uint64_t at, uint64_t piece, uint64_t done) {
                    char* const into = static_cast<char*>(to) + done;
                    size_t read = 0;
                    if (part.file.is_open()) {
                      if (const int error = part.file.read_at(at, into, piece, &read)) return error;
                    }
                    std::fill(into + read, into + piece, '\0');
                    *got += piece;
                    return 0;
                  });
}

// What lies behind the last part stays as zeros.
int PoolParts::map_shared(uint64_t bytes, const uint8_t** at) const {
  if (!is_set()) return parts_.front().file.map_shared(bytes, at);
  const uint8_t* base = nullptr;
  if (const int error = PosixFile::map_zeros(bytes, &base)) return error;
  const int error =
      for_each(0, bytes, [&](const PoolPart& part, uint64_t from, uint64_t piece, uint64_t done) {
        FileFacts facts;
        if (!part.file.is_open() || part.file.facts(&facts) != 0) return 0;
        // What is cut off reads as zeros, for salvage; nobody else comes here with a part that is.
        const uint64_t there = std::min(piece, round_up(facts.size, kPageBytes));
        return there == 0
                   ? 0
                   : part.file.map_shared_over(from, there, const_cast<uint8_t*>(base) + done);
      });
  if (error != 0)
    PosixFile::unmap(base, bytes);
  else
    *at = base;
  return error;
}

int PoolParts::map_private_over(uint64_t offset, uint64_t bytes, void* at) const {
  if (!is_set()) return parts_.front().file.map_private_over(offset, bytes, at);
  return for_each(offset, bytes,
                  [&](const PoolPart& part, uint64_t from, uint64_t piece, uint64_t done) {
                    return part.file.map_private_over(from, piece, static_cast<char*>(at) + done);
                  });
}

int PoolParts::next_data(uint64_t offset, uint64_t* found) const {
  if (!is_set()) return parts_.front().file.next_data(offset, found);
  for (const PoolPart& part : parts_) {
    const uint64_t end = part.offset + part.bytes;
    if (offset >= end || !part.file.is_open()) continue;
    const uint64_t from = std::max(offset, part.offset);
    if (const int error = part.file.next_data(from - part.offset, found)) return error;
    *found += part.offset;
    FileFacts facts;
    if (*found < end && part.file.facts(&facts) == 0 && *found < part.offset + facts.size) return 0;
  }
  *found = std::max(offset, bytes_);
  return 0;
}

int PoolParts::reserve(uint64_t offset, uint64_t bytes) {
  if (!is_set()) return first().reserve(offset, bytes);
  return for_each(offset, bytes, [](const PoolPart& part, uint64_t from, uint64_t piece, uint64_t) {
    return const_cast<PosixFile&>(part.file).reserve(from, piece);
  });
}

int PoolParts::give_back(uint64_t offset, uint64_t bytes) {
  if (!is_set()) return first().give_back(offset, bytes);
  return for_each(offset, bytes, [](const PoolPart& part, uint64_t from, uint64_t piece, uint64_t) {
    return const_cast<PosixFile&>(part.file).give_back(from, piece);
  });
}

int PoolParts::sync_all() {
  for (PoolPart& part : parts_) {
    if (const int error = part.file.sync_all()) return error;
  }
  return 0;
}

std::vector<MediumPart> PoolParts::report() const {
  std::vector<MediumPart> all;
  for (const PoolPart& part : parts_) {
    if (!is_set()) break;
    FileSystemFacts system;
    MediumPart one = {part.path, part.bytes, 0, 0};
    if (part.file.is_open() && part.file.blocks(&one.taken) == 0 &&
        part.file.file_system(&system) == 0)
      one.left = system.free_bytes;
    all.push_back(std::move(one));
  }
  return all;
}

void remove_pool(const std::string& path, bool named_by_us) {
  std::string text;
  PosixFile file;
  char head[16];
  size_t got = 0;
  const bool set = file.open_existing(path, false) == 0 &&
                   file.read_at(0, head, sizeof head, &got) == 0 && is_pool_set(Bytes(head, got));
  if (set && read_text(path, &text) == 0) {
    Result<std::vector<SetPart>> parts = parse_pool_set(text, path);
    for (size_t i = 0; parts.is_ok() && i < parts->size(); i++) {
      const std::string& part = (*parts)[i].path;
      if (named_by_us && !is_part_name(name_of(part))) continue;
      remove_file(part);
    }
  }
  remove_file(path);
}

}  // namespace holdfast
