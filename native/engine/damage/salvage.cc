#include "engine/damage/salvage.h"

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>

#include "engine/damage/salvage_regions.h"
#include "format/fold.h"
#include "format/large_value.h"
#include "index/node.h"
#include "index/source.h"
#include "index/table.h"
#include "log/log_reader.h"
#include "medium/raw_pool.h"

namespace holdfast {

namespace {

constexpr size_t kBatchBytes = kMiB;
constexpr size_t kMostLosses = 1000;
constexpr uint64_t kMostEpochsAhead =
    uint64_t{1} << 20;  // of a frame that is damaged, behind the last valid one

// A version of a key that was found whole in the log.
struct Version {
  uint64_t epoch = 0;
  uint64_t offset = 0;  // of the operation
  bool deleted = false;
  bool certain = false;  // its frame is valid: the epoch is right
};

class Salvage {
 public:
  Salvage(const RawPool& raw, const std::atomic<bool>* cancelled,
          const std::function<void(double)>& progress)
      : raw_(raw),
        secret_(raw.superblock() ? raw.superblock()->secret : 0),
        reader_(raw, secret_),
        regions_(raw, secret_),
        cancelled_(cancelled),
        progress_(progress) {}

  Result<SalvageReport> run(Pool& to) {
    report_.source = !raw_.superblock() ? SalvageSource::kChecksums
                     : read_fold()      ? SalvageSource::kIndex
                                        : SalvageSource::kLog;
    if (report_.source == SalvageSource::kChecksums) {
      HOLDFAST_TRY(scan_everything());
    } else {
      find_segments();
      HOLDFAST_TRY(scan_segments());
    }
    if (report_.source == SalvageSource::kIndex) read_leaves();
    HOLDFAST_TRY(save_all(to));
    HOLDFAST_TRY(save_regions(to));
    return std::move(report_);
  }

 private:
  struct Found {
    Segment segment;
    uint64_t sequence = 0;
  };

  bool stopped() const { return cancelled_ && cancelled_->load(); }
  static Status aborted() { return Status(Code::kAborted, "the salvage was aborted"); }
  void tell(double fraction) const {
    if (progress_) progress_(std::min(1.0, fraction));
  }
  bool inside(const Segment& s) const {
    return s.offset % 4096 == 0 && s.bytes >= 4096 && s.end() > s.offset &&
           s.offset < raw_.view_end();
  }

  bool read_fold() {
    if (!raw_.has_root()) return false;
    const RootWords root = RootWords::from_root(raw_.root());
    if (root.version > kRootVersion || !inside(root.fold) || root.fold_bytes > root.fold.bytes ||
        root.fold.offset + root.fold_bytes > raw_.view_end())
      return false;
    const Bytes bytes = bytes_of(raw_.view() + root.fold.offset, root.fold_bytes);
    if (checksum(bytes.data(), bytes.size()) != root.fold_checksum) return false;
    auto decoded = FoldBlock::decode(bytes);
    if (!decoded) return false;
    fold_ = std::move(*decoded);
    placing_ = root.placing != 0;
    for (const auto& tables : fold_.runs) {
      std::vector<TableRef> refs;
      for (const FoldedTable& t : tables)
        refs.push_back({t.segment, t.entries, t.nodes, t.root, t.depth, t.first_key, t.last_key});
      runs_.push_back(std::make_unique<Run>(raw_, std::move(refs)));
    }
    return true;
  }

  // With a fold: its segments, and those that came after it. A segment that was given back has a
  // lower sequence and is not among them, though its header may still be there.
  bool wanted(uint64_t sequence) const {
    if (report_.source != SalvageSource::kIndex || sequence > fold_.log_sequence) return true;
    return std::any_of(fold_.log.begin(), fold_.log.end(),
                       [&](const FoldedSegment& s) { return s.sequence == sequence; });
  }

  void add_segment(const Segment& segment, uint64_t sequence) {
    if (inside(segment) && wanted(sequence))
      segments_.try_emplace(sequence, Found{segment, sequence});
  }

