// The durable part of the index. A table is one immutable sorted map (key -> place) in one index
// segment; a run is a sequence of tables with disjoint, rising key ranges, written by one fold or
// one compaction and released whole.
//
// On the medium (all little-endian, described in docs/format.md): page 0 of the segment is the
// table's header, then 4 KiB nodes: leaves first, in key order, then each inner level, the root
// last. A node holds the common prefix of its keys once, then for each entry the next 8 key bytes
// as a big-endian word (so that a search is a scan over words), the rest of the key, and its place
// (leaf) or child node number (inner). Every node has its own checksum.
//
// Damage: a node is checked when it is first touched after opening, and every length and offset in
// it is bounds-checked, so a damaged table gives kCorrupt naming the node, never a crash or a wild
// read.
//
// Threads: tables and runs are immutable; any number of threads may read. A builder belongs to one
// thread. A crash in the middle of building leaves bytes in a segment that nothing refers to.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "index/place_memory.h"
#include "index/source.h"
#include "medium/medium.h"

namespace holdfast {

constexpr size_t kMaxKeyBytes =
    1024 + 4;  // as the index sees it: 4 bytes of keyspace, then the user's key
constexpr size_t kNodeBytes = 4096;

// What a fold remembers of a table. Everything needed to read it without touching it first.
struct TableRef {
  Segment segment;
  uint64_t entries = 0;
  uint32_t nodes = 0;  // including page 0
  uint32_t root = 0;   // node number
  uint32_t depth = 0;  // levels; 1 = the root is a leaf
  std::string first_key;
  std::string last_key;
};

class Run {
 public:
  // `tables` in key order. Nothing is read yet. `memories`: where what its searches find is
  // remembered, and outlives it; null: nowhere.
  Run(const Medium& medium, std::vector<TableRef> tables, PlaceMemories* memories = nullptr);
  ~Run();

  Result<std::optional<Place>> find(
      Bytes key) const;  // deleted() is a find: older runs must not be asked
  // See place_memory.h, for what a guess is and what may be remembered.
  PlaceMemory::Guess guess(uint64_t hash) const;
  void expect_guess(uint64_t hash) const;  // fetches into the cache what guess() will look at
  void remember(uint64_t hash, Place place) const;
  std::unique_ptr<Cursor> cursor() const;
  const std::vector<TableRef>& tables() const;
  uint64_t entries() const;
  uint64_t bytes() const;  // of segments
  // Reads every node: checksums, order, fences, counts. Adds a line per damage.
  Status check(const std::function<bool(const std::string& damage)>& report) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Writes a run from entries in strictly rising key order. Allocates index segments of about
// `table_bytes` as it goes. No barrier is raised: the fold does that once. If anything fails,
// abandon() gives the segments back.
class RunBuilder {
 public:
  RunBuilder(Medium& medium, uint64_t table_bytes);
  ~RunBuilder();
  Status add(Bytes key, Place place);
  Result<std::vector<TableRef>> finish();
  // For who takes a run table by table: ends the table in the making; what is finished so far and
  // not yet handed over; takes that out, and abandon() leaves it alone from then on.
  Status cut();
  const std::vector<TableRef>& finished() const;
  std::vector<TableRef> hand_over();
  uint64_t bytes_in_the_making() const;
  void abandon();
  uint64_t bytes_written() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace holdfast
