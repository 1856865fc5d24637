// Values with segments of their own. They are written before the record that names them is
// appended, outside the append lock: other commits go on meanwhile. Where a barrier is a fence, and
// where they are long, they have one of their own; else the record's is theirs too, a sync less,
// and replay takes a record that nothing proves durable only with its values whole.
//
// What a crash leaves before the record: segments that nothing refers to, which are free at the
// next open.

#include "base/test_hooks.h"
#include "base/test_points.h"
#include "engine/pool/pool_impl.h"
#include "engine/read/large_chunks.h"
#include "medium/write_behind.h"

namespace holdfast {

Result<Segment> PoolImpl::take_large_segment(uint64_t want) {
  HOLDFAST_TRY(room_.make_ready_beside_reserve(
      want, "for " + std::to_string(want) + " bytes of a large value"));
  return medium_->allocate(SegmentKind::kLarge, std::min<uint64_t>(want, kMiB), want);
}

Result<LargeValue> PoolImpl::write_large(Bytes bytes, std::vector<Segment>* taken) {
  LargeValue value;
  value.size = bytes.size();
  WriteBehind behind(*medium_);
  const bool own_barrier = !LargeValue::share_barrier(medium_->info(), bytes.size());
  uint64_t done = 0;
  while (done < bytes.size()) {
    const uint64_t want = bytes.size() - done;
    auto segment = take_large_segment(want);
    if (!segment.is_ok()) return std::move(segment.status());
    taken->push_back(*segment);
    LargePiece piece{*segment, std::min(segment->bytes, want), 0};
    for (uint64_t at = 0; at < piece.used; at += LargeValue::kChunk) {
      const uint64_t size = std::min(LargeValue::kChunk, piece.used - at);
      const char* chunk = bytes.data() + done + at;
      piece.checksum = roll(piece.checksum, checksum(chunk, size));
      Status placed = medium_->append(segment->offset + at, chunk, size);
      if (placed.is_ok() && own_barrier) placed = behind.comes_behind(segment->offset + at, size);
      if (!placed.is_ok()) return health_.fail(std::move(placed));
    }
    done += piece.used;
    value.pieces.push_back(piece);
  }
  return value;
}

Status PoolImpl::place_large(const Batch::Impl& batch, RecordBuffer* record,
                             std::vector<Segment>* taken) {
  uint64_t at = 0;
  auto next_large = batch.large.begin();
  for (uint32_t i = 0; i <= batch.record.count(); i++) {
    for (; next_large != batch.large.end() && next_large->at == i; ++next_large) {
      auto value = write_large(next_large->value.bytes(), taken);
      if (!value.is_ok()) return std::move(value.status());
      record->add(OperationType::kPutLarge, next_large->key, value->encode());
    }
    if (i == batch.record.count()) break;
    const uint8_t* operation = batch.record.operations() + at;
    const uint64_t bytes = operation_head(operation).bytes();
    record->add_encoded(operation, bytes);
    at += bytes;
  }
  HOLDFAST_POINT("large.before_barrier");
  const bool shared = LargeValue::share_barrier(medium_->info(), batch.large_bytes);
  Status done = shared || planted(PlantedBug::kLargeBarrierLeftOut) ? Status() : medium_->barrier();
  reach(TestPoint::kLargePlaced);
  return done.is_ok() ? Status() : health_.fail(std::move(done));
}

Result<Receipt> PoolImpl::commit_large(const Batch::Impl& batch, CommitMode mode, bool queued) {
  return with_space(batch, queued, [&]() -> Result<Receipt> {
    RecordBuffer record;
    std::vector<Segment> taken;
    Status placed = place_large(batch, &record, &taken);
    if (placed.is_ok()) {
      auto receipt = commit_once(batch, &record, mode, queued);
      if (receipt.is_ok()) return receipt;
      placed = std::move(receipt.status());
    }
    // Nothing refers to the segments, unless the record's fate is unknown: then they stay held
    // until the pool is opened again.
    if (!health_.has_failed()) {
      for (const Segment& segment : taken) medium_->release(segment);
    }
    return placed;
  });
}

Status PoolImpl::copy_large(Bytes description, uint64_t expected, uint8_t* to) const {
  const auto value = LargeValue::decode(description);
  if (!value || value->size != expected)
    return Status(Code::kCorrupt, "a large value's description is damaged");
  for (const LargePiece& piece : value->pieces) {
    if (piece.segment.end() > medium_->view_end()) {
      return Status(Code::kCorrupt, "a large value's segment at offset " +
                                        std::to_string(piece.segment.offset) +
                                        " lies beyond the pool's end");
    }
    uint64_t rolled = 0;
    for (uint64_t at = 0; at < piece.used; at += LargeValue::kChunk) {
      const uint64_t size = std::min(LargeValue::kChunk, piece.used - at);
      medium_->expect_reads(piece.segment.offset + at, 2 * LargeValue::kChunk);
      std::memcpy(to, medium_->view() + piece.segment.offset + at, size);
      rolled = roll(rolled, checksum(to, size));
      to += size;
    }
    if (rolled != piece.checksum) {
      return Status(Code::kCorrupt, "a large value's bytes at offset " +
                                        std::to_string(piece.segment.offset) + " are damaged");
    }
  }
  return {};
}

// A part at a time: nobody has memory for two of them.
Result<bool> PoolImpl::large_equals(Bytes description, Bytes expected) const {
  const auto value = LargeValue::decode(description);
  if (!value) return Status(Code::kCorrupt, "a large value's description is damaged");
  if (value->size != expected.size()) return false;
  LargeChunks chunks(*medium_, health_, std::string(description));
  bool same = true;
  while (true) {
    auto more = chunks.next([&](const uint8_t* bytes, size_t size) {
      same = same && std::memcmp(bytes, expected.data(), size) == 0;
      expected.remove_prefix(size);
    });
    if (!more.is_ok()) return std::move(more.status());
    if (!*more) return same;
  }
}

// ── for who brings the bytes himself (large_writer.h)

Status PoolImpl::append_large(uint64_t offset, const char* bytes, size_t size) {
  Status placed = medium_->append(offset, bytes, size);
  return placed.is_ok() ? Status() : health_.fail(std::move(placed));
}

// The value's bytes have been placed: a barrier, and then the record that names them.
Status PoolImpl::commit_placed(Bytes key, const LargeValue& value) {
  Status done = medium_->barrier();
  if (!done.is_ok()) return health_.fail(std::move(done));
  const Batch::Impl none;
  RecordBuffer record;
  record.add(OperationType::kPutLarge, key, value.encode());
  maintenance_.throttle(record);
  return std::move(with_space(none, false, [&] {
                     return commit_once(none, &record, CommitMode::kEventual);
                   }).status());
}

}  // namespace holdfast
