#include "engine/copies/backup_reader.h"

#include <algorithm>
#include <memory>

#include "format/region.h"

namespace holdfast {

Status BackupReader::damaged(const std::string& why) const {
  return Status(Code::kCorrupt, "the backup " + name_ + " is damaged: block " +
                                    std::to_string(index_) + " at byte " + std::to_string(taken_) +
                                    " " + why);
}

Status BackupReader::write(Bytes bytes) {
  pending_.append(bytes);
  size_t at = 0;
  Status status;
  while (status.is_ok() && pending_.size() - at >= sizeof(BlockHeader)) {
    const auto header = load<BlockHeader>(pending_.data() + at);
    if (ended_)
      status = damaged("comes behind the end");
    else if (header.magic != BlockHeader::kMagic && index_ == 0)
      status = Status(Code::kNotABackup, name_ + " is not a backup: it does not begin as one");
    else if (header.magic != BlockHeader::kMagic)
      status = damaged("does not begin as a block");
    else if (header.chain != checksum_seeded(&header, offsetof(BlockHeader, chain), chain_) ||
             header.index != index_)
      status = damaged("does not follow the one before it");
    else if (header.payload_bytes > BlockHeader::kMostPayload)
      status = damaged("is too long");
    if (!status.is_ok() || pending_.size() - at - sizeof header < header.payload_bytes) break;
    const Bytes payload(pending_.data() + at + sizeof header, header.payload_bytes);
    if (checksum_seeded(payload.data(), payload.size(), chain_) != header.payload)
      status = damaged("has other bytes than were written");
    else
      status = block(header, payload);
    if (!status.is_ok()) break;
    at += sizeof header + header.payload_bytes;
    taken_ += sizeof header + header.payload_bytes;
    chain_ = header.chain;
    index_++;
  }
  pending_.erase(0, at);
  return status;
}

Status BackupReader::finish() {
  if (index_ == 0)
    return Status(Code::kNotABackup, name_ + " is not a backup: it is shorter than the shortest");
  if (!pending_.empty() || !ended_) {
    return Status(Code::kCorrupt, "the backup " + name_ + " is not whole: it ends at byte " +
                                      std::to_string(taken_ + pending_.size()) +
                                      " without an end; was it cut off?");
  }
  return {};
}

Status BackupReader::block(const BlockHeader& header, Bytes payload) {
  const auto kind = static_cast<BlockKind>(header.kind);
  if ((index_ == 0) != (kind == BlockKind::kBegin))
    return damaged("is of a kind that does not belong there");
  switch (kind) {
    case BlockKind::kBegin: {
      BackupBegin begin;
      if (payload.size() < sizeof begin) return damaged("is too short");
      begin = load<BackupBegin>(payload.data());
      if (begin.version > kBackupVersion) {
        return Status(Code::kNotABackup,
                      name_ + " is a backup of version " + std::to_string(begin.version) +
                          ", this build reads up to " + std::to_string(kBackupVersion) +
                          "; use a newer Holdfast");
      }
      return sink_.begin(begin);
    }
    case BlockKind::kData:
      return items(payload);
    case BlockKind::kEnd:
      if (payload.size() < sizeof(BackupEnd)) return damaged("is too short");
      if (!between_items()) return damaged("ends the backup in the middle of a value");
      ended_ = true;
      return sink_.end(load<BackupEnd>(payload.data()));
  }
  return damaged("is of an unknown kind");
}

Status BackupReader::items(Bytes payload) {
  while (!payload.empty()) {
    if (large_left_ > 0) {
      const uint64_t size = std::min<uint64_t>(large_left_, payload.size());
      HOLDFAST_TRY(sink_.large_bytes(payload.substr(0, size)));
      payload.remove_prefix(size);
      large_left_ -= size;
      if (large_left_ == 0) HOLDFAST_TRY(sink_.large_end());
      continue;
    }
    if (payload.size() < sizeof(ItemHeader)) return damaged("ends inside an item");
    const auto header = load<ItemHeader>(payload.data());
    payload.remove_prefix(sizeof header);
    if (payload.size() < header.key_bytes) return damaged("ends inside an item");
    const Bytes key = payload.substr(0, header.key_bytes);
    payload.remove_prefix(header.key_bytes);
    switch (static_cast<ItemTag>(header.tag)) {
      case ItemTag::kEntries:
        HOLDFAST_TRY(sink_.entries(header.size));
        break;
      case ItemTag::kCommit:
        if (payload.size() < 8) return damaged("ends inside an item");
        HOLDFAST_TRY(sink_.commit(header.size, load<uint64_t>(payload.data())));
        payload.remove_prefix(8);
        break;
      case ItemTag::kDelete:
        HOLDFAST_TRY(sink_.remove(key));
        break;
      case ItemTag::kPut:
        if (header.size > kWholeValue) {
          HOLDFAST_TRY(sink_.large_begin(key, header.size));
          large_left_ = header.size;
          break;
        }
        if (payload.size() < header.size) return damaged("ends inside an item");
        HOLDFAST_TRY(sink_.put(key, payload.substr(0, header.size)));
        payload.remove_prefix(header.size);
        break;
      case ItemTag::kRegionSize:
      case ItemTag::kRegionWrite: {
        if (header.size > kWholeValue || payload.size() < header.size ||
            key.size() != kRegionKeyBytes)
          return damaged("ends inside an item");
        const bool write = header.tag == static_cast<uint8_t>(ItemTag::kRegionWrite);
        HOLDFAST_TRY(sink_.region(write ? OperationType::kRegionWrite : OperationType::kRegionSize,
                                  key, payload.substr(0, header.size)));
        payload.remove_prefix(header.size);
        break;
      }
      default:
        return damaged("has an item of an unknown kind");
    }
  }
  return {};
}

// ── an interrupted one

class BackupScan::Sink final : public BackupSink {
 public:
  BackupProgress now;
  Status begin(const BackupBegin& head) override {
    now.begun = true;
    now.head = head;
    now.reached = head.since;
    now.in_commits = head.kind == static_cast<uint32_t>(BackupKind::kIncrement);
    return {};
  }
  Status entries(uint64_t epoch) override {
    if (now.first_epoch == 0) now.first_epoch = now.reached = epoch;
    return {};
  }
  Status commit(uint64_t epoch, uint64_t time_ms) override {
    now.in_commits = true;
    now.reached = epoch;
    now.totals.time_ms = time_ms;
    now.totals.commits++;
    return {};
  }
  Status put(Bytes key, Bytes value) override {
    seen(key, value.size());
    return {};
  }
  Status large_begin(Bytes key, uint64_t size) override {
    seen(key, size);
    return {};
  }
  Status end(const BackupEnd& totals) override {
    now.ended = true;
    now.totals = totals;
    return {};
  }

