#include "medium/raw_pool.h"

#include <cerrno>

#include "base/checksum.h"
#include "medium/pool_file.h"
#include "medium/superblock.h"

namespace holdfast {
namespace {

constexpr uint64_t kSearchBytes = 16 * kMiB;

}  // namespace

Result<std::unique_ptr<RawPool>> RawPool::open(const std::string& path) {
  FileFacts facts;
  if (const int error = path_facts(path, &facts))
    return file_error(error, "cannot look at the pool " + path);
  if (facts.folder || facts.size == 0)
    return Status(Code::kNotAPool,
                  path + " is a folder, empty or a device: nothing can be saved from it");
  std::unique_ptr<RawPool> raw(new RawPool());
  Result<PoolParts> opened = PoolParts::open(path, false, PoolParts::Damaged::kReadAsZeros);
  if (!opened) return std::move(opened.status());
  raw->file_ = std::move(*opened);
  // A part that is missing cannot be locked; one that is there keeps everybody else out.
  for (PoolPart& part : raw->file_.parts()) {
    if (part.file.is_open()) HOLDFAST_TRY(lock_pool_file(part.file, path));
  }
  if (const int error = raw->file_.facts(&facts))
    return file_error(error, "cannot look at the pool " + path);
  if (const int error = raw->file_.map_shared(facts.size, &raw->view_))
    return file_error(error, "cannot map the pool " + path);
  raw->bytes_ = facts.size;
  raw->guard_.watch(raw->view_, raw->bytes_);
  raw->info_.name = "raw";
  raw->info_.segment_unit = kPageBytes;
  raw->find_front();
  return raw;
}

uint64_t RawPool::past_hole(uint64_t page) const {
  uint64_t found = page;
  return file_.next_data(page, &found) == 0 ? round_down(found, kPageBytes) : page;
}

void RawPool::close() {
  guard_.stop();
  if (view_) PosixFile::unmap(view_, bytes_);
  view_ = nullptr;
  bytes_ = 0;
  file_.close();
}

// On a file the front begins at byte 0, on persistent memory where libpmemobj put it. The copy met
// first may be either.
void RawPool::find_front() {
  for (uint64_t page = 0; page + kPageBytes <= bytes_ && page < kSearchBytes; page += kPageBytes) {
    const auto candidate = load<Superblock>(view_ + page);
    if (std::memcmp(candidate.magic, kSuperblockMagic, sizeof candidate.magic) != 0) continue;
    if (candidate.checksum != checksum(&candidate, offsetof(Superblock, checksum))) continue;
    superblock_ = candidate;
    for (const uint64_t before : kSuperblockOffsets) {
      if (page < before || has_root_) continue;
      const uint64_t front = page - before;
      const Bytes bytes = bytes_of(view_ + front, std::min(bytes_ - front, kSegmentsOffset));
      Result<ChosenRoot> root = choose_root(bytes, candidate.secret, "the pool");
      if (!root.is_ok()) continue;
      has_root_ = true;
      root_ = root->root;
    }
    return;
  }
}

}  // namespace holdfast
