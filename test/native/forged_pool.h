// A file pool whose writer was killed, and records written behind its log by hand: with right
// checksums, for the secret that seeds them stands in the file. For what a machine that died, or
// somebody who means harm, can leave there.
#pragma once

#include <filesystem>
#include <fstream>

#include "format/fold.h"
#include "format/large_value.h"
#include "format/layout.h"
#include "format/log_mark.h"
#include "format/record.h"
#include "native/pool_fixture.h"

namespace holdfast::test {

inline PoolOptions without_threads_of_its_own() {
  PoolOptions options = file_options();
  options.background = false;
  return options;
}

// The file of a pool whose writer was killed, and the place where the next record would be
// believed.
class Forged {
 public:
  explicit Forged(const std::string& path) : path_(path) {
    {
      auto pool = open_pool(path, without_threads_of_its_own());
      REQUIRE(pool->close().is_ok());
      pool = open_pool(path, without_threads_of_its_own());
      for (int i = 0; i < 20; i++) put(*pool, "k" + std::to_string(i), std::string(100, 'v'));
      copy_over(path, path + ".left");
    }
    copy_over(path + ".left", path);
    bytes_ = bytes_of_file(path);
    secret_ = load<Superblock>(bytes_.data()).secret;
    const RootSlot slots[2] = {load<RootSlot>(bytes_.data() + kRootSlotOffsets[0]),
                               load<RootSlot>(bytes_.data() + kRootSlotOffsets[1])};
    Root root;
    std::memcpy(root.bytes, slots[slots[0].sequence >= slots[1].sequence ? 0 : 1].root,
                sizeof root.bytes);
    root_ = RootWords::from_root(root);
    const auto fold = FoldBlock::decode(Bytes(bytes_).substr(root_.fold.offset, root_.fold_bytes));
    REQUIRE(fold);
    fold_ = *fold;
    segment = fold->log.back().segment;
    sequence = fold->log_sequence;
    position = fold->log_offset == segment.offset ? segment.offset + sizeof(SegmentHeader)
                                                  : fold->log_offset;
    incarnation_ = root_.incarnation;
    for (FrameHeader header;
         (header = load<FrameHeader>(bytes_.data() + position)).magic == FrameHeader::kMagic;
         position += header.bytes) {
      epoch = header.epoch;
    }
    REQUIRE(epoch == 20);
  }

  // A record of these operations, or one part of it.
  void record(const std::string& operations, uint32_t count, uint32_t part = 0, bool last = true) {
    uint64_t rolled = 0;
    for (uint64_t at = 0, i = 0; i < count; i++) {
      const auto* const one = reinterpret_cast<const uint8_t*>(operations.data()) + at;
      const OperationView view = view_operation(one, form);
      rolled = roll(rolled, view.checksum);
      at += view.bytes;
    }
    if (part == 0) epoch++;
    frame(FrameKind::kCommit, operations, count, rolled, part, last);
  }

  // A link from `position` to a segment there; goes on in it.
  void link(uint64_t offset, uint64_t to_sequence) {
    LinkTarget target{offset, 64 * kKiB, to_sequence, 0};
    target.checksum = checksum(&target, offsetof(LinkTarget, checksum));
    std::string payload(sizeof target, '\0');
    store(payload.data(), target);
    frame(FrameKind::kLink, payload, 0, target.checksum, 0, true);
    segment = {offset, 64 * kKiB};
    sequence = to_sequence;
    position = offset + sizeof(SegmentHeader);
  }

  // Bytes of a large value, in a segment there. `checksum_of`: what its description says of them.
  LargePiece piece(uint64_t offset, const std::string& content, const std::string& checksum_of) {
    bytes_.replace(offset, content.size(), content);
    return {{offset, 64 * kKiB},
            content.size(),
            roll(0, checksum(checksum_of.data(), checksum_of.size()))};
  }

