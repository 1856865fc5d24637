// Runs: built, read, checked, damaged.

#include <algorithm>
#include <thread>

#include "base/checksum.h"
#include "index/table_reader.h"
#include "native/index/index_model.h"
#include "native/index/memory_medium.h"

namespace holdfast {
namespace {

std::vector<TableRef> build(MemoryMedium& medium, const Model& model, uint64_t table_bytes) {
  RunBuilder builder(medium, table_bytes);
  bool added = true;
  for (const auto& [key, word] : model)
    added = added && builder.add(key, Place::from_word(word)).is_ok();
  CHECK(added);
  Result<std::vector<TableRef>> tables = builder.finish();
  CHECK(tables.is_ok());
  return *tables;
}

std::vector<std::string> damages_of(const Run& run) {
  std::vector<std::string> damages;
  CHECK(run.check([&](const std::string& damage) {
             damages.push_back(damage);
             return true;
           })
            .is_ok());
  return damages;
}

bool finds_all(const Run& run, const Model& model) {
  for (const auto& [key, word] : model) {
    Result<std::optional<Place>> found = run.find(key);
    if (!found || !found->has_value() || (*found)->word() != word) return false;
  }
  return true;
}

bool agrees_on(const Run& run, const Model& model, const std::string& key) {
  Result<std::optional<Place>> found = run.find(key);
  const auto expected = model.find(key);
  if (!found || found->has_value() != (expected != model.end())) return false;
  return expected == model.end() || (*found)->word() == expected->second;
}

Model numbered(int n) {
  Model model;
  for (int i = 0; i < n; i++) {
    char key[32];
    std::snprintf(key, sizeof key, "user:%010d", i);
    model[key] = static_cast<uint64_t>(i) + 1;
  }
  return model;
}

// All but the first pages, which are written last, and what does not fill a stretch at the end.
TEST_CASE("run: a long one is on its way to the device while it is written") {
  MemoryMedium medium(64 << 20);
  const auto tables = build(medium, numbered(400'000), 3 * kMiB / 2);
  REQUIRE(tables.size() > 1);
  uint64_t bytes = 0, pages = 0, told = 0;
  for (const TableRef& table : tables) bytes += uint64_t{table.nodes} * kNodeBytes;
  Segment before;
  for (const auto& [begun, earlier] : medium.written_out) {
    CHECK(begun.bytes <= kMiB + 256 * kKiB);
    CHECK(earlier.offset == before.offset);
    CHECK(earlier.bytes == before.bytes);
    const bool in_one = std::any_of(tables.begin(), tables.end(), [&](const TableRef& table) {
      return begun.offset > table.segment.offset && begun.end() <= table.segment.end();
    });
    CHECK(in_one);
    pages += begun.bytes % kNodeBytes;
    told += begun.bytes;
    before = begun;
  }
  CHECK(pages == 0);
  CHECK(told <= bytes - tables.size() * kNodeBytes);
  CHECK(told + kMiB + tables.size() * kNodeBytes > bytes);
  MemoryMedium little(64 << 20);
  (void)build(little, numbered(10'000), 4 * kMiB);
  CHECK(little.written_out.empty());
}

TEST_CASE("run: agrees with the model, over one table and many") {
  for (const uint64_t seed : seeds(100)) {
    CAPTURE(seed);
    Random random(seed);
    KeyMaker keys(random);
    MemoryMedium medium(64 * kMiB);
    Model model;
    for (uint64_t i = 1 + random.below(6000); i > 0; i--)
      model[keys.make()] = random.one_in(5) ? 0 : random.next();
    const uint64_t table_bytes = random.one_in(2) ? 32 * kKiB : 4 * kMiB;
    const std::vector<TableRef> tables = build(medium, model, table_bytes);
    uint64_t entries = 0;
    for (const TableRef& table : tables) {
      entries += table.entries;
      CHECK(table.segment.bytes <= table_bytes);
    }
    CHECK(entries == model.size());
    CHECK(tables.front().first_key == model.begin()->first);
    CHECK(tables.back().last_key == model.rbegin()->first);
    Run run(medium, tables);
    CHECK(run.entries() == model.size());
    CHECK(finds_all(run, model));
    bool sound = true;
    for (int i = 0; i < 500; i++) {
      std::string key = keys.make();
      sound = sound && agrees_on(run, model, key) && agrees_on(run, model, key + '\0');
      key.resize(random.below(key.size()));
      sound = sound && agrees_on(run, model, key);
    }
    CHECK(sound);
    CHECK(behaves_like(*run.cursor(), model, random, keys, 300));
    CHECK(damages_of(run) == std::vector<std::string>());
  }
}

TEST_CASE("run: a small one takes just what it needs") {
  MemoryMedium medium(16 * kMiB);
  const std::vector<TableRef> tables = build(medium, numbered(100), 4 * kMiB);
  CHECK(tables.size() == 1);
  CHECK(tables[0].segment.bytes == 2 * kNodeBytes);
  CHECK(tables[0].depth == 1);
  CHECK(medium.counters().bytes_appended == 2 * kNodeBytes);
}

TEST_CASE("run: nothing added, nothing taken") {
  MemoryMedium medium(1 * kMiB);
  CHECK(build(medium, Model(), 1 * kMiB).empty());
  CHECK(medium.segments_held() == 0);
  Run run(medium, {});
  CHECK_FALSE(run.find("a").value().has_value());
  std::unique_ptr<Cursor> cursor = run.cursor();
  cursor->seek("a");
  CHECK_FALSE(cursor->valid());
  cursor->seek_before("a");
  CHECK_FALSE(cursor->valid());
  cursor->seek_last();
  CHECK_FALSE(cursor->valid());
}

TEST_CASE("run: the builder refuses keys out of order and of impossible size") {
  MemoryMedium medium(1 * kMiB);
  RunBuilder builder(medium, 1 * kMiB);
  CHECK(builder.add("b", Place::from_word(1)).is_ok());
  CHECK(builder.add("b", Place::from_word(1)).code() == Code::kInvalidArgument);
  CHECK(builder.add("a", Place::from_word(1)).code() == Code::kInvalidArgument);
  CHECK(builder.add(std::string(kMaxKeyBytes + 1, 'c'), Place::from_word(1)).code() ==
        Code::kKeySize);
  CHECK(builder.add("", Place::from_word(1)).code() == Code::kKeySize);
}

TEST_CASE("run: whatever fails, abandoning gives all segments back") {
  const Model model = numbered(60000);
  for (uint64_t appends = 0; appends < 12; appends++) {
    MemoryMedium medium(8 * kMiB);
    medium.appends_until_failure = appends;
    RunBuilder builder(medium, 64 * kKiB);
    Status status;
    for (const auto& [key, word] : model) {
      if (status = builder.add(key, Place::from_word(word)); !status) break;
    }
    CHECK(status.code() == Code::kIo);
    builder.abandon();
    CHECK(medium.segments_held() == 0);
  }
  MemoryMedium full(128 * kKiB);
  {
    RunBuilder builder(full, 64 * kKiB);
    Status status;
    for (const auto& [key, word] : model) {
      if (status = builder.add(key, Place::from_word(word)); !status) break;
    }
    CHECK(status.code() == Code::kPoolFull);
  }
  CHECK(full.segments_held() == 0);
}

TEST_CASE("run: many threads may be the first to touch it") {
  const Model model = numbered(20000);
  MemoryMedium medium(16 * kMiB);
  Run run(medium, build(medium, model, 64 * kKiB));
  bool sound[4] = {};
  std::vector<std::thread> threads;
  for (bool& mine : sound)
    threads.emplace_back([&run, &model, &mine] { mine = finds_all(run, model); });
  for (std::thread& thread : threads) thread.join();
  for (const bool mine : sound) CHECK(mine);
}

TEST_CASE("run: a damaged node is named by whoever touches it") {
  const Model model = numbered(3000);
  MemoryMedium medium(16 * kMiB);
  const std::vector<TableRef> tables = build(medium, model, 1 * kMiB);
  const TableRef& table = tables.front();
  CHECK(table.depth == 2);
  uint8_t* const base = medium.writable() + table.segment.offset;
  for (uint32_t number = 0; number < table.nodes; number++) {
    uint8_t& damaged = base[number * kNodeBytes + 777];
    damaged ^= 0x10;
    const std::string name = "index node " + std::to_string(number) + " of the table at offset " +
                             std::to_string(table.segment.offset) + ": ";
    Run run(medium, tables);
    std::vector<std::string> damages = damages_of(run);
    CHECK((damages.size() == 1 && damages[0].find(name) == 0));
    uint64_t corrupt = 0;
    uint64_t wrong = 0;
    for (const auto& [key, word] : model) {
      Result<std::optional<Place>> found = run.find(key);
      if (found) {
        wrong += !found->has_value() || (*found)->word() != word;
      } else {
        corrupt +=
            found.status().code() == Code::kCorrupt && found.status().message().find(name) == 0;
      }
    }
    CHECK(wrong == 0);
    CHECK(corrupt >= 50);
    std::unique_ptr<Cursor> cursor = run.cursor();
    uint64_t seen = 0;
    for (cursor->seek("user"); cursor->valid(); cursor->next()) seen++;
    CHECK(seen < model.size());
    const bool fails_forward = cursor->take_status().code() == Code::kCorrupt;
    CHECK(fails_forward);
    damaged ^= 0x10;
  }
  CHECK(damages_of(Run(medium, tables)).empty());
}

TEST_CASE("run: nodes that changed places, and those of another table, are noticed") {
  MemoryMedium medium(16 * kMiB);
  const Model model = numbered(3000);
  const std::vector<TableRef> one = build(medium, model, 1 * kMiB);
  Model later = model;
  later.begin()->second = 99;
  const std::vector<TableRef> two = build(medium, later, 1 * kMiB);
  uint8_t* const first = medium.writable() + one[0].segment.offset;
  uint8_t* const second = medium.writable() + two[0].segment.offset;
  std::swap_ranges(first + 2 * kNodeBytes, first + 3 * kNodeBytes, first + 4 * kNodeBytes);
  std::swap_ranges(first + 6 * kNodeBytes, first + 7 * kNodeBytes, second + 6 * kNodeBytes);
  CHECK(damages_of(Run(medium, one)).size() == 3);
  CHECK(damages_of(Run(medium, two)).size() == 1);
  std::vector<TableRef> swapped = one;
  swapped[0].segment = two[0].segment;
  swapped[0].entries++;
  CHECK(damages_of(Run(medium, swapped)).size() == 1);
  CHECK(Run(medium, swapped).find(model.begin()->first).status().code() == Code::kCorrupt);
}

TEST_CASE("run: an impossible reference is an error, not a read") {
  MemoryMedium medium(1 * kMiB);
  const std::vector<TableRef> tables = build(medium, numbered(1000), 1 * kMiB);
  const auto refused = [&](auto change) {
    std::vector<TableRef> changed = tables;
    change(changed[0]);
    Run run(medium, changed);
    std::unique_ptr<Cursor> cursor = run.cursor();
    cursor->seek_last();
    CHECK(cursor->take_status().code() == Code::kCorrupt);
    CHECK(damages_of(run).size() >= 1);
    return run.find("user:0000000500").status().code() == Code::kCorrupt;
  };
  CHECK(refused([](TableRef& ref) { ref.segment.offset = 2 * kMiB; }));
  CHECK(refused([](TableRef& ref) { ref.segment.offset += 1; }));
  CHECK(refused([](TableRef& ref) { ref.segment.offset = UINT64_MAX - 4095; }));
  CHECK(refused([](TableRef& ref) { ref.segment.bytes = UINT64_MAX; }));
  CHECK(refused([](TableRef& ref) { ref.nodes = UINT32_MAX; }));
  CHECK(refused([](TableRef& ref) { ref.nodes = 0; }));
  CHECK(refused([](TableRef& ref) { ref.root = 1; }));
  CHECK(refused([](TableRef& ref) { ref.depth = 0; }));
  CHECK(refused([](TableRef& ref) { ref.depth = 1000000; }));
  CHECK(refused([](TableRef& ref) { ref.depth = 1; }));
  CHECK(refused([](TableRef& ref) { ref.entries = 7; }));
}

TEST_CASE("run: a sound node in a wrong place of the tree is not taken for another") {
  const Model model = numbered(300000);
  MemoryMedium medium(16 * kMiB);
  const std::vector<TableRef> tables = build(medium, model, 8 * kMiB);
  const TableRef& table = tables.front();
  CHECK(table.depth == 3);
  uint8_t* const base = medium.writable() + table.segment.offset;
  const auto header = load<TableHeader>(base);
  // Of the two nodes above the leaves the second now calls the first its child.
  uint8_t* const second = base + (header.leaves + 2) * kNodeBytes;
  NodeView view;
  CHECK(view.open(second));
  const size_t words_at =
      sizeof(NodeHeader) + round_up(view.prefix().size(), 8) + view.count() * sizeof(uint64_t);
  store(second + words_at + 5 * sizeof(uint32_t), header.leaves + 1);
  seal_node(second, header.tag);
  Run run(medium, tables);
  uint64_t wrong = 0;
  uint64_t corrupt = 0;
  for (const auto& [key, word] : model) {
    Result<std::optional<Place>> found = run.find(key);
    if (!found) {
      corrupt += found.status().code() == Code::kCorrupt;
    } else {
      wrong += !found->has_value() || (*found)->word() != word;
    }
  }
  CHECK(wrong == 0);
  CHECK(corrupt > 100);
  CHECK(damages_of(run).size() >= 1);
}

// Damage anywhere in the segment, sometimes with the checksums made right again so that the
// structure is all there is to tell. Reading must end, and never leave the segment (the sanitizer
// watches); without fixed checksums what is found must be right.
void damage_and_read(uint64_t seed, uint64_t* errors) {
  Random random(seed);
  KeyMaker keys(random);
  MemoryMedium medium(2 * kMiB);
  Model model;
  for (uint64_t i = 1 + random.below(2000); i > 0; i--) model[keys.make()] = 1 + random.next() / 2;
  const std::vector<TableRef> tables = build(medium, model, 64 * kKiB);
  const bool fix = random.one_in(2);
  for (const TableRef& table : tables) {
    uint8_t* const base = medium.writable() + table.segment.offset;
    const uint32_t tag = load<TableHeader>(base).tag;
    for (uint32_t number = 0; number < table.nodes; number++) {
      if (!random.one_in(3)) continue;
      uint8_t* const node = base + number * kNodeBytes;
      const uint64_t from = random.one_in(3) ? 8 + random.below(56) : random.below(kNodeBytes - 64);
      for (uint64_t n = random.one_in(2) ? 1 : 64, i = 0; i < n; i++) {
        node[from + i] = static_cast<uint8_t>(random.next());
      }
      if (!fix) continue;
      if (number > 0) {
        store(node + offsetof(NodeHeader, number), number);
        seal_node(node, tag);
      } else {
        store(node, checksum(node + 8, kNodeBytes - 8));
      }
    }
  }
  Run run(medium, tables);
  uint64_t wrong = 0;
  for (const auto& [key, word] : model) {
    Result<std::optional<Place>> found = run.find(key);
    if (!found) {
      (*errors)++;
      CHECK(found.status().code() == Code::kCorrupt);
    } else {
      wrong += !found->has_value() || (*found)->word() != word;
    }
  }
  if (!fix) CHECK(wrong == 0);
  std::unique_ptr<Cursor> cursor = run.cursor();
  uint64_t steps = 0;
  const uint64_t most = 250 * medium.view_end() / kNodeBytes;
  for (cursor->seek(Bytes()); cursor->valid() && steps < most; cursor->next()) steps++;
  for (cursor->seek_last(); cursor->valid() && steps < 2 * most; cursor->prev()) steps++;
  CHECK(steps < most);
  for (int i = 0; i < 100; i++) {
    cursor->seek(keys.make());
    for (int step = 0; step < 5 && cursor->valid(); step++)
      random.one_in(2) ? cursor->next() : cursor->prev();
    cursor->seek_before(keys.make());
    for (int step = 0; step < 5 && cursor->valid(); step++)
      random.one_in(2) ? cursor->next() : cursor->prev();
  }
  damages_of(run);
}

TEST_CASE("run: damage is an error, never a crash, a hang or a wrong place") {
  uint64_t errors = 0;
  for (const uint64_t seed : seeds(600)) {
    CAPTURE(seed);
    damage_and_read(seed, &errors);
  }
  CHECK(errors > 0);
}

}  // namespace
}  // namespace holdfast
