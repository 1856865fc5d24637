#include "model_pool.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "base/bytes.h"
#include "engine/pool.h"
#include "format/large_value.h"
#include "format/record.h"
#include "format/region.h"

namespace holdfast::crash {

namespace {

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "model pool: %s\n", why.c_str());
  std::exit(3);
}

void must(const Status& status, const char* what) {
  if (!status.is_ok()) give_up(std::string(what) + ": " + status.message());
}

std::string key_of(uint32_t keyspace, const std::string& name) {
  std::string key(4, '\0');
  key[3] = static_cast<char>(keyspace);
  return key + name;
}

constexpr uint64_t kRegionSize = 700 * kKiB;  // two extents and a part

PoolOptions options_for(bool pmem, Shape shape) {
  PoolOptions options;
  options.medium.choice = pmem ? MediumChoice::kPmem : MediumChoice::kFile;
  options.medium.size = pmem ? 40 * kMiB : 0;
  options.fold_operations = 1u << 30;  // folds happen where the shape wants them
  if (shape == Shape::kLinks) options.log_segment_bytes = 64 * kKiB;
  if (shape == Shape::kRetained) options.retain = RetainWish{0, uint64_t{1} << 40};
  return options;
}

struct Written {
  std::string value;
  uint64_t commit = 0;
  std::vector<uint64_t> older;
};
std::vector<Range> places_of(Pool& pool, const std::string& key);

class Builder {
 public:
  Builder(Pool& pool, uint64_t seed) : pool_(pool), random_(seed) {}

  void commit(int puts) {
    Batch batch;
    std::vector<std::string> put;
    Commit& made = commits.emplace_back();
    for (int i = 0; i < puts; i++) {
      const std::string key =
          key_of(1 + random_.below(3), "k" + std::to_string(random_.below(1500)));
      const std::string value = value_for(key, ++version_, size());
      must(batch.put(key, value), "put");
      remember(key, value);
      made.changes.push_back({key, hash_of(value)});
      put.push_back(key);
      if (random_.below(10) == 0) {
        const std::string gone =
            key_of(1 + random_.below(3), "k" + std::to_string(random_.below(1500)));
        must(batch.remove(gone), "remove");
        content.erase(gone);
        made.changes.push_back({gone, 0});
      }
    }
    carry_out(batch, put, random_.below(4) != 0);
  }

  void put_one(const std::string& key, const std::string& value) {
    Batch batch;
    must(batch.put(key, value), "put");
    commits.emplace_back().changes.push_back({key, hash_of(value)});
    remember(key, value);
    carry_out(batch, {key}, true);
  }

  void make_region() {
    Batch batch;
    must(batch.region_size(RegionModel::kNumber, kRegionSize, "bytes"), "region");
    must(std::move(pool_.commit(batch, CommitMode::kDurable).status()), "commit");
    region.bytes.assign(kRegionSize, '\0');
    region.blocks.resize(kRegionSize / kRegionBlockBytes);
  }

  // A key, and behind it in the same record some writes to the region.
  void commit_to_region() {
    Batch batch;
    const std::string key = key_of(3, "r" + std::to_string(random_.below(40)));
    const std::string value = value_for(key, ++version_, 40);
    must(batch.put(key, value), "put");
    commits.emplace_back().changes.push_back({key, hash_of(value)});
    remember(key, value);
    uint64_t behind = 0;
    for (uint64_t n = 1 + random_.below(3); n > 0; n--) {
      const uint64_t size = 1 + random_.below(random_.below(4) == 0 ? 9000 : 600);
      // Mostly in a part of it, so that blocks are written again.
      const uint64_t offset = random_.below(random_.below(3) == 0 ? kRegionSize - size : 60000);
      const std::string bytes = value_for(key, ++version_, size);
      must(batch.region_write(RegionModel::kNumber, offset, bytes), "region write");
      remember_write(offset, bytes);
      behind += operation_bytes(kRegionKeyBytes, size);
    }
    carry_out(batch, {key}, random_.below(4) != 0, behind);
  }

  void large(int number, size_t bytes) {
    const std::string key = key_of(2, "large/" + std::to_string(number));
    put_one(key, value_for(key, ++version_, bytes));
  }

  std::map<std::string, Written> content;
  std::vector<Commit> commits;
  RegionModel region;

