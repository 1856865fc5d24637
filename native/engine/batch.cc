#include "engine/batch.h"

#include "base/checksum.h"

namespace holdfast {

namespace {

Status check_key(Bytes key) {
  if (key.size() <= kKeyspacePrefixBytes) return Status(Code::kKeySize, "the key is empty; a key has at least one byte");
  if (key.size() > kKeyspacePrefixBytes + kMaxUserKeyBytes) {
    return Status(Code::kKeySize, "the key has " + std::to_string(key.size() - kKeyspacePrefixBytes) +
                                      " bytes; the most is " + std::to_string(kMaxUserKeyBytes));
  }
  return {};
}

}  // namespace

Batch::Batch() : impl_(new Impl) {}
Batch::~Batch() = default;
Batch::Batch(Batch&&) noexcept = default;
Batch& Batch::operator=(Batch&&) noexcept = default;

Status Batch::put(Bytes key, Bytes value) {
  HOLDFAST_TRY(check_key(key));
  if (value.size() > kMaxValueBytes) {
    return Status(Code::kValueSize, "the value has " + std::to_string(value.size()) + " bytes; the most is " +
                                        std::to_string(kMaxValueBytes));
  }
  if (value.size() <= kLargeValueBytes) {
    impl_->record.add(OperationType::kPut, key, value);
    return {};
  }
  impl_->large.push_back({impl_->record.count(), {std::string(key), std::string(value)}});
  impl_->large_bytes += value.size();
  return {};
}

Status Batch::remove(Bytes key) {
  HOLDFAST_TRY(check_key(key));
  impl_->record.add(OperationType::kDelete, key, {});
  return {};
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
  impl_->conditions.push_back({ConditionKind::kEqual, std::string(key), std::string(value)});
  return {};
}

void Batch::clear() {
  impl_->record.clear();
  impl_->conditions.clear();
  impl_->large.clear();
  impl_->large_bytes = 0;
}

size_t Batch::operations() const { return impl_->record.count() + impl_->large.size(); }
uint64_t Batch::digest() const {
  const RecordBuffer& record = impl_->record;
  uint64_t digest = record.bytes() == 0 ? 0 : checksum(record.operations(), record.bytes());
  for (const Impl::Large& large : impl_->large) {
    const uint64_t parts[4] = {digest, large.at, checksum(large.value.key.data(), large.value.key.size()),
                               checksum(large.value.bytes.data(), large.value.bytes.size())};
    digest = checksum(parts, sizeof parts);
  }
  return digest;
}

uint64_t Batch::bytes() const { return impl_->record.bytes() + impl_->large_bytes; }

}  // namespace holdfast
