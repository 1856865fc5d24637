// One 4 KiB node of a table, as it is on the medium: written by NodeWriter, read in place by
// NodeView.
//
//   0      header (24 bytes)
//   24     the common prefix of the node's keys, padded to 8 bytes
//          heads     u64 x count   the next 8 key bytes, big-endian order, zero-padded
//          words     u64 x count   places (level 0)
//                    u32 x count   child node numbers (level > 0)
//          slots     u16 x count   bits 0..3: 0..8 = the key ends so many bytes after the prefix,
//                                  9 = it has a tail
//                                  bits 4..15: where its tail begins in the heap (ends where the
//                                  next one's begins)
//          heap      the tails: what of each key comes after its head
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
#include "index/table.h"

namespace holdfast {

struct NodeHeader {
  uint64_t checksum;  // of the node's other bytes
  uint32_t number;    // in the table: a node that is in another's place is noticed
  uint32_t tag;       // of the table: a node of another table is noticed
  uint16_t count;     // entries, at least 1
  uint16_t prefix_bytes;
  uint16_t heap_bytes;
  uint8_t level;     // 0: a leaf
  uint8_t reserved;  // 0
};
static_assert(sizeof(NodeHeader) == 24 && alignof(NodeHeader) == 8);

constexpr size_t kNodeSpace = kNodeBytes - sizeof(NodeHeader);
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
  Bytes prefix() const { return bytes_of(node_ + sizeof(NodeHeader), prefix_bytes_); }

  // `index` < count() in all of these.
  uint64_t head(uint32_t index) const { return load<uint64_t>(heads_ + index * sizeof(uint64_t)); }
  Place place(uint32_t index) const {
    return Place::from_word(load<uint64_t>(words_ + index * sizeof(uint64_t)));
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
  uint32_t heads_below_here(uint64_t head) const;
  const char* verify_entries() const;

  const uint8_t* node_;
  const uint8_t* heads_;
  const uint8_t* words_;
  const uint8_t* slots_;
  const uint8_t* heap_;
  uint32_t number_;
  uint32_t count_;
  uint32_t prefix_bytes_;
  uint32_t heap_bytes_;
  uint32_t level_;
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
  size_t entry_bytes() const { return level_ == 0 ? 18 : 14; }
  Bytes key(size_t index) const {
    return Bytes(keys_).substr(ends_[index] - sizes_[index], sizes_[index]);
  }

  uint32_t level_;
  std::string keys_;            // one after the other
  std::vector<uint32_t> ends_;  // in keys_
  std::vector<uint32_t> sizes_;
  std::vector<uint64_t> words_;
  size_t prefix_bytes_ = 0;
  size_t heap_bytes_ = 0;
};

// Puts in the tag and the checksum.
void seal_node(uint8_t* node, uint32_t tag);

}  // namespace holdfast