 private:
  void remember(const std::string& key, const std::string& value) {
    Written& written = content[key];
    written.older.push_back(hash_of(written.value));
    written.value = value;
    written.commit = commits.size() - 1;
  }
  void remember_write(uint64_t offset, const std::string& bytes) {
    for (uint64_t block = offset / kRegionBlockBytes;
         block * kRegionBlockBytes < offset + bytes.size(); block++) {
      RegionModel::Block& known = region.blocks[block];
      known.older.push_back(
          hash_of(region.bytes.substr(block * kRegionBlockBytes, kRegionBlockBytes)));
      known.commit = commits.size() - 1;
    }
    region.bytes.replace(offset, bytes.size(), bytes);
  }
  // `behind`: bytes of operations that follow the last put in its record.
  void carry_out(Batch& batch, const std::vector<std::string>& put, bool durable,
                 uint64_t behind = 0) {
    auto receipt = pool_.commit(batch, durable ? CommitMode::kDurable : CommitMode::kEventual);
    must(std::move(receipt.status()), "commit");
    Commit& made = commits.back();
    made.epoch = receipt->epoch;
    made.durable = durable;
    for (const std::string& key : put) {
      if (!content.count(key)) continue;
      Range place = places_of(pool_, key)[0];
      place.begin -= 64;
      place.end += behind;
      made.places.push_back(place);
    }
  }
  size_t size() {
    const uint64_t kind = random_.below(100);
    return kind < 60   ? random_.below(120)
           : kind < 95 ? random_.below(2000)
           : kind < 99 ? random_.below(20000)
                       : random_.below(200000);
  }
  Pool& pool_;
  Random random_;
  uint32_t version_ = 0;
};

std::vector<Range> places_of(Pool& pool, const std::string& key) {
  auto reader = pool.read(nullptr);
  if (!reader.is_ok()) give_up("read");
  auto found = reader->find(key);
  if (!found.is_ok() || !found->has_value()) give_up("a key is missing that was just put");
  const FoundValue& value = **found;
  const uint64_t stored = value.large ? value.description.size() : value.size;
  std::vector<Range> places{
      {value.operation_offset, value.operation_offset + operation_bytes(key.size(), stored)}};
  if (!value.large) return places;
  const auto large = LargeValue::decode(value.description);
  if (!large) give_up("a large value's description");
  for (const LargePiece& piece : large->pieces)
    places.push_back({piece.segment.offset, piece.segment.offset + piece.used});
  return places;
}

void save(const std::string& path, const Builder& builder, Pool& pool) {
  std::ofstream out(path, std::ios::binary);
  const auto word = [&](uint64_t n) { out.write(reinterpret_cast<const char*>(&n), 8); };
  const auto text = [&](const std::string& s) {
    word(s.size());
    out.write(s.data(), static_cast<std::streamsize>(s.size()));
  };
  const auto all = [&](const std::vector<Range>& places) {
    word(places.size());
    for (const Range& place : places) word(place.begin), word(place.end);
  };
  word(builder.commits.size());
  for (const Commit& commit : builder.commits) {
    word(commit.durable);
    word(commit.epoch);
    all(commit.places);
    word(commit.changes.size());
    for (const Change& change : commit.changes) text(change.key), word(change.hash);
  }
  word(builder.content.size());
  for (const auto& [key, written] : builder.content) {
    text(key);
    text(written.value);
    word(written.commit);
    word(written.older.size());
    for (const uint64_t hash : written.older) word(hash);
    all(places_of(pool, key));
  }
  text(builder.region.bytes);
  for (const RegionModel::Block& block : builder.region.blocks) {
    word(block.commit);
    word(block.older.size());
    for (const uint64_t hash : block.older) word(hash);
  }
  if (!out.good()) give_up("cannot write " + path);
}

void load(const std::string& path, ModelPool* made) {
  std::ifstream in(path, std::ios::binary);
  const auto word = [&] {
    uint64_t n = 0;
    in.read(reinterpret_cast<char*>(&n), 8);
    return n;
  };
  const auto text = [&] {
    std::string s(word(), '\0');
    in.read(s.data(), static_cast<std::streamsize>(s.size()));
    return s;
  };
  const auto places = [&](std::vector<Range>* out) {
    for (uint64_t m = word(); m > 0 && in.good(); m--) {
      const uint64_t begin = word();
      out->push_back({begin, word()});
    }
  };
  for (uint64_t n = word(); n > 0 && in.good(); n--) {
    Commit& commit = made->commits.emplace_back();
    commit.durable = word() != 0;
    commit.epoch = word();
    places(&commit.places);
    for (uint64_t m = word(); m > 0 && in.good(); m--) {
      std::string key = text();
      commit.changes.push_back({std::move(key), word()});
    }
  }
  for (uint64_t n = word(); n > 0 && in.good(); n--) {
    Entry& entry = made->entries[text()];
    entry.value = text();
    entry.commit = word();
    for (uint64_t m = word(); m > 0 && in.good(); m--) entry.older.push_back(word());
    places(&entry.places);
  }
  made->region.bytes = text();
  made->region.blocks.resize(made->region.bytes.size() / kRegionBlockBytes);
  for (RegionModel::Block& block : made->region.blocks) {
    block.commit = word();
    for (uint64_t m = word(); m > 0 && in.good(); m--) block.older.push_back(word());
  }
  if (!in.good()) give_up("cannot read " + path);
}

