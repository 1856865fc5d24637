// Encodes and reads nodes; see node.h for the layout and what may be relied on.

#include "index/node.h"

#include "base/checksum.h"
#include "index/heads.h"

namespace holdfast {
namespace {

constexpr uint32_t kHasTail = 9;
constexpr size_t kShortHeadBytes = sizeof(uint32_t);
// Heads are looked at in steps of this many bytes first, one cache line each, then within one step.
constexpr size_t kStrideBytes = 128;

size_t tail_bytes(size_t key_bytes, size_t prefix_bytes) {
  const size_t rest = key_bytes - prefix_bytes;
  return rest > kHeadBytes ? rest - kHeadBytes : 0;
}

uint64_t node_checksum(const uint8_t* node) {
  return checksum(node + sizeof(uint64_t), kNodeBytes - sizeof(uint64_t));
}

}  // namespace

bool NodeView::open(const uint8_t* node) {
  const auto header = load<NodeHeader>(node);
  node_ = node;
  number_ = header.number;
  count_ = header.count;
  prefix_bytes_ = header.prefix_bytes;
  heap_bytes_ = header.heap_bytes;
  level_ = header.level;
  prefix_ = node + sizeof header;
  head_bytes_ = kHeadBytes;
  word_bytes_ = level_ == 0 ? sizeof(uint64_t) : sizeof(uint32_t);
  ends_ = kEndsDiffer;
  packing_.code_bytes = PlacePacking::kWholeWord;
  if (header.packed != 0 && !(header.packed == 1 && open_packed())) return false;
  const size_t heads_at = static_cast<size_t>(prefix_ - node) + round_up(prefix_bytes_, 8);
  const size_t words_at = heads_at + count_ * head_bytes_;
  const size_t slots_at = words_at + count_ * word_bytes_;
  const size_t heap_at = slots_at + (ends_ == kEndsDiffer ? count_ * sizeof(uint16_t) : 0);
  heads_ = node + heads_at;
  words_ = node + words_at;
  slots_ = node + slots_at;
  heap_ = node + heap_at;
  return count_ > 0 && heap_at + heap_bytes_ <= kNodeBytes &&
         slots_at + sizeof(uint64_t) <= kNodeBytes + word_bytes_;
}

bool NodeView::open_packed() {
  const auto packed = load<PackedHeader>(prefix_);
  prefix_ += sizeof packed;
  head_bytes_ = packed.head_bytes;
  word_bytes_ = packed.code_bytes;
  ends_ = packed.ends;
  packing_ = {packed.least_offset, packed.least_length, packed.code_bytes, packed.length_bits};
  return level_ == 0 && (head_bytes_ == kHeadBytes || head_bytes_ == kShortHeadBytes) &&
         word_bytes_ >= 1 && word_bytes_ <= sizeof(uint64_t) &&
         packed.length_bits <= PlacePacking::kLengthBits &&
         (ends_ <= kHasTail || ends_ == kEndsDiffer);
}

bool NodeView::suffix(uint32_t index, Suffix* suffix) const {
  const auto* const heap = reinterpret_cast<const char*>(heap_);
  if (ends_ != kEndsDiffer) {
    const uint32_t tail = ends_ == kHasTail ? heap_bytes_ / count_ : 0;
    *suffix = tail > 0 ? Suffix{kHeadBytes + tail, heap + index * tail} : Suffix{ends_, heap};
    return ends_ != kHasTail || tail > 0;
  }
  const uint32_t slot = load<uint16_t>(slots_ + index * sizeof(uint16_t));
  const uint32_t size = slot & 15;
  const uint32_t begin = slot >> 4;
  if (size <= kHeadBytes) {
    *suffix = Suffix{size, heap};
    return true;
  }
  uint32_t end = heap_bytes_;
  if (index + 1 < count_) end = load<uint16_t>(slots_ + (index + 1) * sizeof(uint16_t)) >> 4;
  if (size != kHasTail || begin >= end || end > heap_bytes_) return false;
  *suffix = Suffix{kHeadBytes + end - begin, heap + begin};
  return true;
}

// How entry `index` stands to a key that goes on with `rest` after the prefix, when their heads are
// equal.
bool NodeView::compare(uint32_t index, Bytes rest, int* order) const {
  Suffix mine;
  if (!suffix(index, &mine)) return false;
  if (mine.bytes > kHeadBytes && rest.size() > kHeadBytes) {
    *order = Bytes(mine.tail, mine.tail_bytes()).compare(rest.substr(kHeadBytes));
  } else {  // one ends within the head, where the other is equal or has the zero bytes it is padded
            // with
    *order = mine.bytes < rest.size() ? -1 : mine.bytes > rest.size() ? 1 : 0;
  }
  return true;
}

// A search by halves would wait for a cache line at each of its steps. The samples here lie where
// prefetch() looked before anything of the node was known; then what lies between two samples is
// fetched together with what belongs to it: slots, words, and the tails if keys are about as long
// as each other. So a node that is not in the cache costs two or three waits for memory (70 ns
// each), not nine.
template <typename Head>
uint32_t NodeView::heads_below_here(uint64_t bound) const {
  constexpr uint32_t kStride = kStrideBytes / sizeof(Head);
  const auto* const heads = reinterpret_cast<const Head*>(heads_);
  const size_t heads_at = static_cast<size_t>(heads_ - node_);
  const uint32_t first =
      static_cast<uint32_t>((round_up(heads_at, kStrideBytes) - heads_at) / sizeof(Head));
  uint32_t low = 0;
  uint32_t size = first;
  for (uint32_t sample = first; sample < count_; sample += kStride) {
    const bool below = heads[sample] < bound;
    low = below ? sample + 1 : low;
    size = below ? kStride - 1 : size;
  }
  size = std::min(size, count_ - low);
  const Head* const from = heads + low;
  const uint8_t* const tails = heap_ + heap_bytes_ * low / count_;
  __builtin_prefetch(from);
  __builtin_prefetch(from + 64 / sizeof(Head));
  if (ends_ == kEndsDiffer) __builtin_prefetch(slots_ + low * sizeof(uint16_t));
  __builtin_prefetch(tails);
  __builtin_prefetch(tails + 64);
  __builtin_prefetch(words_ + low * word_bytes_);
  __builtin_prefetch(words_ + low * word_bytes_ + 64);
  return low + heads_below(from, size, bound);
}

bool NodeView::lower_bound(Bytes key, uint32_t* index, bool* equal) const {
  *equal = false;
  const int order = compare_to_prefix(key, prefix());
  if (order != 0) {
    *index = order < 0 ? 0 : count_;
    return true;
  }
  const Bytes rest = key.substr(prefix_bytes_);
  const uint64_t wanted = head_after(key, prefix_bytes_);
  uint32_t low = head_bytes_ == kHeadBytes
                     ? heads_below_here<uint64_t>(wanted)
                     : heads_below_here<uint32_t>((wanted >> 32) + ((wanted << 32) != 0));
  uint32_t high = count_;
  while (low < high && head(low) == wanted) {  // a tie: look at the first, then halve what is left
    int tie;
    if (!compare(low, rest, &tie)) return false;
    if (tie >= 0) {
      *equal = tie == 0;
      break;
    }
    low++;
    const uint32_t middle = low + (high - low) / 2;
    if (middle >= high) break;
    if (head(middle) == wanted && !compare(middle, rest, &tie)) return false;
    if (head(middle) > wanted || tie >= 0) {
      high = middle + 1;
    } else {
      low = middle + 1;
    }
  }
  *index = low;
  return true;
}

bool NodeView::child_index(Bytes key, uint32_t* index) const {
  bool equal;
  if (!lower_bound(key, index, &equal)) return false;
  if (!equal && *index > 0) --*index;
  return true;
}

size_t NodeView::copy_key(uint32_t index, char* to) const {
  Suffix mine;
  if (!suffix(index, &mine)) return 0;
  const size_t size = prefix_bytes_ + mine.bytes;
  if (size > kMaxKeyBytes) return 0;
  std::memcpy(to, prefix_, prefix_bytes_);
  store(to + prefix_bytes_, __builtin_bswap64(head(index)));  // 8 bytes always: the buffer has room
  std::memcpy(to + prefix_bytes_ + kHeadBytes, mine.tail, mine.tail_bytes());
  return size;
}

void NodeView::prefetch(const uint8_t* node) {
  for (size_t at = 0; at < kNodeBytes / 2; at += kStrideBytes) __builtin_prefetch(node + at);
}

const char* NodeView::verify(const uint8_t* node, uint32_t number, uint32_t level, uint32_t tag) {
  const auto header = load<NodeHeader>(node);
  if (header.checksum != node_checksum(node)) return "its checksum is wrong";
  if (header.number != number) return "it is another node of that table";
  if (header.tag != tag) return "it belongs to another table";
  if (header.level != level) return "it is of another level";
  if (header.packed > 1) return "it is packed in an unknown way";
  NodeView view;
  if (!view.open(node)) return "its lengths do not fit";
  return view.verify_entries();
}

const char* NodeView::verify_entries() const {
  if (prefix_bytes_ > kMaxKeyBytes) return "its prefix is too long";
  uint32_t tails = 0;
  for (uint32_t i = 0; i < count_; i++) {
    if (ends_ == kEndsDiffer && load<uint16_t>(slots_ + i * sizeof(uint16_t)) >> 4 != tails)
      return "its keys' tails are out of order";
    Suffix mine;
    if (!suffix(i, &mine) || (head_bytes_ < kHeadBytes && mine.bytes > head_bytes_))
      return "a key's length does not fit";
    tails += static_cast<uint32_t>(mine.tail_bytes());
    const size_t size = prefix_bytes_ + mine.bytes;
    if (size == 0 || size > kMaxKeyBytes) return "a key has an impossible length";
    if (mine.bytes < kHeadBytes && (mine.bytes == 0 ? head(i) : head(i) << (8 * mine.bytes)) != 0) {
      return "a key goes on after its end";
    }
    if (level_ > 0 && (child(i) == 0 || child(i) >= number_))
      return "a child's number is impossible";
    if (i == 0) continue;
    if (head(i - 1) > head(i)) return "its keys are out of order";
    if (head(i - 1) < head(i)) continue;
    char rest[kKeyBufferBytes];  // equal heads are rare
    store(rest, __builtin_bswap64(head(i)));
    std::memcpy(rest + kHeadBytes, mine.tail, mine.tail_bytes());
    int order;
    if (!compare(i - 1, Bytes(rest, mine.bytes), &order) || order >= 0)
      return "its keys are out of order";
  }
  return tails == heap_bytes_ ? nullptr : "its keys' tails have another length";
}

// Where a node of this shape has what.
struct NodeWriter::Layout {
  PlacePacking packing;
  size_t head_bytes = kHeadBytes, word_bytes = sizeof(uint32_t);
  uint8_t ends = kEndsDiffer;
  size_t prefix, heads, words, slots, heap, end;

