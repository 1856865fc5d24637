#include "medium/superblock.h"

#include <sys/random.h>

#include <cerrno>

#include "base/checksum.h"

namespace holdfast {
namespace {

static_assert(Root::kBytes == kRootBytes);

enum class Validity { kAbsent, kDamaged, kValid };

Validity verify(Bytes head, uint64_t offset, Superblock* out) {
  if (head.size() < offset + sizeof(Superblock)) return Validity::kAbsent;
  *out = load<Superblock>(head.data() + offset);
  if (std::memcmp(out->magic, kSuperblockMagic, sizeof kSuperblockMagic) != 0)
    return Validity::kAbsent;
  return out->checksum == checksum(out, offsetof(Superblock, checksum)) ? Validity::kValid
                                                                        : Validity::kDamaged;
}

bool has_root_magic(Bytes head, uint64_t offset) {
  return head.size() >= offset + sizeof(RootSlot) &&
         std::memcmp(head.data() + offset, kRootSlotMagic, sizeof kRootSlotMagic) == 0;
}

uint64_t root_checksum(const RootSlot& slot, int number, uint64_t secret) {
  return checksum_seeded(&slot, offsetof(RootSlot, reserved), secret + kRootSlotOffsets[number]);
}

std::string pages(const uint64_t (&offsets)[2]) {
  return "(offsets " + std::to_string(offsets[0]) + " and " + std::to_string(offsets[1]) + ")";
}

Status check_version(const Superblock& superblock, const std::string& where) {
  if (superblock.format_version == kFormatVersion) return {};
  const std::string versions = "format " + std::to_string(superblock.format_version) +
                               ", this Holdfast knows format " + std::to_string(kFormatVersion);
  if (superblock.format_version > kFormatVersion) {
    return Status(Code::kNewerFormat, "the pool " + where + " has " + versions +
                                          ": use a newer version of the package");
  }
  return Status(Code::kCorrupt, "the superblock of " + where + " is damaged: it says " + versions);
}

// By a size that no file can have the mapping would be reckoned too short. (On persistent memory it
// must be that of the file.)
Status check_size(const Superblock& superblock, const std::string& where) {
  const uint64_t size = superblock.size;
  const bool possible = size == 0 || (size >= kMinFilePoolBytes && size <= kMaxFilePoolBytes &&
                                      size % kFileSegmentUnit == 0);
  if (possible || superblock.medium != MediumKind::kFile) return {};
  return Status(Code::kCorrupt, "the superblock of " + where +
                                    " is damaged: it says that the pool has " +
                                    std::to_string(size) + " bytes");
}

}  // namespace

Result<Superblock> make_superblock(MediumKind medium, uint64_t size) {
  Superblock superblock = {};
  uint8_t random[sizeof superblock.uuid + sizeof superblock.secret];
  size_t got = 0;
  while (got < sizeof random) {
    const ssize_t n = getrandom(random + got, sizeof random - got, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Status::system(Code::kIo, "no random bytes for a new pool's identity", errno);
    got += static_cast<size_t>(n);
  }
  std::memcpy(superblock.magic, kSuperblockMagic, sizeof superblock.magic);
  superblock.medium = medium;
  superblock.format_version = kFormatVersion;
  std::memcpy(superblock.uuid, random, sizeof superblock.uuid);
  superblock.uuid[6] =
      static_cast<uint8_t>((superblock.uuid[6] & 0x0f) | 0x40);  // a version 4 uuid
  superblock.uuid[8] = static_cast<uint8_t>((superblock.uuid[8] & 0x3f) | 0x80);
  superblock.secret = load<uint64_t>(random + sizeof superblock.uuid);
  superblock.size = size;
  superblock.checksum = checksum(&superblock, offsetof(Superblock, checksum));
  return superblock;
}

bool is_written_over(const uint8_t* front, uint64_t secret) {
  for (const uint64_t offset : kSuperblockOffsets) {
    if (load<Superblock>(front + offset).secret == secret) return false;
  }
  return true;
}

Superblock resized(const Superblock& superblock, uint64_t size) {
  Superblock made = superblock;
  made.size = size;
  made.checksum = checksum(&made, offsetof(Superblock, checksum));
  return made;
}

Result<Superblock> choose_superblock(Bytes head, const std::string& where) {
  Superblock copies[2];
  const Validity first = verify(head, kSuperblockOffsets[0], &copies[0]);
  const Validity second = verify(head, kSuperblockOffsets[1], &copies[1]);
  if (first != Validity::kValid && second != Validity::kValid) {
    const bool was_a_pool = first == Validity::kDamaged || second == Validity::kDamaged ||
                            has_root_magic(head, kRootSlotOffsets[0]) ||
                            has_root_magic(head, kRootSlotOffsets[1]);
    if (was_a_pool) {
      return Status(Code::kCorrupt, "both superblocks of " + where + " are damaged " +
                                        pages(kSuperblockOffsets) +
                                        ": restore the pool from a backup, or save what is "
                                        "left of it with holdfast salvage");
    }
    return Status(Code::kNotAPool,
                  where + " is not a Holdfast pool: " +
                      (head.empty() ? "it is empty" : "no superblock was found in it"));
  }
  // A crash while the pool was given another size: see FileMedium::resize.
  if (first == Validity::kValid && second == Validity::kValid && copies[0].size != copies[1].size) {
    const bool first_larger =
        copies[1].size != 0 &&
        (copies[0].size == 0 || copies[0].size > copies[1].size);  // 0: no limit
    Superblock& smaller = copies[first_larger ? 1 : 0];
    smaller = resized(smaller, copies[first_larger ? 0 : 1].size);
  }
  if (first == Validity::kValid && second == Validity::kValid &&
      std::memcmp(&copies[0], &copies[1], sizeof(Superblock)) != 0) {
    return Status(Code::kCorrupt,
                  "the two superblocks of " + where + " disagree " + pages(kSuperblockOffsets) +
                      ": its pages come from different pools; restore it from a backup");
  }
  const Superblock& chosen = copies[first == Validity::kValid ? 0 : 1];
  HOLDFAST_TRY(check_version(chosen, where));
  HOLDFAST_TRY(check_size(chosen, where));
  return chosen;
}

RootSlot make_root_slot(const Root& root, uint64_t sequence, int slot, uint64_t secret) {
  RootSlot made = {};
  std::memcpy(made.magic, kRootSlotMagic, sizeof made.magic);
  made.sequence = sequence;
  std::memcpy(made.root, root.bytes, sizeof made.root);
  made.checksum = root_checksum(made, slot, secret);
  return made;
}

Result<ChosenRoot> choose_root(Bytes head, uint64_t secret, const std::string& where) {
  if (head.size() < kSegmentsOffset) {
    return Status(Code::kCorrupt, "the pool " + where + " is truncated: it ends at byte " +
                                      std::to_string(head.size()) +
                                      ", its first segment begins at " +
                                      std::to_string(kSegmentsOffset));
  }
  ChosenRoot chosen;
  bool found = false;
  for (int number = 0; number < 2; number++) {
    const RootSlot slot = load<RootSlot>(head.data() + kRootSlotOffsets[number]);
    if (!has_root_magic(head, kRootSlotOffsets[number]) ||
        slot.checksum != root_checksum(slot, number, secret))
      continue;
    if (found && slot.sequence <= chosen.sequence) continue;
    found = true;
    std::memcpy(chosen.root.bytes, slot.root, sizeof slot.root);
    chosen.sequence = slot.sequence;
    chosen.slot = number;
  }
  if (!found) {
    return Status(Code::kCorrupt, "both root slots of " + where + " are damaged " +
                                      pages(kRootSlotOffsets) +
                                      ": restore the pool from a backup, or save what is "
                                      "left of it with holdfast salvage");
  }
  return chosen;
}

std::vector<std::string> front_damages(Bytes head, uint64_t secret) {
  std::vector<std::string> damages;
  for (int copy = 0; copy < 2; copy++) {
    Superblock superblock;
    if (verify(head, kSuperblockOffsets[copy], &superblock) != Validity::kValid) {
      damages.push_back("the superblock at offset " + std::to_string(kSuperblockOffsets[copy]) +
                        " is damaged, its other copy serves");
    }
  }
  for (int number = 0; number < 2; number++) {
    const uint64_t offset = kRootSlotOffsets[number];
    const bool whole = has_root_magic(head, offset) &&
                       load<RootSlot>(head.data() + offset).checksum ==
                           root_checksum(load<RootSlot>(head.data() + offset), number, secret);
    if (!whole)
      damages.push_back("the root slot at offset " + std::to_string(offset) +
                        " is damaged, the other one serves");
  }
  return damages;
}

}  // namespace holdfast
