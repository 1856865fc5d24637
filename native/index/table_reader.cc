// See table_reader.h.

#include "index/table_reader.h"

#include "base/checksum.h"

namespace holdfast {

TableReader::TableReader(const Medium& medium, const TableRef& ref)
    : ref_(&ref),
      nodes_(ref.nodes),
      root_(ref.root),
      depth_(ref.depth),
      unusable_(wrong_reference(medium)) {
  if (unusable_ != nullptr) {
    nodes_ = root_ = depth_ = 0;
  } else {
    base_ = medium.view() + ref.segment.offset;
  }
  verified_ = std::make_unique<std::atomic<uint64_t>[]>(nodes_ / 64 + 1);
}

// The reference comes from the pool too. What is left after this can be read without looking at the
// medium again.
const char* TableReader::wrong_reference(const Medium& medium) const {
  const Segment& segment = ref_->segment;
  if (segment.offset % kNodeBytes != 0) return "the table does not begin at a page";
  if (segment.offset > medium.view_end() || segment.bytes > medium.view_end() - segment.offset) {
    return "the table lies beyond the end of the pool";
  }
  if (nodes_ < 2 || nodes_ > segment.bytes / kNodeBytes)
    return "the table has an impossible number of nodes";
  if (root_ != nodes_ - 1 || depth_ < 1 || depth_ > kMaxDepth)
    return "the table's root is impossible";
  return nullptr;
}

std::string TableReader::describe(uint32_t number, const char* why) const {
  return "index node " + std::to_string(number) + " of the table at offset " +
         std::to_string(ref_->segment.offset) + ": " + why;
}

Status TableReader::corrupt(uint32_t number, const char* why) const {
  return Status(Code::kCorrupt, describe(number, why));
}

const char* TableReader::verify_header() const {
  if (unusable_ != nullptr) return unusable_;
  const TableHeader header = this->header();
  if (header.magic != TableHeader::kMagic) return "there is no table";
  if (header.checksum != checksum(base_ + sizeof(uint64_t), kNodeBytes - sizeof(uint64_t))) {
    return "its checksum is wrong";
  }
  if (header.version < 1 || header.version > TableHeader::kVersion)
    return "the table is of an unknown version";
  if (header.offset != ref_->segment.offset) return "the table belongs elsewhere";
  if (header.nodes != nodes_ || header.root != root_ || header.depth != depth_ ||
      header.entries != ref_->entries) {
    return "the table is not the one that the fold describes";
  }
  if (header.leaves < 1 || header.leaves >= nodes_)
    return "the table has an impossible number of leaves";
  return nullptr;
}

const char* TableReader::verify_node(uint32_t number, uint32_t level, NodeView* view) const {
  const char* const why = NodeView::verify(node(number), number, level, header().tag);
  if (why != nullptr) return why;
  return view->open(node(number)) ? nullptr : "its lengths do not fit";
}

// Page 0 is verified with every node that is, since it says which tag they must have.
Status TableReader::first_touch(uint32_t number, uint32_t level) const {
  if (const char* const why = verify_header()) return corrupt(0, why);
  NodeView view;
  if (const char* const why = verify_node(number, level, &view)) return corrupt(number, why);
  verified_[number / 64].fetch_or(uint64_t{1} << (number % 64), std::memory_order_relaxed);
  return Status::ok();
}

// `number` < nodes_.
Status TableReader::open_node(uint32_t number, uint32_t level, NodeView* view) const {
  const uint64_t bits = verified_[number / 64].load(std::memory_order_relaxed);
  if ((bits >> (number % 64) & 1) == 0) HOLDFAST_TRY(first_touch(number, level));
  if (!view->open(node(number)) || view->level() != level)
    return corrupt(number, "it changed while it was in use");
  return Status::ok();
}

Status TableReader::open_leaf(uint32_t number, NodeView* view) const {
  if (unusable_ != nullptr) return corrupt(0, unusable_);
  return open_node(number, 0, view);
}

Result<std::optional<Place>> TableReader::find(Bytes key) const {
  uint32_t leaf;
  NodeView view;
  uint32_t index;
  bool equal;
  if (Status status = locate(key, &leaf, &view, &index, &equal); !status) return status;
  if (!equal) return std::optional<Place>();
  return std::optional<Place>(view.place(index));
}

Status TableReader::locate(Bytes key, uint32_t* leaf, NodeView* view, uint32_t* index,
                           bool* equal) const {
  if (unusable_ != nullptr) return corrupt(0, unusable_);
  uint32_t number = root_;
  for (uint32_t level = depth_ - 1;; level--) {
    HOLDFAST_TRY(open_node(number, level, view));
    if (level == 0) break;
    if (!view->child_index(key, index)) return corrupt(number, "a key's length does not fit");
    const uint32_t child = view->child(*index);
    if (child == 0 || child >= number) return corrupt(number, "a child's number is impossible");
    number = child;
    NodeView::prefetch(node(number));
  }
  if (!view->lower_bound(key, index, equal)) return corrupt(number, "a key's length does not fit");
  *leaf = number;
  return Status::ok();
}

Status TableReader::last_leaf(uint32_t* leaf, NodeView* view) const {
  if (unusable_ != nullptr) return corrupt(0, unusable_);
  uint32_t number = root_;
  for (uint32_t level = depth_ - 1;; level--) {
    HOLDFAST_TRY(open_node(number, level, view));
    if (level == 0) break;
    const uint32_t child = view->child(view->count() - 1);
    if (child == 0 || child >= number) return corrupt(number, "a child's number is impossible");
    number = child;
  }
  *leaf = number;
  return Status::ok();
}

}  // namespace holdfast
