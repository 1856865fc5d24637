// The overlay against a model that keeps every version of every key.

#include "index/overlay.h"

#include "native/index/index_model.h"

namespace holdfast {
namespace {

Place place_of(uint64_t n) { return Place::from_word(n); }

using Versions = std::map<std::string, std::map<uint64_t, uint64_t>>;  // key -> epoch -> word

Model as_of(const Versions& versions, uint64_t at) {
  Model model;
  for (const auto& [key, by_epoch] : versions) {
    auto after = by_epoch.upper_bound(at);
    if (after != by_epoch.begin()) model[key] = std::prev(after)->second;
  }
  return model;
}

bool finds_all(const Overlay& overlay, const Versions& versions, uint64_t at, KeyMaker& keys) {
  const Model model = as_of(versions, at);
  const auto agrees = [&](const std::string& key) {
    const auto expected = model.find(key);
    const std::optional<Place> found = overlay.find(key, at);
    return expected == model.end() ? !found.has_value()
                                   : found.has_value() && found->word() == expected->second;
  };
  for (const auto& [key, by_epoch] : versions) {
    if (!agrees(key) || !agrees(key + '\0') || !agrees(key.substr(0, key.size() - 1))) return false;
  }
  for (int i = 0; i < 200; i++) {
    if (!agrees(keys.make())) return false;
  }
  return true;
}

TEST_CASE("overlay: keys, versions and cursors agree with the model") {
  for (const uint64_t seed : seeds(60)) {
    CAPTURE(seed);
    Random random(seed);
    KeyMaker keys(random);
    Overlay overlay;
    if (random.one_in(3)) {  // one that was used before is as good as a new one
      for (uint64_t i = random.below(3000); i > 0; i--)
        overlay.put(keys.make(), place_of(i), 5, random.one_in(2) ? 4 : Overlay::kLatest);
      if (random.one_in(2)) (void)overlay.cursor();
      overlay.clear();
      CHECK(overlay.empty());
    }
    Versions versions;
    std::vector<uint64_t> snapshots;  // oldest first
    const uint64_t between_looks =
        random.one_in(2) ? 5000
                         : 1 + random.below(300);  // the order is made in one go, or bit by bit
    uint64_t epoch = 10;
    bool sound = true;
    const uint64_t puts = 1 + random.below(4000);
    for (uint64_t i = 0; i < puts; i++) {
      std::string key = keys.make();
      if (!versions.empty() && random.one_in(3)) {
        const auto near = versions.lower_bound(key);
        if (near != versions.end()) key = near->first;
      }
      const uint64_t oldest = snapshots.empty() ? Overlay::kLatest : snapshots.front();
      const Place place = random.one_in(6) ? Place::deleted() : place_of(random.next());
      Place before;
      const bool was_here = overlay.put(key, place, epoch, oldest, false, &before);
      auto& by_epoch = versions[key];
      sound = sound && was_here == !by_epoch.empty();
      sound = sound && (!was_here || before.word() == by_epoch.rbegin()->second);
      by_epoch[epoch] = place.word();
      if (i % between_looks == 0)
        sound = sound &&
                behaves_like(*overlay.cursor(), as_of(versions, Overlay::kLatest), random, keys, 5);
      if (random.one_in(4)) epoch += 1 + random.below(2);
      if (random.one_in(100)) {
        if (snapshots.empty() || snapshots.back() != epoch) snapshots.push_back(epoch);
        epoch++;
      }
      if (random.one_in(150) && !snapshots.empty()) {
        snapshots.erase(snapshots.begin() + static_cast<long>(random.below(snapshots.size())));
      }
    }
    CHECK(sound);
    CHECK(overlay.entries() == versions.size());
    CHECK(finds_all(overlay, versions, Overlay::kLatest, keys));
    CHECK(behaves_like(*overlay.cursor(), as_of(versions, Overlay::kLatest), random, keys, 300));
    for (const uint64_t at : snapshots) {
      CHECK(finds_all(overlay, versions, at, keys));
      CHECK(behaves_like(*overlay.cursor(at), as_of(versions, at), random, keys, 100));
    }
  }
}

TEST_CASE("overlay: keys that differ only by zero bytes are different, and in order") {
  Overlay overlay;
  const std::vector<std::string> keys = {
      std::string("k"), std::string("k\0", 2), std::string("k\0\0", 3),
      std::string("k\0\0\0\0\0\0\0\0", 9), std::string("k\0\1", 3)};
  for (size_t i = keys.size(); i-- > 0;) overlay.put(keys[i], place_of(i + 1), 1, Overlay::kLatest);
  std::unique_ptr<Cursor> cursor = overlay.cursor();
  cursor->seek(Bytes());
  for (size_t i = 0; i < keys.size(); i++, cursor->next()) {
    CHECK(cursor->valid());
    CHECK(cursor->key() == keys[i]);
    CHECK(overlay.find(keys[i])->word() == i + 1);
  }
  CHECK_FALSE(cursor->valid());
}

TEST_CASE("overlay: an empty one has nothing") {
  Overlay overlay;
  CHECK_FALSE(overlay.find("key").has_value());
  std::unique_ptr<Cursor> cursor = overlay.cursor();
  cursor->seek("a");
  CHECK_FALSE(cursor->valid());
  cursor->seek_before("a");
  CHECK_FALSE(cursor->valid());
  cursor->seek_last();
  CHECK_FALSE(cursor->valid());
  CHECK(overlay.entries() == 0);
}

TEST_CASE(
    "overlay: overwriting costs no memory while no snapshot is open, and none behind the oldest") {
  Overlay overlay;
  overlay.put("key", place_of(1), 1, Overlay::kLatest);
  for (uint64_t epoch = 2; epoch < 100000; epoch++)
    overlay.put("key", place_of(epoch), epoch, Overlay::kLatest);
  const size_t without = overlay.bytes();
  CHECK(without < 64 * kKiB);
  // A snapshot that moves on: two versions are needed at any time.
  for (uint64_t epoch = 100000; epoch < 200000; epoch++)
    overlay.put("key", place_of(epoch), epoch, epoch - 1);
  CHECK(overlay.bytes() < without + 4 * kKiB);
  CHECK(overlay.find("key", 199998)->word() == 199998);
  CHECK(overlay.find("key")->word() == 199999);
}

TEST_CASE(
    "overlay: what nobody asked for in order takes no memory for its order; keys in order fill "
    "their nodes") {
  for (const bool one_by_one : {false, true}) {
    CAPTURE(one_by_one);
    Overlay in_order;
    Overlay interleaved;  // two sequences, one in the middle of the tree
    for (int i = 0; i < 50000; i++) {
      char key[32];
      std::snprintf(key, sizeof key, "....user:%012d", i);
      in_order.put(key, place_of(1), 1, Overlay::kLatest);
      key[4] = i % 2 == 0 ? 'a' : 'z';
      interleaved.put(key, place_of(1), 1, Overlay::kLatest);
      if (one_by_one) (void)in_order.cursor(), (void)interleaved.cursor();
    }
    // An entry and its key take 64 bytes, its slots in the table 16 to 32 and half of that in the
    // one that was outgrown; its share of a full leaf is about 18. The last piece of memory that
    // each part took may be empty.
    const size_t most = 50000 * (64 + 48) + 2 * kMiB + 128 * kKiB;
    if (!one_by_one) CHECK(in_order.bytes() < most);
    (void)in_order.cursor();
    (void)interleaved.cursor();
    CHECK(in_order.bytes() < most + 50000 * 24);
    CHECK(interleaved.bytes() < most + 50000 * 24);
  }
}

TEST_CASE("overlay: keys as long as they may be, and those that differ in their last byte only") {
  Overlay overlay;
  const std::string base(1027, 'k');
  for (int i = 0; i < 256; i++)
    overlay.put(base + static_cast<char>(i), place_of(static_cast<uint64_t>(i) + 1), 1,
                Overlay::kLatest);
  overlay.put(base, place_of(1000), 1, Overlay::kLatest);
  CHECK(overlay.entries() == 257);
  CHECK(overlay.find(base)->word() == 1000);
  for (int i = 0; i < 256; i++)
    CHECK(overlay.find(base + static_cast<char>(i))->word() == static_cast<uint64_t>(i) + 1);
  CHECK_FALSE(overlay.find(base.substr(1)).has_value());
}

TEST_CASE("overlay: one that takes another's place has its memory and nothing of what it knew") {
  const auto stock = std::make_shared<OverlayStock>();
  std::shared_ptr<Overlay> first = stock->take();
  for (int i = 0; i < 20000; i++)
    first->put("key-" + std::to_string(i), place_of(1), 1, Overlay::kLatest);
  (void)first->cursor();
  const size_t bytes = first->bytes();
  const std::shared_ptr<Overlay> snapshot = first;
  first = stock->take();  // the first is still looked at
  CHECK(first->bytes() < bytes / 4);
  CHECK(snapshot->find("key-1").has_value());
  {
    std::shared_ptr<Overlay> third = stock->take();
    for (int i = 0; i < 20000; i++)
      third->put("other-" + std::to_string(i), place_of(1), 1, Overlay::kLatest);
    (void)third->cursor();
  }
  const std::shared_ptr<Overlay> fourth = stock->take();
  CHECK(fourth->empty());
  CHECK(fourth->bytes() >= bytes);
  CHECK_FALSE(fourth->find("other-1").has_value());
  const size_t before = fourth->bytes();
  for (int i = 0; i < 20000; i++)
    fourth->put("other-" + std::to_string(i), place_of(2), 1, Overlay::kLatest);
  (void)fourth->cursor();
  CHECK(fourth->bytes() == before);
  CHECK(fourth->find("other-19999")->word() == 2);
}

// A cleared table is not filled with zeros: what stands in it is of another generation, and the
// numbers of generations come round.
TEST_CASE("overlay: cleared again and again, it never knows what it knew before") {
  const auto stock = std::make_shared<OverlayStock>();
  const auto key_of = [](int round, int i) {
    return "key-" + std::to_string(round) + "-" + std::to_string(i);
  };
  // Of long ones' entries those that came since leave most as they were.
  const auto count_in = [](int round) { return round % 15 == 0 ? 3000 : 100 + round; };
  for (int round = 0; round < 50; round++) {
    CAPTURE(round);
    const std::shared_ptr<Overlay> overlay = stock->take();
    CHECK(overlay->empty());
    overlay->put("first", place_of(1), 1, Overlay::kLatest);
    int remembered = 0, found = 0;
    for (int earlier = std::max(0, round - 16); earlier < round; earlier++) {
      for (int i = 0; i < count_in(earlier); i++)
        remembered += overlay->find(key_of(earlier, i)).has_value();
    }
    const int count = count_in(round);
    for (int i = 0; i < count; i++)
      overlay->put(key_of(round, i), place_of(static_cast<uint64_t>(i)), 1, Overlay::kLatest);
    for (int i = 0; i < count; i++) {
      const std::optional<Place> place = overlay->find(key_of(round, i));
      found += place && *place == place_of(static_cast<uint64_t>(i));
    }
    CHECK(found == count);
    CHECK(remembered == 0);
    CHECK(overlay->entries() == static_cast<size_t>(count) + 1);
  }
}

}  // namespace
}  // namespace holdfast