  Layout(const Shape& shape, uint32_t level) {
    prefix = sizeof(NodeHeader);
    if (level == 0) {
      prefix += sizeof(PackedHeader);
      packing = shape.places.packing();
      word_bytes = packing.code_bytes;
      const size_t most = shape.longest - shape.prefix_bytes;
      if (most <= kShortHeadBytes) head_bytes = kShortHeadBytes;
      if (shape.shortest == shape.longest)
        ends = static_cast<uint8_t>(most > kHeadBytes ? kHasTail : most);
    }
    heads = prefix + round_up(shape.prefix_bytes, 8);
    words = heads + shape.count * head_bytes;
    slots = words + shape.count * word_bytes;
    heap = slots + (ends == kEndsDiffer ? shape.count * sizeof(uint16_t) : 0);
    // The last word is read in eight bytes.
    end = std::max(heap + shape.heap_bytes, slots + sizeof(uint64_t) - word_bytes);
  }
};

bool NodeWriter::add(Bytes key, uint64_t word) {
  Shape shape = shape_;
  shape.count++;
  shape.shortest = std::min(shape.shortest, key.size());
  shape.longest = std::max(shape.longest, key.size());
  if (level_ == 0) shape.places.add(word);
  shape.prefix_bytes = key.size();
  if (count() > 0) {
    shape.prefix_bytes = common_prefix_bytes(key, first_key().substr(0, shape_.prefix_bytes));
    if (shape.prefix_bytes < shape_.prefix_bytes) {
      shape.heap_bytes = 0;
      for (const uint32_t size : sizes_) shape.heap_bytes += tail_bytes(size, shape.prefix_bytes);
    }
    shape.heap_bytes += tail_bytes(key.size(), shape.prefix_bytes);
  }
  if (Layout(shape, level_).end > kNodeBytes) return false;
  keys_.append(key);
  ends_.push_back(static_cast<uint32_t>(keys_.size()));
  sizes_.push_back(static_cast<uint32_t>(key.size()));
  words_.push_back(word);
  shape_ = shape;
  return true;
}

void NodeWriter::encode(uint32_t number, uint8_t* node) {
  const Layout layout(shape_, level_);
  std::memset(node, 0, kNodeBytes);
  NodeHeader header = {};
  header.number = number;
  header.count = static_cast<uint16_t>(count());
  header.prefix_bytes = static_cast<uint16_t>(shape_.prefix_bytes);
  header.heap_bytes = static_cast<uint16_t>(shape_.heap_bytes);
  header.level = static_cast<uint8_t>(level_);
  header.packed = level_ == 0;
  store(node, header);
  if (header.packed) {
    const PlacePacking& packing = layout.packing;
    store(node + sizeof header,
          PackedHeader{packing.least_offset, packing.least_length,
                       static_cast<uint8_t>(layout.head_bytes),
                       static_cast<uint8_t>(layout.word_bytes),
                       static_cast<uint8_t>(packing.length_bits), layout.ends});
  }
  std::memcpy(node + layout.prefix, keys_.data(), shape_.prefix_bytes);
  uint8_t* const heap = node + layout.heap;
  size_t tails = 0;
  for (size_t i = 0; i < count(); i++) {
    const Bytes rest = key(i).substr(shape_.prefix_bytes);
    const size_t tail = tail_bytes(rest.size(), 0);
    // The high bytes of a number are its last ones: a short head is those.
    const uint64_t head = head_after(rest, 0) >> (8 * (kHeadBytes - layout.head_bytes));
    std::memcpy(node + layout.heads + i * layout.head_bytes, &head, layout.head_bytes);
    const uint64_t word = header.packed ? layout.packing.pack(words_[i]) : words_[i];
    std::memcpy(node + layout.words + i * layout.word_bytes, &word, layout.word_bytes);
    if (layout.ends == kEndsDiffer) {
      const size_t size = tail > 0 ? kHasTail : rest.size();
      store(node + layout.slots + i * sizeof(uint16_t), static_cast<uint16_t>(tails << 4 | size));
    }
    std::memcpy(heap + tails, rest.data() + rest.size() - tail, tail);
    tails += tail;
  }
  keys_.clear();
  ends_.clear();
  sizes_.clear();
  words_.clear();
  shape_ = {};
}

void seal_node(uint8_t* node, uint32_t tag) {
  auto header = load<NodeHeader>(node);
  header.tag = tag;
  store(node, header);
  header.checksum = node_checksum(node);
  store(node, header);
}

}  // namespace holdfast
