#include "medium/pmem/pmem_front.h"

#include <algorithm>
#include <cstring>

#include "base/checksum.h"
#include "medium/pool_file.h"
#include "medium/pool_set.h"

namespace holdfast {
namespace {

bool magic_at(Bytes head, uint64_t offset, const char (&magic)[8]) {
  return offset + sizeof magic <= head.size() &&
         std::memcmp(head.data() + offset, magic, sizeof magic) == 0;
}

bool is_ours_for_libpmemobj(Bytes head) {
  return magic_at(head, 0, kPmemobjSignature) &&
         head.size() >= kPmemLayoutNameOffset + sizeof kPmemLayoutName &&
         std::memcmp(head.data() + kPmemLayoutNameOffset, kPmemLayoutName,
                     sizeof kPmemLayoutName) == 0;
}

bool has_front_magic(Bytes head, uint64_t page) {
  return magic_at(head, page, kSuperblockMagic) && page + sizeof(Superblock) <= head.size() &&
         load<Superblock>(head.data() + page).medium == MediumKind::kPmem;
}

// The first superblock met is usually copy 0; when copy 0 has lost even its magic it is copy 1,
// which a root slot follows at once.
bool find_offset(Bytes head, uint64_t* offset) {
  for (uint64_t page = kPageBytes; page + kPageBytes <= head.size(); page += kPageBytes) {
    if (!has_front_magic(head, page)) continue;
    const uint64_t next = page + kPageBytes;
    const bool second_copy = !has_front_magic(head, next) && magic_at(head, next, kRootSlotMagic);
    *offset = second_copy ? page - kPageBytes : page;
    return true;
  }
  return false;
}

Status not_found(Bytes head, const std::string& where) {
  if (is_ours_for_libpmemobj(head)) {
    return Status(
        Code::kCorrupt,
        "no superblock is left in the pool " + where +
            " (or its creation on this device was cut short): restore it from a backup, or "
            "clear the place and create it anew");
  }
  const char* what = magic_at(head, 0, kPmemobjSignature)
                         ? "it is a libpmemobj pool of another program"
                     : head.empty() ? "it is empty"
                                    : "no superblock was found in it";
  return Status(Code::kNotAPool, where + " is not a Holdfast pool: " + what);
}

std::string place_of(uint64_t offset, const std::string& where) {
  return where + " (its front begins at byte " + std::to_string(offset) + ")";
}

Result<PmemFront> verify_superblock(Bytes bytes, uint64_t offset, uint64_t pool_bytes,
                                    const std::string& where) {
  PmemFront front;
  front.offset = offset;
  Result<Superblock> superblock = choose_superblock(bytes, place_of(offset, where));
  if (!superblock) return std::move(superblock.status());
  front.superblock = *superblock;
  if (front.superblock.size != pool_bytes && is_part_name(name_of(where))) {
    return Status(Code::kCorrupt, where +
                                      " is by its name a part of a pool that lies in several "
                                      "directories: open the pool's set file instead");
  }
  if (front.superblock.size != pool_bytes) {
    return Status(Code::kCorrupt, "the pool " + where + " was made with " +
                                      std::to_string(front.superblock.size) + " bytes and has " +
                                      std::to_string(pool_bytes) + " now: " +
                                      (pool_bytes < front.superblock.size
                                           ? "it is truncated; restore it from a backup"
                                           : "something was appended; cut it back to its size"));
  }
  if (bytes.size() < kPmemFrontBytes)
    return Status(Code::kCorrupt, "the pool " + place_of(offset, where) + " is truncated");
  front.closed = load<uint64_t>(bytes.data() + kPmemUseMarkOffset) == kPmemClosed;
  front.grows = load<uint64_t>(bytes.data() + kPmemGrowthMarkOffset) == kPmemGrows;
  return front;
}

// Where the root object lies, if what libpmemobj says of that can be true.
uint64_t hinted_offset(Bytes descriptor, uint64_t pool_bytes) {
  if (descriptor.size() < kPmemRootOffsetAt + sizeof(uint64_t)) return 0;
  const auto object = load<uint64_t>(descriptor.data() + kPmemRootOffsetAt);
  const bool possible =
      object >= kPageBytes && object < pool_bytes && pool_bytes - object > kPmemRootObjectBytes;
  return possible ? round_up(object, kPageBytes) : 0;
}

}  // namespace

Result<PmemFront> find_pmem_front(Bytes head, uint64_t pool_bytes, const std::string& where) {
  uint64_t offset = 0;
  if (!find_offset(head, &offset)) return not_found(head, where);
  return verify_superblock(head.substr(offset, kPmemFrontBytes), offset, pool_bytes, where);
}

Result<PmemFront> find_pmem_front(const ReadPool& read, uint64_t pool_bytes,
                                  const std::string& where) {
  Result<std::string> descriptor = read(0, std::min(pool_bytes, 2 * kPageBytes));
  if (!descriptor) return std::move(descriptor.status());
  if (const uint64_t offset = hinted_offset(*descriptor, pool_bytes)) {
    Result<std::string> front = read(offset, kPmemFrontBytes);
    if (!front) return std::move(front.status());
    if (has_front_magic(*front, 0) && has_front_magic(*front, kPageBytes)) {
      return verify_superblock(*front, offset, pool_bytes, where);
    }
  }
  Result<std::string> head = read(0, std::min(pool_bytes, kPmemFrontSearchBytes));
  if (!head) return std::move(head.status());
  return find_pmem_front(*head, pool_bytes, where);
}

Result<PmemFront> verify_pmem_front(Bytes bytes, uint64_t offset, uint64_t pool_bytes,
                                    const std::string& where) {
  Result<PmemFront> front = verify_superblock(bytes, offset, pool_bytes, where);
  if (!front) return front;
  Result<ChosenRoot> root = choose_root(bytes, front->superblock.secret, place_of(offset, where));
  if (!root) return std::move(root.status());
  front->root = *root;
  return front;
}

PmemPartMark make_part_mark(const Superblock& superblock, uint64_t number, uint64_t parts,
                            uint64_t offset, uint64_t bytes) {
  PmemPartMark mark = {};
  std::memcpy(mark.magic, kPmemPartMagic, sizeof mark.magic);
  std::memcpy(mark.uuid, superblock.uuid, sizeof mark.uuid);
  mark.number = number;
  mark.parts = parts;
  mark.offset = offset;
  mark.bytes = bytes;
  mark.checksum = checksum(&mark, offsetof(PmemPartMark, checksum));
  return mark;
}

Status check_part_marks(const PoolParts& pool, const Superblock& superblock,
                        const std::string& where) {
  const std::vector<PoolPart>& parts = pool.parts();
  for (size_t number = 1; number < parts.size(); number++) {
    const PmemPartMark wanted =
        make_part_mark(superblock, number, parts.size(), parts[number].offset, parts[number].bytes);
    PmemPartMark found = {};
    size_t got = 0;
    if (const int error = parts[number].file.read_at(0, &found, sizeof found, &got))
      return file_error(error, "cannot read " + parts[number].path);
    if (std::memcmp(&found, &wanted, sizeof found) == 0) continue;
    const bool whole = std::memcmp(found.magic, kPmemPartMagic, sizeof found.magic) == 0 &&
                       found.checksum == checksum(&found, offsetof(PmemPartMark, checksum));
    const bool other = std::memcmp(found.uuid, superblock.uuid, sizeof found.uuid) != 0;
    const std::string what =
        !whole  ? "does not begin with the mark of a part: it was overwritten, or is another file"
        : other ? "is a part of another pool"
                : "is part " + std::to_string(found.number) + " of " + std::to_string(found.parts) +
                      " of this pool";
    return Status(Code::kCorrupt, "where part " + std::to_string(number) + " of the pool " + where +
                                      " should be, " + parts[number].path + " " + what +
                                      ": put the parts where the set file says");
  }
  return {};
}

std::string make_pmem_front(const Superblock& superblock, const Root& root, bool grows) {
  std::string front(kPmemFrontBytes, '\0');
  for (int copy = 0; copy < 2; ++copy) {
    store(front.data() + kSuperblockOffsets[copy], superblock);
    store(front.data() + kRootSlotOffsets[copy], make_root_slot(root, 1, copy, superblock.secret));
  }
  store(front.data() + kPmemUseMarkOffset, kPmemInUse);
  if (grows) store(front.data() + kPmemGrowthMarkOffset, kPmemGrows);
  return front;
}

}  // namespace holdfast
