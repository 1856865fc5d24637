// One node: what goes in comes out; damage of any kind is noticed, and what is not (a right
// checksum over nonsense) does no harm. Nodes are placed at the end of a heap block, so that a
// sanitizer sees any read beyond them.

#include "index/node.h"

#include <functional>

#include "base/checksum.h"
#include "index/heads.h"
#include "native/index/index_model.h"

namespace holdfast {
namespace {

struct NodeCopy {
  NodeCopy() : bytes(static_cast<uint8_t*>(std::aligned_alloc(64, kNodeBytes))) {}
  ~NodeCopy() { std::free(bytes); }
  uint8_t* bytes;
};

// As many of the model's entries as fit, encoded; the model is cut down to those.
void write_node(uint32_t level, Model* model, uint8_t* node) {
  NodeWriter writer(level);
  auto it = model->begin();
  while (it != model->end() && writer.add(it->first, it->second)) ++it;
  model->erase(it, model->end());
  writer.encode(900, node);
  seal_node(node, 77);
}

// The places of one leaf: of operations here and there or close to each other, as long as each
// other or not, large or not, deleted keys, and words that nobody would write.
class PlaceMaker {
 public:
  explicit PlaceMaker(Random& random)
      : random_(random),
        offset_(random.below(uint64_t{1} << (10 + random.below(34)))),
        offsets_(uint64_t{1} << random.below(44)),
        lengths_(uint64_t{1} << random.below(21)) {}

  uint64_t make() {
    if (random_.one_in(50)) return 0;
    if (wild_) return random_.next();
    return Place::of((offset_ + random_.below(offsets_)) * 8, random_.below(lengths_) * 8,
                     large_ && random_.one_in(3))
        .word();
  }

