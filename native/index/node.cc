// Encodes and reads nodes; see node.h for the layout and what may be relied on.

#include "index/node.h"

#include "base/checksum.h"
#include "index/heads.h"

namespace holdfast {
namespace {

constexpr uint32_t kHasTail = 9;
// Heads are looked at in steps of this many bytes first, one cache line each, then within one step.
constexpr size_t kStrideBytes = 128;
constexpr uint32_t kStride = kStrideBytes / sizeof(uint64_t);

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
  const size_t word_bytes = level_ == 0 ? sizeof(uint64_t) : sizeof(uint32_t);
  const size_t heads_at = sizeof(NodeHeader) + round_up(prefix_bytes_, 8);
  const size_t words_at = heads_at + count_ * sizeof(uint64_t);
  const size_t slots_at = words_at + count_ * word_bytes;
  const size_t heap_at = slots_at + count_ * sizeof(uint16_t);
  heads_ = node + heads_at;
  words_ = node + words_at;
  slots_ = node + slots_at;
  heap_ = node + heap_at;
  return count_ > 0 && heap_at + heap_bytes_ <= kNodeBytes;
}

bool NodeView::suffix(uint32_t index, Suffix* suffix) const {
  const uint32_t slot = load<uint16_t>(slots_ + index * sizeof(uint16_t));
  const uint32_t size = slot & 15;
  const uint32_t begin = slot >> 4;
  if (size <= kHeadBytes) {
    *suffix = Suffix{size, reinterpret_cast<const char*>(heap_)};
    return true;
  }
  uint32_t end = heap_bytes_;
  if (index + 1 < count_) end = load<uint16_t>(slots_ + (index + 1) * sizeof(uint16_t)) >> 4;
  if (size != kHasTail || begin >= end || end > heap_bytes_) return false;
  *suffix = Suffix{kHeadBytes + end - begin, reinterpret_cast<const char*>(heap_) + begin};
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
uint32_t NodeView::heads_below_here(uint64_t head) const {
  const size_t heads_at = static_cast<size_t>(heads_ - node_);
  const uint32_t first =
      static_cast<uint32_t>((round_up(heads_at, kStrideBytes) - heads_at) / sizeof(uint64_t));
  uint32_t low = 0;
  uint32_t size = first;
  for (uint32_t sample = first; sample < count_; sample += kStride) {
    const bool below = load<uint64_t>(heads_ + sample * sizeof(uint64_t)) < head;
    low = below ? sample + 1 : low;
    size = below ? kStride - 1 : size;
  }
  size = std::min(size, count_ - low);
  const auto* const from = reinterpret_cast<const uint64_t*>(heads_) + low;
  const uint8_t* const tails = heap_ + heap_bytes_ * low / count_;
  __builtin_prefetch(from);
  __builtin_prefetch(from + 8);
  __builtin_prefetch(slots_ + low * sizeof(uint16_t));
  __builtin_prefetch(tails);
  __builtin_prefetch(tails + 64);
  __builtin_prefetch(words_ + low * sizeof(uint64_t));
  __builtin_prefetch(words_ + low * sizeof(uint64_t) + 64);
  return low + heads_below(from, size, head);
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
  uint32_t low = heads_below_here(wanted);
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
  std::memcpy(to, node_ + sizeof(NodeHeader), prefix_bytes_);
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
  if (header.reserved != 0) return "its reserved byte is not zero";
  NodeView view;
  if (!view.open(node)) return "its lengths do not fit";
  return view.verify_entries();
}

const char* NodeView::verify_entries() const {
  if (prefix_bytes_ > kMaxKeyBytes) return "its prefix is too long";
  uint32_t tails = 0;
  for (uint32_t i = 0; i < count_; i++) {
    const uint32_t slot = load<uint16_t>(slots_ + i * sizeof(uint16_t));
    if ((slot >> 4) != tails) return "its keys' tails are out of order";
    Suffix mine;
    if (!suffix(i, &mine)) return "a key's length does not fit";
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

bool NodeWriter::add(Bytes key, uint64_t word) {
  size_t prefix = key.size();
  size_t heap = 0;
  if (count() > 0) {
    prefix = common_prefix_bytes(key, first_key().substr(0, prefix_bytes_));
    heap = heap_bytes_;
    if (prefix < prefix_bytes_) {
      heap = 0;
      for (const uint32_t size : sizes_) heap += tail_bytes(size, prefix);
    }
    heap += tail_bytes(key.size(), prefix);
  }
  if (round_up(prefix, 8) + (count() + 1) * entry_bytes() + heap > kNodeSpace) return false;
  keys_.append(key);
  ends_.push_back(static_cast<uint32_t>(keys_.size()));
  sizes_.push_back(static_cast<uint32_t>(key.size()));
  words_.push_back(word);
  prefix_bytes_ = prefix;
  heap_bytes_ = heap;
  return true;
}

void NodeWriter::encode(uint32_t number, uint8_t* node) {
  std::memset(node, 0, kNodeBytes);
  NodeHeader header = {};
  header.number = number;
  header.count = static_cast<uint16_t>(count());
  header.prefix_bytes = static_cast<uint16_t>(prefix_bytes_);
  header.heap_bytes = static_cast<uint16_t>(heap_bytes_);
  header.level = static_cast<uint8_t>(level_);
  store(node, header);
  uint8_t* const prefix = node + sizeof header;
  std::memcpy(prefix, keys_.data(), prefix_bytes_);
  const size_t word_bytes = level_ == 0 ? sizeof(uint64_t) : sizeof(uint32_t);
  uint8_t* const heads = prefix + round_up(prefix_bytes_, 8);
  uint8_t* const words = heads + count() * sizeof(uint64_t);
  uint8_t* const slots = words + count() * word_bytes;
  uint8_t* const heap = slots + count() * sizeof(uint16_t);
  size_t tails = 0;
  for (size_t i = 0; i < count(); i++) {
    const Bytes rest = key(i).substr(prefix_bytes_);
    const size_t tail = tail_bytes(key(i).size(), prefix_bytes_);
    store(heads + i * sizeof(uint64_t), head_after(rest, 0));
    std::memcpy(words + i * word_bytes, &words_[i], word_bytes);
    const size_t size = tail > 0 ? kHasTail : rest.size();
    store(slots + i * sizeof(uint16_t), static_cast<uint16_t>(tails << 4 | size));
    std::memcpy(heap + tails, rest.data() + rest.size() - tail, tail);
    tails += tail;
  }
  keys_.clear();
  ends_.clear();
  sizes_.clear();
  words_.clear();
  prefix_bytes_ = heap_bytes_ = 0;
}

void seal_node(uint8_t* node, uint32_t tag) {
  auto header = load<NodeHeader>(node);
  header.tag = tag;
  store(node, header);
  header.checksum = node_checksum(node);
  store(node, header);
}

}  // namespace holdfast
