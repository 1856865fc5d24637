#include "backup_damage.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "engine/copies/backup.h"
#include "engine/copies/restore.h"
#include "engine/pool.h"

namespace holdfast::crash {

namespace {

constexpr uint64_t kRegionBytes = 300 * kKiB;

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "model backup: %s\n", why.c_str());
  std::exit(3);
}
void must(const Status& status, const char* what) {
  if (!status.is_ok()) give_up(std::string(what) + ": " + status.message());
}

PoolOptions file_options() {
  PoolOptions options;
  options.medium.choice = MediumChoice::kFile;
  options.retain = RetainWish{0, uint64_t{1} << 40};
  return options;
}

std::string key_of(uint64_t n) { return std::string("\0\0\0\1", 4) + "key " + std::to_string(n); }

void commit_some(Pool& pool, Random* random, int count) {
  for (int i = 0; i < count; i++) {
    Batch batch;
    const std::string key = key_of(random->below(200));
    if (random->below(6) == 0)
      must(batch.remove(key), "remove");
    else
      must(batch.put(key, value_for(key, static_cast<uint32_t>(random->next()),
                                    random->below(60) == 0 ? 300000 : random->below(4000))),
           "put");
    if (random->below(2) == 0) {
      const std::string bytes =
          value_for(key, static_cast<uint32_t>(random->next()), 1 + random->below(3000));
      must(batch.region_write(1, random->below(kRegionBytes - bytes.size()), bytes),
           "region write");
    }
    must(std::move(pool.commit(batch, CommitMode::kEventual).status()), "commit");
  }
}

// False: it cannot be read.
bool state_of(Pool& pool, BackupModel::State* out) {
  RangeOptions all;
  all.high = std::string(4, '\xff');
  auto range = pool.range(all, nullptr);
  bool whole = range.is_ok();
  while (whole) {
    auto given = (*range)->next(100, [&](Bytes key, const FoundValue& found, Reader& reader) {
      std::string value(found.size, '\0');
      whole = reader.copy(found, reinterpret_cast<uint8_t*>(value.data())).is_ok();
      out->keys[std::string(key)] = hash_of(value);
      return whole;
    });
    whole = whole && given.is_ok();
    if (whole && *given == 0) break;
  }
  out->epoch = pool.stats().epoch;
  out->region.assign(kRegionBytes, '\0');
  return whole && pool.region_read(1, 0, kRegionBytes,
                                   reinterpret_cast<uint8_t*>(out->region.data()), nullptr)
                      .is_ok();
}

std::string taken(const std::shared_ptr<Pool>& pool, const BackupOptions& options) {
  auto backup = Backup::begin(pool, options);
  if (!backup.is_ok()) give_up(backup.status().message());
  std::string all;
  while (true) {
    auto more = (*backup)->next(&all);
    if (!more.is_ok()) give_up(more.status().message());
    if (!*more) return all;
  }
}

// Where something of the two kinds of checksummed things begins, or anywhere.
void damage(std::string* bytes, Random* random) {
  const uint64_t at = random->below(bytes->size());
  const uint64_t size = std::min<uint64_t>(bytes->size() - at, 1 + random->below(5000));
  switch (random->below(8)) {
    case 0:
      (*bytes)[at] ^= static_cast<char>(1 << random->below(8));
      break;
    case 1:
      for (uint64_t i = at; i < at + size; i++) (*bytes)[i] = static_cast<char>(random->next());
      break;
    case 2:
      bytes->resize(at);
      break;
    case 3:
      bytes->erase(at, size);
      break;
    case 4:
      bytes->insert(at, bytes->substr(random->below(bytes->size() - size + 1), size));
      break;
    case 5:
      bytes->append(value_for("more", 1, size));
      break;
    case 6:
      for (uint64_t i = at; i < at + size; i++) (*bytes)[i] = 0;
      break;
    default: {  // in the first bytes, which say what it is
      (*bytes)[random->below(std::min<uint64_t>(bytes->size(), 160))] ^=
          static_cast<char>(1 + random->below(255));
    }
  }
}

