// What one commit appends: a record. On the medium a record is one frame, or several where it does
// not fit into what is left of a segment; a frame is a 64-byte header and its operations.
// docs/format.md describes the same in prose.
//
//   segment:   | segment header 64 | frame | frame | … | link frame | (rest never read) |
//                copy of the link frame |
//   frame:     | frame header 64 | operation | operation | … | zeros up to a multiple of 64 |
//   operation: | operation header 8, or 16 where the value is long | key | value |
//                zeros up to a multiple of 8 |
//
// A frame is valid if its magic, its length, its epoch (the one that must follow), its incarnation
// (not older than that of the frame before) and its checksum agree, and every operation's own
// checksum does. The checksum is seeded with the pool's secret, the segment's sequence number and
// the frame's offset: bytes that lay elsewhere, in an earlier life of the segment or inside
// somebody's value never pass for a frame here.
//
// Frames of builds before root version 3 say so by their magic; the headers of their operations
// have 16 bytes. They are read, and what lives in them is carried on in today's form.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/test_hooks.h"
#include "format/value_room.h"

namespace holdfast {

constexpr uint64_t kFrameAlign =
    64;  // whole cache lines: what non-temporal stores want, and what a disk does not mind
constexpr uint64_t kOperationAlign = 8;

enum class FrameKind : uint16_t {
  kCommit = 1,  // operations of a user's commit
  kMove = 2,    // live operations the cleaner carried here; changes nothing a user can see
  kLink = 3,    // the log goes on in another segment
};

struct FrameHeader {
  static constexpr uint32_t kMagic = 0x32524648;       // "HFR2"
  static constexpr uint32_t kOlderMagic = 0x31524648;  // "HFR1"
  static constexpr uint16_t kLastPart = 1;  // flag: with this frame the record is complete

  uint32_t magic = kMagic;
  uint32_t bytes = 0;  // of the whole frame, a multiple of kFrameAlign
  uint64_t epoch = 0;
  uint32_t incarnation = 0;  // rises by one each time the pool is opened
  uint32_t operations = 0;
  uint16_t kind = 0;
  uint16_t flags = 0;
  uint32_t part = 0;    // 0, 1, … of one record
  uint32_t behind = 0;  // epoch - (newest epoch known durable when this was written): what tells
                        // damage from a torn tail
  uint32_t reserved0 = 0;
  uint64_t time_ms = 0;    // of the commit, since 1970
  uint64_t reserved1 = 0;  // for the shard, once a commit is (shard, epoch, n)
  uint64_t checksum =
      0;  // of this header (with the rolled-up operation checksums in this field), seeded
};
static_assert(sizeof(FrameHeader) == 64 && offsetof(FrameHeader, checksum) == 56);
static_assert(offsetof(FrameHeader, epoch) == 8 && offsetof(FrameHeader, kind) == 24 &&
              offsetof(FrameHeader, time_ms) == 40);

enum class OperationType : uint8_t {
  kPut = 1,
  kDelete = 2,
  kPutLarge = 3,     // the value is a LargeValue description (format/large_value.h)
  kRegionWrite = 4,  // bytes of a region (format/region.h); the index does not know these two
  kRegionSize = 5,
};

// Of a key: its keyspace's number and at least one byte of the user's.
constexpr size_t kLeastKeyBytes = 5, kMostKeyBytes = 1028;

// How an operation begins: a checksum u32 of everything behind it up to the end of the value, and a
// word u32:
//
//   bits 0..2    type
//   bits 3..12   key length, less kLeastKeyBytes
//   bits 13..31  value length; kLongValue: it stands in the 8 bytes behind the header
//
// In frames with kOlderMagic: checksum u64, value length u32, key length u16, type u8, zero u8.
enum class OperationForm { kShort, kOlder };

struct OperationHead {
  static constexpr uint32_t kLongValue = (1u << 19) - 1;
  static constexpr uint64_t kBytes = 8, kLongBytes = 16;  // of an older one too

  uint8_t type = 0;
  uint32_t key_bytes = 0;
  uint32_t value_bytes = 0;
  uint32_t head_bytes = 0;