  void find_segments() {
    for (const FoldedSegment& s : fold_.log) add_segment(s.segment, s.sequence);
    for (uint64_t at = raw_.past_hole(kPageBytes); at + kPageBytes <= raw_.view_end();
         at += kPageBytes) {
      if (at % kMiB == 0) at = raw_.past_hole(at);
      if (at + kPageBytes > raw_.view_end()) break;
      if (load<uint32_t>(raw_.view() + at) != SegmentHeader::kMagic) continue;
      const auto header = load<SegmentHeader>(raw_.view() + at);
      if (header.offset == at && header.checksum == segment_checksum(header, secret_))
        add_segment({at, header.bytes}, header.sequence);
    }
    // Segments whose header is damaged, by the links that lead there. What is added is looked at in
    // its turn.
    for (auto it = segments_.begin(); it != segments_.end(); ++it) {
      LinkTarget link;
      const Segment& s = it->second.segment;
      if (reader_.find_link(s, it->second.sequence, s.offset + sizeof(SegmentHeader), 0, &link)) {
        add_segment({link.offset, link.bytes}, link.sequence);
      }
    }
  }

  Status scan_segments() {
    size_t done = 0;
    for (const auto& [sequence, found] : segments_) {
      if (stopped()) return aborted();
      scan_segment(found, std::next(segments_.find(sequence)) == segments_.end());
      tell(0.5 * static_cast<double>(++done) / static_cast<double>(segments_.size()));
    }
    return {};
  }

  // Frames in a row; across damage to the next frame that can follow. Whole operations found in
  // between count too, as scan_gap() says. Behind the last one may be an earlier life: there only
  // what a frame's header claims is looked at.
  void scan_segment(const Found& s, bool newest) {
    const uint64_t end = std::min(s.segment.end(), raw_.view_end());
    uint64_t at = s.segment.offset + sizeof(SegmentHeader);
    uint64_t gap = 0;
    uint32_t incarnation = 0;
    FrameView frame;
    while (at + sizeof(FrameHeader) <= end) {
      if (!reader_.read_frame(s.segment, s.sequence, at, &frame) ||
          frame.header.incarnation < incarnation) {
        if (gap == 0) gap = at;
        at += kFrameAlign;
        continue;
      }
      if (gap != 0) scan_gap(gap, at, frame.header.epoch);
      if (gap != 0 && frame.header.epoch > fold_.epoch) report_gap(gap, at);
      gap = 0;
      incarnation = frame.header.incarnation;
      epoch_ = frame.header.epoch;
      at += frame.header.bytes;
      if (frame.header.kind == static_cast<uint16_t>(FrameKind::kLink)) return;
      if (is_torn(s, frame)) continue;
      for_each_operation(frame, [&](const OperationView& operation, uint64_t offset) {
        note(operation, offset, frame.header.epoch, true);
        return true;
      });
    }
    if (gap == 0) return;
    if (!newest)
      report_gap(gap, end);  // the log went on in another segment, so this was not its end
    newest ? scan_claimed(gap, end, incarnation) : scan_gap(gap, end, epoch_ + kMostEpochsAhead);
  }

  // As replay has it (Tail): what was on its way when the machine died is no loss, and what was
  // there before counts.
  bool is_torn(const Found& s, const FrameView& frame) const {
    if (frame.header.epoch <= fold_.epoch || reader_.values_stand(frame)) return false;
    return !reader_.proves_durable(s.segment, s.sequence, frame.offset, frame.header.epoch,
                                   frame.header.incarnation);
  }

  void report_gap(uint64_t begin, uint64_t end) {
    if (report_.gaps.size() >= kMostLosses) return;
    report_.gaps.push_back(
        "the records behind commit " + std::to_string(epoch_) + ", at offsets " +
        std::to_string(begin) + " to " + std::to_string(end) +
        ", are damaged: what they changed is as it was before, unless a later record has it");
  }

