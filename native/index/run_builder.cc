// Writes a run. See table.h. A table is made in memory, whole, so that its segment is exactly as
// large as needed and is written from one end to the other in large pieces; page 0, without which
// nothing of it is believed, goes in last.

#include <algorithm>
#include <utility>

#include "base/checksum.h"
#include "index/heads.h"
#include "index/table_reader.h"
#include "medium/write_behind.h"

namespace holdfast {
namespace {

constexpr size_t kAppendBytes = 256 * kKiB;

// The shortest key that is greater than `before` and at most `first`.
Bytes separator_between(Bytes before, Bytes first) {
  return first.substr(0, common_prefix_bytes(before, first) + 1);
}

// A level of the tree, as its parents see it.
struct Level {
  std::vector<std::string> separators;
  std::vector<uint32_t> numbers;
  void add(Bytes separator, uint32_t number) {
    separators.emplace_back(separator);
    numbers.push_back(number);
  }
};

}  // namespace

struct RunBuilder::Impl {
  Medium& medium;
  WriteBehind behind{medium};
  uint64_t table_bytes;
  std::vector<TableRef> tables;   // written
  std::vector<Segment> segments;  // taken from the medium; outlives finish(), for abandon()
  uint64_t bytes_written = 0;
  bool finished = false;

  // The table that is being made.
  std::vector<uint8_t> pages;  // page 0 and all nodes so far
  NodeWriter leaf{0};
  Level leaves;
  uint64_t separator_bytes = 0;  // of all leaves, with what each costs in an inner node
  uint64_t entries = 0;
  std::string first_key;
  std::string last_key;

  Impl(Medium& the_medium, uint64_t bytes)
      : medium(the_medium), table_bytes(std::max(bytes, 4 * uint64_t{kNodeBytes})) {}

  uint32_t node_count() const { return static_cast<uint32_t>(pages.size() / kNodeBytes); }

  uint8_t* new_page() {
    pages.resize(pages.size() + kNodeBytes);
    return pages.data() + pages.size() - kNodeBytes;
  }

  Status add(Bytes key, Place place) {
    if (key.empty() || key.size() > kMaxKeyBytes) {
      return Status(Code::kKeySize, "an index key has " + std::to_string(key.size()) +
                                        " bytes; 1 to " + std::to_string(kMaxKeyBytes) +
                                        " are possible");
    }
    if (key <= Bytes(last_key))
      return Status(Code::kInvalidArgument, "index keys must be added in rising order");
    if (!leaf.add(key, place.word())) {
      HOLDFAST_TRY(end_leaf());
      // Of a leaf's first key a separator is made, and the leaf before it is still known here.
      if (!leaves.numbers.empty()) next_separator.assign(separator_between(last_key, key));
      leaf.add(key, place.word());
    }
    if (entries++ == 0) first_key.assign(key);
    last_key.assign(key);
    return Status::ok();
  }

  std::string next_separator;  // of the leaf that is being filled

  Status end_leaf() {
    if (pages.empty()) new_page();
    const uint32_t number = node_count();
    leaf.encode(number, new_page());
    leaves.add(next_separator, number);
    separator_bytes += 14 + next_separator.size();
    // Inner nodes hold at least 3,000 bytes of entries; above their first level there are at most
    // half as many again.
    const uint64_t lowest = separator_bytes / 3000 + 1;
    const uint64_t inner = lowest == 1 ? 1 : lowest + lowest / 2 + 1;
    if ((node_count() + inner + 2) * kNodeBytes > table_bytes) return end_table();
    return Status::ok();
  }

  // Writes the inner nodes, one level after the other; the last node made is the root. Returns the
  // depth.
  uint32_t end_tree() {
    uint32_t depth = 1;
    Level below = std::move(leaves);
    leaves = Level();
    // Of the first leaf nothing comes before: as much of its first key as tells it from the
    // second's separator.
    if (below.numbers.size() > 1)
      below.separators[0] = first_key.substr(0, below.separators[1].size());
    for (; below.numbers.size() > 1; depth++) {
      Level level;
      NodeWriter node(depth);
      const auto end_node = [&] {
        const uint32_t number = node_count();
        const std::string separator(node.first_key());
        node.encode(number, new_page());
        level.add(separator, number);
      };
      for (size_t i = 0; i < below.numbers.size(); i++) {
        if (node.add(below.separators[i], below.numbers[i])) continue;
        end_node();
        node.add(below.separators[i], below.numbers[i]);
      }
      end_node();
      below = std::move(level);
    }
    return depth;
  }

