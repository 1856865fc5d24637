// See place_memory.h.

#include "index/place_memory.h"

#include <algorithm>

namespace holdfast {
namespace {

// Buckets this full on average seldom overflow: about one key in twenty is then searched for each
// time.
constexpr uint64_t kEntriesPerBucket = 6;

}  // namespace

// Zeroed memory that is not touched takes no room: a program that reads a few keys pays for those.
std::unique_ptr<PlaceMemory> PlaceMemory::make(uint64_t entries, uint64_t most_bytes) {
  const uint64_t buckets = std::min(entries / kEntriesPerBucket + 1, most_bytes / kBucketBytes);
  if (buckets == 0) return nullptr;
  void* const memory = std::calloc(buckets + 1, kBucketBytes);
  return memory == nullptr ? nullptr
                           : std::unique_ptr<PlaceMemory>(new PlaceMemory(memory, buckets));
}

PlaceMemory::PlaceMemory(void* memory, uint64_t buckets)
    : memory_(memory),
      words_(reinterpret_cast<std::atomic<uint64_t>*>(
          round_up(reinterpret_cast<uintptr_t>(memory), kBucketBytes))),
      buckets_(buckets) {}

void PlaceMemory::remember(uint64_t hash, Place place) {
  const uint64_t unit = place.offset() / 8;
  if (unit >= kOffsets) return;
  const uint64_t lines = std::min<uint64_t>(
      (place.offset() % kCacheLineBytes + place.bytes() + kCacheLineBytes - 1) / kCacheLineBytes,
      kMostLines);
  const uint64_t word = tag(hash) << kTagShift | lines << kLinesShift | unit;
  std::atomic<uint64_t>* const words = bucket(hash);
  size_t at = (hash >> 32) % kBucketWords;  // whatever is there has to go, if no slot is empty
  for (size_t i = 0; i < kBucketWords; i++) {
    const uint64_t there = words[i].load(std::memory_order_relaxed);
    if (there != 0 && there >> kTagShift != tag(hash)) continue;
    at = i;
    if (there != 0) break;
  }
  words[at].store(word, std::memory_order_relaxed);
}

void PlaceMemory::forget(const std::vector<Segment>& segments) {
  std::vector<Segment> in_order = segments;
  std::sort(in_order.begin(), in_order.end(),
            [](const Segment& a, const Segment& b) { return a.offset < b.offset; });
  if (in_order.empty()) return;
  const uint64_t first = in_order.front().offset;
  const uint64_t last = in_order.back().end();
  for (uint64_t i = 0; i < buckets_ * kBucketWords; i++) {
    const uint64_t word = words_[i].load(std::memory_order_relaxed);
    const uint64_t offset = offset_in(word);
    if (word == 0 || offset < first || offset >= last) continue;
    const auto after =
        std::upper_bound(in_order.begin(), in_order.end(), offset,
                         [](uint64_t at, const Segment& s) { return at < s.offset; });
    if (offset < std::prev(after)->end()) words_[i].store(0, std::memory_order_relaxed);
  }
}

void PlaceMemories::add(uint64_t entries, std::atomic<PlaceMemory*>* of) {
  if (bytes_.load(std::memory_order_relaxed) >= kMostBytes)
    return;  // asked for each time: not by the lock
  std::lock_guard guard(mutex_);
  if (of->load(std::memory_order_relaxed) != nullptr) return;
  auto made = PlaceMemory::make(entries, kMostBytes - bytes_);
  if (made == nullptr) return;
  bytes_ += made->bytes();
  of->store(made.get(), std::memory_order_release);
  all_.push_back(std::move(made));
}

void PlaceMemories::remove(PlaceMemory* memory) {
  std::lock_guard guard(mutex_);
  const auto found = std::find_if(all_.begin(), all_.end(),
                                  [memory](const auto& each) { return each.get() == memory; });
  if (found == all_.end()) return;
  bytes_ -= memory->bytes();
  all_.erase(found);
}

void PlaceMemories::forget(const std::vector<Segment>& segments) {
  std::lock_guard guard(mutex_);
  for (const auto& memory : all_) memory->forget(segments);
}

}  // namespace holdfast
