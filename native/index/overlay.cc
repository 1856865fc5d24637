// The overlay as a B+tree in an arena. See overlay.h for the promise; any thread under the caller's
// lock; nothing of it outlives the process.

#include "index/overlay.h"

#include "index/overlay_node.h"

namespace holdfast {
namespace overlay {

// An inner node has at least two children, but for the newest of its level: this is far beyond what
// memory holds.
constexpr uint32_t kMaxLevels = 16;

class Tree {
 public:
  Tree() {
    last_ = make<Leaf>(0);
    root_ = last_;
  }

  const Entry* find(Bytes key) const {
    bool equal;
    const Leaf* const leaf = leaf_for(key);
    const uint32_t at = leaf->lower_bound(key, &equal);
    return equal ? leaf->entries[at] : nullptr;
  }

  std::optional<Place> put(Bytes key, Place place, uint64_t epoch, uint64_t oldest_needed) {
    Step path[kMaxLevels];
    Leaf* const leaf = leaf_for(key, path);
    bool equal;
    const uint32_t at = leaf->lower_bound(key, &equal);
    if (equal) return overwrite(&leaf->entries[at]->newest, place, epoch, oldest_needed);
    Entry* const entry = make_entry(key, place, epoch);
    entries_++;
    if (leaf->count < kFanout) {
      leaf->insert(at, entry);
      leaf->last_insert = at;
    } else {
      insert_splitting(leaf, at, entry, path);
    }
    return std::nullopt;
  }

  const Leaf* leaf_for(Bytes key) const {
    const Node* node = root_;
    for (uint32_t level = levels_ - 1; level > 0; level--) {
      const auto* const inner = static_cast<const Inner*>(node);
      node = inner->children[inner->child_for(key)];
      node->prefetch();
    }
    return static_cast<const Leaf*>(node);
  }

  const Leaf* last() const { return last_; }
  size_t entries() const { return entries_; }
  size_t bytes() const { return arena_.bytes(); }

 private:
  struct Step {
    Inner* node;
    uint32_t child;
  };

  template <typename T>
  T* make(uint16_t level) {
    T* const node = new (arena_.take(sizeof(T), alignof(T))) T;
    node->level = level;
    return node;
  }

  Entry* make_entry(Bytes key, Place place, uint64_t epoch) {
    auto* const entry = new (arena_.take(Entry::size_for(key), alignof(Entry))) Entry;
    entry->newest = Version{epoch, place, nullptr};
    entry->key_bytes = static_cast<uint32_t>(key.size());
    std::memcpy(entry->key_data(), key.data(), key.size());
    return entry;
  }

  Version* make_version(const Version& from) {
    void* memory = spare_versions_;
    if (memory != nullptr) {
      spare_versions_ = spare_versions_->older;
    } else {
      memory = arena_.take(sizeof(Version), alignof(Version));
    }
    return new (memory) Version(from);
  }

  void drop_older(Version* version) {
    while (version->older != nullptr) {
      Version* const gone = version->older;
      version->older = gone->older;
      gone->older = spare_versions_;
      spare_versions_ = gone;
    }
  }

  // A version is seen from its own epoch until before the next one's. The newest is seen in
  // [newest.epoch, epoch), those behind it before newest.epoch; asked for is only what is at or
  // after `oldest_needed`.
  Place overwrite(Version* newest, Place place, uint64_t epoch, uint64_t oldest_needed) {
    const Place before = newest->place;
    if (newest->epoch <= oldest_needed || epoch <= oldest_needed) drop_older(newest);
    if (newest->epoch < epoch && oldest_needed < epoch) newest->older = make_version(*newest);
    newest->place = place;
    newest->epoch = epoch;
    return before;
  }

  Leaf* leaf_for(Bytes key, Step* path) {
    Node* node = root_;
    for (uint32_t level = levels_ - 1; level > 0; level--) {
      auto* const inner = static_cast<Inner*>(node);
      const uint32_t child = inner->child_for(key);
      path[level] = Step{inner, child};
      node = inner->children[child];
      node->prefetch();
    }
    return static_cast<Leaf*>(node);
  }

  // Into a full leaf. Keys that come in order fill their leaves: the split is made where they
  // arrive, not in the middle.
  void insert_splitting(Leaf* leaf, uint32_t at, Entry* entry, Step* path) {
    const bool in_order = at == leaf->last_insert + 1 || (at == kFanout && leaf->next == nullptr);
    const uint32_t keep = in_order && at > 0 ? at : kFanout / 2;
    Leaf* const right = make<Leaf>(0);
    right->previous = leaf;
    right->next = leaf->next;
    (right->next != nullptr ? right->next->previous : last_) = right;
    leaf->next = right;
    if (keep == kFanout) {
      right->insert(0, entry);
      right->last_insert = 0;
      // A leaf of one key expects more that are as alike as this one is to the one before it.
      right->set_prefix(entry->key(), common_prefix_bytes(entry->key(), leaf->entries[kFanout - 1]->key()));
    } else {
      right->take_tail_of(leaf, keep);
      Leaf* const to = at <= keep ? leaf : right;
      to->last_insert = at <= keep ? at : at - keep;
      to->insert(to->last_insert, entry);
    }
    insert_above(right->entries[0], right, path);
  }