  Status end_table() {
    TableRef ref;
    const uint32_t leaf_count = static_cast<uint32_t>(leaves.numbers.size());
    ref.depth = end_tree();
    ref.nodes = node_count();
    ref.root = ref.nodes - 1;
    ref.entries = entries;
    ref.first_key = std::move(first_key);
    ref.last_key = last_key;  // the next table's keys must come after it
    entries = 0;
    first_key.clear();
    next_separator.clear();
    separator_bytes = 0;
    Result<Segment> segment = medium.allocate(SegmentKind::kIndex, pages.size(), pages.size());
    if (!segment) return std::move(segment.status());
    segments.push_back(*segment);
    ref.segment = *segment;
    seal(ref, leaf_count);
    tables.push_back(std::move(ref));
    HOLDFAST_TRY(write(*segment));
    pages.clear();
    return Status::ok();
  }

  // The tag is made from where the table is and what is in it, so that a node of any other table is
  // noticed.
  void seal(const TableRef& ref, uint32_t leaf_count) {
    const uint64_t of_content = checksum(pages.data() + kNodeBytes, pages.size() - kNodeBytes);
    const uint64_t parts[3] = {of_content, ref.segment.offset, ref.nodes};
    TableHeader header = {};
    header.magic = TableHeader::kMagic;
    header.version = TableHeader::kVersion;
    header.tag = static_cast<uint32_t>(checksum(parts, sizeof parts));
    header.offset = ref.segment.offset;
    header.entries = ref.entries;
    header.nodes = ref.nodes;
    header.leaves = leaf_count;
    header.root = ref.root;
    header.depth = ref.depth;
    store(pages.data(), header);
    header.checksum = checksum(pages.data() + sizeof(uint64_t), kNodeBytes - sizeof(uint64_t));
    store(pages.data(), header);
    for (size_t at = kNodeBytes; at < pages.size(); at += kNodeBytes)
      seal_node(pages.data() + at, header.tag);
  }

  Status write(const Segment& segment) {
    for (size_t at = kNodeBytes; at < pages.size(); at += kAppendBytes) {
      const size_t size = std::min(kAppendBytes, pages.size() - at);
      HOLDFAST_TRY(medium.append(segment.offset + at, pages.data() + at, size));
      HOLDFAST_TRY(behind.comes_behind(segment.offset + at, size));
    }
    HOLDFAST_TRY(medium.append(segment.offset, pages.data(), kNodeBytes));
    bytes_written += pages.size();
    return Status::ok();
  }

  void abandon() {
    for (const Segment& segment : segments) medium.release(segment);
    segments.clear();
    tables.clear();
  }
};

RunBuilder::RunBuilder(Medium& medium, uint64_t table_bytes)
    : impl_(new Impl(medium, table_bytes)) {}
RunBuilder::~RunBuilder() {
  if (!impl_->finished) impl_->abandon();
}

Status RunBuilder::add(Bytes key, Place place) { return impl_->add(key, place); }

Result<std::vector<TableRef>> RunBuilder::finish() {
  if (impl_->leaf.count() > 0) HOLDFAST_TRY(impl_->end_leaf());
  if (impl_->entries > 0) HOLDFAST_TRY(impl_->end_table());
  impl_->finished = true;
  return std::move(impl_->tables);
}

Status RunBuilder::cut() {
  if (impl_->leaf.count() > 0) HOLDFAST_TRY(impl_->end_leaf());
  return impl_->entries > 0 ? impl_->end_table() : Status();
}

const std::vector<TableRef>& RunBuilder::finished() const { return impl_->tables; }

std::vector<TableRef> RunBuilder::hand_over() {
  impl_->segments.clear();
  return std::exchange(impl_->tables, {});
}

uint64_t RunBuilder::bytes_in_the_making() const { return impl_->pages.size(); }
void RunBuilder::abandon() { impl_->abandon(); }
uint64_t RunBuilder::bytes_written() const { return impl_->bytes_written; }

}  // namespace holdfast
