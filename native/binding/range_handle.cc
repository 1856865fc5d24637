// Entries of a range, packed into three buffers of the caller's, many in one call:
//
//   lengths  [kAllAscii, kTheLast, or both][bytes of `values` used]
//            then, of each entry, [key length][value length]
//   keys     one after the other, without the keyspace's number
//   values   one after the other, each at a multiple of 8 from the first
//
// A value that is longer than the caller wants here, or would not fit, is left out, kElsewhere set
// in its length, and fetched by value(key). That costs a buffer of its own, so packing ends early
// where a value as long as the longest so far might not fit.
//
// Behind the last entries there is nothing left to ask for but values that were left out: without
// such the range lets go of its state at once, whether or not somebody ever comes for the end.
#include <algorithm>

#include "binding/convert.h"
#include "binding/handles.h"

namespace holdfast::binding {

namespace {

constexpr uint32_t kElsewhere =
    0x80000000;                    // with the length beside it; 0 when that does not fit there
constexpr uint32_t kAllAscii = 1;  // all keys
constexpr uint32_t kTheLast = 2;   // these entries are the range's last
constexpr size_t kValueAlign = 8;
constexpr size_t kLengthsBefore = 2;

struct PackingRoom {
  uint8_t* values = nullptr;
  size_t values_size = 0;
  size_t longest_value = 0;  // that is wanted in `values`
  uint8_t* keys = nullptr;
  size_t keys_size = 0;
  uint32_t* lengths = nullptr;
  size_t lengths_count = 0;
};

bool is_ascii(Bytes bytes) {
  uint64_t seen = 0;
  size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) seen |= load<uint64_t>(bytes.data() + at);
  for (; at < bytes.size(); at++) seen |= static_cast<uint8_t>(bytes[at]);
  return (seen & 0x8080808080808080) == 0;
}

// Writes entries and says when there is no certain room for another.
class Packer {
 public:
  Packer(const PackingRoom& room, bool with_values)
      : room_(room), with_values_(with_values), value_room_(room_left()) {}

  bool has_room() const {
    return room_.keys_size - keys_used_ >= kMaxUserKeyBytes &&
           lengths_used_ + 2 <= room_.lengths_count &&
           (!with_values_ ||
            room_.values_size - values_used_ >= std::min(longest_, room_.values_size / 4));
  }

  // Of the next value.
  const ValueRoom& room() const { return value_room_; }

  Status add(Bytes key, const FoundValue& value, Reader& reader) {
    key.remove_prefix(kKeyspacePrefixBytes);
    ascii_ = ascii_ && is_ascii(key);
    std::memcpy(room_.keys + keys_used_, key.data(), key.size());
    keys_used_ += key.size();
    uint32_t* const lengths = room_.lengths + lengths_used_;
    lengths_used_ += 2;
    lengths[0] = static_cast<uint32_t>(key.size());
    lengths[1] = 0;
    if (!with_values_) return Status::ok();
    const bool fits = value.size <= value_room_.bytes;
    lengths[1] = !fits
                     ? kElsewhere | static_cast<uint32_t>(value.size < kElsewhere ? value.size : 0)
                     : static_cast<uint32_t>(value.size);
    if (!fits) {
      all_here_ = false;
      return Status::ok();
    }
    longest_ = std::max<size_t>(longest_, value.size);
    Status copied = reader.copy(value, value_room_.to);
    values_used_ =
        std::min<size_t>(round_up(values_used_ + value.size, kValueAlign), room_.values_size);
    value_room_ = room_left();
    return copied;
  }

  bool all_here() const { return all_here_; }  // no value was left out

  void finish(bool last) {
    room_.lengths[0] = (ascii_ ? kAllAscii : 0) | (last ? kTheLast : 0);
    room_.lengths[1] = static_cast<uint32_t>(values_used_);
  }

 private:
  ValueRoom room_left() const {
    return {room_.values + values_used_,
            std::min(room_.longest_value, room_.values_size - values_used_)};
  }

  const PackingRoom room_;
  const bool with_values_;
  bool ascii_ = true;
  bool all_here_ = true;
  size_t keys_used_ = 0;
  size_t values_used_ = 0;
  ValueRoom value_room_;
  size_t lengths_used_ = kLengthsBefore;
  size_t longest_ = 0;
};

// The buffers of next(); false when one of them is none or too small.
bool packing_room(napi_env env, const napi_value* arguments, bool with_values, PackingRoom* room) {
  if (with_values) {
    const size_t offset = uint32_of(env, arguments[1]);
    if (!uint8_array(env, arguments[0], &room->values, &room->values_size) ||
        offset > room->values_size)
      return false;
    room->values += offset;
    room->values_size -= offset;
    room->longest_value = uint32_of(env, arguments[2]);
  }
  napi_typedarray_type type;
  void* lengths = nullptr;
  if (napi_get_typedarray_info(env, arguments[4], &type, &room->lengths_count, &lengths, nullptr,
                               nullptr) != napi_ok)
    return false;
  room->lengths = static_cast<uint32_t*>(lengths);
  return type == napi_uint32_array && room->lengths_count >= kLengthsBefore + 2 &&
         uint8_array(env, arguments[3], &room->keys, &room->keys_size) &&
         room->keys_size >= kMaxUserKeyBytes;
}

Status ended() {
  return Status(Code::kSnapshotClosed,
                "The range has ended: its pool or its iterator has been closed");
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

// next(values, offset, longestValue, keys, lengths, atMost): number of entries written; 0 at the
// end. Without values the first three are not looked at.
napi_value RangeHandle::next(napi_env env, RangeHandle& self, const napi_value* arguments) {
  if (self.iterator_ == nullptr) {
    return throw_status(env,
                        self.connection_->closed() ? self.connection_->closed_status() : ended());
  }
  PackingRoom room;
  if (!packing_room(env, arguments, self.with_values_, &room)) {
    return throw_status(
        env, Status(Code::kInvalidArgument, "A range needs buffers with room for an entry"));
  }
  Packer packer(room, self.with_values_);
  Status status;
  const auto each = [&](Bytes key, const FoundValue& value, Reader& reader) {
    status = packer.add(key, value, reader);
    return status.is_ok() && packer.has_room();
  };
  Result<uint64_t> given = self.iterator_->next(uint32_of(env, arguments[5]), each, packer.room());
  if (!given.is_ok()) return throw_status(env, given.status());
  if (!status.is_ok()) return throw_status(env, status);
  const bool last = self.iterator_->ended();
  packer.finish(last);
  if (last && packer.all_here()) self.close();
  return number(env, *given);
}

// value(keyspace, key, into, offset): as Pool.get, in the state the range iterates.
napi_value RangeHandle::value(napi_env env, RangeHandle& self, const napi_value* arguments) {
  if (self.iterator_ == nullptr) return throw_status(env, ended());
  KeyBytes key;
  const Status status = key.set(env, uint32_of(env, arguments[0]), arguments[1]);
  if (!status.is_ok()) return throw_status(env, status);
  return read_value(env, *self.connection_, self.snapshot_, key.bytes(), arguments[2],
                    arguments[3]);
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
