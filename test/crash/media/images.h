// From a trace to crash states: goes through the events, stops at each point where something became
// durable or was acknowledged, and lays one state after another in a folder of its own.
//
// One thread. Two objects on the same trace stop at the same points and, given the same number,
// make the same state.
#pragma once

#include <memory>
#include <string>

#include "crash/media/trace_format.h"
#include "seeded_random.h"

namespace holdfast::crash {

// A trace, mapped; its events one after another.
class TraceReader {
 public:
  explicit TraceReader(const std::string& path);
  ~TraceReader();
  TraceReader(const TraceReader&) = delete;
  TraceReader& operator=(const TraceReader&) = delete;
  const EventHeader* next();  // null: the end
  const uint8_t* payload() const { return payload_; }
  const DirtyLine* lines() const { return reinterpret_cast<const DirtyLine*>(payload_); }

 private:
  const uint8_t* begin_ = nullptr;
  uint64_t size_ = 0, at_ = 0;
  const uint8_t* payload_ = nullptr;
};

struct Point {
  uint64_t number = 0;
  int64_t acked = -1;
  uint64_t begun = 0;
  uint64_t undecided = 0;  // lines or sectors that may or may not have landed
};

class Images {
 public:
  virtual ~Images() = default;
  // False: the trace is over.
  virtual bool next_point() = 0;
  const Point& point() const { return point_; }
  // Lays state number `k` of this point at path(); `exhaustive`: k's bits say what has landed.
  virtual void make(uint64_t k, bool exhaustive, uint64_t seed) = 0;
  // Takes back what make() and the recovery have done to it.
  virtual void restore() = 0;
  virtual const std::string& path() const = 0;
  // A recovery of this state leaves its bytes as they are (so that no second copy is needed)...
  virtual bool opens_a_view() const { return false; }
  // ...and here is a copy of it that a recovery may change; empty: make() was of a state without a
  // pool.
  virtual std::string copy() { return {}; }
  virtual void drop_copy() {}

 protected:
  // Keeps the point's bounds; true: a point of interest when `event` is an acknowledgement.
  bool note_mark(const EventHeader& event);
  bool focused_ = false;
  Point point_;
};

// `base`: what was durable before the first event; empty: nothing.
// `parts`: path() is a pool set file, and the state is in the part that it names.
std::unique_ptr<Images> pmem_images(const std::string& trace, const std::string& base,
                                    const std::string& folder, bool parts);
std::unique_ptr<Images> file_images(const std::string& trace, const std::string& folder);

// Holes stay holes.
void copy_sparse(const std::string& from, const std::string& to);

// What of `count` undecided things has landed in state `k`: none, all, one, all but one, the first
// ones, or any.
class Landing {
 public:
  Landing(uint64_t k, bool exhaustive, uint64_t count, Random* random);
  bool landed(uint64_t i);

 private:
  enum class Kind { kBits, kNone, kAll, kOne, kAllButOne, kPrefix, kFew, kHalf, kMost };
  Kind kind_;
  const uint64_t k_;
  uint64_t pick_ = 0;
  Random* const random_;
};

}  // namespace holdfast::crash
