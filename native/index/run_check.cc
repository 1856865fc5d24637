// Run::check(): reads every node and compares what the nodes say with each other. Any thread;
// changes nothing.

#include "index/run_impl.h"

namespace holdfast {
namespace {

using Report = std::function<bool(const std::string&)>;

// Walks one table in the order of its node numbers, which is level after level. Since every level
// refers to all nodes of the one below in order, the child that comes next is always known.
class TableCheck {
 public:
  TableCheck(const TableReader& table, const Report& report) : table_(table), report_(report) {}

  // False: the receiver of reports wants no more.
  bool run() {
    if (const char* const why = table_.verify_header()) return say(0, why);
    const uint32_t nodes = table_.ref().nodes;
    spans_.resize(nodes);
    for (uint32_t number = 1; number < nodes && going_on_; number++) check_node(number);
    if (!going_on_) return false;
    end_level(nodes - 1);
    if (level_ != table_.ref().depth - 1)
      say(nodes - 1, "the table has fewer levels than its header says");
    if (all_leaves_known_ && entries_ != table_.ref().entries)
      say(0, "its entries are not as many as it says");
    const Span& first = spans_[1];
    const Span& last = spans_[table_.leaves()];
    if (first.known && first.first != table_.ref().first_key)
      say(1, "it does not begin with the table's first key");
    if (last.known && last.last != table_.ref().last_key) {
      say(table_.leaves(), "it does not end with the table's last key");
    }
    return going_on_;
  }

 private:
  // The keys below a node.
  struct Span {
    bool known = false;
    std::string first;
    std::string last;
  };

  bool say(uint32_t number, const char* why) {
    if (going_on_) going_on_ = report_(table_.describe(number, why));
    return going_on_;
  }

  void check_node(uint32_t number) {
    if (level_ == 0 && number == table_.leaves() + 1) begin_level(number);
    NodeView view;
    const char* why = table_.verify_node(number, level_, &view);
    if (why != nullptr && level_ > 0 && table_.verify_node(number, level_ + 1, &view) == nullptr) {
      end_level(number - 1);
      begin_level(number);
      why = nullptr;
    }
    if (why != nullptr) {
      say(number, why);
      (level_ == 0 ? all_leaves_known_ : next_child_known_) = false;
    } else if (level_ == 0) {
      check_leaf(number, view);
    } else {
      check_inner(number, view);
    }
  }

  void begin_level(uint32_t number) {
    next_child_ = level_ == 0 ? 1 : level_begin_;
    next_child_known_ = true;
    level_begin_ = number;
    level_++;
  }

  void end_level(uint32_t last) {
    if (level_ > 0 && next_child_known_ && next_child_ != level_begin_) {
      say(last, "the nodes of its level do not refer to all nodes below");
    }
  }

  void check_leaf(uint32_t number, const NodeView& view) {
    Span& span = spans_[number];
    span.known = true;
    span.first = key(view, 0);
    span.last = key(view, view.count() - 1);
    entries_ += view.count();
    const Span& before = spans_[number - 1];
    if (before.known && before.last >= span.first)
      say(number, "its keys do not come after those of the leaf before");
  }

  void check_inner(uint32_t number, const NodeView& view) {
    if (!next_child_known_) next_child_ = view.child(0);  // after a damaged node: go on from here
    next_child_known_ = true;
    for (uint32_t i = 0; i < view.count(); i++) {
      const uint32_t child = view.child(i);
      if (child != next_child_ || child >= level_begin_) {
        say(number, "its children are not the next nodes below");
        next_child_known_ = false;
        return;
      }
      const std::string separator = key(view, i);
      const Span& below = spans_[child];
      const Span& before = spans_[child - 1];
      if (below.known && separator > below.first)
        say(number, "a separator is greater than a key below its child");
      if (before.known && before.first <= below.first && separator <= before.last) {
        say(number, "a separator is not greater than the keys before it");
      }
      next_child_++;
    }
    Span& span = spans_[number];
    const Span& first = spans_[view.child(0)];
    const Span& last = spans_[view.child(view.count() - 1)];
    span.known = first.known && last.known;
    span.first = first.first;
    span.last = last.last;
  }

  static std::string key(const NodeView& view, uint32_t index) {
    char buffer[kKeyBufferBytes];
    return std::string(buffer, view.copy_key(index, buffer));
  }

  const TableReader& table_;
  const Report& report_;
  std::vector<Span> spans_;  // by node number
  uint32_t level_ = 0;
  uint32_t level_begin_ = 1;
  uint32_t next_child_ = 1;
  bool next_child_known_ = true;
  bool all_leaves_known_ = true;
  bool going_on_ = true;
  uint64_t entries_ = 0;
};

}  // namespace

Status Run::check(const Report& report) const {
  const TableReader* before = nullptr;
  for (const TableReader& table : impl_->readers) {
    const bool rising = table.ref().first_key <= table.ref().last_key &&
                        (before == nullptr || before->ref().last_key < table.ref().first_key);
    if (!rising &&
        !report(table.describe(0, "the table's keys do not come after those of the table before")))
      break;
    impl_->medium.expect_reads(table.ref().segment.offset, table.ref().segment.bytes);
    if (!TableCheck(table, report).run()) break;
    before = &table;
  }
  return Status::ok();
}

}  // namespace holdfast