  // Whole operations between damaged frames. Bytes may have come here from elsewhere (swapped
  // pages, an earlier life), so an operation is only as new as the header of its frame says: if
  // that epoch is possible here and all operations between the two are whole. Any other is taken
  // only where nothing else is known of its key.
  void scan_gap(uint64_t begin, uint64_t end, uint64_t last_epoch) {
    uint64_t epoch = 0, frame_end = 0;  // 0: no longer in a row with a frame's header
    for (uint64_t at = begin; at + sizeof(OperationHeader) <= end;) {
      if (at >= frame_end) epoch = 0;
      if (epoch == 0 && at % kFrameAlign == 0 && at + sizeof(FrameHeader) <= end) {
        const auto header = load<FrameHeader>(raw_.view() + at);
        if (header.magic == FrameHeader::kMagic && header.bytes > sizeof header &&
            header.bytes <= end - at) {
          if (header.epoch >= std::max<uint64_t>(epoch_, 1) && header.epoch <= last_epoch)
            epoch = header.epoch;
          frame_end = at + header.bytes;
          at += sizeof header;
          continue;
        }
      }
      OperationView operation;
      const bool whole = plausible(at, end, &operation);
      if (!whole) epoch = 0;
      at += whole ? take(operation, at, epoch) : kOperationAlign;
    }
  }

  void scan_claimed(uint64_t begin, uint64_t end, uint32_t incarnation) {
    for (uint64_t at = begin; at + sizeof(FrameHeader) <= end; at += kFrameAlign) {
      const auto header = load<FrameHeader>(raw_.view() + at);
      if (header.magic != FrameHeader::kMagic || header.epoch <= epoch_ ||
          header.incarnation < incarnation || header.bytes > end - at)
        continue;
      if (header.epoch > epoch_ + kMostEpochsAhead) continue;
      scan_gap(at, at + header.bytes, epoch_ + kMostEpochsAhead);
      report_gap(at, at + header.bytes);
    }
  }

  bool plausible(uint64_t at, uint64_t end, OperationView* out) const {
    const auto header = load<OperationHeader>(raw_.view() + at);
    if (header.type < 1 || header.type > 5 || header.key_bytes <= kKeyspacePrefixBytes)
      return false;
    if (header.key_bytes > kKeyspacePrefixBytes + kMaxUserKeyBytes) return false;
    return read_operation(raw_.view() + at, end - at, out);
  }

  uint64_t take(const OperationView& operation, uint64_t at, uint64_t epoch) {
    note(operation, at, epoch, false);
    return operation.bytes;
  }

  void note(const OperationView& operation, uint64_t offset, uint64_t epoch, bool certain) {
    if (is_region_operation(operation.type)) return regions_.note(offset, epoch);
    Version& version = versions_[std::string(operation.key)];
    if (version.offset != 0 &&
        (version.epoch > epoch || (version.epoch == epoch && version.certain && !certain)))
      return;
    version = {epoch, offset, operation.type == OperationType::kDelete, certain};
  }

  // Without the secret: whole frames of whole operations, anywhere. What lies inside an accepted
  // frame (somebody's copy of a pool, as a value) is passed over.
  Status scan_everything() {
    const uint64_t end = raw_.view_end();
    for (uint64_t at = 0; at + sizeof(FrameHeader) <= end;) {
      if (at % kMiB == 0) {
        if (stopped()) return aborted();
        const uint64_t data = raw_.past_hole(at);
        if (data > at) {
          at = data;
          continue;
        }
      }
      if (at % (16 * kMiB) == 0) tell(0.5 * static_cast<double>(at) / static_cast<double>(end));
      const uint64_t whole =
          load<uint32_t>(raw_.view() + at) == FrameHeader::kMagic ? take_frame(at, end) : 0;
      at += whole > 0 ? whole : kFrameAlign;
    }
    return {};
  }

  uint64_t take_frame(uint64_t at, uint64_t end) {
    const auto header = load<FrameHeader>(raw_.view() + at);
    if (header.bytes < sizeof header || header.bytes % kFrameAlign != 0 || header.bytes > end - at)
      return 0;
    if (header.kind != 1 && header.kind != 2) return 0;
    const uint64_t stop = at + header.bytes;
    std::vector<std::pair<OperationView, uint64_t>> operations;
    uint64_t from = at + sizeof header;
    for (uint32_t i = 0; i < header.operations; i++) {
      OperationView operation;
      if (from + sizeof(OperationHeader) > stop || !plausible(from, stop, &operation)) return 0;
      operations.emplace_back(operation, from);
      from += operation.bytes;
    }
    if (operations.empty()) return 0;
    for (const auto& [operation, offset] : operations) note(operation, offset, header.epoch, true);
    return header.bytes;
  }

