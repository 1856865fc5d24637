// Coverage-guided fuzzing of everything that reads a pool: open (fold, index, replay), reads,
// check. The input is a list of patches to a valid small pool in memory; what is checksummed is
// sealed again after patching, so that the fuzzer gets past the checksums to the code that must not
// trust what they cover.
//
//   input: byte 0: 1 seal frames again, 2 seal the fold again, 4 clean mark,
//          then patches { offset u16, place u8, xor u8 … }
//
// Built twice: with clang as a libFuzzer target (pool_fuzz), and with any compiler as a program
// that runs the corpus and seeded mutations of it (pool_fuzz_replay). Errors are fine; crashes,
// hangs, sanitizer reports and endless memory are not.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "engine/pool.h"
#include "format/fold.h"
#include "format/record.h"
#include "index/node.h"
#include "memory_pool.h"

namespace {

using namespace holdfast;
using holdfast::fuzz::MemoryPool;

const MemoryPool::Saved& base() {
  static const MemoryPool::Saved saved = MemoryPool::make_base();
  return saved;
}

// Gives frames and operations of the log segment at `segment` right checksums for what they say
// now.
void seal_frames(uint8_t* image, const FoldedSegment& s) {
  uint64_t at = s.segment.offset + sizeof(SegmentHeader);
  while (at + sizeof(FrameHeader) <= s.segment.end()) {
    auto header = load<FrameHeader>(image + at);
    if (!is_frame_magic(header.magic) || header.bytes < sizeof header ||
        header.bytes % kFrameAlign != 0)
      return;
    if (header.bytes > s.segment.end() - at) return;
    uint64_t rolled = 0, used = sizeof header;
    const OperationForm form = form_of(header);
    for (uint32_t i = 0; i < header.operations && used + kLeastOperationBytes <= header.bytes;
         i++) {
      uint8_t* operation = image + at + used;
      const OperationHead head = operation_head(operation, form);
      if (head.used() > header.bytes - used) break;
      if (form == OperationForm::kShort)
        store(operation, operation_checksum(operation, head));
      else
        store(operation, checksum(operation + 8, head.used() - 8));
      rolled = roll(rolled, view_operation(operation, head, form).checksum);
      used += head.bytes();
    }
    if (header.kind == static_cast<uint16_t>(FrameKind::kLink) &&
        header.bytes >= sizeof header + sizeof(LinkTarget)) {
      auto target = load<LinkTarget>(image + at + sizeof header);
      target.checksum = checksum(&target, offsetof(LinkTarget, checksum));
      store(image + at + sizeof header, target);
      rolled = target.checksum;
    }
    header.checksum =
        frame_checksum(header, rolled, place_seed(MemoryPool::kSecret, s.sequence, at));
    store(image + at, header);
    at += header.bytes;
  }
}

void seal_nodes(uint8_t* image, const FoldBlock& fold) {
  for (const auto& run : fold.runs) {
    for (const FoldedTable& table : run) {
      for (uint64_t n = 0; n < table.nodes; n++) {
        uint8_t* node = image + table.segment.offset + n * kNodeBytes;
        store(node, checksum(node + 8, kNodeBytes - 8));
      }
    }
  }
}

void use(Pool& pool) {
  auto range = pool.range({std::string(), std::string(4, '\xff'), false, UINT64_MAX}, nullptr);
  if (range.is_ok()) {
    std::string value;
    for (;;) {
      auto given = (*range)->next(64, [&](Bytes, const FoundValue& found, Reader& reader) {
        if (found.size > 16 * kMiB)
          std::abort();  // more than the whole pool: no value can be so long
        value.resize(found.size);
        (void)reader.copy(found, reinterpret_cast<uint8_t*>(value.data())).is_ok();
        return true;
      });
      if (!given.is_ok() || *given == 0) break;
    }
  }
  for (int i = 0; i < 40; i += 3) {
    auto reader = pool.read(nullptr);
    if (reader.is_ok()) (void)reader->find(MemoryPool::key(i)).is_ok();
  }
  (void)pool.check(nullptr, nullptr).is_ok();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1 || size > 4096) return 0;
  const uint8_t flags = data[0];
  MemoryPool pool(base());
  std::vector<Segment> places = base().places;
  for (size_t at = 1; at + 4 <= size; at += 4) {
    const Segment& place = places[data[at + 2] % places.size()];
    const uint64_t offset = load<uint16_t>(data + at) % place.bytes;
    pool.image()[place.offset + offset] ^= data[at + 3];
  }
  if (flags & 1) {
    for (const FoldedSegment& s : base().log) seal_frames(pool.image(), s);
    seal_nodes(pool.image(), base().fold);
  }
  RootWords root = base().root;
  if (flags & 2) root.fold_checksum = checksum(pool.image() + root.fold.offset, root.fold_bytes);
  root.clean = (flags & 4) ? 1 : 0;
  auto opened = pool.open(root);
  if (opened.is_ok()) {
    use(**opened);
    (void)(*opened)->close().is_ok();
  }
  return 0;
}

#ifdef HOLDFAST_FUZZ_REPLAY
#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>

namespace {
char dying_words[128];
void say_which(int signal) {
  (void)!::write(2, dying_words, std::strlen(dying_words));
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}
}  // namespace

// pool_fuzz_replay <corpus folder> <mutations> <seed>
int main(int argc, char** argv) {
  if (argc != 4) return 2;
  std::vector<std::string> names, inputs;
  DIR* folder = ::opendir(argv[1]);
  if (!folder) return 2;
  while (const dirent* entry = ::readdir(folder)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  ::closedir(folder);
  std::sort(names.begin(), names.end());  // so that a seed means the same everywhere
  for (const std::string& name : names) {
    std::ifstream in(std::string(argv[1]) + "/" + name, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  for (const std::string& input : inputs)
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
  for (const int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGALRM}) ::signal(signal, say_which);
  const long mutations = std::atol(argv[2]);
  uint64_t state = std::strtoull(argv[3], nullptr, 10);
  const auto random = [&] {
    state += 0x9E3779B97F4A7C15ull;
    uint64_t z = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  };
  for (long i = 0; i < mutations; i++) {
    ::alarm(120);
    const uint64_t seed = state;
    std::string input = inputs.empty() ? std::string(9, '\3') : inputs[random() % inputs.size()];
    for (uint64_t n = 1 + random() % 6; n > 0; n--) {
      const uint64_t what = random() % 3;
      if (what == 0 || input.size() < 5)
        for (int b = 0; b < 4; b++) input.push_back(static_cast<char>(random()));
      else
        input[random() % input.size()] = static_cast<char>(random());
    }
    std::snprintf(dying_words, sizeof dying_words,
                  "FAILED; again: build-native/pool_fuzz_replay %s 1 %llu\n", argv[1],
                  static_cast<unsigned long long>(seed));
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
  }
  std::printf("fuzz: %zu inputs of the corpus, %ld mutations\n", inputs.size(), mutations);
  std::printf("[doctest] test cases: 1 | 1 passed | 0 failed | 0 skipped\n");
  return 0;
}
#endif
