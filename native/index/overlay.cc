// The overlay: a hash table that finds entries, and a B+tree that orders them, made when somebody
// asks for the order. See overlay.h for the promise; nothing of it outlives the process.
//
// A commit only touches the table. New entries wait in a list until the next cursor() puts them
// into the tree: a fold does so once, for all; ranges between commits do it for what came since the
// last one. So an order costs no more than keeping it always would, and where nobody asks, nothing.
//
// Threads: as overlay.h says, under the caller's lock. Readers share it, so the first that needs
// the order makes it under a mutex. It changes while no cursor looks on: a cursor ends with the
// next put(), and without a put() there is nothing new to order.

#include "index/overlay.h"

#include <sys/auxv.h>

#include <atomic>
#include <mutex>
#include <vector>

#include "base/checksum.h"
#include "index/overlay_node.h"
#include "index/overlay_table.h"

namespace holdfast {
namespace overlay {

// Keys come from outside, and nobody outside may choose them so that they meet in the table: every
// process hashes differently.
uint64_t process_seed() {
  const auto* const random =
      reinterpret_cast<const uint8_t*>(getauxval(AT_RANDOM));  // 16 bytes from the kernel
  return random == nullptr ? 0 : checksum(random, 16);
}

uint64_t hash_of(Bytes key) {
  static const uint64_t seed = process_seed();
  constexpr size_t kPiece = 240;
  uint64_t hash = seed;
  for (; key.size() > kPiece; key.remove_prefix(kPiece))
    hash = checksum_seeded(key.data(), kPiece, hash);
  return checksum_seeded(key.data(), key.size(), hash);
}

// An inner node has at least two children, but for the newest of its level: this is far beyond what
// memory holds.
constexpr uint32_t kMaxLevels = 16;

// The entries in the order of their keys.
class Tree {
 public:
  Tree() { clear(); }

  void clear() {
    arena_.reset();
    last_ = make<Leaf>(0);
    root_ = last_;
    levels_ = 1;
  }

