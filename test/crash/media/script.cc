#include "crash/media/script.h"

#include <algorithm>
#include <cstdio>

#include "seeded_random.h"

namespace holdfast::crash {
namespace {

const std::string kNumberKey("\0\0\0\1commit", 10);

std::string key_of(uint64_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "key-%04u", static_cast<unsigned>(number));
  return std::string("\0\0\0\1", 4) + text;
}

std::string slot_key_of(uint64_t slot) { return kRegionPrefix + key_of(slot).substr(4); }

class Writer {
 public:
  Writer(const std::string& name, MediumChoice medium, uint64_t seed) : random_(seed) {
    script_.name = name;
    script_.medium = medium;
  }
  Writer& plain(StepKind kind) {
    script_.steps.push_back({kind, {}, 0});
    return *this;
  }
  Writer& grows() {
    script_.grows = true;
    return *this;
  }
  Writer& parts() {
    script_.parts = true;
    return grows();
  }
  Writer& resize(uint64_t bytes) {
    script_.steps.push_back({StepKind::kResize, {}, bytes});
    return *this;
  }
  // One commit of `count` values of about `bytes` bytes, over `keys` different keys.
  Writer& commit(uint64_t count, uint64_t bytes, uint64_t keys, StepKind kind = StepKind::kCommit) {
    std::vector<Change> changes;
    for (uint64_t i = 0; i < count; i++)
      changes.push_back(put(random_.below(keys), bytes + random_.below(bytes / 8 + 2)));
    return add(kind, std::move(changes));
  }
  Writer& commits(uint64_t times, uint64_t count, uint64_t bytes, uint64_t keys,
                  StepKind kind = StepKind::kCommit) {
    for (uint64_t i = 0; i < times; i++) commit(count, bytes, keys, kind);
    return *this;
  }
  Writer& remove(uint64_t key) { return add(StepKind::kCommit, {{key_of(key), "", true}}); }
  Writer& large(uint64_t key, uint64_t bytes) { return add(StepKind::kCommit, {put(key, bytes)}); }
  Writer& region(uint64_t slots) {
    return add(StepKind::kCommit, {{size_key(), std::to_string(slots * kSlotBytes), false}});
  }
  Writer& slots(uint64_t times, uint64_t count, uint64_t slots, StepKind kind = StepKind::kCommit) {
    for (uint64_t i = 0; i < times; i++) {
      std::vector<Change> changes{put(random_.below(20), 50)};
      for (uint64_t n = 0; n < count; n++) {
        Change slot = put(0, kSlotBytes);
        slot.key = slot_key_of(random_.below(slots));
        changes.push_back(std::move(slot));
      }
      add(kind, std::move(changes));
    }
    return *this;
  }
  Script done() { return std::move(script_); }

 private:
  Change put(uint64_t key, uint64_t bytes) {
    std::string value(bytes, '\0');
    for (uint64_t at = 0; at < bytes; at += 8) {
      const uint64_t word = random_.next();
      value.replace(at, std::min<uint64_t>(8, bytes - at), reinterpret_cast<const char*>(&word),
                    std::min<uint64_t>(8, bytes - at));
    }
    return {key_of(key), std::move(value), false};
  }
  Writer& add(StepKind kind, std::vector<Change> changes) {
    changes.push_back({kNumberKey, std::to_string(++commits_), false});
    script_.steps.push_back({kind, std::move(changes), 0});
    return *this;
  }

  Script script_;
  Random random_;
  uint64_t commits_ = 0;
};

}  // namespace

std::vector<std::string> script_names(MediumChoice medium) {
  std::vector<std::string> names = {"create", "commit", "batch",  "group", "large",
                                    "frames", "fold",   "merge",  "clean", "segments",
                                    "reuse",  "region", "backup", "close"};
  names.push_back(medium == MediumChoice::kFile ? "resize" : "growth");
  if (medium == MediumChoice::kPmem) names.push_back("parts");
  return names;
}

