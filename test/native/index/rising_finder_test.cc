// Keys that rise, looked up beside several runs, against searching each run for each of them.

#include "index/rising_finder.h"

#include "native/index/index_model.h"
#include "native/index/memory_medium.h"

namespace holdfast {
namespace {

std::shared_ptr<Run> run_of(MemoryMedium& medium, const Model& model) {
  RunBuilder builder(medium, 16 * kKiB);
  for (const auto& [key, word] : model) CHECK(builder.add(key, Place::from_word(word)).is_ok());
  auto tables = builder.finish();
  CHECK(tables.is_ok());
  return std::make_shared<Run>(medium, *tables);
}

TEST_CASE(
    "rising finder: says what the newest run that knows the key says, in dense runs and in sparse "
    "ones") {
  for (const uint64_t seed : seeds(100)) {
    CAPTURE(seed);
    Random random(seed);
    KeyMaker keys(random);
    MemoryMedium medium(64 * kMiB);
    std::vector<std::shared_ptr<Run>> runs;
    Model asked;
    for (uint64_t n = random.below(5); n > 0; n--) {
      Model model;
      for (uint64_t i = random.below(2000); i > 0; i--)
        model[keys.make()] = random.one_in(4) ? 0 : random.next();
      for (const auto& [key, word] : model) {
        if (random.one_in(3)) asked[key] = 0;
      }
      runs.push_back(run_of(medium, model));
    }
    const uint64_t others = random.one_in(2) ? 3 : 1500;  // far apart, or near each other
    if (others == 3) asked.clear();
    for (uint64_t i = 0; i < others; i++) asked[keys.make()] = 0;
    RisingFinder finder(runs);
    for (const auto& [key, unused] : asked) {
      std::optional<Place> expected;
      for (const auto& run : runs) {
        if (!expected) expected = run->find(key).value();
      }
      auto found = finder.find(key);
      REQUIRE(found.is_ok());
      CHECK(*found == expected);
    }
  }
}

TEST_CASE("rising finder: a damaged node is told, and what lies behind it is found") {
  MemoryMedium medium(16 * kMiB);
  Model model;
  for (int i = 0; i < 3000; i++) {
    char key[16];
    std::snprintf(key, sizeof key, "k%06d", i);
    model[key] = static_cast<uint64_t>(i) + 1;
  }
  const auto run = run_of(medium, model);
  medium.writable()[run->tables().front().segment.offset + 2 * kNodeBytes + 100] ^= 1;  // a leaf
  RisingFinder finder({run});
  int damaged = 0, found = 0;
  for (const auto& [key, word] : model) {
    auto place = finder.find(key);
    if (!place.is_ok()) {
      CHECK(place.status().code() == Code::kCorrupt);
      damaged++;
    } else {
      CHECK((place->has_value() && (*place)->word() == word));
      found++;
    }
  }
  CHECK(damaged > 0);
  CHECK(found > 2000);
}

}  // namespace
}  // namespace holdfast
