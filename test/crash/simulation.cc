#include "simulation.h"

#include <algorithm>
#include <cstdio>

namespace holdfast::crash {

namespace {

// What kind of life it is; chosen once for a seed, so that each has a character of its own.
struct Character {
  Geometry geometry;
  uint64_t keys = 0;
  uint64_t usual_bytes = 0;  // values are about so large
  uint64_t most_bytes = 0;   // that still fit into the log
  uint64_t sizes = 0;  // values have one of so many sizes (0: any), so that records come to lie on
                       // old ones exactly
  bool large = false;
  bool roomy = false;  // enough segments for what the pool promises about deleting when it is full
  bool hasty = false;  // crash after crash, records all of one length: new ones come to lie exactly
                       // where lost ones lay
  bool interleave = false;     // commits in the middle of maintenance
  uint64_t fault_percent = 0;  // of eras in which something is made to fail
  uint64_t crash_percent = 0;  // of eras that have a crash in store
  uint64_t maintain_percent = 0;
  uint64_t durable_percent = 0;
  uint64_t region_percent = 0;  // of changes that are of regions
  uint64_t region_slots = 0;    // the largest
  bool forgetful = false;       // only some of the log is kept
  uint64_t disk_bytes = 0;      // not 0: the disk has less than the pool may take
  uint64_t feed_seed = 0;  // not 0: the log is kept, and a reader of the change feed goes along
};

Character character_of(Random* random) {
  Character c;
  SimulatedOptions& disk = c.geometry.disk;
  PoolOptions& pool = c.geometry.pool;
  const bool pmem = random->one_in(2);
  disk.atom_bytes = pmem ? 64 : 512;
  disk.barrier_is_per_thread = pmem;
  disk.segment_unit = kKiB << random->between(2, 4);
  pool.background = false;
  pool.log_segment_bytes = kKiB << random->between(3, 6);
  pool.fold_operations = 4ull << random->below(6);
  pool.fold_bytes = (8 * kKiB) << random->below(5);
  c.large = random->one_in(5);
  c.hasty = random->one_in(5);
  const uint64_t segment = std::max(pool.log_segment_bytes, disk.segment_unit);
  disk.capacity = 64 * kKiB + segment * random->between(12, 60) + disk.segment_unit * 16 +
                  (c.large ? 2 * kMiB : 0);
  disk.capacity = round_up(disk.capacity, disk.segment_unit);
  c.roomy = pool.log_segment_bytes >= 64 * kKiB && disk.capacity >= 32 * segment;
  c.keys = random->one_in(4) ? random->between(100, 300) : random->between(2, 60);
  c.most_bytes = pool.log_segment_bytes / 2;
  c.usual_bytes = 16ull << random->below(8);
  if (random->one_in(5)) c.usual_bytes = disk.capacity / c.keys;  // it fills up
  c.usual_bytes = std::min(c.usual_bytes, c.most_bytes);
  c.sizes = random->one_in(2) ? random->between(1, 3) : 0;
  c.interleave = random->one_in(2);
  c.fault_percent = random->one_in(2) ? 0 : random->between(10, 60);
  c.crash_percent = random->between(30, 100);
  c.maintain_percent = random->one_in(3) ? 0 : random->between(5, 60);
  c.durable_percent = random->one_in(3) ? 10 : random->between(20, 100);
  if (random->one_in(2)) {
    c.region_percent = random->one_in(3) ? 80 : random->between(5, 40);
    c.region_slots = std::max<uint64_t>(1, disk.capacity / (8ull << random->below(4)) / kSlotBytes);
  }
  if (c.hasty) {
    c.keys = random->between(1, 10);
    c.sizes = 1;
    c.usual_bytes = std::min<uint64_t>(c.most_bytes, random->between(1, 12) * disk.atom_bytes);
    c.durable_percent = random->between(0, 30);
    c.maintain_percent = random->below(10);
    c.crash_percent = 30;
  }
  return c;
}

// Decided by the seed itself, so that those without a feed go on meaning what they meant.
Character with_feed(uint64_t seed, Character c) {
  const uint64_t dice = seed * 0x9E3779B97F4A7C15 >> 40;
  if (dice % 4 != 0) return c;
  c.feed_seed = dice | 1;
  c.geometry.pool.retain = RetainWish{0, uint64_t{1} << 40};
  c.geometry.disk.capacity *= 2;
  c.forgetful = dice % 8 == 4;  // so that there is something to clean
  if (c.forgetful) c.geometry.pool.retain = RetainWish{0, c.geometry.disk.capacity / 8};
  return c;
}

// The same.
Character with_small_disk(uint64_t seed, Character c) {
  const uint64_t dice = seed * 0xD6E8FEB86659FD93 >> 40;
  if (dice % 5 != 0) return c;
  c.disk_bytes =
      round_up(c.geometry.disk.capacity * (50 + dice / 5 % 45) / 100, c.geometry.disk.segment_unit);
  c.roomy = c.roomy && c.disk_bytes >= 32 * std::max(c.geometry.pool.log_segment_bytes,
                                                     c.geometry.disk.segment_unit);
  return c;
}

class Life {
 public:
  Life(uint64_t seed, bool trace)
      : random_(seed),
        c_(with_small_disk(seed, with_feed(seed, character_of(&random_)))),
        world_(c_.geometry, random_.next(), trace) {
    if (trace) {
      std::printf(
          "seed %llu: %s atoms of %llu bytes, capacity %llu, log segments of %llu, folds at %llu "
          "operations or %llu bytes, %llu keys\n",
          static_cast<unsigned long long>(seed),
          c_.geometry.disk.barrier_is_per_thread ? "per-thread barriers," : "shared barriers,",
          static_cast<unsigned long long>(c_.geometry.disk.atom_bytes),
          static_cast<unsigned long long>(c_.geometry.disk.capacity),
          static_cast<unsigned long long>(c_.geometry.pool.log_segment_bytes),
          static_cast<unsigned long long>(c_.geometry.pool.fold_operations),
          static_cast<unsigned long long>(c_.geometry.pool.fold_bytes),
          static_cast<unsigned long long>(c_.keys));
    }
    if (c_.disk_bytes > 0) world_.disk().set_disk_bytes(c_.disk_bytes);
    if (c_.feed_seed) world_.follow_feed(c_.feed_seed, c_.forgetful);
    if (c_.interleave) world_.set_between([this](TestPoint point) { in_between(point); });
    world_.use_second_thread(c_.interleave && random_.one_in(2));
  }