  // Its key is not here yet.
  void insert(Entry* entry) {
    if (last_->count > 0 && last_->count < kFanout &&
        last_->entries[last_->count - 1]->key() < entry->key()) {
      last_->last_insert = last_->count;
      return last_->insert(last_->count, entry);  // as all do when many are put in order at once
    }
    Step path[kMaxLevels];
    Leaf* const leaf = leaf_for(entry->key(), path);
    bool equal;
    const uint32_t at = leaf->lower_bound(entry->key(), &equal);
    if (leaf->count < kFanout) {
      leaf->insert(at, entry);
      leaf->last_insert = at;
    } else {
      insert_splitting(leaf, at, entry, path);
    }
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
      right->set_prefix(entry->key(),
                        common_prefix_bytes(entry->key(), leaf->entries[kFanout - 1]->key()));
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
  Node* root_ = nullptr;
  Leaf* last_ = nullptr;
  uint32_t levels_ = 1;
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
  bool older_counted() const override { return leaf_->entries[index_]->older_counted; }
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
  explicit Impl(Pages pages) : arena(pages), table(pages) {}

  overlay::Entry* make_entry(Bytes key, Place place, uint64_t epoch, uint64_t hash,
                             bool older_counted) {
    using overlay::Entry;
    auto* const entry = new (arena.take(Entry::size_for(key), alignof(Entry))) Entry;
    entry->newest = {epoch, place, nullptr};
    entry->key_bytes = static_cast<uint16_t>(key.size());
    entry->older_counted = older_counted;
    entry->hash = static_cast<uint32_t>(hash);
    std::memcpy(entry->key_data(), key.data(), key.size());
    entry->made_before = unordered.load(std::memory_order_relaxed);
    unordered.store(entry, std::memory_order_relaxed);
    return entry;
  }

  overlay::Version* make_version(const overlay::Version& from) {
    using overlay::Version;
    void* memory = spare_versions;
    if (memory != nullptr) {
      spare_versions = spare_versions->older;
    } else {
      memory = arena.take(sizeof(Version), alignof(Version));
    }
    return new (memory) Version(from);
  }

  void drop_older(overlay::Version* version) {
    while (version->older != nullptr) {
      overlay::Version* const gone = version->older;
      version->older = gone->older;
      gone->older = spare_versions;
      spare_versions = gone;
    }
  }

  // A version is seen from its own epoch until before the next one's. The newest is seen in
  // [newest.epoch, epoch), those behind it before newest.epoch; asked for is only what is at or
  // after `oldest_needed`.
  Place overwrite(overlay::Version* newest, Place place, uint64_t epoch, uint64_t oldest_needed) {
    const Place before = newest->place;
    if (newest->epoch <= oldest_needed || epoch <= oldest_needed) drop_older(newest);
    if (newest->epoch < epoch && oldest_needed < epoch) newest->older = make_version(*newest);
    newest->place = place;
    newest->epoch = epoch;
    return before;
  }

  // All entries are in the tree afterwards. Any of those who share the lock.
  const overlay::Tree& ordered() {
    if (unordered.load(std::memory_order_acquire) != nullptr) {
      std::lock_guard guard(order_mutex);
      order(unordered.load(std::memory_order_relaxed));
      unordered.store(nullptr, std::memory_order_release);
    }
    return tree;
  }

  // Sorted first: so many go to the end of the tree or near the one before.
  void order(overlay::Entry* newest) {
    struct Keyed {
      uint64_t head;
      overlay::Entry* entry;
    };
    std::vector<Keyed> keyed;
    if (newest == nullptr) return;  // another reader was quicker
    size_t shared = newest->key_bytes;
    for (overlay::Entry* entry = newest; entry != nullptr; entry = entry->made_before) {
      shared = std::min(shared, common_prefix_bytes(newest->key(), entry->key()));
      keyed.push_back({0, entry});
    }
    std::reverse(keyed.begin(), keyed.end());  // keys that were made in order are in order now
    for (Keyed& each : keyed) each.head = head_after(each.entry->key(), shared);
    const auto before = [](const Keyed& a, const Keyed& b) {
      return a.head != b.head ? a.head < b.head : a.entry->key() < b.entry->key();
    };
    if (!std::is_sorted(keyed.begin(), keyed.end(), before))
      std::sort(keyed.begin(), keyed.end(), before);
    for (const Keyed& each : keyed) tree.insert(each.entry);
  }

  overlay::Arena arena;  // entries and versions
  overlay::EntryTable table;
  overlay::Version* spare_versions = nullptr;
  std::atomic<overlay::Entry*> unordered{nullptr};  // the newest of them
  std::mutex order_mutex;                           // guards the tree while it is made
  overlay::Tree tree;
};

Overlay::Overlay(Pages pages) : impl_(std::make_unique<Impl>(pages)) {}
Overlay::~Overlay() = default;

void Overlay::clear() {
  regions = RegionOverlay();
  impl_->arena.reset();
  impl_->table.clear();
  impl_->spare_versions = nullptr;
  impl_->unordered.store(nullptr, std::memory_order_relaxed);
  impl_->tree.clear();
}

uint64_t HashedKey::hash_of(Bytes key) { return overlay::hash_of(key); }

bool Overlay::put(const HashedKey& hashed, Place place, uint64_t epoch, uint64_t oldest_needed,
                  bool older_counted, Place* before) {
  const auto& [key, hash] = hashed;
  if (overlay::Entry* const entry = impl_->table.find(key, hash)) {
    *before = impl_->overwrite(&entry->newest, place, epoch, oldest_needed);
    return true;
  }
  impl_->table.insert(impl_->make_entry(key, place, epoch, hash, older_counted), hash);
  return false;
}

void Overlay::expect(uint64_t hash) const { impl_->table.prefetch(hash); }

std::optional<Place> Overlay::find(Bytes key, uint64_t at) const {
  const overlay::Entry* const entry = impl_->table.find(key, overlay::hash_of(key));
  if (entry == nullptr) return std::nullopt;
  const overlay::Version* const version = entry->version_at(at);
  if (version == nullptr) return std::nullopt;
  return version->place;
}

std::unique_ptr<Cursor> Overlay::cursor(uint64_t at) const {
  return std::make_unique<overlay::TreeCursor>(impl_->ordered(), at);
}

std::shared_ptr<Overlay> OverlayStock::take() {
  std::unique_ptr<Overlay> overlay;
  {
    std::lock_guard guard(mutex_);
    overlay.swap(kept_);
  }
  if (!overlay) overlay = std::make_unique<Overlay>();
  return {overlay.release(), [stock = shared_from_this()](Overlay* done) {
            stock->give_back(std::unique_ptr<Overlay>(done));
          }};
}

void OverlayStock::give_back(std::unique_ptr<Overlay> done) {
  done->clear();
  std::lock_guard guard(mutex_);
  if (!kept_) kept_ = std::move(done);
}

size_t Overlay::entries() const { return impl_->table.count(); }
size_t Overlay::bytes() const {
  std::lock_guard guard(impl_->order_mutex);
  return impl_->arena.bytes() + impl_->table.bytes() + impl_->tree.bytes();
}

}  // namespace holdfast