 private:
  void seen(Bytes key, uint64_t bytes) {
    if (now.in_commits) return;
    now.last_key.assign(key);
    now.totals.entries += counts_as_entry(key);
    now.totals.bytes += bytes;
  }
};

BackupScan::BackupScan(const std::string& name)
    : sink_(new Sink), reader_(new BackupReader(*sink_, name)) {}
BackupScan::~BackupScan() = default;

// A block at a time, so that what is known is as of the last whole block that ends between two
// commits or entries.
Status BackupScan::write(Bytes bytes) {
  constexpr size_t kStep = sizeof(BlockHeader);
  while (!bytes.empty() && !over_) {
    const uint32_t before = reader_->index();
    const Bytes step = bytes.substr(0, kStep);
    bytes.remove_prefix(step.size());
    Status read = reader_->write(step);
    if (!read.is_ok()) {
      over_ = true;
      if (read.code() == Code::kNotABackup) return read;
      return {};
    }
    if (reader_->index() == before || !reader_->between_items()) continue;
    if (reader_->ended()) {
      good_.ended = true;
      good_.totals = sink_->now.totals;
      continue;
    }
    good_ = sink_->now;
    good_.good_bytes = reader_->taken();
    good_.chain = reader_->chain();
    good_.index = reader_->index();
  }
  return {};
}

}  // namespace holdfast
