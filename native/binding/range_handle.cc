// Entries of a range, packed into a buffer of the caller's, many in one call:
//
//   [key length u32][value length u32][key][value] …
//
// A value that would not fit is left out, kElsewhere set in its length, and fetched by value(key). That costs a buffer of its own, so
// packing ends early where a value as long as the longest so far might not fit. Lengths are little-endian. Keys come without
// the keyspace's number.
#include <algorithm>

#include "binding/convert.h"
#include "binding/handles.h"

namespace holdfast::binding {

namespace {

constexpr uint32_t kElsewhere = 0x80000000;  // with the length beside it; 0 when that does not fit there
constexpr size_t kEntryHeaderBytes = 8;
// What any next entry needs at least: its header, its key, and no value.
constexpr size_t kEntryRoom = kEntryHeaderBytes + kMaxUserKeyBytes;

// Writes entries into a buffer and says when there is no certain room for another.
class Packer {
 public:
  Packer(uint8_t* to, size_t size, bool with_values) : to_(to), size_(size), with_values_(with_values) {}

  bool has_room() const { return size_ - used_ >= kEntryRoom + std::min(longest_, size_ / 4); }
  size_t used() const { return used_; }

  Status add(Bytes key, const FoundValue& value, Reader& reader) {
    key.remove_prefix(kKeyspacePrefixBytes);
    uint8_t* entry = to_ + used_;
    const size_t room = size_ - used_ - kEntryHeaderBytes - key.size();
    const bool fits = value.size <= room;
    store(entry, static_cast<uint32_t>(key.size()));
    const auto length = static_cast<uint32_t>(value.size);
    const uint32_t left_out = kElsewhere | (value.size < kElsewhere ? length : 0);
    store(entry + 4, !with_values_ ? 0 : fits ? length : left_out);
    std::memcpy(entry + kEntryHeaderBytes, key.data(), key.size());
    used_ += kEntryHeaderBytes + key.size();
    if (!with_values_ || !fits) return Status::ok();
    longest_ = std::max<size_t>(longest_, value.size);
    Status copied = reader.copy(value, to_ + used_);
    used_ += value.size;
    return copied;
  }

 private:
  uint8_t* to_;
  size_t size_;
  bool with_values_;
  size_t used_ = 0;
  size_t longest_ = 0;
};

Status ended() {
  return Status(Code::kSnapshotClosed, "The range has ended: its pool or its iterator has been closed");
}

}  // namespace

RangeHandle::RangeHandle(std::shared_ptr<Connection> connection, SnapshotPtr snapshot,
                         std::unique_ptr<RangeIterator> iterator, bool with_values)
    : connection_(std::move(connection)),
      snapshot_(std::move(snapshot)),
      iterator_(std::move(iterator)),
      with_values_(with_values) {
  connection_->pin(this);
}

RangeHandle::~RangeHandle() { close(); }

void RangeHandle::drop() {
  iterator_.reset();
  snapshot_.reset();
}

void RangeHandle::close() {
  if (iterator_ == nullptr) return;
  connection_->unpin(this);
  drop();
}

// next(buffer, atMost): number of entries written; 0 at the end.
napi_value RangeHandle::next(napi_env env, RangeHandle& self, const napi_value* arguments) {
  if (self.iterator_ == nullptr) {
    return throw_status(env, self.connection_->closed() ? self.connection_->closed_status() : ended());
  }
  uint8_t* data = nullptr;
  size_t size = 0;
  if (!uint8_array(env, arguments[0], &data, &size) || size < kEntryRoom) {
    return throw_status(env, Status(Code::kInvalidArgument, "A range needs a buffer of more than one key's size"));
  }
  Packer packer(data, size, self.with_values_);
  Status status;
  const auto each = [&](Bytes key, const FoundValue& value, Reader& reader) {
    status = packer.add(key, value, reader);
    return status.is_ok() && packer.has_room();
  };
  Result<uint64_t> given = self.iterator_->next(uint32_of(env, arguments[1]), each);
  if (!given.is_ok()) return throw_status(env, given.status());
  if (!status.is_ok()) return throw_status(env, status);
  return number(env, static_cast<double>(*given));
}

// value(keyspace, key, into, offset): as Pool.get, in the state the range iterates.
napi_value RangeHandle::value(napi_env env, RangeHandle& self, const napi_value* arguments) {
  if (self.iterator_ == nullptr) return throw_status(env, ended());
  KeyBytes key;
  const Status status = key.set(env, uint32_of(env, arguments[0]), arguments[1]);
  if (!status.is_ok()) return throw_status(env, status);
  return read_value(env, *self.connection_, self.snapshot_, key.bytes(), arguments[2], arguments[3]);
}

napi_value RangeHandle::close_method(napi_env, RangeHandle& self, const napi_value*) {
  self.close();
  return nullptr;
}

void RangeHandle::define(napi_env env, Environment& environment) {
  const napi_property_descriptor methods[] = {
      raw_method("next", method<RangeHandle, &RangeHandle::next>),
      raw_method("value", method<RangeHandle, &RangeHandle::value>),
      raw_method("close", method<RangeHandle, &RangeHandle::close_method>),
  };
  environment.range_class = define_class(env, "NativeRange", bare_constructor, methods);
}

}  // namespace holdfast::binding