  // That the log went on in a segment there, `lives` openings of the pool ago.
  void mark(uint64_t of_sequence, const Segment& begun, uint64_t lives) {
    const LogMark mark =
        make_log_mark(of_sequence, begun.offset, begun.bytes, 0, incarnation_ - lives, secret_);
    store(bytes_.data() + kLogMarksOffset + of_sequence % 2 * kPageBytes, mark);
  }

  // The newest fold becomes what `change` makes of it; its block lies at `offset`.
  template <typename Change>
  void fold(uint64_t offset, Change&& change) {
    FoldBlock block = fold_;
    change(block);
    const std::string encoded = block.encode();
    bytes_.replace(offset, encoded.size(), encoded);
    root_.fold = {offset, round_up(encoded.size(), 64 * kKiB)};
    root_.fold_bytes = encoded.size();
    root_.fold_checksum = checksum(encoded.data(), encoded.size());
    for (int slot = 0; slot < 2; slot++) {
      auto written = load<RootSlot>(bytes_.data() + kRootSlotOffsets[slot]);
      std::memcpy(written.root, root_.to_root().bytes, sizeof written.root);
      written.checksum =
          checksum_seeded(&written, offsetof(RootSlot, reserved), secret_ + kRootSlotOffsets[slot]);
      store(bytes_.data() + kRootSlotOffsets[slot], written);
    }
  }

  uint64_t end() const { return round_down(bytes_.size(), 64 * kKiB); }
  std::string& bytes() { return bytes_; }
  void write() const { write_whole(path_, bytes_); }
  static void write_whole(const std::string& path, const std::string& bytes) {
    std::filesystem::remove(path);
    std::ofstream(path, std::ios::binary) << bytes;
  }

  Segment segment;
  uint64_t sequence = 0, position = 0, epoch = 0;
  OperationForm form = OperationForm::kShort;  // of records to come

 private:
  void frame(FrameKind kind, const std::string& payload, uint32_t count, uint64_t rolled,
             uint32_t part, bool last) {
    FrameHeader header;
    if (form == OperationForm::kOlder) header.magic = FrameHeader::kOlderMagic;
    header.bytes = static_cast<uint32_t>(round_up(sizeof header + payload.size(), kFrameAlign));
    header.epoch = epoch;
    header.incarnation = incarnation_;
    header.operations = count;
    header.kind = static_cast<uint16_t>(kind);
    header.flags = last ? FrameHeader::kLastPart : 0;
    header.part = part;
    header.behind = 1;
    header.checksum = frame_checksum(header, rolled, place_seed(secret_, sequence, position));
    REQUIRE(position + header.bytes <= bytes_.size());
    std::string all(header.bytes, '\0');
    store(all.data(), header);
    std::memcpy(all.data() + sizeof header, payload.data(), payload.size());
    bytes_.replace(position, all.size(), all);
    position += header.bytes;
  }

  const std::string path_;
  std::string bytes_;
  uint64_t secret_ = 0;
  uint32_t incarnation_ = 0;
  RootWords root_;
  FoldBlock fold_;
};

inline std::string operation(OperationType type, const std::string& key, const std::string& value) {
  std::string out(operation_bytes(key.size(), value.size()), '\0');
  auto* const at = reinterpret_cast<uint8_t*>(out.data());
  encode_operation(at, type, key, value);
  store(at, operation_checksum(at));
  return out;
}

// As builds before root version 3 wrote it. Its key may have any length.
inline std::string older_operation(OperationType type, const std::string& key,
                                   const std::string& value) {
  const size_t used = OperationHead::kLongBytes + key.size() + value.size();
  std::string out(round_up(used, kOperationAlign), '\0');
  auto* const at = reinterpret_cast<uint8_t*>(out.data());
  store(at + 8, static_cast<uint32_t>(value.size()));
  store(at + 12, static_cast<uint16_t>(key.size()));
  store(at + 14, static_cast<uint8_t>(type));
  std::memcpy(at + 16, key.data(), key.size());
  std::memcpy(at + 16 + key.size(), value.data(), value.size());
  store(at, checksum(at + 8, used - 8));
  return out;
}

}  // namespace holdfast::test
