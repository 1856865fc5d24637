// A run: its tables in key order, found by their last keys; and the cursor over them. See table.h.

#include <algorithm>

#include "index/heads.h"
#include "index/run_impl.h"
#include "medium/read_ahead.h"

namespace holdfast {
namespace {

constexpr uint64_t kLeastEntriesRemembered = 64;

class RunCursor final : public Cursor {
 public:
  RunCursor(const Medium& medium, const std::vector<TableReader>& tables, const TableFinder& finder)
      : tables_(tables), finder_(finder), ahead_(medium) {}

  void seek(Bytes key) override {
    there_ = false;
    table_ = finder_.first_ending_at_or_after(key);
    if (table_ < tables_.size() && locate(key) && index_ == view_.count()) {
      // The table's last key is at or after `key`, so there is a next leaf.
      const TableReader& table = tables_[table_];
      on(leaf_ < table.leaves() ? table.open_leaf(++leaf_, &view_) : wrong_end());
      index_ = 0;
    }
    take();
  }

  void seek_before(Bytes key) override {
    table_ = finder_.first_ending_at_or_after(key);
    if (table_ == tables_.size()) return seek_last();
    if (locate(key) && index_-- == 0) to_previous_leaf();
    take();
  }

  void seek_last() override {
    table_ = tables_.size();
    to_previous_table();
    take();
  }

  void next() override {
    if (!valid_) return;
    if (++index_ == view_.count()) to_next_leaf();
    take();
  }

  void prev() override {
    if (!valid_) return;
    if (index_-- == 0) to_previous_leaf();
    take();
  }

  bool valid() const override { return valid_; }
  Bytes key() const override { return Bytes(key_, key_bytes_); }
  Place place() const override { return view_.place(index_); }
  Place ahead(int steps) const override {
    const uint32_t at =
        index_ + static_cast<uint32_t>(steps);  // before the first: beyond any count
    return at < view_.count() ? view_.place(at) : Place::deleted();
  }
  Status take_status() override { return std::move(status_); }

 private:
  // `there` says whether (table_, leaf_, view_, index_) is an entry; take() then reads it.
  bool on(Status status) {
    there_ = status.is_ok();
    status_ = std::move(status);
    return there_;
  }

  bool locate(Bytes key) {
    bool equal;
    return on(tables_[table_].locate(key, &leaf_, &view_, &index_, &equal));
  }

  Status wrong_end() const {
    return tables_[table_].corrupt(
        leaf_, "it is the last leaf, but does not end with the table's last key");
  }

  void to_next_leaf() {
    index_ = 0;
    if (leaf_ < tables_[table_].leaves()) {
      ahead_.comes_to(tables_[table_].offset_of(++leaf_), kNodeBytes);
      on(tables_[table_].open_leaf(leaf_, &view_));
    } else if (tables_[table_].ref().last_key != key()) {
      on(wrong_end());
    } else if (++table_ < tables_.size()) {
      on(tables_[table_].open_leaf(leaf_ = 1, &view_));
    } else {
      there_ = false;
    }
  }

  void to_previous_leaf() {
    if (leaf_ > 1) {
      ahead_.comes_to(tables_[table_].offset_of(--leaf_), kNodeBytes);
      if (on(tables_[table_].open_leaf(leaf_, &view_))) index_ = view_.count() - 1;
    } else {
      to_previous_table();
    }
  }

  void to_previous_table() {
    there_ = false;
    if (table_ == 0) return;
    if (on(tables_[--table_].last_leaf(&leaf_, &view_))) index_ = view_.count() - 1;
  }

  void take() {
    valid_ = false;
    if (!there_) return;
    key_bytes_ = view_.copy_key(index_, key_);
    if (key_bytes_ == 0) {
      status_ = tables_[table_].corrupt(leaf_, "a key's length does not fit");
      there_ = false;
      return;
    }
    valid_ = true;
  }

