// The operations of one record while they are gathered, already in the form they have on the
// medium. Room for the frame's header is kept in front, so that a record which fits into the
// segment is appended from here without being copied again.
//
// The newest operation gets its checksum late, from seal(), unless it is short: whoever appends to
// persistent memory has most of its bytes on their way by then, and what was just copied in pieces
// of its own can be read in others without waiting. Until then it must not be looked at by whoever
// reads checksums. One owner, one thread.
#pragma once

#include <cstdint>
#include <cstdlib>

#include "format/record.h"

namespace holdfast {

class RecordBuffer {
 public:
  RecordBuffer() = default;
  ~RecordBuffer() { std::free(data_); }
  RecordBuffer(RecordBuffer&& other) noexcept { swap(other); }
  RecordBuffer& operator=(RecordBuffer&& other) noexcept {
    swap(other);
    return *this;
  }

  // False: there is no memory for one more operation, and nothing has changed. For what users give,
  // which may be as long as they like.
  bool try_add(OperationType type, Bytes key, Bytes value) {
    const uint64_t bytes = operation_bytes(key.size(), value.size());
    if (!make_room(bytes)) return false;
    seal();
    encode_operation(operations() + used_, type, key, value);
    used_ += bytes;
    count_++;
    if (bytes < kSealedLate) seal();
    return true;
  }
  void add(OperationType type, Bytes key, Bytes value) {
    if (!try_add(type, key, value)) std::abort();  // nothing durable was touched
  }
  // An operation that is already in its final form (the cleaner's).
  void add_encoded(const uint8_t* operation, uint64_t bytes) {
    if (!make_room(bytes)) std::abort();
    seal();
    std::memcpy(operations() + used_, operation, bytes);
    used_ += bytes;
    rolled_ = roll(rolled_, load<uint32_t>(operation));
    sealed_ = used_;
    count_++;
  }
  // All operations have their checksums then.
  void seal() {
    if (sealed_ == used_) return;
    uint8_t* const at = operations() + sealed_;
    const uint32_t sum = operation_checksum(at);
    store(at, sum);
    rolled_ = roll(rolled_, sum);
    sealed_ = used_;
  }
  // Bytes of the frame that the header or a checksum are still to be written into: from there on,
  // whole lines, it stays as it is. The frame is padded.
  uint64_t open_bytes() const {
    return sealed_ == used_
               ? frame_bytes(used_)
               : round_up(sizeof(FrameHeader) + sealed_ + sizeof(uint32_t), kFrameAlign);
  }
  // Other bytes of the same length in the value of the operation at `offset`; reroll() once all are
  // in.
  void patch_value(uint64_t offset, const void* bytes, size_t size) {
    uint8_t* at = operations() + offset;
    const OperationHead head = operation_head(at);
    std::memcpy(at + head.head_bytes + head.key_bytes, bytes, size);
    store(at, operation_checksum(at));
  }
  void reroll() {
    seal();
    rolled_ = 0;
    for (uint64_t at = 0; at < used_;) {
      rolled_ = roll(rolled_, load<uint32_t>(operations() + at));
      at += operation_head(operations() + at).bytes();
    }
  }
  void clear() {
    used_ = sealed_ = 0;
    count_ = 0;
    rolled_ = 0;
    if (capacity_ > kKeep) {
      std::free(data_);
      data_ = nullptr;
      capacity_ = 0;
    }
  }

  // Of the longest operation. Walks them all: for records that do not fit into one frame.
  uint64_t longest() const {
    uint64_t most = 0;
    for (uint64_t at = 0; at < used_;) {
      const uint64_t bytes = operation_head(operations() + at).bytes();
      most = bytes > most ? bytes : most;
      at += bytes;
    }
    return most;
  }

  uint32_t count() const { return count_; }
  uint64_t bytes() const { return used_; }     // of operations
  uint64_t rolled() const { return rolled_; }  // sealed
  uint8_t* frame() {
    return data_;
  }  // header room, then operations; padded to kFrameAlign by pad()
  uint8_t* operations() { return data_ + sizeof(FrameHeader); }
  const uint8_t* operations() const { return data_ + sizeof(FrameHeader); }

  static uint64_t frame_bytes(uint64_t operations_bytes) {
    return round_up(sizeof(FrameHeader) + operations_bytes, kFrameAlign);
  }
  // Zeros the tail up to the frame's full length, and a little beyond: so many bytes at any time
  // are no call (make_room() leaves room for them).
  void pad() { std::memset(data_ + sizeof(FrameHeader) + used_, 0, kFrameAlign); }

 private:
  static constexpr uint64_t kKeep = kMiB;
  static constexpr uint64_t kSealedLate = 256;

  bool make_room(uint64_t bytes) {
    const uint64_t needed = sizeof(FrameHeader) + used_ + bytes + kFrameAlign;
    if (needed <= capacity_) return true;
    const uint64_t capacity = round_up(needed + needed / 2, 512);
    void* const data = std::realloc(data_, capacity);
    if (data == nullptr) return false;
    data_ = static_cast<uint8_t*>(data);
    capacity_ = capacity;
    return true;
  }
  void swap(RecordBuffer& other) {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    std::swap(used_, other.used_);
    std::swap(sealed_, other.sealed_);
    std::swap(count_, other.count_);
    std::swap(rolled_, other.rolled_);
  }

  uint8_t* data_ = nullptr;
  uint64_t capacity_ = 0, used_ = 0;
  uint64_t sealed_ = 0;  // of them, up to the newest operation or with it
  uint32_t count_ = 0;
  uint64_t rolled_ = 0;
};

template <typename Each>
void for_each_key(const RecordBuffer& record, Each&& each) {
  for (uint64_t at = 0; at < record.bytes();) {
    const uint8_t* const operation = record.operations() + at;
    const OperationHead head = operation_head(operation);
    each(bytes_of(operation + head.head_bytes, head.key_bytes));
    at += head.bytes();
  }
}

}  // namespace holdfast
