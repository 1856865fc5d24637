// One 4 KiB node of a table, as it is on the medium: written by NodeWriter, read in place by
// NodeView.
//
//   0      header (24 bytes)
//   24     of a packed leaf: how it is packed (16 bytes)
//          the common prefix of the node's keys, padded to 8 bytes
//          heads     u64 x count   the next 8 key bytes, big-endian order, zero-padded; u32 where
//                                  no key of a packed leaf has more than 4
//          words     places (level 0): u64 x count, or packed (packed_places.h)
//                    u32 x count   child node numbers (level > 0)
//          slots     u16 x count   bits 0..3: 0..8 = the key ends so many bytes after the prefix,
//                                  9 = it has a tail
//                                  bits 4..15: where its tail begins in the heap (ends where the
//                                  next one's begins)
//                    none in a packed leaf whose keys are equally long
//          heap      the tails: what of each key comes after its head
//
// Leaves are written packed. Those of pools before root version 3 are not, and inner nodes are not.
//
// An entry of an inner node is (separator, child): every key below that child is >= the separator,
// every key below the child before it is less. Children have lower numbers than their parent, so a
// walk down always ends.
//
// What is read here may be damaged. open() and every access compare lengths with the node's size,
// so nothing outside the node is ever read, whatever its bytes say; verify() tells whether they
// make sense.
//
// Threads: a view reads only; any number at once. Crash: nodes are written before anything refers
// to them.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "format/place.h"
#include "index/packed_places.h"
#include "index/table.h"

namespace holdfast {

struct NodeHeader {
  uint64_t checksum;  // of the node's other bytes
  uint32_t number;    // in the table: a node that is in another's place is noticed
  uint32_t tag;       // of the table: a node of another table is noticed
  uint16_t count;     // entries, at least 1
  uint16_t prefix_bytes;
  uint16_t heap_bytes;
  uint8_t level;   // 0: a leaf
  uint8_t packed;  // 1: a PackedHeader follows; else 0
};
static_assert(sizeof(NodeHeader) == 24 && alignof(NodeHeader) == 8);

struct PackedHeader {
  uint64_t least_offset;  // of its places, as PlacePacking has them
  uint32_t least_length;
  uint8_t head_bytes;   // 4 or 8
  uint8_t code_bytes;   // of a place
  uint8_t length_bits;  // in it
  uint8_t ends;         // as a slot's bits 0..3, if that is how all keys end; else kEndsDiffer
};
static_assert(sizeof(PackedHeader) == 16 && alignof(PackedHeader) == 8);
constexpr uint8_t kEndsDiffer = 255;

constexpr uint32_t kMaxDepth = 24;  // a node has at least 3 children but for the last of its level
// A whole head is stored wherever the prefix ends.
constexpr size_t kKeyBufferBytes = kMaxKeyBytes + 8;

class NodeView {
 public:
  // False when the header's lengths do not fit a node; the view must not be used then.
  bool open(const uint8_t* node);

  uint32_t number() const { return number_; }
  uint32_t count() const { return count_; }
  uint32_t level() const { return level_; }
  Bytes prefix() const { return bytes_of(prefix_, prefix_bytes_); }

  // `index` < count() in all of these.
  uint64_t head(uint32_t index) const {
    return head_bytes_ == sizeof(uint64_t)
               ? load<uint64_t>(heads_ + index * sizeof(uint64_t))
               : uint64_t{load<uint32_t>(heads_ + index * sizeof(uint32_t))} << 32;
  }
  // Of a leaf.
  Place place(uint32_t index) const {
    const uint64_t eight = load<uint64_t>(words_ + index * word_bytes_);
    return Place::from_word(packing_.unpack(eight & (UINT64_MAX >> (64 - 8 * word_bytes_))));
  }
  uint32_t child(uint32_t index) const { return load<uint32_t>(words_ + index * sizeof(uint32_t)); }

  // Index of the first key >= `key` (count() if there is none). False: the node is malformed.
  bool lower_bound(Bytes key, uint32_t* index, bool* equal) const;

  // Index of the child below which `key` belongs; of an inner node. False: malformed.
  bool child_index(Bytes key, uint32_t* index) const;

  // Copies the key into `to`, of kKeyBufferBytes. 0: malformed (no key is empty).
  size_t copy_key(uint32_t index, char* to) const;

  // Fetches into the cache what a search will touch first.
  static void prefetch(const uint8_t* node);

  // Everything one node can tell: null when it is sound, else why not. `node` has kNodeBytes.
  static const char* verify(const uint8_t* node, uint32_t number, uint32_t level, uint32_t tag);

 private:
  struct Suffix {
    size_t bytes;      // after the prefix, head included
    const char* tail;  // what comes after the head
    size_t tail_bytes() const { return bytes > 8 ? bytes - 8 : 0; }
  };
  bool suffix(uint32_t index, Suffix* suffix) const;
  bool compare(uint32_t index, Bytes rest, int* order) const;
  bool open_packed();
  template <typename Head>
  uint32_t heads_below_here(uint64_t bound) const;
  const char* verify_entries() const;

  const uint8_t* node_;
  const uint8_t* prefix_;
  const uint8_t* heads_;
  const uint8_t* words_;
  const uint8_t* slots_;
  const uint8_t* heap_;
  uint32_t number_;
  uint32_t count_;
  uint32_t prefix_bytes_;
  uint32_t heap_bytes_;
  uint32_t level_;
  uint32_t head_bytes_;
  uint32_t word_bytes_;
  uint32_t ends_;         // kEndsDiffer: slots tell
  PlacePacking packing_;  // of a leaf's places
};

// Collects rising keys until they fill a node, then encodes it. At least three keys of kMaxKeyBytes
// fit.
class NodeWriter {
 public:
  explicit NodeWriter(uint32_t level) : level_(level) {}

  // False, and nothing changed: does not fit. `word` is a place's word or a child's number.
  bool add(Bytes key, uint64_t word);
  // Writes all but tag and checksum (seal_node does) and forgets the entries.
  void encode(uint32_t number, uint8_t* node);

  size_t count() const { return words_.size(); }
  Bytes first_key() const { return key(0); }
  Bytes last_key() const { return key(count() - 1); }

 private:
  // What the size of a node comes from, all but its keys' order.
  struct Shape {
    size_t count = 0, prefix_bytes = 0, heap_bytes = 0;
    size_t shortest = SIZE_MAX, longest = 0;  // key
    PlaceSpan places;                         // of a leaf
  };
  struct Layout;

  Bytes key(size_t index) const {
    return Bytes(keys_).substr(ends_[index] - sizes_[index], sizes_[index]);
  }

  uint32_t level_;
  std::string keys_;            // one after the other
  std::vector<uint32_t> ends_;  // in keys_
  std::vector<uint32_t> sizes_;
  std::vector<uint64_t> words_;
  Shape shape_;
};

// Puts in the tag and the checksum.
void seal_node(uint8_t* node, uint32_t tag);

}  // namespace holdfast
