#include "engine/state/asked_runs.h"

#include <algorithm>

#include "base/checksum.h"

namespace holdfast {

namespace {

// Keys that are numbered end in at most eight bytes of their number.
uint64_t stem_of(Bytes key) {
  constexpr size_t kNumberBytes = 8;
  const size_t bytes = key.size() > kNumberBytes ? key.size() - kNumberBytes : key.size();
  return checksum(key.data(), bytes);
}

bool is_same(const std::weak_ptr<Run>& a, const RunPtr& b) {
  return !a.owner_before(b) && !b.owner_before(a);
}

}  // namespace

Result<std::optional<Place>> AskedRuns::find(Bytes key, const IndexView& view) {
  if (view.runs.empty()) return std::optional<Place>();
  if (!is_same(newest_, view.runs.front())) {
    newest_ = view.runs.front();
    for (Known& known : known_) known.is_known = false;
  }
  const uint64_t stem = stem_of(key);
  Known& known = known_[stem % known_.size()];
  const bool asked_before = known.stem == stem;
  if (asked_before && known.holds_of(key)) {
    known.was_of_use = true;
    return known.place;
  }
  looked_++;
  auto found = view.find_in_runs(key);
  if (!found.is_ok()) return found;
  const bool learns = is_worth_learning(&known, asked_before);
  known.stem = stem;
  known.is_known = false;
  if (learns) learn(key, *found, view, &known);
  return found;
}

// What is asked for once is not, nor are keys with one stem that come in no order.
bool AskedRuns::is_worth_learning(Known* known, bool asked_before) {
  constexpr uint32_t kLongest = 1023;
  if (!asked_before || (known->is_known && known->was_of_use)) known->pause = known->passed = 0;
  if (!asked_before) return false;
  if (known->is_known && !known->was_of_use) {
    known->pause = std::min(2 * known->pause + 1, kLongest);
    known->passed = 0;
  }
  return known->passed++ >= known->pause;
}

// Of what cannot be read nothing is learnt: the commit does not need it.
void AskedRuns::learn(Bytes key, const std::optional<Place>& place, const IndexView& view,
                      Known* known) {
  learnt_++;
  known->was_of_use = false;
  known->low = key;
  known->place = place;
  known->has_end = place.has_value();
  if (known->has_end) known->end = std::string(key) + '\0';
  for (size_t i = 0; i < view.runs.size() && !place.has_value(); i++) {
    const std::unique_ptr<Cursor> cursor = view.runs[i]->cursor();
    cursor->seek(key);
    if (!cursor->take_status().is_ok()) return;
    if (!cursor->valid() || (known->has_end && cursor->key() >= known->end)) continue;
    known->end = cursor->key();
    known->has_end = true;
  }
  known->is_known = true;
}

}  // namespace holdfast