Result<RestoreReport> restore(const std::string& path, const std::vector<std::string>& parts) {
  auto begun = Restore::begin(path, file_options(), {});
  if (!begun.is_ok()) return std::move(begun.status());
  for (const std::string& part : parts) {
    (*begun)->part("part");
    for (size_t at = 0; at < part.size(); at += 100000)
      HOLDFAST_TRY((*begun)->write(Bytes(part).substr(at, 100000)));
    HOLDFAST_TRY((*begun)->part_end());
  }
  return (*begun)->finish();
}

// What one goes on with after an interruption: reading what is there never fails for where it ends,
// and never gives more than is whole.
bool scan_is_sound(const std::string& bytes) {
  BackupScan scan("partial");
  const Status read = scan.write(bytes);
  if (!read.is_ok() && read.code() != Code::kNotABackup && read.code() != Code::kCorrupt)
    return false;
  return scan.progress().good_bytes <= bytes.size();
}

}  // namespace

BackupModel make_backup_model(const std::string& path, uint64_t seed) {
  BackupModel model;
  Random random(seed);
  auto opened = Pool::open(path, file_options());
  if (!opened.is_ok()) give_up(opened.status().message());
  const std::shared_ptr<Pool> pool = *opened;
  Batch batch;
  must(batch.region_size(1, kRegionBytes, "bytes"), "region");
  must(std::move(pool->commit(batch, CommitMode::kDurable).status()), "commit");
  commit_some(*pool, &random, 300);
  must(pool->settle(), "settle");
  if (!state_of(*pool, &model.after_full)) give_up("the pool cannot be read");
  model.full = taken(pool, {});
  commit_some(*pool, &random, 200);
  must(pool->settle(), "settle");
  if (!state_of(*pool, &model.after_increment)) give_up("the pool cannot be read");
  BackupOptions since;
  since.since = model.after_full.epoch;
  model.increment = taken(pool, since);
  must(pool->close(), "close");
  ::unlink(path.c_str());
  return model;
}

Verdict try_damaged_backup(const BackupModel& model, uint64_t seed, const std::string& path,
                           bool planted, std::string* words) {
  Random random(seed);
  std::vector<std::string> parts{model.full};
  if (random.below(2) == 0) parts.push_back(model.increment);
  // One in six is whole: what refused everything would look just as good.
  for (uint64_t n = random.below(6) == 0 ? 0 : random.below(3) == 0 ? 2 : 1; n > 0; n--)
    damage(&parts[random.below(parts.size())], &random);
  if (random.below(12) == 0) std::swap(parts.front(), parts.back());
  if (!scan_is_sound(parts[0]))
    return *words += "the scan of a partial backup says more than is there", Verdict::kWrong;
  auto restored = restore(path, parts);
  const bool untouched =
      parts[0] == model.full && (parts.size() == 1 || parts[1] == model.increment);
  if (untouched && !restored.is_ok())
    return *words += "a whole backup is refused: " + restored.status().message(), Verdict::kWrong;
  if (!restored.is_ok()) {
    const Code code = restored.status().code();
    *words += std::string(code_name(code)) + ": " + restored.status().message();
    const bool of_a_backup =
        code == Code::kCorrupt || code == Code::kNotABackup || code == Code::kBackupMismatch;
    return of_a_backup ? Verdict::kRefused : Verdict::kWrong;
  }
  auto opened = Pool::open(path, file_options());
  BackupModel::State found;
  if (!opened.is_ok() || !state_of(**opened, &found))
    return *words += "what was restored cannot be read", Verdict::kWrong;
  if (planted && !found.keys.empty()) found.keys.begin()->second++;
  const BackupModel::State& expected =
      restored->epoch == model.after_full.epoch ? model.after_full : model.after_increment;
  const bool right = restored->epoch == expected.epoch && found.keys == expected.keys &&
                     found.region == expected.region;
  if (!right)
    *words += "restored to epoch " + std::to_string(restored->epoch) + ", and the state is another";
  (void)(*opened)->close().is_ok();
  return right ? Verdict::kHarmless : Verdict::kWrong;
}

}  // namespace holdfast::crash