  // Leaves one by one, so that a damaged node costs only its own entries. Newest run first.
  void read_leaves() {
    for (const auto& run : runs_) {
      for (const TableRef& table : run->tables()) {
        if (!inside(table.segment)) continue;
        const uint64_t end = std::min(table.segment.end(), raw_.view_end());
        const uint64_t nodes =
            std::min<uint64_t>(table.nodes, (end - table.segment.offset) / kNodeBytes);
        for (uint32_t number = 1; number < nodes; number++) read_leaf(table, number);
      }
    }
  }

  void read_leaf(const TableRef& table, uint32_t number) {
    const uint64_t offset = table.segment.offset + uint64_t{number} * kNodeBytes;
    const uint8_t* node = raw_.view() + offset;
    NodeView view;
    if (NodeView::verify(node, number, 0, load<NodeHeader>(node).tag) != nullptr ||
        !view.open(node))
      return;
    char key[kKeyBufferBytes];
    for (uint32_t i = 0; i < view.count(); i++) {
      const size_t bytes = view.copy_key(i, key);
      if (bytes > kKeyspacePrefixBytes)
        leaf_places_.try_emplace(std::string(key, bytes), view.place(i));
    }
  }

  // What the fold's index says of a key: nullopt when a damaged node keeps it from saying.
  std::optional<Place> indexed(const std::string& key) const {
    for (const auto& run : runs_) {
      auto found = run->find(key);
      if (!found.is_ok()) return std::nullopt;
      if (found->has_value()) return **found;
    }
    return Place::deleted();
  }

  bool operation_at(uint64_t offset, uint64_t most, const std::string& key,
                    OperationView* out) const {
    if (offset >= raw_.view_end()) return false;
    return read_operation(raw_.view() + offset, std::min(most, raw_.view_end() - offset), out) &&
           out->key == key;
  }

  void lose(const std::string& key, const std::string& why) {
    report_.lost++;
    if (report_.losses.size() < kMostLosses)
      report_.losses.push_back("'" + key.substr(kKeyspacePrefixBytes, 100) + "': " + why);
  }

  // The version to be saved of a key, or none: deleted, or lost (which is then counted).
  bool choose(const std::string& key, OperationView* out, bool* unconfirmed) {
    const auto it = versions_.find(key);
    const Version* version = it == versions_.end() ? nullptr : &it->second;
    *unconfirmed = version && !version->certain;
    const bool by_index =
        report_.source == SalvageSource::kIndex && !(version && version->epoch > fold_.epoch);
    if (by_index) {
      if (const auto place = indexed(key)) {
        *unconfirmed = false;
        if (place->is_deleted()) return false;
        if (operation_at(place->offset(), place->bytes(), key, out)) return true;
        lose(key, "its bytes at offset " + std::to_string(place->offset()) + " are damaged");
        return false;
      }
      *unconfirmed = true;
    }
    if (version) return !version->deleted && operation_at(version->offset, UINT64_MAX, key, out);
    const auto leaf = leaf_places_.find(key);
    if (leaf == leaf_places_.end() || leaf->second.is_deleted()) return false;
    if (operation_at(leaf->second.offset(), leaf->second.bytes(), key, out)) return true;
    lose(key, "its bytes at offset " + std::to_string(leaf->second.offset()) + " are damaged");
    return false;
  }

  bool read_large(Bytes description, std::string* out) const {
    const auto value = LargeValue::decode(description);
    if (!value || value->size > raw_.view_end()) return false;
    out->resize(value->size);
    uint64_t done = 0;
    for (const LargePiece& piece : value->pieces) {
      if (piece.segment.offset > raw_.view_end() ||
          piece.used > raw_.view_end() - piece.segment.offset)
        return false;
      uint64_t rolled = 0;
      for (uint64_t at = 0; at < piece.used; at += LargeValue::kChunk) {
        const uint64_t size = std::min(LargeValue::kChunk, piece.used - at);
        std::memcpy(out->data() + done, raw_.view() + piece.segment.offset + at, size);
        rolled = roll(rolled, checksum(out->data() + done, size));
        done += size;
      }
      if (rolled != piece.checksum) return false;
    }
    return true;
  }

