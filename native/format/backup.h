// The format of a backup: a row of blocks, each bound to all before it. docs/backup.md describes
// the same in prose.
//
//   block:  | block header 32 | payload |
//   backup: | begin | data | data | … | end |
//
// A block's checksum is seeded with the one before it, so that a block that is missing, repeated,
// swapped or another backup's is noticed where it stands; a backup without its end block is not
// whole. The payloads of the data blocks are one stream of items:
//
//   item:   | item header 16 | key | bytes |
//
// A block ends where an item does, except inside a value longer than kWholeValue, whose bytes may
// go on for many blocks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/checksum.h"
#include "format/record.h"

namespace holdfast {

constexpr uint32_t kBackupVersion = 1;

enum class BlockKind : uint16_t { kBegin = 1, kData = 2, kEnd = 3 };

struct BlockHeader {
  static constexpr uint32_t kMagic = 0x314B4648;  // "HFK1"
  static constexpr uint32_t kMostPayload = 8u << 20;
  uint32_t magic = kMagic;
  uint16_t kind = 0;
  uint16_t reserved = 0;
  uint32_t payload_bytes = 0;
  uint32_t index = 0;    // 0, 1, …
  uint64_t payload = 0;  // checksum of the payload, seeded with the chain so far
  uint64_t chain =
      0;  // checksum of the above, seeded with the chain so far: the chain from here on
};
static_assert(sizeof(BlockHeader) == 32 && offsetof(BlockHeader, chain) == 24);

// Fills in the two checksums.
inline void seal_block(BlockHeader* header, const void* payload, uint64_t chain) {
  header->payload = checksum_seeded(payload, header->payload_bytes, chain);
  header->chain = checksum_seeded(header, offsetof(BlockHeader, chain), chain);
}

enum class BackupKind : uint32_t {
  kFull = 1,       // the entries as of an epoch
  kIncrement = 2,  // the commits since an epoch
};

struct BackupBegin {
  uint32_t version = kBackupVersion;
  uint32_t kind = 0;
  uint8_t pool[16] = {};    // the pool's uuid: increments fit backups of the same pool only
  uint8_t backup[16] = {};  // random
  uint64_t since = 0;       // increment: it begins behind this epoch
  uint64_t time_ms = 0;     // when it was begun
};
static_assert(sizeof(BackupBegin) == 56);

struct BackupEnd {
  uint64_t epoch = 0;  // what it restores to
  uint64_t time_ms =
      0;  // full: when the snapshot was taken; increment: of the last commit (0: there is none)
  uint64_t entries = 0, commits = 0, bytes = 0;
};
static_assert(sizeof(BackupEnd) == 40);

enum class ItemTag : uint8_t {
  kEntries = 1,  // `size` is an epoch: entries as of that epoch follow, keys rising
  kCommit = 2,   // `size` is an epoch; 8 bytes of time follow; then its changes
  kPut = 3,      // `size` bytes of value follow
  kDelete = 4,
  kRegionSize =
      5,  // key and bytes as those of the log's operation (format/region.h); `size` is their length
  kRegionWrite = 6,
};

struct ItemHeader {
  uint8_t tag = 0;
  uint8_t reserved = 0;
  uint16_t key_bytes = 0;
  uint32_t reserved2 = 0;
  uint64_t size = 0;
};
static_assert(sizeof(ItemHeader) == 16);
// The names of the keyspaces go along as entries of keyspace 0; they are not counted.
inline bool counts_as_entry(Bytes key) { return key.size() < 4 || load<uint32_t>(key.data()) != 0; }
constexpr uint64_t kWholeValue = 256 * kKiB;  // values up to this lie in one block

}  // namespace holdfast
