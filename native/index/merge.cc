// The merge of several sources into one. See source.h. Belongs to one thread; keeps nothing but its
// cursors.
//
// Going forward every source stands at its first key at or after the merge's own; going backward,
// at its last key at or before it. A change of direction therefore puts every source on the other
// side of the current key first.

#include <string>

#include "index/source.h"

namespace holdfast {
namespace {

class MergeCursor final : public Cursor {
 public:
  MergeCursor(std::vector<std::unique_ptr<Cursor>> newest_first, bool keep_deleted)
      : keep_deleted_(keep_deleted) {
    sources_.reserve(newest_first.size());
    for (auto& cursor : newest_first)
      sources_.push_back(Source{std::move(cursor), false, false, Bytes()});
  }

  void seek(Bytes key) override {
    begin(true);
    for (Source& source : sources_) {
      source.cursor->seek(key);
      settle(source);
    }
    choose();
    pass_over_deleted();
  }

  void seek_before(Bytes key) override {
    begin(false);
    for (Source& source : sources_) {
      source.cursor->seek_before(key);
      settle(source);
    }
    choose();
    pass_over_deleted();
  }

  void seek_last() override {
    begin(false);
    for (Source& source : sources_) {
      source.cursor->seek_last();
      settle(source);
    }
    choose();
    pass_over_deleted();
  }

  void next() override {
    if (current_ == nullptr) return;
    if (!forward_)
      turn();
    else
      step();
    choose();
    pass_over_deleted();
  }

  void prev() override {
    if (current_ == nullptr) return;
    if (forward_)
      turn();
    else
      step();
    choose();
    pass_over_deleted();
  }

  bool valid() const override { return current_ != nullptr; }
  Bytes key() const override { return current_->key; }
  Place place() const override { return current_->cursor->place(); }
  Status take_status() override { return std::move(status_); }

 private:
  struct Source {
    std::unique_ptr<Cursor> cursor;
    bool live;        // stands on an entry
    bool at_current;  // whose key is the merge's
    Bytes key;        // of that entry
  };

  void begin(bool forward) {
    forward_ = forward;
    current_ = nullptr;
    status_ = Status::ok();
  }

  // After a source was moved.
  void settle(Source& source) {
    source.live = source.cursor->valid();
    source.at_current = false;
    if (source.live) {
      source.key = source.cursor->key();
    } else if (Status status = source.cursor->take_status(); !status) {
      status_ = std::move(status);
    }
  }

  // Moves on every source that stands at the current key.
  void step() {
    for (Source& source : sources_) {
      if (!source.at_current) continue;
      if (forward_) {
        source.cursor->next();
      } else {
        source.cursor->prev();
      }
      settle(source);
    }
  }

  // The other way: every source goes beyond the current key.
  void turn() {
    turning_key_.assign(current_->key);
    forward_ = !forward_;
    for (Source& source : sources_) {
      if (forward_) {
        source.cursor->seek(turning_key_);
        if (source.cursor->valid() && source.cursor->key() == turning_key_) source.cursor->next();
      } else {
        source.cursor->seek_before(turning_key_);
      }
      settle(source);
    }
  }

  // The current entry is the nearest one; of equal keys the newest source's, which comes first.
  void choose() {
    current_ = nullptr;
    if (!status_) return;
    for (Source& source : sources_) {
      if (!source.live) continue;
      const int order = current_ == nullptr ? -1 : source.key.compare(current_->key);
      source.at_current = order == 0;
      if (current_ == nullptr || (forward_ ? order < 0 : order > 0)) nearer(source);
    }
  }

  void nearer(Source& source) {
    for (Source* before = sources_.data(); before != &source; before++) before->at_current = false;
    source.at_current = true;
    current_ = &source;
  }

  void pass_over_deleted() {
    if (keep_deleted_) return;
    while (current_ != nullptr && place().is_deleted()) {
      step();
      choose();
    }
  }

  std::vector<Source> sources_;
  const bool keep_deleted_;
  bool forward_ = true;
  Source* current_ = nullptr;
  Status status_;
  std::string turning_key_;
};

// A single source, but for its tombstones: what a pool at rest has.
class LiveCursor final : public Cursor {
 public:
  explicit LiveCursor(std::unique_ptr<Cursor> source) : source_(std::move(source)) {}

  void seek(Bytes key) override {
    source_->seek(key);
    go_on();
  }
  void seek_before(Bytes key) override {
    source_->seek_before(key);
    go_back();
  }
  void seek_last() override {
    source_->seek_last();
    go_back();
  }
  void next() override {
    source_->next();
    go_on();
  }
  void prev() override {
    source_->prev();
    go_back();
  }
  bool valid() const override { return source_->valid(); }
  Bytes key() const override { return source_->key(); }
  Place place() const override { return source_->place(); }
  Place ahead(int steps) const override { return source_->ahead(steps); }
  Status take_status() override { return source_->take_status(); }

 private:
  void go_on() {
    while (source_->valid() && source_->place().is_deleted()) source_->next();
  }
  void go_back() {
    while (source_->valid() && source_->place().is_deleted()) source_->prev();
  }

  const std::unique_ptr<Cursor> source_;
};

}  // namespace

std::unique_ptr<Cursor> merge_cursors(std::vector<std::unique_ptr<Cursor>> newest_first,
                                      bool keep_deleted) {
  if (newest_first.size() == 1) {
    if (keep_deleted) return std::move(newest_first.front());
    return std::make_unique<LiveCursor>(std::move(newest_first.front()));
  }
  return std::make_unique<MergeCursor>(std::move(newest_first), keep_deleted);
}

}  // namespace holdfast