  Verdict run() {
    const bool held = live();
    Verdict verdict;
    verdict.failure = world_.failure();
    if (!held && verdict.failure.empty())
      verdict.failure = "an operation failed without saying why";
    verdict.digest = world_.digest();
    verdict.tally = world_.tally();
    return verdict;
  }

 private:
  bool live() {
    if (random_.one_in(8)) world_.disk().crash_at(random_.between(1, 6));  // inside creation
    if (!world_.open()) return false;
    for (uint64_t eras = c_.hasty ? random_.between(5, 12) : random_.between(2, 5); eras > 0;
         eras--) {
      if (!era()) return false;
    }
    // At last all is well: nothing is missing, nothing leaks, and it can be closed and opened
    // again.
    world_.disk().disarm();
    if (world_.broken() && !mend()) return false;
    if (!world_.compare_state() || !world_.feed_step(true) || !world_.check_exact() ||
        !world_.compare_history())
      return false;
    if (world_.broken()) return world_.fail("the pool is broken although nothing was made to fail");
    return world_.close() && world_.open() && world_.compare_state();
  }

  bool era() {
    if (!world_.broken()) arm();
    const uint64_t most = c_.hasty ? 8 : random_.one_in(3) ? 80 : 25;
    for (uint64_t n = random_.between(2, most); n > 0 && !world_.broken(); n--) {
      if (!step()) return false;
      if (c_.feed_seed && n % 4 == 0 && !world_.feed_step(n % 3 == 0)) return false;
    }
    if (world_.broken()) return mend();
    switch (random_.below(6)) {
      case 0:
        return reopen();
      case 1:
        return world_.recover(World::End::kKilled, crashes_in_recovery());
      case 2:
        return world_.check_exact();
      default:
        return world_.recover(World::End::kPowerCut, crashes_in_recovery());
    }
  }