  const std::vector<TableReader>& tables_;
  const TableFinder& finder_;
  ReadAhead ahead_;
  size_t table_ = 0;
  uint32_t leaf_ = 0;
  uint32_t index_ = 0;
  bool there_ = false;
  bool valid_ = false;
  NodeView view_;
  size_t key_bytes_ = 0;
  Status status_;
  char key_[kKeyBufferBytes];
};

}  // namespace

TableFinder::TableFinder(const std::vector<TableRef>& tables) : tables_(&tables) {
  if (tables.empty()) return;
  const Bytes first = tables.front().last_key;
  prefix_bytes_ = common_prefix_bytes(first, tables.back().last_key);
  prefix_ = first.substr(0, prefix_bytes_);
  for (const TableRef& table : tables) {
    // Keys out of order (a damaged fold) may lack the prefix: order is then wrong, but nothing is
    // read outside a key.
    heads_.push_back(head_after(table.last_key, std::min(prefix_bytes_, table.last_key.size())));
  }
}

size_t TableFinder::first_ending_at_or_after(Bytes key) const {
  const int order = compare_to_prefix(key, prefix_);
  if (order != 0) return order < 0 ? 0 : heads_.size();
  const uint64_t head = head_after(key, prefix_bytes_);
  const uint32_t low = heads_below(heads_.data(), static_cast<uint32_t>(heads_.size()), head);
  if (low == heads_.size() || heads_[low] != head) return low;
  const auto end = std::upper_bound(heads_.begin() + low, heads_.end(), head);
  const auto from = tables_->begin() + low;
  const auto found =
      std::partition_point(from, from + (end - (heads_.begin() + low)),
                           [key](const TableRef& table) { return Bytes(table.last_key) < key; });
  return static_cast<size_t>(found - tables_->begin());
}

Run::Impl::Impl(const Medium& the_medium, std::vector<TableRef> the_tables,
                PlaceMemories* its_memories)
    : medium(the_medium), tables(std::move(the_tables)), finder(tables), memories(its_memories) {
  readers.reserve(tables.size());
  for (const TableRef& table : tables) {
    readers.emplace_back(medium, table);
    entries += table.entries;
    bytes += table.segment.bytes;
  }
}

Run::Impl::~Impl() {
  if (PlaceMemory* const made = memory.load()) memories->remove(made);
}

Run::Run(const Medium& medium, std::vector<TableRef> tables, PlaceMemories* memories)
    : impl_(new Impl(medium, std::move(tables), memories)) {}
Run::~Run() = default;

Result<std::optional<Place>> Run::find(Bytes key) const {
  const size_t table = impl_->finder.first_ending_at_or_after(key);
  if (table == impl_->readers.size()) return std::optional<Place>();
  return impl_->readers[table].find(key);
}

PlaceMemory::Guess Run::guess(uint64_t hash) const {
  const PlaceMemory* const memory = impl_->memory.load(std::memory_order_acquire);
  return memory == nullptr ? PlaceMemory::Guess() : memory->guess(hash);
}

void Run::expect_guess(uint64_t hash) const {
  if (const PlaceMemory* const memory = impl_->memory.load(std::memory_order_acquire))
    memory->prefetch(hash);
}

// A run this small has one node or two.
void Run::remember(uint64_t hash, Place place) const {
  if (impl_->memories == nullptr || impl_->entries < kLeastEntriesRemembered) return;
  PlaceMemory* memory = impl_->memory.load(std::memory_order_acquire);
  if (memory == nullptr) {
    impl_->memories->add(impl_->entries, &impl_->memory);
    memory = impl_->memory.load(std::memory_order_acquire);
  }
  if (memory != nullptr) memory->remember(hash, place);
}

std::unique_ptr<Cursor> Run::cursor() const {
  return std::make_unique<RunCursor>(impl_->medium, impl_->readers, impl_->finder);
}
const std::vector<TableRef>& Run::tables() const { return impl_->tables; }
uint64_t Run::entries() const { return impl_->entries; }
uint64_t Run::bytes() const { return impl_->bytes; }

}  // namespace holdfast
