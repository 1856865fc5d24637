#include "engine/state/operations.h"

namespace holdfast {

// A damaged index may name any place: one beyond the pool's end is no operation.
bool Operations::is_in_pool(Place place) const {
  const uint64_t end = medium_.view_end();
  return place.offset() < end && place.bytes() <= end - place.offset();
}

bool Operations::read_in_pool(Place place, OperationView* out) const {
  return is_in_pool(place) && read_operation(medium_.view() + place.offset(), place.bytes(), out);
}

Status Operations::read_at(Place place, Bytes key, OperationView* out, ValueRoom room) const {
  if (is_in_pool(place) &&
      read_operation_of(key, medium_.view() + place.offset(), place.bytes(), out, room) &&
      out->bytes == place.bytes())
    return {};
  if (medium_.failed()) return health_.usable();
  return Status(Code::kCorrupt, "the value at offset " + std::to_string(place.offset()) + " of " +
                                    name_ + " is damaged; holdfast check lists all damage");
}

// Whatever is wrong with it is found out by the search that follows.
bool Operations::read_guessed(const PlaceMemory::Guess& guess, Bytes key, FoundValue* found,
                              ValueRoom room) const {
  const uint64_t end = medium_.view_end();
  if (guess.offset >= end) return false;
  expect(guess.offset, uint64_t{guess.lines} * kCacheLineBytes);
  OperationView operation;
  const uint64_t available = std::min(end - guess.offset, Place::kMaxOperationBytes);
  return read_operation_of(key, medium_.view() + guess.offset, available, &operation, room) &&
         found->set(operation, guess.offset);
}

}  // namespace holdfast
