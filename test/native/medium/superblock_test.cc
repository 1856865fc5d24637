// Which superblock and which root count, when the two copies of them differ. Bytes in memory only.
#include "medium/superblock.h"

#include <doctest/doctest.h>

#include <cstring>

#include "base/checksum.h"

namespace holdfast {
namespace {

Superblock of_size(uint64_t size) {
  static const Superblock made = *make_superblock(MediumKind::kFile, 0);
  return resized(made, size);
}

std::string with_superblocks(const Superblock& first, const Superblock& second) {
  std::string head(kSegmentsOffset, '\0');
  store(head.data() + kSuperblockOffsets[0], first);
  store(head.data() + kSuperblockOffsets[1], second);
  return head;
}

Root filled(uint8_t byte) {
  Root root;
  std::memset(root.bytes, byte, sizeof root.bytes);
  return root;
}

constexpr uint64_t kSecret = 77;

std::string with_roots(uint64_t first_sequence, uint64_t second_sequence) {
  std::string head(kSegmentsOffset, '\0');
  store(head.data() + kRootSlotOffsets[0], make_root_slot(filled(1), first_sequence, 0, kSecret));
  store(head.data() + kRootSlotOffsets[1], make_root_slot(filled(2), second_sequence, 1, kSecret));
  return head;
}

}  // namespace

TEST_CASE(
    "superblock: where a crash left two sizes the larger one counts, and none is the largest") {
  const uint64_t sizes[] = {8 * kMiB, 16 * kMiB, 0};
  for (int a = 0; a < 3; a++) {
    for (int b = 0; b < 3; b++) {
      CAPTURE(a);
      CAPTURE(b);
      auto chosen = choose_superblock(with_superblocks(of_size(sizes[a]), of_size(sizes[b])), "p");
      REQUIRE(chosen.is_ok());
      CHECK(chosen->size == sizes[std::max(a, b)]);
      CHECK(resized(*chosen, chosen->size).checksum == chosen->checksum);
    }
  }
}

TEST_CASE(
    "superblock: one that is damaged anywhere is not believed, and two different ones neither") {
  const Superblock whole = of_size(8 * kMiB);
  for (size_t byte = 0; byte < sizeof whole; byte++) {
    CAPTURE(byte);
    std::string head = with_superblocks(whole, whole);
    head[byte] ^= 0x20;
    auto chosen = choose_superblock(head, "p");
    REQUIRE(chosen.is_ok());
    CHECK(std::memcmp(&*chosen, &whole, sizeof whole) == 0);
    head[kSuperblockOffsets[1] + byte] ^= 0x10;
    CHECK_FALSE(choose_superblock(head, "p").is_ok());
  }
  Superblock other = whole;
  other.secret++;
  CHECK(
      choose_superblock(with_superblocks(whole, resized(other, other.size)), "p").status().code() ==
      Code::kCorrupt);
  Superblock newer = whole;
  newer.format_version++;
  newer = resized(newer, newer.size);
  CHECK(choose_superblock(with_superblocks(newer, newer), "p").status().code() ==
        Code::kNewerFormat);
}

TEST_CASE("root: the slot with the larger number counts, in its own place only") {
  CHECK(choose_root(with_roots(5, 6), kSecret, "p")->slot == 1);
  CHECK(choose_root(with_roots(6, 5), kSecret, "p")->slot == 0);
  CHECK(choose_root(with_roots(6, 5), kSecret, "p")->root.bytes[0] == 1);
  for (size_t byte = 0; byte < sizeof(RootSlot); byte++) {
    if (byte >= offsetof(RootSlot, reserved) && byte < offsetof(RootSlot, checksum)) continue;
    CAPTURE(byte);
    std::string head = with_roots(5, 6);
    head[kRootSlotOffsets[1] + byte] ^= 0x20;
    auto chosen = choose_root(head, kSecret, "p");
    REQUIRE(chosen.is_ok());
    CHECK(chosen->slot == 0);
    CHECK(chosen->sequence == 5);
  }
  std::string moved = with_roots(6, 5);
  moved.replace(kRootSlotOffsets[1], sizeof(RootSlot), moved, kRootSlotOffsets[0],
                sizeof(RootSlot));
  CHECK(choose_root(moved, kSecret, "p")->slot == 0);
  moved[kRootSlotOffsets[0] + 20] ^= 1;
  CHECK(choose_root(moved, kSecret, "p").status().code() == Code::kCorrupt);
  CHECK(choose_root(with_roots(5, 6), kSecret + 1, "p").status().code() == Code::kCorrupt);
}

}  // namespace holdfast
