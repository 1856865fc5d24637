// What a damaged pool says of its region, its history, and to readers beside a damaged table.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "format/region.h"
#include "judge.h"
#include "medium/readers_table.h"

namespace holdfast::crash {

namespace {

constexpr uint32_t kRegion = RegionModel::kNumber;

bool was_once(const RegionModel::Block& block, const std::string& bytes) {
  return std::find(block.older.begin(), block.older.end(), hash_of(bytes)) != block.older.end();
}

std::string block_name(uint64_t block) {
  return "block " + std::to_string(block) + " of the region";
}

}  // namespace

void read_region(Judge& judge, Pool& pool, const std::string& now) {
  const RegionModel& model = judge.question().pool.region;
  std::string bytes(kRegionBlockBytes, '\0');
  for (uint64_t block = 0; block < model.blocks.size(); block++) {
    const uint64_t offset = block * kRegionBlockBytes;
    const Status read = pool.region_read(kRegion, offset, bytes.size(),
                                         reinterpret_cast<uint8_t*>(bytes.data()), nullptr);
    if (!read.is_ok()) {
      judge.named(read, "reading the region");
      if (read.code() != Code::kCorrupt) return;  // it has failed: every read says so
      continue;
    }
    if (judge.question().control == "wrong-region") bytes[7] ^= 1;
    if (now.compare(offset, bytes.size(), bytes) == 0) continue;
    const RegionModel::Block& known = model.blocks[block];
    if (!judge.may_be_lost(known.commit) || !was_once(known, bytes))
      judge.wrong(block_name(block) + " has wrong bytes");
  }
}

void mend_region(Judge& judge, Pool& pool, std::string* now) {
  const RegionModel& model = judge.question().pool.region;
  for (uint64_t block = 0; block < model.blocks.size(); block += 37) {
    if (judge.may_be_lost(model.blocks[block].commit)) continue;
    Batch batch;
    const std::string bytes = value_for(std::to_string(block), 1, kRegionBlockBytes);
    if (!batch.region_write(kRegion, block * kRegionBlockBytes, bytes).is_ok())
      judge.wrong("a batch refuses a write to the region");
    auto receipt = pool.commit(batch, CommitMode::kDurable);
    if (!receipt.is_ok()) {
      judge.acceptable(receipt.status(), "a write to the region");
      return;
    }
    now->replace(block * kRegionBlockBytes, bytes.size(), bytes);
    std::string back(kRegionBlockBytes, '\0');
    const Status read = pool.region_read(kRegion, block * kRegionBlockBytes, back.size(),
                                         reinterpret_cast<uint8_t*>(back.data()), nullptr);
    if (!read.is_ok() || back != bytes)
      judge.wrong(block_name(block) + " was written whole and is not mended: " + read.message());
  }
}

void check_saved_region(Judge& judge, Pool& saved, const SalvageReport& report) {
  const RegionModel& model = judge.question().pool.region;
  if (model.blocks.empty()) return;
  const bool said =
      !report.losses.empty() || !report.gaps.empty() || report.source != SalvageSource::kIndex;
  std::string bytes(model.bytes.size(), '\0');
  const Status read = saved.region_read(kRegion, 0, bytes.size(),
                                        reinterpret_cast<uint8_t*>(bytes.data()), nullptr);
  if (!read.is_ok()) {
    if (!said) judge.wrong("salvage has lost the region and says nothing: " + read.message());
    return;
  }
  uint64_t differ = 0;
  for (uint64_t block = 0; block < model.blocks.size(); block++) {
    const std::string here = bytes.substr(block * kRegionBlockBytes, kRegionBlockBytes);
    if (model.bytes.compare(block * kRegionBlockBytes, kRegionBlockBytes, here) == 0) continue;
    if (judge.may_be_lost(model.blocks[block].commit) && was_once(model.blocks[block], here))
      continue;
    differ++;
    if (!said)
      judge.wrong("salvage gives other bytes for " + block_name(block) + " and says nothing");
  }
  // Damage to one line costs a block, or the blocks of a sector of sums, or what a frame of the
  // tail wrote.
  const auto& damaged = judge.question().damaged;
  const bool one_line = damaged.size() == 1 && damaged[0].end - damaged[0].begin <= 64;
  if (one_line && report.source == SalvageSource::kIndex && differ > kSumsPerSector) {
    judge.wrong("damage to one line costs " + std::to_string(differ) +
                " blocks of the region in salvage");
  }
}

void read_feed(Judge& judge, Pool& pool) {
  const uint64_t oldest = pool.stats().oldest_change;
  const std::vector<Commit>& commits = judge.question().pool.commits;
  FeedOptions options;
  options.after = oldest - 1;
  auto feed = pool.feed(options);
  const bool kept = judge.question().pool.name.find("retained") != std::string::npos;
  if (feed.status().code() == Code::kForgotten && !kept) return;  // cleaned away since we asked
  if (!feed.is_ok()) return judge.named(feed.status(), "the feed");
  auto expected = std::find_if(commits.begin(), commits.end(),
                               [&](const Commit& commit) { return commit.epoch >= oldest; });
  Status large;
  const auto compare = [&](const FeedCommit& given, FeedCursor& cursor) -> std::string {
    if (expected == commits.end() || given.epoch != expected->epoch)
      return "gives a commit out of its turn";
    if (given.changes.size() != expected->changes.size()) return "gives a commit that is not whole";
    for (size_t i = 0; i < given.changes.size(); i++) {
      const FeedChange& change = given.changes[i];
      const Change& made = expected->changes[i];
      if (change.key != made.key || (change.type == OperationType::kDelete) != (made.hash == 0))
        return "gives another change";
      const bool planted = judge.question().control == "wrong-history" && given.epoch % 100 == 7;
      if (change.type == OperationType::kPut &&
          (planted || hash_of(std::string(change.value)) != made.hash))
        return "gives a wrong value";
      if (change.type != OperationType::kPutLarge) continue;
      std::string value;
      large = cursor.read_large(change, [&](const uint8_t* bytes, size_t size) {
        value.append(reinterpret_cast<const char*>(bytes), size);
        return Status();
      });
      if (!large.is_ok()) return "";
      if (hash_of(value) != made.hash) return "gives a wrong large value";
    }
    ++expected;
    return "";
  };
  while ((*feed)->behind()) {
    auto given = (*feed)->next(kMiB, [&](const FeedCommit& commit) {
      const std::string differs = compare(commit, **feed);
      if (!differs.empty())
        judge.wrong("the feed " + differs + " at epoch " + std::to_string(commit.epoch));
      return large.is_ok() && differs.empty() ? Status() : Status(Code::kAborted, "stopped");
    });
    if (given.is_ok()) continue;
    if (given.status().code() != Code::kAborted)
      judge.named(given.status(), "the feed");
    else if (!large.is_ok() && large.code() != Code::kForgotten)
      judge.named(large, "a large value of the feed");
    return;
  }
}

void damage_readers_table(const std::string& pool_path, uint64_t seed) {
  Random random(seed ^ 0x7ab1e);
  const std::string path = readers_table_path(pool_path);
  if (auto made = ReadersTable::open_or_make(pool_path); !made.is_ok()) return;
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  const off_t size = ::lseek(fd, 0, SEEK_END);
  if (random.below(4) == 0)
    (void)!::ftruncate(fd, static_cast<off_t>(random.below(static_cast<uint64_t>(size))));
  for (uint64_t n = 1 + random.below(200); n > 0 && size > 0; n--) {
    const uint64_t word = random.below(3) == 0 ? random.below(8) : random.next();
    const uint64_t at =
        random.below(random.below(2) == 0 ? 512 : static_cast<uint64_t>(size)) / 8 * 8;
    (void)!::pwrite(fd, &word, sizeof word, static_cast<off_t>(at));
  }
  ::close(fd);
}

void read_as_reader(Judge& judge) {
  PoolOptions options;
  options.read_only = true;
  options.wait_for_writer_ms = 50;
  auto opened = Pool::open(judge.question().path, options);
  if (!opened.is_ok()) {
    const Code code = opened.status().code();
    // Cut, and its first word overwritten too: it can't be told from a file of somebody's, which
    // nobody may write to.
    if (code == Code::kExists) return;
    if (code != Code::kReaderExpired && code != Code::kLocked && code != Code::kNotAPool)
      judge.acceptable(opened.status(), "a reader's open");
    return;
  }
  for (const auto& [key, entry] : judge.question().pool.entries) {
    auto reader = (*opened)->read(nullptr);
    auto found = reader.is_ok() ? reader->find(key)
                                : Result<std::optional<FoundValue>>(std::move(reader.status()));
    if (!found.is_ok() && found.status().code() == Code::kReaderExpired) return;
    if (!found.is_ok()) judge.named(found.status(), "a reader's read");
  }
  (void)(*opened)->close().is_ok();
}

}  // namespace holdfast::crash
