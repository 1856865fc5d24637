#include "format/fold.h"

#include <cstring>

#include "base/bytes.h"

namespace holdfast {

namespace {

constexpr uint64_t kBlockMagic = 0x31444C4F46464C48;  // "HLFFOLD1"

class Writer {
 public:
  void word(uint64_t value) { out_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void segment(const Segment& s) { word(s.offset), word(s.bytes); }
  void text(const std::string& s) {
    word(s.size());
    out_.append(s);
    out_.append(round_up(s.size(), 8) - s.size(), '\0');
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

// Reads words until something does not fit; then everything reads as 0 and `ok` is false.
class Words {
 public:
  explicit Words(Bytes bytes) : rest_(bytes) {}
  bool ok = true;
  uint64_t word() {
    if (rest_.size() < 8) return fail();
    const auto value = load<uint64_t>(rest_.data());
    rest_.remove_prefix(8);
    return value;
  }
  Segment segment() {
    const uint64_t offset = word();
    return {offset, word()};
  }
  // A count of things that take at least `each` bytes: never more than there is room for.
  uint64_t count(uint64_t each) {
    const uint64_t n = word();
    return n <= rest_.size() / each ? n : fail();
  }
  std::string text() {
    const uint64_t n = word();
    if (n > rest_.size() || round_up(n, 8) > rest_.size()) {
      fail();
      return {};
    }
    std::string s(rest_.substr(0, n));
    rest_.remove_prefix(round_up(n, 8));
    return s;
  }
  bool at_end() const { return rest_.empty(); }

 private:
  uint64_t fail() {
    ok = false;
    rest_ = {};
    return 0;
  }
  Bytes rest_;
};

}  // namespace

Root RootWords::to_root() const {
  Root root;
  uint64_t words[8] = {uint64_t{incarnation} << 32 | version,
                       fold.offset,
                       fold.bytes,
                       fold_bytes,
                       fold_checksum,
                       clean,
                       placing,
                       0};
  std::memcpy(root.bytes, words, sizeof words);
  return root;
}

RootWords RootWords::from_root(const Root& root) {
  uint64_t words[8];
  std::memcpy(words, root.bytes, sizeof words);
  RootWords out;
  out.version = static_cast<uint32_t>(words[0]);
  out.incarnation = static_cast<uint32_t>(words[0] >> 32);
  out.fold = {words[1], words[2]};
  out.fold_bytes = words[3];
  out.fold_checksum = words[4];
  out.clean = words[5];
  out.placing = words[6];
  return out;
}

std::string FoldBlock::encode() const {
  Writer w;
  w.word(kBlockMagic);
  w.word(epoch);
  w.word(time_ms);
  w.word(log_sequence);
  w.word(log_offset);
  w.word(incarnation);
  w.word(log.size());
  for (const FoldedSegment& s : log) w.segment(s.segment), w.word(s.sequence), w.word(s.live_bytes);
  w.word(large.size());
  for (const Segment& s : large) w.segment(s);
  w.word(runs.size());
  for (const auto& run : runs) {
    w.word(run.size());
    for (const FoldedTable& t : run) {
      w.segment(t.segment);
      w.word(t.entries);
      w.word(uint64_t{t.nodes} << 32 | t.root);
      w.word(t.depth);
      w.text(t.first_key);
      w.text(t.last_key);
    }
  }
  w.word(retain_ms);
  w.word(retain_bytes);
  w.word(history);
  w.word(kept.size());
  for (const KeptSegment& k : kept) w.segment(k.segment), w.word(k.sequence);
  if (regions.empty()) return w.take();
  w.word(regions.size());
  for (const FoldedRegion& r : regions) {
    w.word(r.region);
    w.word(r.size);
    w.text(r.name);
    w.word(r.extents.size());
    for (const FoldedExtent& e : r.extents) w.word(e.number), w.segment(e.segment);
  }
  return w.take();
}

std::optional<FoldBlock> FoldBlock::decode(Bytes bytes) {
  Words r(bytes);
  FoldBlock block;
  if (r.word() != kBlockMagic) return std::nullopt;
  block.epoch = r.word();
  block.time_ms = r.word();
  block.log_sequence = r.word();
  block.log_offset = r.word();
  block.incarnation = r.word();
  for (uint64_t n = r.count(32); n > 0; n--) {
    FoldedSegment s;
    s.segment = r.segment();
    s.sequence = r.word();
    s.live_bytes = r.word();
    block.log.push_back(s);
  }
  for (uint64_t n = r.count(16); n > 0; n--) block.large.push_back(r.segment());
  for (uint64_t runs = r.count(8); runs > 0; runs--) {
    auto& run = block.runs.emplace_back();
    for (uint64_t n = r.count(56); n > 0; n--) {
      FoldedTable t;
      t.segment = r.segment();
      t.entries = r.word();
      const uint64_t packed = r.word();
      t.nodes = static_cast<uint32_t>(packed >> 32);
      t.root = static_cast<uint32_t>(packed);
      t.depth = static_cast<uint32_t>(r.word());
      t.first_key = r.text();
      t.last_key = r.text();
      run.push_back(std::move(t));
    }
  }
  if (r.ok && !r.at_end()) {
    block.retain_ms = r.word();
    block.retain_bytes = r.word();
    block.history = r.word();
    for (uint64_t n = r.count(24); n > 0; n--) {
      KeptSegment k;
      k.segment = r.segment();
      k.sequence = r.word();
      block.kept.push_back(k);
    }
  }
  for (uint64_t n = r.ok && !r.at_end() ? r.count(32) : 0; n > 0; n--) {
    FoldedRegion region;
    region.region = static_cast<uint32_t>(r.word());
    region.size = r.word();
    region.name = r.text();
    for (uint64_t extents = r.count(24); extents > 0; extents--) {
      const uint64_t number = r.word();
      region.extents.push_back({number, r.segment()});
      const bool rising =
          region.extents.size() < 2 || region.extents[region.extents.size() - 2].number < number;
      if (!rising || region.extents.back().segment.bytes <= 4096) return std::nullopt;
    }
    block.regions.push_back(std::move(region));
  }
  if (!r.ok || !r.at_end() || block.log.empty()) return std::nullopt;
  return block;
}

}  // namespace holdfast