  void arm() {
    world_.disk().disarm();
    if (random_.percent(c_.crash_percent))
      world_.disk().crash_at(random_.between(1, random_.one_in(4) ? 300 : 60));
    if (!random_.percent(c_.fault_percent)) return;
    static constexpr struct {
      SimulatedCall call;
      SimulatedFault fault;
    } kFaults[] = {
        {SimulatedCall::kAppend, SimulatedFault::kIo},
        {SimulatedCall::kAppend, SimulatedFault::kDiskFull},
        {SimulatedCall::kAppend, SimulatedFault::kShortWrite},
        {SimulatedCall::kBarrier, SimulatedFault::kIo},
        {SimulatedCall::kBarrier, SimulatedFault::kDropPending},
        {SimulatedCall::kSetRoot, SimulatedFault::kIo},
        {SimulatedCall::kAllocate, SimulatedFault::kIo},
        {SimulatedCall::kAllocate, SimulatedFault::kDiskFull},
        {SimulatedCall::kAllocate, SimulatedFault::kDiskFull},
    };
    const auto& fault = kFaults[random_.below(std::size(kFaults))];
    const uint64_t within =
        fault.call == SimulatedCall::kSetRoot || fault.call == SimulatedCall::kAllocate ? 8 : 40;
    world_.disk().fail(fault.call, random_.between(1, within), fault.fault);
    world_.fault_expected();
    world_.trace("a fault is armed");
  }

  std::vector<uint64_t> crashes_in_recovery() {
    std::vector<uint64_t> out;
    while (random_.one_in(3) && out.size() < 4) out.push_back(random_.between(1, 3));
    return out;
  }

  bool mend() {
    if (!world_.crashed() && random_.one_in(2)) return world_.reopen_failed();
    return world_.recover(random_.one_in(4) ? World::End::kKilled : World::End::kPowerCut,
                          crashes_in_recovery());
  }

  bool reopen() {
    if (!world_.close()) return false;
    if (world_.crashed()) return mend();
    return world_.open() && (!world_.broken() || mend());
  }

  std::string key() {
    const uint64_t n = random_.below(c_.keys);
    std::string out(4, '\0');
    out[3] = static_cast<char>(1 + n % 3);
    out += "key-" + std::to_string(n);
    if (n % 41 == 40) out += std::string(100 + n * 3, 'k');
    return out;
  }

  uint64_t size() {
    if (c_.sizes > 0) return std::min(c_.most_bytes, c_.usual_bytes * random_.between(1, c_.sizes));
    if (random_.one_in(16)) return random_.below(c_.most_bytes);
    return random_.below(2 * c_.usual_bytes) % c_.most_bytes;
  }

  // Regions that are there, and that commits in between will not take away.
  std::vector<std::pair<uint32_t, uint64_t>> regions() {
    std::vector<std::pair<uint32_t, uint64_t>> out;
    const State& state = world_.model().latest();
    for (auto it = state.lower_bound(kRegionPrefix); it != state.end(); ++it) {
      if (!slot_of(it->first)) out.emplace_back(region_of(it->first), it->second.size / kSlotBytes);
    }
    return out;
  }

  // Makes, resizes or drops a region. Numbers are not used again.
  Transaction region_change() {
    Transaction t;
    t.mode = random_.percent(c_.durable_percent) ? CommitMode::kDurable : CommitMode::kEventual;
    const auto there = regions();
    const bool old = !there.empty() && (there.size() >= 3 || !random_.one_in(3));
    const auto [region, slots] =
        old ? there[random_.below(there.size())] : std::pair<uint32_t, uint64_t>(next_region_++, 0);
    const uint64_t size = old && random_.one_in(5) ? 0 : random_.between(1, c_.region_slots);
    t.changes.push_back({size_key(region), size > 0, {size * kSlotBytes, 0, 0}});
    const Change more = change();
    const bool inside =
        !is_region_key(more.key) || region_of(more.key) != region || *slot_of(more.key) < size;
    if (random_.one_in(3) && inside) t.changes.push_back(more);
    return t;
  }

  Change change() {
    Change out;
    if (random_.percent(c_.region_percent)) {
      const auto there = regions();
      if (!there.empty()) {
        const auto [region, slots] = there[random_.below(there.size())];
        const uint64_t near = random_.one_in(2) ? slots : std::min<uint64_t>(slots, 8);
        out.key = slot_key(region, random_.below(near));
        out.put = !random_.one_in(8);
        if (out.put) out.value = make_value(kSlotBytes, nonce_++);
        return out;
      }
    }
    out.key = key();
    out.put = !random_.one_in(c_.hasty ? 50 : 5);
    if (out.put) out.value = make_value(size(), nonce_++);
    return out;
  }

