// A pool set file: the text by which a pool's parts in several directories are found, libpmemobj's
// own format (poolset(5)).
//
//   PMEMPOOLSET
//   OPTION SINGLEHDR
//   34359738368 /mnt/pmem0/agent.holdfast.1f2e3d4c5b6a7988.part0
//   34359738368 /mnt/pmem1/agent.holdfast.1f2e3d4c5b6a7988.part1
//
// The parts follow each other in the pool's address space. A set file is written whole under a
// temporary name before its parts are made, and gets its name when they are complete: it is the
// list of what a creation that died has left. Text and names only, no file is touched here. Any
// thread.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace holdfast {

constexpr uint64_t kMinPartBytes = 16 * kMiB;
constexpr uint64_t kPartUnit = 2 * kMiB;  // a part begins on a multiple, so that large pages fit
constexpr size_t kMaxParts = 64;

struct SetPart {
  std::string path;  // absolute
  uint64_t bytes = 0;
};

bool is_pool_set(Bytes head);
std::string pool_set_text(const std::vector<SetPart>& parts);
// kNotAPool: no set, or not one of the shape above (replicas, devices, directories, headers in each
// part); says which line.
Result<std::vector<SetPart>> parse_pool_set(const std::string& text, const std::string& path);

// The name of part `number` of a pool; `mark`: 16 hexadecimal digits of its own.
std::string part_name(const std::string& pool_name, const std::string& mark, size_t number);
bool is_part_name(const std::string& name);

// How `bytes` are shared out over directories with so much free space each: in proportion, each at
// least kMinPartBytes, all but the last a multiple of kPartUnit. Empty: too few bytes.
std::vector<uint64_t> share_out(uint64_t bytes, const std::vector<uint64_t>& free);

}  // namespace holdfast