// Page by page, so that holes stay untouched.
void read_file(const std::string& path, ModelPool* made) {
  std::ifstream in(path, std::ios::binary);
  in.seekg(0, std::ios::end);
  made->image = Image(static_cast<size_t>(in.tellg()));
  in.seekg(0);
  static const char zeros[4096] = {};
  char page[4096];
  for (size_t at = 0; at < made->image.size(); at += sizeof page) {
    in.read(page, sizeof page);
    if (std::memcmp(page, zeros, sizeof page) == 0) continue;
    std::memcpy(made->image.data() + at, page, sizeof page);
    for (size_t line = 0; line < 64; line++) {
      if (std::memcmp(page + line * 64, zeros, 64) != 0)
        made->used_lines.push_back(static_cast<uint32_t>(at / 64 + line));
    }
  }
  // One write for a stretch of used lines with small gaps.
  const std::vector<uint32_t>& lines = made->used_lines;
  for (size_t i = 0; i < lines.size();) {
    size_t j = i + 1;
    while (j < lines.size() && lines[j] - lines[j - 1] < 64) j++;
    made->used.push_back({uint64_t{lines[i]} * 64, (uint64_t{lines[j - 1]} + 1) * 64});
    i = j;
  }
}

[[noreturn]] void build(const std::string& path, bool pmem, Shape shape, uint64_t seed) {
  auto opened = Pool::open(path, options_for(pmem, shape));
  if (!opened.is_ok()) give_up(opened.status().message());
  std::shared_ptr<Pool> pool = *opened;
  Builder builder(*pool, seed);
  const bool regions = shape == Shape::kRegions;
  if (regions) builder.make_region();
  const bool never_folded = shape == Shape::kTail || shape == Shape::kLinks;
  const int rounds = never_folded ? 1 : 3;
  for (int round = 0; round < rounds; round++) {
    for (int i = 0; i < 150; i++)
      regions&& i % 3 != 0 ? builder.commit_to_region() : builder.commit(1 + i % 6);
    builder.large(round, 300000 + 400000 * static_cast<size_t>(round));
    if (!never_folded) must(pool->fold(), "fold");
  }
  for (int i = 0; i < 60; i++)
    regions&& i % 2 == 0 ? builder.commit_to_region() : builder.commit(1);
  must(pool->settle(), "settle");
  builder.put_one(key_of(1, "~last"), "the end");
  save(path + ".model", builder, *pool);
  if (shape == Shape::kClean) {
    must(pool->close(), "close");
    std::_Exit(0);
  }
  ::kill(::getpid(), SIGKILL);
  std::abort();
}

}  // namespace

uint64_t hash_of(const std::string& bytes) { return std::hash<std::string>()(bytes); }

std::string value_for(const std::string& key, uint32_t version, size_t size) {
  Random random(std::hash<std::string>()(key) ^ version);
  std::string value(size, '\0');
  for (size_t at = 0; at < size; at += 8) {
    const uint64_t word = random.next();
    std::memcpy(value.data() + at, &word, std::min<size_t>(8, size - at));
  }
  return value;
}

Image::Image(size_t size) : size_(size) {
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) give_up("no memory for an image");
  data_ = static_cast<uint8_t*>(at);
}

Image::~Image() {
  if (data_) ::munmap(data_, size_);
}

ModelPool make_model_pool(const std::string& path, bool pmem, Shape shape, uint64_t seed) {
  ::unlink(path.c_str());
  const pid_t child = ::fork();
  if (child == 0) build(path, pmem, shape, seed);
  int status = 0;
  ::waitpid(child, &status, 0);
  const bool as_meant = shape == Shape::kClean ? WIFEXITED(status) && WEXITSTATUS(status) == 0
                                               : WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  if (!as_meant) give_up("the process that makes the pool ended otherwise than meant");
  ModelPool made;
  static const char* const names[] = {"tail", "folded", "clean", "regions", "retained", "links"};
  made.name = std::string(pmem ? "pmem/" : "file/") + names[static_cast<int>(shape)];
  made.pmem = pmem;
  read_file(path, &made);
  load(path + ".model", &made);
  ::unlink(path.c_str());
  ::unlink((path + ".model").c_str());
  return made;
}

void write_image(const uint8_t* image, uint64_t size, const std::vector<Range>& used,
                 const std::vector<Range>& damaged, const std::string& path) {
  ::unlink(path.c_str());
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(size)) != 0) give_up("cannot write " + path);
  for (const std::vector<Range>* ranges : {&used, &damaged}) {
    for (const Range& range : *ranges) {
      const uint64_t end = std::min(size, range.end);
      if (range.begin >= end) continue;
      const auto written =
          ::pwrite(fd, image + range.begin, end - range.begin, static_cast<off_t>(range.begin));
      if (written != static_cast<ssize_t>(end - range.begin)) give_up("cannot write " + path);
    }
  }
  ::close(fd);
}

}  // namespace holdfast::crash