  Transaction transaction() {
    Transaction t;
    t.mode = random_.percent(c_.durable_percent) ? CommitMode::kDurable : CommitMode::kEventual;
    uint64_t changes = !c_.hasty && random_.one_in(3) ? random_.between(2, 8) : 1;
    if (!c_.hasty && random_.one_in(40)) changes = random_.between(10, 60);
    for (; changes > 0; changes--) t.changes.push_back(change());
    if (c_.large && random_.one_in(8)) {
      Change& one = t.changes[random_.below(t.changes.size())];
      if (is_region_key(one.key)) one = {key(), true, {}};
      one.put = true;
      one.value = make_value(256 * kKiB + 1 + random_.below(128 * kKiB), nonce_++);
    }
    if (random_.one_in(6)) {
      for (uint64_t n = random_.between(1, 2); n > 0; n--) t.conditions.push_back(condition());
    }
    return t;
  }

  // One that is larger than a log segment.
  Transaction wide_transaction() {
    Transaction t;
    uint64_t bytes = 0;
    const uint64_t wanted = c_.geometry.pool.log_segment_bytes * random_.between(1, 3);
    while (bytes < wanted && t.changes.size() < 200) {
      Change one = change();
      if (is_region_key(one.key)) one.key = key();
      one.put = true;
      one.value = make_value(std::min(c_.most_bytes, wanted / random_.between(4, 12)), nonce_++);
      bytes += one.value.size + 40;
      t.changes.push_back(one);
    }
    return t;
  }

  Condition condition() {
    const std::string on = key();
    const State& state = world_.model().latest();
    const auto it = state.find(on);
    const bool right = !random_.one_in(4);
    if ((it == state.end()) == right) return {Condition::kAbsent, on, {}};
    if (it == state.end() || random_.one_in(2)) return {Condition::kPresent, on, {}};
    return {Condition::kEqual, on, right ? it->second : make_value(it->second.size, nonce_++)};
  }

  bool step() {
    const uint64_t dice = random_.below(100);
    bool held = true;
    if (c_.region_percent > 0 && random_.one_in(12)) return world_.commit(region_change());
    if (dice < 52) {
      held = world_.commit(transaction());
    } else if (dice < 66) {
      std::vector<Transaction> group;
      for (uint64_t n = random_.between(1, 6); n > 0; n--) group.push_back(transaction());
      held = world_.commit_group(group);
    } else if (dice < 69 && !c_.hasty) {
      held = world_.commit(wide_transaction());
    } else if (dice < 73) {
      held = world_.settle();
    } else if (dice < 76) {
      held = world_.fold();
    } else if (dice < 78) {
      held = world_.compact();
    } else if (dice < 82 && world_.snapshots() < 3) {
      held = world_.take_snapshot();
    } else if (dice < 86 && world_.snapshots() > 0) {
      held = world_.drop_snapshot(random_.below(world_.snapshots()));
    } else if (dice < 89) {
      held = world_.compare_state();
    } else if (dice < 92) {
      std::string low = key(), high = key();
      if (high < low) std::swap(low, high);
      held = world_.compare_range(low, high, random_.one_in(2),
                                  random_.one_in(2) ? UINT64_MAX : random_.below(10));
    } else if (dice < 95) {
      held = world_.compare_key(key());
    } else if (dice < 97) {
      held = world_.check();
    } else if (dice < 98) {
      return reopen();
    } else {
      held = world_.maintain(true);
    }
    if (held && world_.was_full() && c_.roomy && random_.one_in(2))
      held = world_.delete_while_full();
    if (held && !world_.broken() && random_.percent(c_.maintain_percent))
      held = world_.maintain(random_.one_in(5));
    return held;
  }

  // What other threads do meanwhile. A violation is remembered by the world and ends the operation
  // that was interrupted.
  void in_between(TestPoint point) {
    if (world_.broken() || !random_.one_in(4)) return;
    world_.note_interleaved();
    if (point == TestPoint::kBarrierRaised) {  // the barrier is somebody's: waiting for it here
                                               // would be for ever
      Transaction other = transaction();
      other.mode = CommitMode::kEventual;
      (void)world_.commit(other);
      return;
    }
    switch (random_.below(5)) {
      case 0:
        (void)world_.take_snapshot();
        break;
      case 1:
        (void)(world_.snapshots() > 0 && world_.drop_snapshot(random_.below(world_.snapshots())));
        break;
      case 2:
        (void)world_.compare_state();
        break;
      default:
        (void)world_.commit(transaction());
        break;
    }
  }

  Random random_;
  const Character c_;
  World world_;
  uint64_t nonce_ = 1;
  uint32_t next_region_ = 1;
};

}  // namespace

Verdict simulate(uint64_t seed, bool trace) { return Life(seed, trace).run(); }

}  // namespace holdfast::crash
