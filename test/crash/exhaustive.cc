#include "exhaustive.h"

namespace holdfast::crash {

namespace {

constexpr uint64_t kAllSubsets = 4096;  // of a crash point: up to so many, all are tried
constexpr uint64_t kSampled = 256;      // else so many

Change put(uint64_t key, uint64_t size, uint64_t nonce) {
  return {std::string("\0\0\0\1", 4) + "key-" + std::to_string(key), true, make_value(size, nonce)};
}
Change removal(uint64_t key) {
  return {std::string("\0\0\0\1", 4) + "key-" + std::to_string(key), false, {}};
}

Change sized(uint32_t region, uint64_t slots) {
  return {size_key(region), slots > 0, {slots * kSlotBytes, 0, 0}};
}
Change slot(uint32_t region, uint64_t number, uint64_t nonce) {
  return {slot_key(region, number), true, make_value(kSlotBytes, nonce)};
}

bool durable(World& world, Changes changes) {
  return world.commit({std::move(changes), {}, CommitMode::kDurable});
}
bool eventual(World& world, Changes changes) {
  return world.commit({std::move(changes), {}, CommitMode::kEventual});
}

// A script's steps; each is called only while the pool works.
using Step = std::function<bool(World&)>;
struct Script {
  const char* name;
  std::vector<Step> steps;
  uint64_t capacity = 2 * kMiB;
};

std::vector<Script> scripts() {
  std::vector<Script> out;
  out.push_back({"create and commit",
                 {[](World& w) { return durable(w, {put(1, 100, 1)}); },
                  [](World& w) {
                    return durable(w, {put(1, 700, 2), put(2, 300, 3)});
                  },
                  [](World& w) {
                    return durable(w, {removal(1), put(3, 0, 4)});
                  }}});
  out.push_back(
      {"eventual commits, then one that settles them",
       {[](World& w) { return eventual(w, {put(1, 600, 1)}); },
        [](World& w) { return eventual(w, {put(2, 600, 2)}); },
        [](World& w) { return eventual(w, {put(1, 600, 3)}); }, [](World& w) { return w.settle(); },
        [](World& w) { return eventual(w, {removal(2)}); }}});
  out.push_back({"a group",
                 {[](World& w) {
                    return w.commit_group(
                        {{{put(1, 500, 1)}, {}, CommitMode::kDurable},
                         {{put(2, 500, 2)},
                          {{Condition::kPresent, put(1, 0, 0).key, {}}},
                          CommitMode::kEventual},
                         {{put(1, 500, 3), removal(2)}, {}, CommitMode::kDurable}});
                  },
                  [](World& w) { return durable(w, {put(3, 50, 4)}); }}});
  out.push_back({"commit and fold",
                 {[](World& w) {
                    return durable(w, {put(1, 100, 1), put(2, 200, 2)});
                  },
                  [](World& w) { return w.fold(); },
                  [](World& w) {
                    return durable(w, {put(1, 100, 3), removal(2)});
                  },
                  [](World& w) { return w.fold(); }}});
  out.push_back({"folds and a merge",
                 {[](World& w) {
                    return durable(w, {put(1, 100, 1), put(2, 100, 2)}) && (w.broken() || w.fold());
                  },
                  [](World& w) { return durable(w, {put(2, 100, 3)}) && (w.broken() || w.fold()); },
                  [](World& w) { return durable(w, {removal(1)}) && (w.broken() || w.fold()); },
                  [](World& w) { return w.maintain(true); }}});
  out.push_back({"fill segments and clean them",
                 {[](World& w) {
                    return durable(w, {put(1, 3000, 1), put(2, 500, 2)});
                  },
                  [](World& w) { return durable(w, {put(1, 3000, 3)}); },
                  [](World& w) {
                    return durable(w, {put(1, 3000, 4), put(3, 200, 5)});
                  },
                  [](World& w) { return durable(w, {put(1, 3000, 6)}); },
                  [](World& w) { return w.compact(); }, [](World& w) { return w.compact(); }}});
  out.push_back(
      {"a record of several parts",
       {[](World& w) { return durable(w, {put(1, 10, 1)}); },
        [](World& w) {
          return eventual(w, {put(1, 3000, 2), put(2, 3500, 3), put(3, 3500, 4), put(4, 2500, 5)});
        },
        [](World& w) { return durable(w, {put(1, 10, 6)}); }}});
  out.push_back(
      {"a large value, replaced and removed",
       {[](World& w) { return durable(w, {put(1, 256 * kKiB + 100, 1)}); },
        [](World& w) {
          return eventual(w, {put(1, 256 * kKiB + 900, 2), put(2, 20, 3)});
        },
        [](World& w) { return durable(w, {removal(1)}); }, [](World& w) { return w.fold(); }}});
  // The disk has room for two: the third goes where the first lay, which a fold found dead; the
  // last where the third lay, which died in the tail and must wait for a fold. The pool is so large
  // that only the commit without room makes one due.
  out.push_back(
      {"a large value where another lay",
       {[](World& w) {
          w.disk().set_disk_bytes(900 * kKiB);
          return durable(w, {put(1, 300 * kKiB, 1)}) && (w.broken() || w.fold());
        },
        [](World& w) { return durable(w, {put(1, 300 * kKiB, 2)}) && (w.broken() || w.fold()); },
        [](World& w) { return eventual(w, {put(2, 300 * kKiB, 3)}); },
        [](World& w) { return eventual(w, {put(2, 20, 4)}) && (w.broken() || w.maintain(false)); },
        [](World& w) { return durable(w, {put(3, 300 * kKiB, 5)}); },
        [](World& w) { return w.fold(); }},
       8 * kMiB});
  out.push_back({"close and open again",
                 {[](World& w) { return durable(w, {put(1, 300, 1)}); },
                  [](World& w) { return eventual(w, {put(2, 300, 2)}); },
                  [](World& w) { return w.close() && (w.crashed() || w.open()); },
                  [](World& w) { return durable(w, {put(3, 300, 3)}); },
                  [](World& w) { return w.close() && (w.crashed() || w.open()); }}});
  // The second life writes records of the same length where the first one's lay, and folds: the
  // first one's last record, whole behind them, must not come back.
  out.push_back({"a lost record stays lost",
                 {[](World& w) { return eventual(w, {put(1, 400, 1)}); },
                  [](World& w) { return eventual(w, {put(2, 400, 2)}); },
                  [](World& w) {
                    if (!w.recover(World::End::kFirstAtomLost, {})) return false;
                    return eventual(w, {put(3, 400, 3)}) && w.fold();
                  },
                  [](World& w) {
                    return w.recover(World::End::kPowerCut, {}) && durable(w, {put(4, 400, 4)});
                  }}});
  out.push_back(
      {"a region, written and placed anew",
       {[](World& w) {
          return durable(w, {sized(1, 12)}) &&
                 (w.broken() || durable(w, {slot(1, 0, 1), slot(1, 5, 2), slot(1, 11, 3)}));
        },
        [](World& w) { return w.fold(); },
        [](World& w) {
          return eventual(w, {slot(1, 0, 4), put(1, 20, 5)});
        },
        [](World& w) { return eventual(w, {slot(1, 5, 6)}); }, [](World& w) { return w.fold(); },
        [](World& w) {
          return durable(w, {slot(1, 8, 7)}) && (w.broken() || durable(w, {slot(1, 0, 8)}));
        },
        [](World& w) { return w.fold(); }}});
  out.push_back({"a region under a snapshot",
                 {[](World& w) {
                    return durable(w, {sized(1, 6), put(1, 20, 1)}) &&
                           (w.broken() || durable(w, {slot(1, 0, 1), slot(1, 5, 2)}));
                  },
                  [](World& w) { return w.fold() && (w.broken() || w.take_snapshot()); },
                  [](World& w) { return durable(w, {slot(1, 0, 3)}) && (w.broken() || w.fold()); },
                  [](World& w) { return durable(w, {slot(1, 5, 4)}) && (w.broken() || w.fold()); },
                  [](World& w) { return w.drop_snapshot(0) && (w.broken() || w.fold()); }}});
  out.push_back(
      {"a region shrinks, grows and goes",
       {[](World& w) {
          return durable(w, {sized(1, 12)}) &&
                 (w.broken() || durable(w, {slot(1, 1, 1), slot(1, 5, 2), slot(1, 11, 3)}));
        },
        [](World& w) { return w.fold(); }, [](World& w) { return durable(w, {sized(1, 3)}); },
        [](World& w) {
          return eventual(w, {sized(1, 40)}) &&
                 (w.broken() || eventual(w, {slot(1, 5, 4), slot(1, 30, 5)}));
        },
        [](World& w) { return w.fold(); }, [](World& w) { return durable(w, {sized(1, 0)}); },
        [](World& w) { return w.fold(); }}});
  // It comes to lie where a large value was, whose bytes are still there: of blocks that nobody has
  // written none may be seen. The disk is so small that what the value leaves is the largest piece,
  // which is given out first.
  out.push_back(
      {"a region where other bytes lay",
       {[](World& w) {
          w.disk().set_disk_bytes(480 * kKiB);
          return durable(w, {put(1, 300 * kKiB, 1)});
        },
        [](World& w) { return durable(w, {removal(1)}) && (w.broken() || (w.fold() && w.fold())); },
        [](World& w) {
          return durable(w, {sized(2, 30), slot(2, 1, 100)}) && (w.broken() || w.fold());
        },
        [](World& w) { return durable(w, {slot(2, 20, 101)}); },
        [](World& w) { return w.fold(); }}});
  return out;
}

const std::vector<Script>& all_scripts() {
  static const std::vector<Script> list = scripts();
  return list;
}

Geometry geometry_of(bool pmem, uint64_t capacity) {
  Geometry g;
  g.disk.atom_bytes = pmem ? 64 : 512;
  g.disk.barrier_is_per_thread = pmem;
  g.disk.segment_unit = 4 * kKiB;
  g.disk.capacity = capacity;
  g.pool.background = false;
  g.pool.log_segment_bytes = 8 * kKiB;
  return g;
}

// Runs the script until the crash strikes; true while no property was violated.
bool run(const Script& script, World* world, uint64_t crash_at) {
  if (crash_at > 0) world->disk().crash_at(crash_at);
  if (!world->open()) return false;
  for (const Step& step : script.steps) {
    if (world->broken()) return true;
    if (!step(*world)) return false;
  }
  return true;
}

// The pool must be right, and must go on working.
bool try_state(const World& before, const std::vector<uint32_t>& choices, std::string* failure) {
  World after(before, before.disk_for_crash(choices));
  const bool held = after.open() && durable(after, {put(9, 64, 99)}) && after.compare_state() &&
                    after.recover(World::End::kPowerCut, {});
  if (!held) *failure = after.failure();
  return held;
}

bool next_choice(const std::vector<uint32_t>& outcomes, std::vector<uint32_t>* choices) {
  for (size_t i = 0; i < outcomes.size(); i++) {
    if (++(*choices)[i] < outcomes[i]) return true;
    (*choices)[i] = 0;
  }
  return false;
}

bool try_point(const World& world, uint64_t seed, Coverage* coverage) {
  const std::vector<uint32_t> outcomes = world.pending_choices();
  uint64_t subsets = 1;
  for (const uint32_t n : outcomes) subsets = subsets > kAllSubsets ? subsets : subsets * n;
  std::vector<uint32_t> choices(outcomes.size(), 0);
  coverage->crash_points++;
  if (subsets <= kAllSubsets) {
    coverage->fully++;
    do {
      coverage->states++;
      if (!try_state(world, choices, &coverage->failure)) return false;
    } while (next_choice(outcomes, &choices));
    return true;
  }
  Random random(seed);
  for (uint64_t i = 0; i < kSampled; i++) {
    const uint64_t most = random.below(4);  // 0, 1: all or nothing but for a few
    for (size_t at = 0; at < outcomes.size(); at++) {
      const bool odd = random.one_in(outcomes.size() / 2 + 2);
      const uint32_t any = static_cast<uint32_t>(random.below(outcomes[at]));
      choices[at] = i == 0            ? 0
                    : i == 1          ? outcomes[at] - 1
                    : most > 1 || odd ? any
                    : most == 0       ? 0
                                      : outcomes[at] - 1;
    }
    coverage->states++;
    if (!try_state(world, choices, &coverage->failure)) return false;
  }
  return true;
}

}  // namespace

size_t script_count() { return all_scripts().size() * 2; }

std::string script_name(size_t script) {
  return std::string(all_scripts()[script / 2].name) +
         (script % 2 ? " (64-byte atoms, barrier per thread)" : " (512-byte atoms)");
}

Coverage try_script(size_t script) {
  const Script& chosen = all_scripts()[script / 2];
  const Geometry geometry = geometry_of(script % 2 != 0, chosen.capacity);
  Coverage coverage;
  const auto blame = [&](const World& world, uint64_t point) {
    if (coverage.failure.empty()) coverage.failure = world.failure();
    coverage.failure = "crash at call " + std::to_string(point) + ": " + coverage.failure;
    return coverage;
  };
  for (uint64_t point = 1; point < 10000; point++) {
    World world(geometry, 1000 * script + point, false);
    if (!run(chosen, &world, point)) return blame(world, point);
    world.claim_durable();
    if (!try_point(world, point, &coverage)) return blame(world, point);
    if (!world.crashed())
      return coverage;  // the script ended before that call: what it left was the last point
  }
  return coverage;
}

}  // namespace holdfast::crash
