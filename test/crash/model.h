// What a pool must hold: the state after each commit, and which of those states a crash may leave.
// See docs/testing.md.
//
// Knows nothing of how the engine works. A commit whose outcome is unknown (the pool failed under
// it) counts as the last of a sequence: the pool may hold it, whole, or not.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace holdfast::crash {

// Values are made from a number, so that a model of megabytes is small.
struct Value {
  uint64_t size = 0;
  uint64_t nonce = 0;
  uint64_t hash = 0;
  bool operator==(const Value& other) const { return size == other.size && hash == other.hash; }
};
Value make_value(uint64_t size, uint64_t nonce);
std::string bytes_of(const Value& value);
Value observed_value(const char* bytes, uint64_t size);

using State = std::map<std::string, Value>;

// Regions are part of the state too: slots of so many bytes, and the size, each under a key that no
// pool has. A slot of zeros is not there, and a smaller size takes the slots behind it away.
constexpr uint64_t kSlotBytes = 200;  // divides no block, so that slots lie across them
inline const std::string kRegionPrefix = "\xff\xff\xff\xff";
std::string slot_key(uint32_t region, uint64_t slot);
std::string size_key(uint32_t region);
inline bool is_region_key(const std::string& key) { return key.compare(0, 4, kRegionPrefix) == 0; }
uint32_t region_of(const std::string& key);
std::optional<uint64_t> slot_of(const std::string& key);  // none: a size

struct Change {
  std::string key;
  bool put = true;
  Value value;
};
using Changes = std::vector<Change>;

class Model {
 public:
  const State& latest() const { return latest_; }

  // 0: the outcome is unknown. False: epochs do not rise.
  bool commit(uint64_t epoch, const Changes& changes);
  uint64_t commits() const { return floor_ + since_.size(); }
  // The first so many commits have been acknowledged as durable.
  void durable_to(uint64_t commits);
  void durable_epoch(uint64_t epoch);
  uint64_t not_durable() const { return since_.size(); }

  // A pool has been opened after a crash and holds this: if a crash may leave it, the model goes on
  // from there.
  bool settle_on(const State& observed, std::string* why);

 private:
  struct Commit {
    uint64_t epoch;
    Changes changes;
  };
  State base_;  // after the first floor_ commits
  uint64_t floor_ = 0;
  uint64_t last_epoch_ = 0;
  std::deque<Commit> since_;
  State latest_;
};

// The first differences, for people.
std::string difference(const State& expected, const State& observed);

}  // namespace holdfast::crash