  uint64_t used() const { return head_bytes + uint64_t{key_bytes} + value_bytes; }
  uint64_t bytes() const { return round_up(used(), kOperationAlign); }
};
constexpr uint64_t kLeastOperationBytes =
    round_up(OperationHead::kBytes + kLeastKeyBytes, kOperationAlign);

// The payload of a link frame.
struct LinkTarget {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t sequence = 0;
  uint64_t checksum = 0;  // of the three above
};
static_assert(sizeof(LinkTarget) == 32);
constexpr uint64_t kLinkFrameBytes = 128;
// Kept free at the end of every log segment: for the link frame, and for its copy in the segment's
// last 128 bytes. By the copy the log can be followed past a link that is damaged, and so be told
// from a log that ends there.
constexpr uint64_t kLinkRoomBytes = 2 * kLinkFrameBytes;

struct SegmentHeader {
  static constexpr uint32_t kMagic = 0x31534648;  // "HFS1"
  uint32_t magic = kMagic;
  uint32_t version = 1;
  uint64_t sequence = 0;  // position of the segment in the log, strictly rising, never used twice
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t first_epoch = 0;
  uint64_t reserved[2] = {0, 0};
  uint64_t checksum = 0;  // of the above, seeded with the secret and the offset
};
static_assert(sizeof(SegmentHeader) == 64);

inline uint64_t place_seed(uint64_t secret, uint64_t sequence, uint64_t offset) {
  return secret ^ (sequence * 0x9E3779B185EBCA87ull) ^ (offset * 0xC2B2AE3D27D4EB4Full);
}

// Rolls one operation's checksum into a frame's; start with 0.
inline uint64_t roll(uint64_t so_far, uint64_t operation_checksum) {
  return ((so_far << 27 | so_far >> 37) ^ operation_checksum) * 0x9E3779B185EBCA87ull + 1;
}

inline uint64_t frame_checksum(FrameHeader header, uint64_t rolled, uint64_t seed) {
  header.checksum = rolled;
  return checksum_seeded(&header, sizeof header, seed);
}

inline uint64_t segment_checksum(SegmentHeader header, uint64_t secret) {
  header.checksum = 0;
  return checksum_seeded(&header, sizeof header,
                         place_seed(secret, header.sequence, header.offset));
}

inline SegmentHeader make_segment_header(uint64_t offset, uint64_t bytes, uint64_t sequence,
                                         uint64_t first_epoch, uint64_t secret) {
  SegmentHeader header;
  header.sequence = sequence;
  header.offset = offset;
  header.bytes = bytes;
  header.first_epoch = first_epoch;
  header.checksum = segment_checksum(header, secret);
  return header;
}

// ── operations ───────────────────────────────────────────────────────────────

inline bool is_frame_magic(uint32_t magic) {
  return magic == FrameHeader::kMagic || magic == FrameHeader::kOlderMagic;
}
inline OperationForm form_of(const FrameHeader& header) {
  return header.magic == FrameHeader::kOlderMagic ? OperationForm::kOlder : OperationForm::kShort;
}

inline uint64_t head_bytes_for(size_t value_bytes) {
  return value_bytes < OperationHead::kLongValue ? OperationHead::kBytes
                                                 : OperationHead::kLongBytes;
}
inline uint64_t operation_bytes(size_t key_bytes, size_t value_bytes) {
  return round_up(head_bytes_for(value_bytes) + key_bytes + value_bytes, kOperationAlign);
}

// Whatever the bytes there are; `at` has kLongBytes. Looks once: in a reader's mapping they may
// change between two looks when the reader has expired.
inline OperationHead operation_head(const uint8_t* at, OperationForm form = OperationForm::kShort) {
  const auto first = load<uint64_t>(at), second = load<uint64_t>(at + sizeof first);
  OperationHead head;
  if (form == OperationForm::kOlder) {
    head.value_bytes = static_cast<uint32_t>(second);
    head.key_bytes = static_cast<uint16_t>(second >> 32);
    head.type = static_cast<uint8_t>(second >> 48);
    if (second >> 56 != 0) head.type = 0;
    head.head_bytes = OperationHead::kLongBytes;
    return head;
  }
  head.type = first >> 32 & 7;
  head.key_bytes = static_cast<uint32_t>(first >> 35 & 1023) + kLeastKeyBytes;
  head.value_bytes = static_cast<uint32_t>(first >> 45);
  head.head_bytes = OperationHead::kBytes;
  if (head.value_bytes == OperationHead::kLongValue) {
    head.value_bytes = static_cast<uint32_t>(second);
    head.head_bytes = OperationHead::kLongBytes;
    if (second >> 32 != 0) head.type = 0;
  }
  return head;
}

// All of an operation but its checksum, which is 0; the padding as part of the last word. The head
// is stored as it is read, in one word: what is stored narrow and read wide at once waits.
inline void encode_operation(uint8_t* at, OperationType type, Bytes key, Bytes value) {
  store(at + operation_bytes(key.size(), value.size()) - kOperationAlign, uint64_t{0});
  const uint64_t head = head_bytes_for(value.size());
  const bool is_long = head == OperationHead::kLongBytes;
  const uint64_t length = is_long ? OperationHead::kLongValue : value.size();
  store(at, static_cast<uint64_t>(type) << 32 | uint64_t{key.size() - kLeastKeyBytes} << 35 |
                length << 45);
  if (is_long) store(at + OperationHead::kBytes, uint64_t{value.size()});
  std::memcpy(at + head, key.data(), key.size());
  // An empty value may have no address, which memcpy must not be given.
  if (!value.empty()) std::memcpy(at + head + key.size(), value.data(), value.size());
}

// Of an operation of the short form that stands at `at`, but for this.
inline uint32_t operation_checksum(const uint8_t* at, const OperationHead& head) {
  return static_cast<uint32_t>(checksum(at + sizeof(uint32_t), head.used() - sizeof(uint32_t)));
}
inline uint32_t operation_checksum(const uint8_t* at) {
  return operation_checksum(at, operation_head(at));
}

// A look at an operation whose bounds and checksum were found right.
struct OperationView {
  OperationType type = OperationType::kPut;
  Bytes key;
  Bytes value;
  uint64_t bytes = 0;  // with padding
  uint64_t checksum = 0;
  OperationForm form = OperationForm::kShort;
};

inline OperationView view_operation(const uint8_t* at, const OperationHead& head,
                                    OperationForm form) {
  OperationView out;
  out.type = static_cast<OperationType>(head.type);
  out.key = bytes_of(at + head.head_bytes, head.key_bytes);
  out.value = bytes_of(at + head.head_bytes + head.key_bytes, head.value_bytes);
  out.bytes = head.bytes();
  out.checksum = form == OperationForm::kShort ? load<uint32_t>(at) : load<uint64_t>(at);
  out.form = form;
  return out;
}

// An operation whose bounds and checksum are known to be right.
inline OperationView view_operation(const uint8_t* at, OperationForm form = OperationForm::kShort) {
  return view_operation(at, operation_head(at, form), form);
}

// false: does not fit into `available`, is of no known type, or its checksum is wrong. A long value
// is copied into `room` while it is summed, and `out` has the copy; if false, it is nothing.
inline bool read_operation(const uint8_t* at, uint64_t available, OperationForm form,
                           OperationView* out, ValueRoom room = {}) {
  if (available < kLeastOperationBytes) return false;
  const OperationHead head = operation_head(at, form);
  if (head.used() > available || head.type < 1 || head.type > 5) return false;
  if (head.type > 3 && head.key_bytes != 12) return false;  // a region's key (format/region.h)
  *out = view_operation(at, head, form);
  if (planted(PlantedBug::kChecksumNotChecked)) return true;
  const size_t before = form == OperationForm::kShort ? sizeof(uint32_t) : sizeof(uint64_t);
  uint64_t sum = 0;
  if (out->type == OperationType::kPut && room.suits(out->value.size())) {
    const size_t skipped = head.head_bytes + head.key_bytes - before;
    sum = checksum_copying(at + before, head.used() - before, skipped, room.to);
    out->value = bytes_of(room.to, head.value_bytes);
  } else {
    sum = checksum(at + before, head.used() - before);
  }
  return out->checksum == (form == OperationForm::kShort ? static_cast<uint32_t>(sum) : sum);
}

// Where it is not known of which form it is. That one passes for the other takes a checksum that is
// right by chance.
inline bool read_operation(const uint8_t* at, uint64_t available, OperationView* out) {
  return read_operation(at, available, OperationForm::kShort, out) ||
         read_operation(at, available, OperationForm::kOlder, out);
}

// The same of an operation with this key.
inline bool read_operation_of(Bytes key, const uint8_t* at, uint64_t available, OperationView* out,
                              ValueRoom room = {}) {
  if (available < kLeastOperationBytes) return false;
  for (const OperationForm form : {OperationForm::kShort, OperationForm::kOlder}) {
    if (operation_head(at, form).key_bytes == key.size() &&
        read_operation(at, available, form, out, room) && out->key == key)
      return true;
  }
  return false;
}

}  // namespace holdfast
