#include "engine/damage/salvage.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "engine/damage/salvage_log.h"
#include "engine/damage/salvage_regions.h"
#include "format/fold.h"
#include "format/large_value.h"
#include "index/node.h"
#include "index/source.h"
#include "index/table.h"
#include "medium/raw_pool.h"

namespace holdfast {

namespace {

constexpr size_t kBatchBytes = kMiB;

class Salvage {
 public:
  Salvage(const RawPool& raw, const std::atomic<bool>* cancelled,
          const std::function<void(double)>& progress)
      : raw_(raw),
        secret_(raw.superblock() ? raw.superblock()->secret : 0),
        regions_(raw, secret_),
        steps_{cancelled, progress} {}

  Result<SalvageReport> run(Pool& to) {
    report_.source = !raw_.superblock() ? SalvageSource::kChecksums
                     : read_fold()      ? SalvageSource::kIndex
                                        : SalvageSource::kLog;
    SalvagedLog log(raw_, secret_, report_.source, fold_, regions_, steps_);
    HOLDFAST_TRY(log.scan());
    report_.gaps = log.take_gaps();
    versions_ = &log.versions();
    if (report_.source == SalvageSource::kIndex) read_leaves();
    HOLDFAST_TRY(save_all(to));
    HOLDFAST_TRY(save_regions(to));
    return std::move(report_);
  }

 private:
  bool read_fold() {
    if (!raw_.has_root()) return false;
    const RootWords root = RootWords::from_root(raw_.root());
    if (root.version > kRootVersion || !raw_.could_hold(root.fold) ||
        root.fold_bytes > root.fold.bytes || root.fold.offset + root.fold_bytes > raw_.view_end())
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

  // Leaves one by one, so that a damaged node costs only its own entries. Newest run first.
  void read_leaves() {
    for (const auto& run : runs_) {
      for (const TableRef& table : run->tables()) {
        if (!raw_.could_hold(table.segment)) continue;
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
    return read_operation_of(key, raw_.view() + offset, std::min(most, raw_.view_end() - offset),
                             out);
  }

  void lose(const std::string& key, const std::string& why) {
    report_.lost++;
    if (report_.losses.size() < kMostLosses)
      report_.losses.push_back("'" + key.substr(kKeyspacePrefixBytes, 100) + "': " + why);
  }

  // The version to be saved of a key, or none: deleted, or lost (which is then counted).
  bool choose(const std::string& key, OperationView* out, bool* unconfirmed) {
    const auto it = versions_->find(key);
    const Version* version = it == versions_->end() ? nullptr : &it->second;
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
    for (const auto& [key, version] : *versions_) keys.push_back(key);
    for (const auto& [key, place] : leaf_places_) {
      if (!versions_->contains(key)) keys.push_back(key);
    }
    std::sort(keys.begin(), keys.end());
    Batch batch;
    std::string large;
    for (size_t i = 0; i < keys.size(); i++) {
      HOLDFAST_TRY(steps_.aborted());
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
      if (i % 256 == 0)
        steps_.tell(0.5 + 0.5 * static_cast<double>(i) / static_cast<double>(keys.size()));
    }
    HOLDFAST_TRY(commit(to, &batch));
    if (raw_.failed()) return unreadable();
    steps_.tell(1.0);
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
    return raw_.failed() ? unreadable() : Status();
  }

  // Bytes that were verified may be zeros by the time they are copied.
  static Status unreadable() {
    return Status(Code::kIo,
                  "a part of the damaged pool's file cannot be read from the disk: copy the rest "
                  "to another disk (`dd conv=noerror,sync bs=4096`, or ddrescue), and salvage the "
                  "copy");
  }

  static Status commit(Pool& to, Batch* batch) {
    Status done = std::move(to.commit(*batch, CommitMode::kEventual).status());
    batch->clear();
    return done;
  }

  const RawPool& raw_;
  const uint64_t secret_;
  RegionSalvage regions_;
  const SalvageSteps steps_;
  SalvageReport report_;
  FoldBlock fold_;
  bool placing_ = false;                             // of the root that names it
  std::vector<std::unique_ptr<Run>> runs_;           // newest first
  const SalvagedLog::Versions* versions_ = nullptr;  // of keys found in the log
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
