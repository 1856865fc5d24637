// The merge of overlays and runs against a model laid over itself.

#include "index/overlay.h"
#include "native/index/index_model.h"
#include "native/index/memory_medium.h"

namespace holdfast {
namespace {

TEST_CASE("merge: newest wins, tombstones hide, both directions") {
  for (const uint64_t seed : seeds(100)) {
    CAPTURE(seed);
    Random random(seed);
    KeyMaker keys(random);
    MemoryMedium medium(64 * kMiB);
    const uint64_t sources = 1 + random.below(6);
    std::vector<Overlay> overlays(sources);
    std::vector<std::unique_ptr<Run>> runs;
    std::vector<std::unique_ptr<Cursor>> kept;
    std::vector<std::unique_ptr<Cursor>> hidden;
    std::vector<std::string> known;
    Model all;
    for (uint64_t s = 0; s < sources; s++) {
      Model model;
      for (uint64_t i = random.below(1500); i > 0; i--) {
        std::string key =
            !known.empty() && random.one_in(2) ? known[random.below(known.size())] : keys.make();
        known.push_back(key);
        model[key] = random.one_in(3) ? 0 : random.next();
      }
      for (const auto& [key, word] : model)
        all.insert({key, word});  // the newest is first and stays
      if (random.one_in(2)) {
        for (const auto& [key, word] : model)
          overlays[s].put(key, Place::from_word(word), 1, Overlay::kLatest);
        kept.push_back(overlays[s].cursor());
        hidden.push_back(overlays[s].cursor());
      } else {
        RunBuilder builder(medium, 16 * kKiB);
        for (const auto& [key, word] : model)
          CHECK(builder.add(key, Place::from_word(word)).is_ok());
        Result<std::vector<TableRef>> tables = builder.finish();
        CHECK(tables.is_ok());
        runs.push_back(std::make_unique<Run>(medium, *tables));
        kept.push_back(runs.back()->cursor());
        hidden.push_back(runs.back()->cursor());
      }
    }
    Model visible;
    for (const auto& [key, word] : all) {
      if (word != 0) visible.insert({key, word});
    }
    CHECK(behaves_like(*merge_cursors(std::move(kept), true), all, random, keys, 200));
    CHECK(behaves_like(*merge_cursors(std::move(hidden), false), visible, random, keys, 200));
  }
}

TEST_CASE("merge: of nothing is nothing") {
  std::unique_ptr<Cursor> cursor = merge_cursors({}, false);
  cursor->seek("a");
  CHECK_FALSE(cursor->valid());
  cursor->seek_last();
  CHECK_FALSE(cursor->valid());
  CHECK(cursor->take_status().is_ok());
}

TEST_CASE("merge: an error of any source ends it and is told once") {
  MemoryMedium medium(16 * kMiB);
  RunBuilder builder(medium, 1 * kMiB);
  for (int i = 0; i < 3000; i++) {
    char key[16];
    std::snprintf(key, sizeof key, "k%06d", i);
    CHECK(builder.add(key, Place::from_word(1)).is_ok());
  }
  Result<std::vector<TableRef>> tables = builder.finish();
  const Segment segment = tables->front().segment;
  medium.writable()[segment.offset + 3 * kNodeBytes + 100] ^= 1;  // the third leaf
  Run run(medium, *tables);
  Overlay overlay;
  overlay.put("k000000a", Place::from_word(2), 1, Overlay::kLatest);
  overlay.put("k999999", Place::from_word(2), 1, Overlay::kLatest);
  std::vector<std::unique_ptr<Cursor>> sources;
  sources.push_back(overlay.cursor());
  sources.push_back(run.cursor());
  std::unique_ptr<Cursor> cursor = merge_cursors(std::move(sources), false);
  int seen = 0;
  for (cursor->seek("k"); cursor->valid(); cursor->next()) seen++;
  CHECK(seen > 100);
  CHECK(seen < 2900);
  const Status status = cursor->take_status();
  CHECK(status.code() == Code::kCorrupt);
  CHECK(status.message().find("index node 3 of the table at offset " +
                              std::to_string(segment.offset)) == 0);
  CHECK(cursor->take_status().is_ok());
}

}  // namespace
}  // namespace holdfast
