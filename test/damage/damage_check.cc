#include "damage_check.h"

#include <unistd.h>

#include <algorithm>

#include "engine/damage/salvage.h"
#include "engine/pool.h"
#include "judge.h"
#if __has_include("base/test_hooks.h")
#include "base/test_hooks.h"
#define HOLDFAST_CAN_PLANT
#endif

namespace holdfast::crash {
namespace {

class Asking : public Judge {
 public:
  Asking(const Question& question, std::string* words) : Judge(question, words) {}

  Verdict run() {
#ifdef HOLDFAST_CAN_PLANT
    if (question_.control.rfind("plant:", 0) == 0)
      planted_bug = planted_bug_named(question_.control.c_str() + 6);
#endif
    if (dice(4) == 1) save();
    const bool readers = dice(8) == 3;
    if (readers) damage_readers_table(question_.path, question_.seed);
    if (wrong_) return Verdict::kWrong;
    PoolOptions options;
    options.medium.create = CreateMode::kNever;
    options.fold_operations = 2000;
    auto opened = Pool::open(question_.path, options);
    if (!opened.is_ok()) return refused(opened.status());
    std::shared_ptr<Pool> pool = *opened;
    read_all(*pool);
    range_all(*pool);
    read_feed(*this, *pool);
    check(*pool);
    if (wrong_) return Verdict::kWrong;
    if (dice(3) == 0) write_some(*pool);
    read_all(*pool);
    const Status closed = pool->close();
    if (!closed.is_ok()) acceptable(closed, "close");
    pool.reset();
    auto again = Pool::open(question_.path, options);
    if (again.is_ok()) {
      read_all(**again);
      (void)(*again)->close().is_ok();
    } else {
      acceptable(again.status(), "the second open");
    }
    if (readers) read_as_reader(*this);
    return wrong_ ? Verdict::kWrong : damages_ > 0 ? Verdict::kPartly : Verdict::kHarmless;
  }

 private:
  Verdict refused(const Status& status) {
    *words_ += std::string(code_name(status.code())) + ": " + status.message();
    bool front = false;
    for (const Range& hurt : question_.damaged)
      front = front || hurt.begin < 16 * 4096 || question_.pool.pmem;
    if (status.code() == Code::kNotAPool && front) return Verdict::kRefused;
    if (status.code() != Code::kCorrupt || !names_a_place(status.message())) return Verdict::kWrong;
    return Verdict::kRefused;
  }

  // What is done with this damage besides; independent of which pool it is.
  uint64_t dice(uint64_t sides) const {
    return Random(question_.seed ^ 0xd1ce).next() / 1024 % sides;
  }

  bool may_be_torn(const Entry& entry) const { return may_be_lost(entry.commit); }

  bool was_once(const Entry& entry, const std::string& value) const {
    return std::find(entry.older.begin(), entry.older.end(), hash_of(value)) != entry.older.end();
  }

  void read_all(Pool& pool) {
    for (const auto& [key, entry] : question_.pool.entries) read_one(pool, key, entry);
    read_region(*this, pool, region_now_);
  }

  void read_one(Pool& pool, const std::string& key, const Entry& entry) {
    auto reader = pool.read(nullptr);
    if (!reader.is_ok()) {
      acceptable(reader.status(), "read");
      damages_++;
      return;
    }
    auto found = reader->find(key);
    if (!found.is_ok()) {
      acceptable(found.status(), "find");
      if (found.status().code() == Code::kCorrupt && !names_a_place(found.status().message()))
        wrong("no place in: " + found.status().message());
      damages_++;
      return;
    }
    if (!found->has_value()) {
      if (!may_be_torn(entry)) wrong("the key " + key.substr(4) + " is absent");
      return;
    }
    std::string value((*found)->size, '\0');
    const Status copied = reader->copy(**found, reinterpret_cast<uint8_t*>(value.data()));
    if (!copied.is_ok()) {
      acceptable(copied, "copy");
      damages_++;
      return;
    }
    if (question_.control == "wrong-value" && dice(50) == 7 && !value.empty()) value[0] ^= 1;
    if (value != expected(key, entry) && !(may_be_torn(entry) && was_once(entry, value)))
      wrong("the key " + key.substr(4) + " has a wrong value");
  }

  const std::string& expected(const std::string& key, const Entry& entry) const {
    const auto written = rewritten_.find(key);
    return written == rewritten_.end() ? entry.value : written->second;
  }

  void range_all(Pool& pool) {
    RangeOptions all;
    all.high = std::string(4, '\xff');
    auto range = pool.range(all, nullptr);
    if (!range.is_ok()) return void(acceptable(range.status(), "range"));
    uint64_t given = 0;
    for (;;) {
      auto some = (*range)->next(1000, [&](Bytes key, const FoundValue& found, Reader& reader) {
        const std::string name(key);
        const auto known = question_.pool.entries.find(name);
        if (known == question_.pool.entries.end()) {
          // What the lost commits deleted is there again.
          if (!any_may_be_lost())
            wrong("the range gives the key " + name.substr(4) +
                  ", which was never put or is deleted");
          return true;
        }
        std::string value(found.size, '\0');
        if (reader.copy(found, reinterpret_cast<uint8_t*>(value.data())).is_ok() &&
            value != known->second.value &&
            !(may_be_torn(known->second) && was_once(known->second, value))) {
          wrong("the range gives a wrong value of " + name.substr(4));
        }
        given++;
        return true;
      });
      if (!some.is_ok()) {
        acceptable(some.status(), "range");
        damages_++;
        return;
      }
      if (*some == 0) break;
    }
    uint64_t least = 0;
    for (const auto& [key, entry] : question_.pool.entries) least += may_be_torn(entry) ? 0 : 1;
    if (given < least)
      wrong("the range gives " + std::to_string(given) + " entries, not " + std::to_string(least));
  }