  // `right` was split off a node below path[1]; its keys begin at `separator`.
  void insert_above(Entry* separator, Node* right, Step* path) {
    for (uint32_t level = 1; level < levels_; level++) {
      Inner* const inner = path[level].node;
      const uint32_t at = path[level].child;
      if (inner->count < kFanout) return inner->insert_child(at, separator, right);
      const uint32_t keep = at == kFanout ? kFanout - 1 : kFanout / 2;  // entries[keep] goes up
      Inner* const half = make<Inner>(inner->level);
      Entry* const up = inner->entries[keep];
      std::copy(inner->children + keep + 1, inner->children + kFanout + 1, half->children);
      half->take_tail_of(inner, keep + 1);
      inner->count--;
      if (at <= keep) {
        inner->insert_child(at, separator, right);
      } else {
        half->insert_child(at - keep - 1, separator, right);
      }
      separator = up;
      right = half;
    }
    if (levels_ == kMaxLevels) std::abort();  // more entries than memory holds
    Inner* const top = make<Inner>(static_cast<uint16_t>(levels_));
    top->children[0] = root_;
    top->insert_child(0, separator, right);
    root_ = top;
    levels_++;
  }

  Arena arena_;
  Node* root_;
  Leaf* last_;
  uint32_t levels_ = 1;
  size_t entries_ = 0;
  Version* spare_versions_ = nullptr;
};

// Entries that have no version as of `at` are passed over.
class TreeCursor final : public Cursor {
 public:
  TreeCursor(const Tree& tree, uint64_t at) : tree_(tree), at_(at) {}

  void seek(Bytes key) override {
    const Leaf* const leaf = tree_.leaf_for(key);
    bool equal;
    settle_forward(leaf, leaf->lower_bound(key, &equal));
  }
  void seek_before(Bytes key) override {
    const Leaf* const leaf = tree_.leaf_for(key);
    bool equal;
    settle_backward(leaf, leaf->lower_bound(key, &equal));
  }
  void seek_last() override { settle_backward(tree_.last(), tree_.last()->count); }
  void next() override {
    if (version_ != nullptr) settle_forward(leaf_, index_ + 1);
  }
  void prev() override {
    if (version_ != nullptr) settle_backward(leaf_, index_);
  }
  bool valid() const override { return version_ != nullptr; }
  Bytes key() const override { return leaf_->entries[index_]->key(); }
  Place place() const override { return version_->place; }
  Status take_status() override { return Status::ok(); }

 private:
  // To the first entry at or after (leaf, index).
  void settle_forward(const Leaf* leaf, uint32_t index) {
    for (; leaf != nullptr; leaf = leaf->next, index = 0) {
      for (; index < leaf->count; index++) {
        if (accept(leaf, index)) return;
      }
    }
    version_ = nullptr;
  }

  // To the last one before (leaf, index).
  void settle_backward(const Leaf* leaf, uint32_t index) {
    while (leaf != nullptr) {
      while (index > 0) {
        if (accept(leaf, --index)) return;
      }
      leaf = leaf->previous;
      if (leaf != nullptr) index = leaf->count;
    }
    version_ = nullptr;
  }

  bool accept(const Leaf* leaf, uint32_t index) {
    version_ = leaf->entries[index]->version_at(at_);
    if (version_ == nullptr) return false;
    leaf_ = leaf;
    index_ = index;
    return true;
  }

  const Tree& tree_;
  uint64_t at_;
  const Leaf* leaf_ = nullptr;
  uint32_t index_ = 0;
  const Version* version_ = nullptr;
};

}  // namespace overlay

struct Overlay::Impl {
  overlay::Tree tree;
};

Overlay::Overlay() : impl_(std::make_unique<Impl>()) {}
Overlay::~Overlay() = default;

std::optional<Place> Overlay::put(Bytes key, Place place, uint64_t epoch, uint64_t oldest_needed) {
  return impl_->tree.put(key, place, epoch, oldest_needed);
}

std::optional<Place> Overlay::find(Bytes key, uint64_t at) const {
  const overlay::Entry* const entry = impl_->tree.find(key);
  if (entry == nullptr) return std::nullopt;
  const overlay::Version* const version = entry->version_at(at);
  if (version == nullptr) return std::nullopt;
  return version->place;
}

std::unique_ptr<Cursor> Overlay::cursor(uint64_t at) const {
  return std::make_unique<overlay::TreeCursor>(impl_->tree, at);
}

size_t Overlay::entries() const { return impl_->tree.entries(); }
size_t Overlay::bytes() const { return impl_->tree.bytes(); }

}  // namespace holdfast