  Status save_all(Pool& to) {
    std::vector<std::string> keys;
    for (const auto& [key, version] : versions_) keys.push_back(key);
    for (const auto& [key, place] : leaf_places_) {
      if (!versions_.contains(key)) keys.push_back(key);
    }
    std::sort(keys.begin(), keys.end());
    Batch batch;
    std::string large;
    for (size_t i = 0; i < keys.size(); i++) {
      if (stopped()) return aborted();
      OperationView operation;
      bool unconfirmed = false;
      if (!choose(keys[i], &operation, &unconfirmed)) continue;
      Bytes value = operation.value;
      if (operation.type == OperationType::kPutLarge) {
        if (!read_large(operation.value, &large)) {
          lose(keys[i], "the bytes of its large value are damaged");
          continue;
        }
        value = large;
      }
      HOLDFAST_TRY(batch.put(keys[i], value));
      report_.entries++;
      report_.bytes += value.size();
      report_.unconfirmed += unconfirmed ? 1 : 0;
      if (batch.bytes() >= kBatchBytes) HOLDFAST_TRY(commit(to, &batch));
      if (i % 256 == 0) tell(0.5 + 0.5 * static_cast<double>(i) / static_cast<double>(keys.size()));
    }
    HOLDFAST_TRY(commit(to, &batch));
    if (raw_.failed())
      return Status(Code::kIo, "the damaged pool's file became unreadable while it was read");
    tell(1.0);
    return {};
  }

  Status save_regions(Pool& to) {
    auto saved =
        regions_.save(to, fold_, placing_, [&](const std::string& region, const std::string& why) {
          report_.lost++;
          if (report_.losses.size() < kMostLosses)
            report_.losses.push_back("the region '" + region.substr(0, 100) + "': " + why);
        });
    if (!saved.is_ok()) return std::move(saved.status());
    report_.bytes += *saved;
    if (*saved > 0 && report_.source != SalvageSource::kIndex) {
      report_.gaps.push_back(
          "what folds had placed of the regions is lost with the fold: they hold what the log "
          "still had, and zeros");
    }
    return raw_.failed()
               ? Status(Code::kIo, "the damaged pool's file became unreadable while it was read")
               : Status();
  }

  static Status commit(Pool& to, Batch* batch) {
    Status done = std::move(to.commit(*batch, CommitMode::kEventual).status());
    batch->clear();
    return done;
  }

  const RawPool& raw_;
  const uint64_t secret_;
  const LogReader reader_;
  RegionSalvage regions_;
  const std::atomic<bool>* cancelled_;
  const std::function<void(double)>& progress_;
  SalvageReport report_;
  FoldBlock fold_;
  bool placing_ = false;                    // of the root that names it
  std::vector<std::unique_ptr<Run>> runs_;  // newest first
  std::map<uint64_t, Found> segments_;      // by sequence
  uint64_t epoch_ = 0;                      // of the last valid frame met
  std::unordered_map<std::string, Version> versions_;
  std::unordered_map<std::string, Place> leaf_places_;
};

}  // namespace

Result<SalvageReport> salvage(const std::string& from, const std::string& to,
                              const PoolOptions& target, const std::atomic<bool>* cancelled,
                              const std::function<void(double)>& progress) {
  auto raw = RawPool::open(from);
  if (!raw.is_ok()) return std::move(raw.status());
  PoolOptions options = target;
  options.medium.create = CreateMode::kExclusive;
  auto pool = Pool::open(to, options);
  if (!pool.is_ok()) return std::move(pool.status());
  auto report = Salvage(**raw, cancelled, progress).run(**pool);
  Status closed = (*pool)->close();
  if (report.is_ok() && !closed.is_ok()) return closed;
  return report;
}

}  // namespace holdfast
