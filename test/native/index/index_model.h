// What the tests of the index share: seeded random keys of nasty shapes, a model, and the
// comparison of any cursor with it.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "index/source.h"
#include "index/table.h"
#include "seeded_random.h"

namespace holdfast {

// HOLDFAST_SEED=n runs just that seed; otherwise seeds 1..n.
inline std::vector<uint64_t> seeds(uint64_t n) {
  if (const char* const one = std::getenv("HOLDFAST_SEED"))
    return {std::strtoull(one, nullptr, 10)};
  std::vector<uint64_t> all;
  for (uint64_t seed = 1; seed <= n; seed++) all.push_back(seed);
  return all;
}

// Keys of one character per seed: binary, long shared prefixes, prefixes of each other, zero bytes,
// the largest size.
class KeyMaker {
 public:
  explicit KeyMaker(Random& random) : random_(random), shape_(random.below(8)) {
    stem_ = std::string("\0\0\0\1", 4) + bytes(random.below(60), 256);
  }

  std::string make() {
    switch (shape_ == 7 ? random_.below(7) : shape_) {
      case 0:
        return numbered("user:%010llu", 20000);
      case 1:
        return std::string("\0\0\0\2", 4) + bytes(1 + random_.below(30), 256);
      case 2:
        return stem_ + bytes(random_.below(12),
                             2);  // zero and one bytes only: ties and prefixes of each other
      case 3:
        return stem_ + std::string(random_.below(40), '\0') + bytes(random_.below(2), 256);
      case 4:
        return large();
      case 5:
        return stem_ + bytes(1 + random_.below(3), 256) + std::string(random_.below(200), 'x') +
               bytes(2, 4);
      default:
        return numbered("run/%llu", 9) + numbered("/step/%llu", 5000).substr(4);
    }
  }

 private:
  std::string bytes(uint64_t size, uint64_t alphabet) {
    std::string made;
    for (uint64_t i = 0; i < size; i++) made.push_back(static_cast<char>(random_.below(alphabet)));
    return made;
  }
  std::string numbered(const char* format, uint64_t below) {
    char text[64];
    const int size = std::snprintf(text, sizeof text, format,
                                   static_cast<unsigned long long>(random_.below(below)));
    return std::string("\0\0\0\3", 4) + std::string(text, static_cast<size_t>(size));
  }
  std::string large() {
    std::string made = stem_;
    uint64_t size = kMaxKeyBytes;
    if (!random_.one_in(3)) size = made.size() + 1 + random_.below(kMaxKeyBytes - made.size());
    if (random_.one_in(2)) made.append(random_.below(size - made.size() + 1), 'y');
    while (made.size() < size) made.push_back(static_cast<char>(random_.below(3)));
    return made;
  }

  Random& random_;
  uint64_t shape_;
  std::string stem_;
};

using Model = std::map<std::string, uint64_t>;  // key -> place's word

// Stops a test that has shown enough; doctest's REQUIRE needs exceptions.
inline bool same(const Cursor& cursor, const Model& model, Model::const_iterator expected) {
  if (expected == model.end()) return !cursor.valid();
  return cursor.valid() && cursor.key() == expected->first &&
         cursor.place().word() == expected->second;
}

// Scans both ways, then seeks at random and wanders. False at the first difference.
inline bool behaves_like(Cursor& cursor, const Model& model, Random& random, KeyMaker& keys,
                         int seeks) {
  cursor.seek(Bytes());
  auto at = model.begin();
  for (; at != model.end(); ++at, cursor.next()) {
    if (!same(cursor, model, at)) return false;
  }
  if (cursor.valid()) return false;
  cursor.seek_last();
  while (at != model.begin()) {
    --at;
    if (!same(cursor, model, at)) return false;
    cursor.prev();
  }
  if (cursor.valid()) return false;
  for (int i = 0; i < seeks; i++) {
    std::string key = keys.make();
    if (!model.empty() && random.one_in(2)) {
      auto near = model.lower_bound(key);
      if (near == model.end()) near = model.begin();
      key = near->first;
    }
    if (random.one_in(8)) key.resize(random.below(key.size() + 1));
    auto expected = model.lower_bound(key);
    if (random.one_in(2)) {
      cursor.seek(key);
    } else {
      cursor.seek_before(key);
      expected = expected == model.begin() ? model.end() : std::prev(expected);
    }
    for (int step = 0; step < 12; step++) {
      if (!same(cursor, model, expected)) return false;
      if (expected == model.end()) break;
      if (random.one_in(3)) {
        cursor.prev();
        expected = expected == model.begin() ? model.end() : std::prev(expected);
      } else {
        cursor.next();
        ++expected;
      }
    }
  }
  return cursor.take_status().is_ok();
}

}  // namespace holdfast