  // Everything far enough from the damage must come through; what comes through must be right, or,
  // where the damage has hit the newest version and no index could tell, an older one.
  void save() {
    const std::string to = question_.path + ".saved";
    PoolOptions options;
    options.medium.choice = MediumChoice::kFile;
    auto report = salvage(question_.path, to, options, nullptr, nullptr);
    if (!report.is_ok()) {
      if (report.status().code() != Code::kNotAPool) wrong("salvage: " + report.status().message());
      return;
    }
    options.medium.create = CreateMode::kNever;
    auto opened = Pool::open(to, options);
    if (!opened.is_ok()) return wrong("what was saved does not open: " + opened.status().message());
    const char* const sources[] = {"index", "log", "checksums"};
    *words_ += std::string("salvage by ") + sources[static_cast<int>(report->source)] + ": " +
               std::to_string(report->entries) + " saved, " + std::to_string(report->lost) +
               " lost, " + std::to_string(report->unconfirmed) + " unconfirmed; ";
    for (const auto& [key, entry] : question_.pool.entries)
      check_saved(**opened, *report, key, entry);
    check_saved_region(*this, **opened, *report);
    (void)(*opened)->close().is_ok();
  }

  void check_saved(Pool& saved, const SalvageReport& report, const std::string& key,
                   const Entry& entry) {
    auto reader = saved.read(nullptr);
    auto found = reader.is_ok() ? reader->find(key)
                                : Result<std::optional<FoundValue>>(std::move(reader.status()));
    if (!found.is_ok()) return wrong("what was saved cannot be read: " + found.status().message());
    const bool near = near_damage(entry);
    if (!found->has_value() || question_.control == "salvage-forgets") {
      if (!near) wrong("salvage has lost " + key.substr(4) + ", which is not damaged");
      return;
    }
    std::string value((*found)->size, '\0');
    if (!reader->copy(**found, reinterpret_cast<uint8_t*>(value.data())).is_ok())
      return wrong("what was saved cannot be read");
    const bool sure =
        report.source == SalvageSource::kIndex && report.unconfirmed == 0 && report.gaps.empty();
    if (value != entry.value && !(near && !sure && was_once(entry, value)) && !may_be_torn(entry)) {
      wrong("salvage gives a wrong value for " + key.substr(4));
    }
  }

  // Damage to a frame costs those of its operations that nothing else refers to.
  bool near_damage(const Entry& entry) const {
    constexpr uint64_t kNear = 4096;
    std::vector<Range> places = entry.places;
    for (const Range& place : question_.pool.commits[entry.commit].places) places.push_back(place);
    for (const Range& place : places) {
      for (const Range& damaged : question_.damaged) {
        if (damaged.meets({place.begin - std::min(kNear, place.begin), place.end + kNear}))
          return true;
      }
    }
    return false;
  }

  void check(Pool& pool) {
    auto report = pool.check(nullptr, nullptr);
    if (!report.is_ok()) return void(acceptable(report.status(), "check"));
    if (damages_ > 0 && report->damages.empty()) wrong("reads found damage, check did not");
    damages_ += report->damages.size();
    if (!report->damages.empty()) *words_ += "check: " + report->damages[0] + "; ";
    if (question_.control == "blind-check") report->damages.clear();
    for (const auto& [key, entry] : question_.pool.entries) {
      if (touched_for_sure(entry) && report->damages.empty())
        wrong("check does not see the damage of " + key.substr(4));
    }
  }

  // Zeroing or swapping may leave an operation as it was; a flipped bit inside of it never does.
  bool touched_for_sure(const Entry& entry) const {
    return question_.damaged.size() == 1 &&
           question_.damaged[0].end - question_.damaged[0].begin == 512 && !may_be_torn(entry) &&
           entry.places[0].begin <= question_.damaged[0].begin &&
           entry.places[0].end >= question_.damaged[0].end + 8;
  }

  // A damaged pool must not lose more by being used.
  void write_some(Pool& pool) {
    Random random(question_.seed);
    int i = 0;
    for (const auto& [key, entry] : question_.pool.entries) {
      if (++i % 40 != 0 || may_be_torn(entry)) continue;
      Batch batch;
      const std::string value = value_for(key, 1000000, random.below(3000));
      if (!batch.put(key, value).is_ok()) wrong("a batch refuses a key");
      auto receipt = pool.commit(batch, CommitMode::kDurable);
      if (receipt.is_ok())
        rewritten_[key] = value;
      else
        acceptable(receipt.status(), "commit");
    }
    mend_region(*this, pool, &region_now_);
    const Status folded = pool.fold();
    if (!folded.is_ok()) acceptable(folded, "fold");
    const Status compacted = pool.compact();
    if (!compacted.is_ok()) acceptable(compacted, "compact");
  }

  std::map<std::string, std::string> rewritten_;
  std::string region_now_ = question_.pool.region.bytes;
};

}  // namespace

Verdict ask(const Question& question, std::string* words) { return Asking(question, words).run(); }

std::vector<std::string> controls() {
  std::vector<std::string> all{"wrong-value",   "blind-check",  "salvage-forgets",
                               "wrong-restore", "wrong-region", "wrong-history"};
#ifdef HOLDFAST_CAN_PLANT
  for (const char* bug : {"plant:checksum-not-checked", "plant:log-marks-not-read"})
    all.emplace_back(bug);
#endif
  return all;
}

}  // namespace holdfast::crash