 private:
  Random& random_;
  const uint64_t offset_, offsets_, lengths_;
  const bool wild_ = random_.one_in(8), large_ = random_.one_in(3);
};

Model random_model(Random& random, KeyMaker& keys, uint32_t level) {
  Model model;
  PlaceMaker places(random);
  for (uint64_t i = 1 + random.below(800); i > 0; i--) {
    model[keys.make()] = level == 0 ? places.make() : 1 + random.below(899);
  }
  return model;
}

// A leaf as builds wrote it that knew no packed ones; cuts the model down to what fits.
void write_unpacked(Model* model, uint8_t* node) {
  constexpr size_t kHead = 8, kEntry = 18;
  std::memset(node, 0, kNodeBytes);
  size_t prefix = model->begin()->first.size(), count = 0, heap_bytes = 0;
  const auto tails = [&](size_t at_prefix, size_t of) {
    size_t sum = 0;
    auto it = model->begin();
    for (size_t i = 0; i < of; i++, ++it)
      sum += std::max(it->first.size(), at_prefix + kHead) - at_prefix - kHead;
    return sum;
  };
  auto it = model->begin();
  for (; it != model->end(); ++it, count++) {
    const size_t shared = std::min(prefix, common_prefix_bytes(it->first, model->begin()->first));
    const size_t heap = tails(shared, count + 1);
    if (sizeof(NodeHeader) + round_up(shared, 8) + (count + 1) * kEntry + heap > kNodeBytes) break;
    prefix = shared;
    heap_bytes = heap;
  }
  model->erase(it, model->end());
  NodeHeader header = {};
  header.number = 900;
  header.count = static_cast<uint16_t>(count);
  header.prefix_bytes = static_cast<uint16_t>(prefix);
  header.heap_bytes = static_cast<uint16_t>(heap_bytes);
  store(node, header);
  std::memcpy(node + sizeof header, model->begin()->first.data(), prefix);
  uint8_t* const heads = node + sizeof header + round_up(prefix, 8);
  uint8_t* const words = heads + count * kHead;
  uint8_t* const slots = words + count * sizeof(uint64_t);
  uint8_t* heap = slots + count * sizeof(uint16_t);
  uint16_t tail = 0;
  size_t i = 0;
  for (const auto& [key, word] : *model) {
    const std::string rest = key.substr(prefix);
    store(heads + i * kHead, head_after(rest, 0));
    store(words + i * sizeof(uint64_t), word);
    const bool ends = rest.size() <= kHead;
    store(slots + i * sizeof(uint16_t),
          static_cast<uint16_t>(tail << 4 | (ends ? rest.size() : 9)));
    if (!ends) {
      std::memcpy(heap + tail, rest.data() + kHead, rest.size() - kHead);
      tail = static_cast<uint16_t>(tail + rest.size() - kHead);
    }
    i++;
  }
  seal_node(node, 77);
}

// Every access there is, bounded by what the node says of itself. The results mean nothing; the
// sanitizer watches.
uint64_t use_everything(const uint8_t* node, KeyMaker& keys) {
  NodeView view;
  if (!view.open(node)) return 0;
  uint64_t sum = view.prefix().size();
  char key[kKeyBufferBytes];
  for (uint32_t i = 0; i < view.count(); i++) {
    sum += view.head(i) + (view.level() == 0 ? view.place(i).word() : view.child(i));
    const size_t size = view.copy_key(i, key);
    CHECK(size <= kMaxKeyBytes);
    uint32_t index = 0;
    bool equal;
    if (size > 0 && view.lower_bound(Bytes(key, size), &index, &equal)) sum += index;
    CHECK(index <= view.count());
  }
  for (int i = 0; i < 20; i++) {
    uint32_t index = 0;
    if (view.child_index(keys.make(), &index)) sum += index;
    CHECK(index < view.count());
  }
  return sum;
}

TEST_CASE("node: keys and words come back, and are found") {
  for (const uint64_t seed : seeds(300)) {
    CAPTURE(seed);
    Random random(seed);
    KeyMaker keys(random);
    const auto level = static_cast<uint32_t>(random.below(2));
    Model model = random_model(random, keys, level);
    const size_t wanted = model.size();
    NodeCopy node;
    if (level == 0 && random.one_in(4)) {
      write_unpacked(&model, node.bytes);
    } else {
      write_node(level, &model, node.bytes);
    }
    CHECK(model.size() >= std::min<size_t>(wanted, 3));
    CHECK(NodeView::verify(node.bytes, 900, level, 77) == nullptr);
    NodeView view;
    CHECK(view.open(node.bytes));
    CHECK(view.count() == model.size());
    uint32_t at = 0;
    bool sound = true;
    for (const auto& [key, word] : model) {
      char copy[kKeyBufferBytes];
      const size_t size = view.copy_key(at, copy);
      sound = sound && Bytes(copy, size) == key;
      sound = sound && word == (level == 0 ? view.place(at).word() : view.child(at));
      at++;
    }
    CHECK(sound);
    for (int i = 0; i < 500 && sound; i++) {
      std::string key = keys.make();
      if (random.one_in(2))
        key = std::next(model.begin(), static_cast<long>(random.below(model.size())))->first;
      if (random.one_in(4)) key.push_back('\0');
      if (random.one_in(4)) key.resize(random.below(key.size() + 1));
      const Model::const_iterator expected = model.lower_bound(key);
      uint32_t index;
      bool equal;
      sound =
          view.lower_bound(key, &index, &equal) && index == std::distance(model.cbegin(), expected);
      sound = sound && equal == (expected != model.end() && expected->first == key);
    }
    CHECK(sound);
  }
}

// In a leaf whose keys end within four bytes of their prefix a longer key may begin with all that
// one of them has.
TEST_CASE("node: a key that goes on where a short head ends lies behind it") {
  NodeWriter writer(0);
  const std::string prefix("\0\0\0\1key", 7);
  for (const char* const rest : {"abcd", "abce", "b", "bcd"})
    REQUIRE(writer.add(prefix + rest, Place::of(4096, 64, false).word()));
  NodeCopy node;
  writer.encode(5, node.bytes);
  NodeView view;
  REQUIRE(view.open(node.bytes));
  const auto lower_bound = [&](const std::string& rest) {
    uint32_t index = 0;
    bool equal = false;
    CHECK(view.lower_bound(prefix + rest, &index, &equal));
    CHECK(!equal);
    return index;
  };
  CHECK(lower_bound("abcc~") == 0);
  CHECK(lower_bound(std::string("abcd\0", 5)) == 1);
  CHECK(lower_bound("abcdefgh") == 1);
  CHECK(lower_bound("abcdefghi") == 1);
  CHECK(lower_bound("abce~") == 2);
  CHECK(lower_bound(std::string("b\0\0\0\0", 5)) == 3);
  CHECK(lower_bound("bcd~~") == 4);
}

TEST_CASE("node: three of the largest keys fit") {
  for (const uint32_t level : {0u, 1u}) {
    NodeWriter writer(level);
    std::string key(kMaxKeyBytes, 'a');
    for (char first : {'a', 'b', 'c'}) {
      key[0] = first;
      CHECK(writer.add(key, 1));
    }
    NodeCopy node;
    writer.encode(5, node.bytes);
    seal_node(node.bytes, 1);
    CHECK(NodeView::verify(node.bytes, 5, level, 1) == nullptr);
  }
}

size_t entries_that_fit(const std::function<std::pair<std::string, uint64_t>(uint64_t)>& entry) {
  NodeWriter writer(0);
  uint64_t i = 0;
  for (;; i++) {
    const auto [key, word] = entry(i);
    if (!writer.add(key, word)) return i;
  }
}

TEST_CASE("node: what the entries of a leaf have in common is in it once") {
  const auto key = [](uint64_t i) {
    char text[32];
    std::snprintf(text, sizeof text, "user:%010llu", static_cast<unsigned long long>(i));
    return std::string("\0\0\0\1", 4) + text;
  };
  // Four bytes of key and two of place.
  CHECK(entries_that_fit([&](uint64_t i) {
          return std::pair(key(i), Place::of((4096 + i) * 288, 288, false).word());
        }) > 660);
  // Of operations here and there in 256 MiB, of all lengths up to 1 KiB: four and five.
  Random random(1);
  CHECK(entries_that_fit([&](uint64_t i) {
          const uint64_t offset = random.below(32 * kMiB) * 8, bytes = random.below(128) * 8;
          return std::pair(key(i), Place::of(offset, bytes, false).word());
        }) > 440);
  // Keys of all lengths up to eight bytes behind the prefix: heads, places and slots.
  CHECK(entries_that_fit([&](uint64_t i) {
          return std::pair(key(i) + std::string(i % 2, 'x') + std::string(4, 'y'),
                           Place::of((4096 + i) * 288, 288, false).word());
        }) > 330);
}

TEST_CASE("node: any changed byte is noticed") {
  Random random(1);
  KeyMaker keys(random);
  Model model = random_model(random, keys, 0);
  NodeCopy node;
  write_node(0, &model, node.bytes);
  for (size_t at = 0; at < kNodeBytes; at++) {
    node.bytes[at] ^= static_cast<uint8_t>(1 + random.below(255));
    CHECK(NodeView::verify(node.bytes, 900, 0, 77) != nullptr);
    use_everything(node.bytes, keys);
    write_node(0, &model, node.bytes);
  }
  CHECK(NodeView::verify(node.bytes, 901, 0, 77) != nullptr);
  CHECK(NodeView::verify(node.bytes, 900, 1, 77) != nullptr);
  CHECK(NodeView::verify(node.bytes, 900, 0, 78) != nullptr);
  CHECK(NodeView::verify(node.bytes, 900, 0, 77) == nullptr);
}

// What verify() lets pass must be usable: rising keys, each found where it is.
void check_self_consistent(const uint8_t* node) {
  NodeView view;
  CHECK(view.open(node));
  std::string before;
  bool sound = true;
  for (uint32_t i = 0; i < view.count(); i++) {
    char buffer[kKeyBufferBytes];
    const std::string key(buffer, view.copy_key(i, buffer));
    uint32_t index;
    bool equal;
    sound = sound && (i == 0 || before < key) && view.lower_bound(key, &index, &equal) &&
            index == i && equal;
    before = key;
  }
  CHECK(sound);
}

// A leaf without a tail or a slot, that is packed as `packed` says, and has `count` entries.
bool is_taken(uint32_t level, const PackedHeader& packed, size_t count) {
  NodeCopy node;
  std::memset(node.bytes, 0, kNodeBytes);
  NodeHeader header = {};
  header.number = 5;
  header.count = static_cast<uint16_t>(count);
  header.level = static_cast<uint8_t>(level);
  header.packed = 1;
  store(node.bytes, header);
  store(node.bytes + sizeof header, packed);
  NodeView view;
  return view.open(node.bytes);
}

TEST_CASE("node: one that is packed as none can be is refused") {
  constexpr size_t kRoom = kNodeBytes - sizeof(NodeHeader) - sizeof(PackedHeader);
  const PackedHeader sound{4096, 64, 4, 2, 0, 4};
  const auto with = [&](auto&& change) {
    PackedHeader packed = sound;
    change(packed);
    return is_taken(0, packed, 3);
  };
  CHECK(is_taken(0, sound, 3));
  CHECK(!is_taken(1, sound, 3));
  for (const uint8_t head_bytes : {0, 3, 5, 7, 9, 16})
    CHECK(!with([&](PackedHeader& packed) { packed.head_bytes = head_bytes; }));
  for (const uint8_t code_bytes : {0, 9, 16, 255})
    CHECK(!with([&](PackedHeader& packed) { packed.code_bytes = code_bytes; }));
  CHECK(!with([&](PackedHeader& packed) { packed.length_bits = PlacePacking::kLengthBits + 1; }));
  for (const uint8_t ends : {10, 254})
    CHECK(!with([&](PackedHeader& packed) { packed.ends = ends; }));
  // The last place is read in eight bytes.
  CHECK(is_taken(0, sound, (kRoom - 6) / 6));
  CHECK(!is_taken(0, sound, kRoom / 6));
}

TEST_CASE("node: nonsense under a right checksum does no harm") {
  uint64_t refused = 0;
  uint64_t passed = 0;
  for (const uint64_t seed : seeds(4000)) {
    CAPTURE(seed);
    Random random(seed);
    KeyMaker keys(random);
    const auto level = static_cast<uint32_t>(random.below(2));
    Model model = random_model(random, keys, level);
    NodeCopy node;
    write_node(level, &model, node.bytes);
    const uint64_t kind = random.below(5);
    if (kind == 4) {  // how a leaf is packed
      node.bytes[sizeof(NodeHeader) + random.below(sizeof(PackedHeader))] =
          static_cast<uint8_t>(random.next() >> random.below(8));
    } else if (kind == 0) {  // the header's lengths
      node.bytes[16 + random.below(8)] = static_cast<uint8_t>(random.next());
    } else if (kind == 1) {  // single bytes anywhere
      for (uint64_t n = 1 + random.below(4); n > 0; n--) {
        node.bytes[16 + random.below(kNodeBytes - 16)] ^= 1 << random.below(8);
      }
    } else if (kind == 2) {  // 64 bytes of garbage
      const uint64_t from = 8 + random.below(kNodeBytes - 72);
      for (uint64_t i = 0; i < 64; i++) node.bytes[from + i] = static_cast<uint8_t>(random.next());
    } else {  // garbage but for the header
      for (uint64_t i = sizeof(NodeHeader); i < kNodeBytes; i++)
        node.bytes[i] = static_cast<uint8_t>(random.next());
    }
    use_everything(node.bytes, keys);
    auto header = load<NodeHeader>(node.bytes);
    header.number = 900;
    store(node.bytes, header);
    seal_node(node.bytes, 77);
    const char* const why = NodeView::verify(node.bytes, 900, level, 77);
    (why == nullptr ? passed : refused)++;
    if (why == nullptr) check_self_consistent(node.bytes);
    use_everything(node.bytes, keys);
  }
  if (std::getenv("HOLDFAST_SEED") == nullptr) {
    CHECK(refused > 1000);
    CHECK(passed > 100);  // words and unused bytes may be anything
  }
}

}  // namespace
}  // namespace holdfast
