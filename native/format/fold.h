// What a fold leaves on the medium: one block that says where everything is as of an epoch, and the
// root that names the block.
//
// The block is written into a segment of its own and is behind a barrier before the root is set.
// The root changes all at once (medium/medium.h), so after a crash there is the old fold or the new
// one, and both are whole: nothing the old one refers to is released before the new root is
// durable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "medium/medium.h"

namespace holdfast {

// The newest that this build reads; a pool that it opens for writing has it from then on. 1: no
// regions, whose records such builds would take for a torn tail. 2: no packed leaves.
constexpr uint32_t kRootVersion = 3;

struct RootWords {
  uint32_t version = kRootVersion;
  uint32_t incarnation = 0;  // 0: the pool has never been opened
  Segment fold;              // where the block is
  uint64_t fold_bytes = 0;
  uint64_t fold_checksum = 0;
  uint64_t clean = 0;  // 1: closed in order, the log has no tail
  uint64_t placing =
      0;  // 1: a fold is writing blocks of regions in place; those that the tail names may be torn

  Root to_root() const;
  static RootWords from_root(const Root& root);
};

struct FoldedSegment {
  Segment segment;
  uint64_t sequence = 0;
  uint64_t live_bytes = 0;
};

struct FoldedTable {
  Segment segment;
  uint64_t entries = 0;
  uint32_t nodes = 0, root = 0, depth = 0;
  std::string first_key, last_key;
};

struct FoldedExtent {
  uint64_t number = 0;
  Segment segment;
};

struct FoldedRegion {
  uint32_t region = 0;
  uint64_t size = 0;
  std::string name;
  std::vector<FoldedExtent> extents;  // numbers rising
};

// A large value's segment that nothing current refers to any more, kept for readers of the log
// (engine/state/retention.h).
struct KeptSegment {
  Segment segment;
  uint64_t sequence = 0;  // of the log segment whose record names it: it goes when that one does
};

struct FoldBlock {
  uint64_t epoch = 0;
  uint64_t time_ms = 0;
  // Where the tail begins: in this segment (the one with this sequence), at this offset of the
  // pool.
  uint64_t log_sequence = 0;
  uint64_t log_offset = 0;
  // Of the pool when the tail began: frames of an earlier one that lie behind that place are of a
  // log that was cut off there.
  uint64_t incarnation = 0;
  std::vector<FoldedSegment> log;  // sequences rising; the last one holds the tail's beginning
  std::vector<Segment> large;
  std::vector<std::vector<FoldedTable>> runs;  // newest first
  // What the change feed may still ask for. A block that ends before these words has none of them.
  uint64_t retain_ms = 0, retain_bytes = 0;  // the wish the pool was last opened with; 0: none
  uint64_t history = 0;  // commits up to this one are in no log of this pool: it was restored there
  std::vector<KeptSegment> kept;
  std::vector<FoldedRegion>
      regions;  // numbers rising; left out of the block when there are none, as in version 1

  std::string encode() const;
  static std::optional<FoldBlock> decode(Bytes bytes);
};

}  // namespace holdfast
