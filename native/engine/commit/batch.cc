#include "engine/commit/batch.h"

#include <algorithm>
#include <new>

#include "base/checksum.h"
#include "format/region.h"

namespace holdfast {

namespace {

static_assert(kLeastKeyBytes == kKeyspacePrefixBytes + 1 &&
              kMostKeyBytes == kKeyspacePrefixBytes + kMaxUserKeyBytes);

Status check_key(Bytes key) {
  if (key.size() <= kKeyspacePrefixBytes)
    return Status(Code::kKeySize, "the key is empty; a key has at least one byte");
  if (key.size() > kKeyspacePrefixBytes + kMaxUserKeyBytes) {
    return Status(Code::kKeySize, "the key has " +
                                      std::to_string(key.size() - kKeyspacePrefixBytes) +
                                      " bytes; the most is " + std::to_string(kMaxUserKeyBytes));
  }
  return {};
}

Status no_memory(uint64_t bytes) {
  return Status(Code::kNoMemory, "there is no memory for a value of " + std::to_string(bytes) +
                                     " bytes, or for the batch that it is to be part of");
}

Status add(RecordBuffer* record, OperationType type, Bytes key, Bytes value) {
  return record->try_add(type, key, value) ? Status() : no_memory(value.size());
}

Status check_cell(uint64_t offset) {
  if (offset % 8 == 0) return {};
  return Status(
      Code::kInvalidArgument,
      "a cell of 64 bits begins at a multiple of 8, not at offset " + std::to_string(offset));
}

// As RecordBuffer: the memory of what was unusually long is not kept.
template <typename T>
void empty(std::vector<T>* list) {
  constexpr size_t kKeptBytes = 16 * kKiB;
  list->clear();
  if (list->capacity() * sizeof(T) > kKeptBytes) list->shrink_to_fit();
}

}  // namespace

Status UserBytes::set(Bytes from) {
  data_.reset(new (std::nothrow) char[from.size()]);
  if (!data_) return no_memory(from.size());
  std::copy(from.begin(), from.end(), data_.get());
  size_ = from.size();
  return {};
}

Batch::Batch() : impl_(new Impl) {}
Batch::~Batch() = default;
Batch::Batch(Batch&&) noexcept = default;
Batch& Batch::operator=(Batch&&) noexcept = default;

Status Batch::put(Bytes key, Bytes value) {
  HOLDFAST_TRY(check_key(key));
  if (value.size() > kMaxValueBytes) {
    return Status(Code::kValueSize, "the value has " + std::to_string(value.size()) +
                                        " bytes; the most is " + std::to_string(kMaxValueBytes));
  }
  if (value.size() <= kLargeValueBytes) return add(&impl_->record, OperationType::kPut, key, value);
  UserBytes copied;
  HOLDFAST_TRY(copied.set(value));
  impl_->large_bytes += value.size();
  impl_->large.push_back({impl_->record.count(), std::string(key), std::move(copied)});
  return {};
}

Status Batch::remove(Bytes key) {
  HOLDFAST_TRY(check_key(key));
  return add(&impl_->record, OperationType::kDelete, key, {});
}

Status Batch::require_absent(Bytes key) {
  HOLDFAST_TRY(check_key(key));
  impl_->conditions.push_back({ConditionKind::kAbsent, std::string(key), {}});
  return {};
}

Status Batch::require_present(Bytes key) {
  HOLDFAST_TRY(check_key(key));
  impl_->conditions.push_back({ConditionKind::kPresent, std::string(key), {}});
  return {};
}

Status Batch::require_equal(Bytes key, Bytes value) {
  HOLDFAST_TRY(check_key(key));
  UserBytes copied;
  HOLDFAST_TRY(copied.set(value));
  impl_->conditions.push_back({ConditionKind::kEqual, std::string(key), std::move(copied)});
  return {};
}

Status Batch::region_size(uint32_t region, uint64_t size, Bytes name) {
  if (size > kMaxRegionBytes) {
    return Status(Code::kOutOfRange, "a region has at most " + std::to_string(kMaxRegionBytes) +
                                         " bytes, not " + std::to_string(size));
  }
  char key[kRegionKeyBytes];
  encode_region_key(key, region, size);
  HOLDFAST_TRY(add(&impl_->record, OperationType::kRegionSize, Bytes(key, sizeof key), name));
  impl_->region_sizes++;
  return {};
}

Status Batch::region_write(uint32_t region, uint64_t offset, Bytes bytes) {
  if (offset > kMaxRegionBytes || bytes.size() > kMaxRegionBytes - offset) {
    return Status(Code::kOutOfRange,
                  "offset " + std::to_string(offset) + " is beyond the end of any region");
  }
  char key[kRegionKeyBytes];
  while (!bytes.empty()) {
    const Bytes piece = bytes.substr(0, kRegionPieceBytes - offset % kRegionPieceBytes);
    encode_region_key(key, region, offset);
    HOLDFAST_TRY(add(&impl_->record, OperationType::kRegionWrite, Bytes(key, sizeof key), piece));
    impl_->region_writes++;
    offset += piece.size();
    bytes.remove_prefix(piece.size());
  }
  return {};
}

Status Batch::region_add(uint32_t region, uint64_t offset, uint64_t delta) {
  HOLDFAST_TRY(check_cell(offset));
  if (!impl_->sums) impl_->sums = std::make_shared<std::vector<uint64_t>>();
  impl_->adds.push_back({impl_->region_writes, delta});
  impl_->sums->push_back(0);
  return region_write(region, offset, bytes_of(&delta, sizeof delta));
}

Status Batch::require_cell(uint32_t region, uint64_t offset, uint64_t expected) {
  HOLDFAST_TRY(check_cell(offset));
  impl_->region_conditions.push_back({region, offset, expected});
  return {};
}

std::shared_ptr<const std::vector<uint64_t>> Batch::sums() const { return impl_->sums; }

void Batch::clear() {
  impl_->record.clear();
  if (impl_->is_plain()) return;
  empty(&impl_->conditions);
  empty(&impl_->large);
  impl_->large_bytes = 0;
  impl_->region_writes = impl_->region_sizes = 0;
  empty(&impl_->region_conditions);
  empty(&impl_->adds);
  impl_->sums.reset();
}

size_t Batch::operations() const { return impl_->record.count() + impl_->large.size(); }
uint64_t Batch::digest() const {
  RecordBuffer& record = impl_->record;
  record.seal();
  uint64_t digest = record.bytes() == 0 ? 0 : checksum(record.operations(), record.bytes());
  for (const Impl::Large& large : impl_->large) {
    const Bytes value = large.value.bytes();
    const uint64_t parts[4] = {digest, large.at, checksum(large.key.data(), large.key.size()),
                               checksum(value.data(), value.size())};
    digest = checksum(parts, sizeof parts);
  }
  return digest;
}

uint64_t Batch::bytes() const { return impl_->record.bytes() + impl_->large_bytes; }

}  // namespace holdfast
