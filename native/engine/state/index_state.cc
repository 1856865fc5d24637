#include "engine/state/index_state.h"

namespace holdfast {

Result<std::optional<Place>> IndexView::find(Bytes key, uint64_t at) const {
  if (const auto place = find_in_overlays(key, at)) return place;
  return find_in_runs(key);
}

std::optional<Place> IndexView::find_in_overlays(Bytes key, uint64_t at) const {
  if (active->entries() > 0) {
    if (const auto place = active->find(key, at)) return place;
  }
  return frozen ? frozen->find(key, at) : std::nullopt;
}

Result<std::optional<Place>> IndexView::find_in_runs(Bytes key) const {
  for (const RunPtr& run : runs) {
    auto found = run->find(key);
    if (!found.is_ok() || found->has_value()) return found;
  }
  return std::optional<Place>();
}

std::unique_ptr<Cursor> IndexView::cursor(uint64_t at, bool keep_deleted) const {
  std::vector<std::unique_ptr<Cursor>> sources;
  if (active->entries() > 0) sources.push_back(active->cursor(at));
  if (frozen && frozen->entries() > 0) sources.push_back(frozen->cursor(at));
  for (const RunPtr& run : runs) sources.push_back(run->cursor());
  return merge_cursors(std::move(sources), keep_deleted);
}

uint64_t IndexState::entries_at_most() const {
  std::shared_lock guard(lock);
  uint64_t entries = view.active->entries() + (view.frozen ? view.frozen->entries() : 0);
  for (const RunPtr& run : view.runs) entries += run->entries();
  return entries;
}

IndexState::Pin IndexState::pin(uint64_t epoch) {
  std::lock_guard guard(pins_mutex_);
  const Pin pin{next_serial_++, epoch};
  pins_.emplace(pin.serial, epoch);
  refresh_oldest_needed();
  return pin;
}

IndexState::Pin IndexState::pin_in_place(uint64_t epoch) {
  const Pin made = pin(epoch);
  std::lock_guard guard(pins_mutex_);
  in_place_.insert(made.serial);
  return made;
}

bool IndexState::sees_below_frozen(uint64_t born, bool cut) const {
  std::lock_guard guard(pins_mutex_);
  const auto pinned = pins_.lower_bound(born);
  if (pinned != pins_.end() && pinned->first < (cut ? active_since_ : frozen_since_)) return true;
  const auto in_place = in_place_.lower_bound(born);
  return in_place != in_place_.end() && *in_place < active_since_;
}

void IndexState::unpin(uint64_t serial) {
  std::lock_guard guard(pins_mutex_);
  in_place_.erase(serial);
  pins_.erase(serial);
  refresh_oldest_needed();
}

uint64_t IndexState::next_serial() const {
  std::lock_guard guard(pins_mutex_);
  return next_serial_;
}

uint64_t IndexState::oldest_serial() const {
  std::lock_guard guard(pins_mutex_);
  return pins_.empty() ? next_serial_ : pins_.begin()->first;
}

uint64_t IndexState::oldest_epoch() const {
  std::lock_guard guard(pins_mutex_);
  return pins_.empty() ? UINT64_MAX : pins_.begin()->second;
}

size_t IndexState::pinned() const {
  std::lock_guard guard(pins_mutex_);
  return pins_.size();
}

void IndexState::freeze() {
  view.active->regions.set_on_its_way();
  view.frozen = std::move(view.active);
  view.active = overlays_->take();
  std::lock_guard guard(pins_mutex_);
  frozen_since_ = active_since_;
  active_since_ = next_serial_;
  refresh_oldest_needed();
}

// Epochs rise with serials, so the first snapshot of the active overlay is the oldest.
void IndexState::refresh_oldest_needed() {
  const auto first = pins_.lower_bound(active_since_);
  newest_pinned_.store(pins_.empty() ? 0 : pins_.rbegin()->second, std::memory_order_release);
  oldest_needed_.store(first == pins_.end() ? Overlay::kLatest : first->second,
                       std::memory_order_release);
}

}  // namespace holdfast