Script make_script(const std::string& name, MediumChoice medium, uint64_t seed) {
  using K = StepKind;
  Writer w(name, medium, seed);
  const bool pmem = medium == MediumChoice::kPmem;
  // What fills one log segment on either medium, in values below the size of a large one.
  const uint64_t segment = pmem ? 512 * kKiB : kMiB;
  if (name == "create") {
    w.plain(K::kFocus).plain(K::kOpen).commit(1, 100, 4).plain(K::kClose);
  } else if (name == "commit") {
    w.plain(K::kOpen)
        .commits(3, 1, 300, 4)
        .plain(K::kFocus)
        .commits(12, 1, 300, 4)
        .remove(1)
        .commits(3, 1, 40, 4);
    w.commits(3, 1, 3000, 4)
        .commits(2, 2, 1500, 4)
        .plain(K::kClose);  // of which most is on its way before it has its checksum
  } else if (name == "batch") {
    w.plain(K::kOpen)
        .commits(3, 8, 200, 16)
        .plain(K::kFocus)
        .commits(8, 12, 700, 16)
        .plain(K::kClose);
  } else if (name == "group") {
    w.plain(K::kOpen)
        .plain(K::kFocus)
        .commits(6, 2, 300, 8, K::kGroup)
        .commits(4, 1, 300, 8, K::kEventual)
        .plain(K::kSettle);
    w.commits(8, 3, 200, 8, K::kGroup).commits(2, 1, 900, 8, K::kEventual).plain(K::kClose);
  } else if (name == "large") {
    w.plain(K::kOpen)
        .commit(2, 200, 4)
        .plain(K::kFocus)
        .large(1, 300 * kKiB)
        .commit(1, 100, 4)
        .large(1, 530 * kKiB);
    w.plain(K::kFold).remove(1).plain(K::kFold).large(2, 270 * kKiB).plain(K::kClose);
  } else if (name == "frames") {
    w.plain(K::kOpen)
        .commit(1, 100, 4)
        .plain(K::kFocus)
        .commit(3 * segment / (2 * 60 * kKiB), 60 * kKiB, 40)
        .commit(1, 300, 4);
    w.commit(3 * segment / (2 * 90 * kKiB), 90 * kKiB, 40).plain(K::kClose);
  } else if (name == "fold") {
    w.plain(K::kOpen)
        .commits(20, 4, 120, 60)
        .plain(K::kFocus)
        .plain(K::kFold)
        .commits(4, 2, 200, 60)
        .plain(K::kFold)
        .remove(3);
    w.plain(K::kFold).commits(2, 1, 100, 4).plain(K::kClose);
  } else if (name == "merge") {
    w.plain(K::kOpen);
    for (int i = 0; i < 4; i++) w.commits(3, 8, 100, 200).plain(K::kFold);
    w.plain(K::kFocus)
        .plain(K::kCompact)
        .commits(3, 4, 100, 200)
        .plain(K::kFold)
        .plain(K::kCompact)
        .commit(1, 100, 4)
        .plain(K::kClose);
  } else if (name == "clean") {
    w.plain(K::kOpen).commit(6, 2000, 3000);
    w.commits(5, segment / (2 * 50 * kKiB), 50 * kKiB, 6)
        .plain(K::kFold)
        .plain(K::kFocus)
        .plain(K::kCompact);
    w.commits(5, segment / (2 * 50 * kKiB), 50 * kKiB, 6)
        .plain(K::kFold)
        .plain(K::kCompact)
        .commit(1, 100, 4)
        .plain(K::kClose);
  } else if (name == "segments") {
    w.plain(K::kOpen).commits(2, segment / (2 * 50 * kKiB), 50 * kKiB, 8).plain(K::kFocus);
    w.commits(4, segment / (2 * 60 * kKiB), 60 * kKiB, 6)
        .large(900, 400 * kKiB)
        .plain(K::kFold)
        .remove(900)
        .plain(K::kPause);
    w.large(901, 350 * kKiB).remove(901).plain(K::kFold).plain(K::kFold);
    w.commits(3, segment / (2 * 60 * kKiB), 60 * kKiB, 6).plain(K::kClose);
  } else if (name == "reuse") {  // segments that the tail still names are not used again before the
                                 // next fold
    w.plain(K::kOpen)
        .large(900, 400 * kKiB)
        .large(900, 300 * kKiB)
        .plain(K::kPause)
        .plain(K::kFocus)
        .large(901, 350 * kKiB);
    w.commits(3, 1, 100, 6)
        .plain(K::kFold)
        .plain(K::kPause)
        .large(902, 350 * kKiB)
        .plain(K::kClose);
  } else if (name == "region") {  // placed for the first time, in place, and behind commits that
                                  // nobody waited for
    w.plain(K::kOpen)
        .region(40)
        .slots(4, 3, 40)
        .plain(K::kFocus)
        .plain(K::kFold)
        .slots(4, 2, 12)
        .slots(2, 2, 12, K::kEventual);
    w.plain(K::kFold).slots(3, 3, 40).plain(K::kFold).slots(2, 1, 6).plain(K::kClose);
  } else if (name == "backup") {  // the pool that is backed up, while it goes on: values of both
                                  // kinds, a region, an increment's log
    w.plain(K::kOpen)
        .commits(6, 4, 3000, 20)
        .large(900, 300 * kKiB)
        .region(40)
        .slots(4, 3, 40)
        .plain(K::kFold)
        .plain(K::kFocus);
    w.plain(K::kBackup)
        .commits(4, 2, 900, 20, K::kEventual)
        .plain(K::kSettle)
        .plain(K::kFold)
        .plain(K::kBackup);
    w.commits(3, 1, 200, 20, K::kEventual)
        .plain(K::kSettle)
        .commits(2, 1, 100, 20)
        .plain(K::kClose);
  } else if (name == "close") {
    w.plain(K::kOpen)
        .commits(4, 2, 200, 8)
        .plain(K::kFocus)
        .plain(K::kClose)
        .plain(K::kOpen)
        .commits(2, 1, 200, 8)
        .plain(K::kClose);
    w.plain(K::kOpen).plain(K::kClose);
  } else if (name == "resize") {  // of fixed size, smaller with an end that is cut off, larger, and
                                  // one that grows again
    w.plain(K::kOpen)
        .commits(4, 4, 3000, 20)
        .large(900, 9 * kMiB)
        .remove(900)
        .plain(K::kFold)
        .plain(K::kFold)
        .plain(K::kFocus);
    w.resize(24 * kMiB)
        .commits(2, 1, 300, 20)
        .resize(6 * kMiB)
        .commits(2, 1, 300, 20)
        .resize(8 * kMiB)
        .commit(1, 100, 20)
        .resize(0);
    w.commits(2, 1, 300, 20).plain(K::kClose);
  } else if (name == "growth" || name == "parts") {  // segments of all kinds come, go, and come
                                                     // again where blocks were given back
    // A pool that grows is made and opened; of one in parts, which is a list of files, the making
    // is not of interest here.
    if (name == "growth")
      w.grows().plain(K::kFocus).plain(K::kOpen);
    else
      w.parts().plain(K::kOpen).plain(K::kFocus);
    w.commits(3, segment / (2 * 60 * kKiB), 60 * kKiB, 6).large(900, 400 * kKiB);
    w.large(900, 300 * kKiB)
        .plain(K::kPause)
        .large(901, 350 * kKiB)
        .plain(K::kFold)
        .region(40)
        .slots(1, 3, 40)
        .plain(K::kCompact);
    w.commits(2, segment / (2 * 60 * kKiB), 60 * kKiB, 6).remove(901).plain(K::kClose);
    w.plain(K::kOpen).commit(1, 200, 8).large(902, 300 * kKiB).plain(K::kClose);
  } else {
    return {};
  }
  return w.done();
}

std::string slot_key(uint64_t slot) { return slot_key_of(slot); }
std::string size_key() { return kRegionPrefix + "size"; }

std::vector<State> states_of(const Script& script) {
  std::vector<State> states(1);
  for (const Step& step : script.steps) {
    if (step.changes.empty()) continue;
    State next = states.back();
    for (const Change& change : step.changes) {
      if (change.removed)
        next.erase(change.key);
      else
        next[change.key] = change.value;
    }
    states.push_back(std::move(next));
  }
  return states;
}

Change change_after_crash() { return {key_of(7777), "after the crash", false}; }

PoolOptions options_of(const Script& script) {
  PoolOptions options;
  options.medium.choice = script.medium;
  options.medium.size = script.medium == MediumChoice::kPmem ? (script.grows ? 64 : 32) * kMiB : 0;
  options.medium.grow = script.grows;
  options.eventual_within_ms = 1000;
  return options;
}

PoolOptions options_of(const Script& script, const std::string& path) {
  PoolOptions options = options_of(script);
  if (script.parts) options.medium.directories = {path.substr(0, path.rfind('/'))};
  return options;
}

}  // namespace holdfast::crash
