// Reads one table in place. Internal to index/: Run, its cursor and its check are made of these.
//
// A node is verified (checksum, structure, its place in the table) when it is first touched; which
// ones have been is kept in a bitmap in memory. Afterwards only lengths are compared, which keeps
// every read inside the node whatever it holds.
//
// Threads: any number at once; the bitmap is atomic, and two threads may verify the same node at
// the same time.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>

#include "index/node.h"

namespace holdfast {

// Page 0 of a table's segment; zeros to the end of the page. Written last.
struct TableHeader {
  static constexpr uint64_t kMagic = 0x31454c4241544648;  // "HFTABLE1"
  static constexpr uint32_t kVersion = 2;                 // 1: none of its leaves is packed

  uint64_t checksum;  // of the page's other bytes
  uint64_t magic;
  uint32_t version;
  uint32_t tag;     // made from the table's content and place; every node of the table carries it
  uint64_t offset;  // of the segment in the pool
  uint64_t entries;
  uint32_t nodes;   // including this page
  uint32_t leaves;  // nodes 1..leaves
  uint32_t root;    // always nodes - 1
  uint32_t depth;
};
static_assert(sizeof(TableHeader) == 56 && alignof(TableHeader) == 8);

class TableReader {
 public:
  TableReader(const Medium& medium, const TableRef& ref);

  Result<std::optional<Place>> find(Bytes key) const;

  // The leaf where `key` belongs, and the index there of the first key >= `key`; it may be the
  // leaf's count, and then the next leaf's first entry is meant.
  Status locate(Bytes key, uint32_t* leaf, NodeView* view, uint32_t* index, bool* equal) const;
  Status last_leaf(uint32_t* leaf, NodeView* view) const;
  // 1 <= `number` <= leaves().
  Status open_leaf(uint32_t number, NodeView* view) const;
  uint64_t offset_of(uint32_t number) const {
    return ref_->segment.offset + uint64_t{number} * kNodeBytes;
  }
  // As page 0 says; only after a node was opened or verify_header() said yes.
  uint32_t leaves() const { return std::min(header().leaves, nodes_ - 1); }

  // Fresh verification of page 0 and of one node, for check(). Null: sound.
  const char* verify_header() const;
  const char* verify_node(uint32_t number, uint32_t level, NodeView* view) const;

  Status corrupt(uint32_t number, const char* why) const;
  std::string describe(uint32_t number, const char* why) const;
  const TableRef& ref() const { return *ref_; }

 private:
  const uint8_t* node(uint32_t number) const { return base_ + uint64_t{number} * kNodeBytes; }
  TableHeader header() const { return load<TableHeader>(base_); }
  Status open_node(uint32_t number, uint32_t level, NodeView* view) const;
  Status first_touch(uint32_t number, uint32_t level) const;
  const char* wrong_reference(const Medium& medium) const;

  const TableRef* ref_;
  const uint8_t* base_ = nullptr;
  uint32_t nodes_;
  uint32_t root_;
  uint32_t depth_;
  const char* unusable_;  // why nothing of the table may be read; null: it may
  std::unique_ptr<std::atomic<uint64_t>[]> verified_;
};

}  // namespace holdfast
