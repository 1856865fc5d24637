#include "engine/read_only/generation.h"

#include <cstring>

#include "base/test_hooks.h"

namespace holdfast {

void TailStretch::gather(const FrameView& frame) {
  bytes += frame.header.bytes;
  for (uint64_t i = 0, at = 0; whole && i < frame.header.operations; i++) {
    OperationView operation;
    whole = at <= frame.operations_bytes &&
            read_operation(frame.operations + at, frame.operations_bytes - at,
                           form_of(frame.header), &operation);
    if (!whole) return;
    if (is_region_operation(operation.type)) {
      region_operations.push_back(
          {std::string(reinterpret_cast<const char*>(frame.operations + at), operation.bytes),
           operation.form, frame.header.epoch});
    } else {
      const uint64_t offset = frame.offset + sizeof(FrameHeader) + at;
      const bool large = operation.type == OperationType::kPutLarge;
      const Place place = operation.type == OperationType::kDelete
                              ? Place::deleted()
                              : Place::of(offset, operation.bytes, large);
      changes.push_back({std::string(operation.key), place, frame.header.epoch});
    }
    at += operation.bytes;
  }
}

Result<std::shared_ptr<Generation>> Generation::make(const WriterSeen& writer,
                                                     std::unique_ptr<ReaderPin> pin,
                                                     const RootWords& root, const std::string& path,
                                                     const PoolOptions& options) {
  OpenedMedium opened;
  const Superblock& superblock = writer.bytes()->superblock();
  std::memcpy(opened.uuid, superblock.uuid, sizeof opened.uuid);
  opened.secret = superblock.secret;
  opened.format_version = superblock.format_version;
  auto medium = std::make_unique<ReadingMedium>(writer.bytes(), writer.table(), std::move(pin),
                                                writer.incarnation());
  auto generation = std::make_shared<Generation>();
  generation->medium_ = medium.get();
  opened.medium = std::move(medium);
  generation->pool = std::make_shared<PoolImpl>(std::move(opened), path, options);
  generation->root = root;
  HOLDFAST_TRY(generation->take_fold());
  return generation;
}

// The books as of the fold, and the place where its tail begins.
Status Generation::take_fold() {
  pool->fold_.root = root;
  pool->index_.view.active = std::make_shared<Overlay>(Pages::kSmall);
  torn = root.placing != 0;
  HOLDFAST_TRY(pool->health_.blame(FoldRoot::read_block(*pool->medium_, root, &pool->fold_.block)));
  for (const FoldedSegment& s : pool->fold_.block.log)
    pool->log_.segments.add(s.segment, s.sequence, s.live_bytes);
  for (const Segment& s : pool->fold_.block.large) pool->log_.large[s.offset] = s;
  for (const auto& tables : pool->fold_.block.runs) {
    std::vector<TableRef> refs;
    for (const FoldedTable& t : tables)
      refs.push_back({t.segment, t.entries, t.nodes, t.root, t.depth, t.first_key, t.last_key});
    pool->index_.view.runs.push_back(std::make_shared<Run>(*pool->medium_, std::move(refs)));
  }
  std::vector<Segment> held;
  for (const FoldedSegment& s : pool->fold_.block.log) held.push_back(s.segment);
  pool->region_commits_.adopt(pool->fold_.block.regions, &held);
  for (const Segment& s : held) {
    if (s.end() <= pool->medium_->view_end()) continue;
    return pool->health_.blame(
        Status(Code::kCorrupt, "the segment at offset " + std::to_string(s.offset) +
                                   " lies beyond the pool's end; was the file truncated?"));
  }
  reader_ = std::make_unique<LogReader>(*pool->medium_, pool->secret_);
  tail_ = std::make_unique<Tail>(*reader_, pool->fold_.block);
  return pool->health_.blame(tail_->begins_well());
}

Status Generation::read_on(uint64_t limit, TailStretch* found) const {
  found->tail = std::make_unique<Tail>(*tail_);
  return found->tail->walk(
      limit, [&](const FrameView& frame) { found->gather(frame); },
      [&](const Segment& segment, uint64_t sequence) {
        found->linked.emplace_back(segment, sequence);
      });
}

Status Generation::show(TailStretch* found) {
  const uint64_t reached = found->tail->epoch();
  std::lock_guard append(pool->log_.lock);
  std::unique_lock guard(pool->index_.lock);
  for (const auto& [segment, sequence] : found->linked) pool->log_.segments.add(segment, sequence);
  Place before;
  for (const auto& change : found->changes)
    (void)pool->index_.put(change.key, change.place, change.epoch, false, &before);
  pool->region_commits_.allow_torn(std::exchange(torn, false));
  for (const auto& one : found->region_operations) {
    const auto* const at = reinterpret_cast<const uint8_t*>(one.bytes.data());
    pool->region_commits_.apply(view_operation(at, one.form), one.epoch);
  }
  pool->region_commits_.allow_torn(false);
  HOLDFAST_TRY(pool->health_.sound());  // what lay below them was read just now
  tail_ = std::move(found->tail);
  pool->log_.writer.resume(tail_->head(), tail_->sequence(), tail_->position(), false,
                           root.incarnation);
  pool->fold_.root.incarnation = root.incarnation;
  pool->log_.epoch = reached;
  pool->index_.visible_epoch.store(reached, std::memory_order_release);
  pool->barriers_.begin_at(reached);
  if (medium_->pin()) medium_->pin()->at(reached);
  return {};
}

// What is asked through its snapshots afterwards is kClosed.
void Generation::end(PoolImpl& pool) {
  {
    std::unique_lock guard(pool.index_.lock);
    pool.health_.close();
  }
  pool.medium_->close();
}

}  // namespace holdfast
