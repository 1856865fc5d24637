#include "medium/simulated_medium.h"

#include <doctest/doctest.h>

#include <cstring>
#include <set>
#include <thread>

using namespace holdfast;

namespace {

constexpr uint64_t kAt = 64 * kKiB;  // where segments begin

struct Rig {
  explicit Rig(uint64_t seed = 1, SimulatedOptions options = {})
      : disk(SimulatedDisk::create(options, seed)) {
    open();
  }
  void open() {
    Result<OpenedMedium> opened = disk->open();
    REQUIRE(opened.is_ok());
    medium = std::move(opened->medium);
    REQUIRE(medium->adopt({}).is_ok());
  }
  Status put(uint64_t offset, char value, size_t size) {
    const std::string bytes(size, value);
    return medium->append(offset, bytes.data(), bytes.size());
  }
  std::shared_ptr<SimulatedDisk> disk;
  std::unique_ptr<Medium> medium;
};

// The bytes of a disk, as a new medium sees them.
std::string bytes_on(const std::shared_ptr<SimulatedDisk>& disk, uint64_t offset, size_t size) {
  Result<OpenedMedium> opened = disk->open();
  REQUIRE(opened.is_ok());
  return std::string(reinterpret_cast<const char*>(opened->medium->view()) + offset, size);
}

// One letter for each atom, if each is of one letter.
std::string letters_on(const std::shared_ptr<SimulatedDisk>& disk, uint64_t atoms,
                       uint64_t atom_bytes) {
  const std::string bytes = bytes_on(disk, kAt, atoms * atom_bytes);
  std::string letters;
  for (uint64_t i = 0; i < atoms; i++) {
    const std::string atom = bytes.substr(i * atom_bytes, atom_bytes);
    REQUIRE(atom == std::string(atom_bytes, atom[0]));
    letters += atom[0] == '\0' ? '.' : atom[0];
  }
  return letters;
}

Root root_of(uint8_t value) {
  Root root;
  std::memset(root.bytes, value, sizeof root.bytes);
  return root;
}

int root_on(const std::shared_ptr<SimulatedDisk>& disk) {
  Result<OpenedMedium> opened = disk->open();
  REQUIRE(opened.is_ok());
  return opened->medium->root().bytes[100];
}

}  // namespace

TEST_CASE("simulated: of what was not behind a barrier every subset can land, each atom whole") {
  for (const uint64_t atom : {512, 64}) {
    SimulatedOptions options;
    options.atom_bytes = atom;
    Rig rig(1, options);
    REQUIRE(rig.put(kAt, 'a', 3 * atom).is_ok());
    CHECK(rig.disk->pending_atoms() == 3);
    CHECK(rig.disk->pending_choices() == std::vector<uint32_t>{2, 2, 2});
    const char* const expected[] = {"...", "a..", ".a.", "aa.", "..a", "a.a", ".aa", "aaa"};
    for (uint64_t mask = 0; mask < 8; mask++)
      CHECK(letters_on(rig.disk->crash_landing(mask), 3, atom) == expected[mask]);
    REQUIRE(rig.medium->barrier().is_ok());
    CHECK(rig.disk->pending_atoms() == 0);
    CHECK(letters_on(rig.disk->crash_landing(0), 3, atom) == "aaa");
  }
}

TEST_CASE("simulated: an atom written twice lands in any of its versions") {
  Rig rig;
  REQUIRE(rig.put(kAt, 'a', 512).is_ok());
  REQUIRE(rig.medium->barrier().is_ok());
  REQUIRE(rig.put(kAt, 'b', 512).is_ok());
  REQUIRE(rig.put(kAt, 'c', 512).is_ok());
  CHECK(rig.disk->pending_choices() == std::vector<uint32_t>{3});
  CHECK(letters_on(rig.disk->crash_choosing({0}), 1, 512) == "a");
  CHECK(letters_on(rig.disk->crash_choosing({1}), 1, 512) == "b");
  CHECK(letters_on(rig.disk->crash_choosing({2}), 1, 512) == "c");
}

TEST_CASE("simulated: a write of part of an atom keeps the rest of it") {
  Rig rig;
  REQUIRE(rig.put(kAt, 'a', 1024).is_ok());
  REQUIRE(rig.medium->barrier().is_ok());
  REQUIRE(rig.put(kAt + 500, 'b', 24).is_ok());
  CHECK(rig.disk->pending_atoms() == 2);
  CHECK(bytes_on(rig.disk->crash_landing(1), kAt, 1024) ==
        std::string(500, 'a') + std::string(12, 'b') + std::string(512, 'a'));
}

TEST_CASE("simulated: the same seed gives the same crash, and seeds reach every subset") {
  Rig rig;
  REQUIRE(rig.put(kAt, 'a', 4 * 512).is_ok());
  std::set<std::string> outcomes;
  for (uint64_t seed = 0; seed < 400; seed++) {
    const std::string once = letters_on(rig.disk->crash(seed), 4, 512);
    CHECK(once == letters_on(rig.disk->crash(seed), 4, 512));
    outcomes.insert(once);
  }
  CHECK(outcomes.size() == 16);
}

TEST_CASE("simulated: a crash keeps identity and root, and leaves the first disk as it was") {
  Rig rig;
  REQUIRE(rig.medium->set_root(root_of(7)).is_ok());
  REQUIRE(rig.put(kAt, 'a', 512).is_ok());
  auto after = rig.disk->crash_landing(0);
  CHECK(root_on(after) == 7);
  Result<OpenedMedium> opened = after->open();
  REQUIRE(opened.is_ok());
  CHECK_FALSE(opened->created);
  CHECK(rig.disk->pending_atoms() == 1);
  CHECK(rig.medium->barrier().is_ok());
}

TEST_CASE("simulated: set_root is durable, and makes nothing else durable") {
  Rig rig;
  REQUIRE(rig.put(kAt, 'a', 512).is_ok());
  REQUIRE(rig.medium->set_root(root_of(9)).is_ok());
  auto after = rig.disk->crash_landing(0);
  CHECK(letters_on(after, 1, 512) == ".");
  CHECK(root_on(after) == 9);
}

TEST_CASE(
    "simulated: a process that dies without a power cut loses nothing, and what is then seen is "
    "durable") {
  Rig rig;
  REQUIRE(rig.put(kAt, 'a', 512).is_ok());
  rig.medium->close();
  CHECK(letters_on(rig.disk, 1, 512) == "a");
  CHECK(rig.disk->pending_atoms() == 0);
  CHECK(letters_on(rig.disk->crash_landing(0), 1, 512) == "a");
}

TEST_CASE(
    "simulated: a barrier of one thread covers only what that thread wrote, where the medium is "
    "so") {
  for (const bool per_thread : {true, false}) {
    SimulatedOptions options;
    options.barrier_is_per_thread = per_thread;
    Rig rig(1, options);
    REQUIRE(rig.put(kAt, 'a', 512).is_ok());
    Status of_other;
    std::thread([&] {
      of_other = rig.put(kAt + 512, 'b', 512);
      if (of_other.is_ok()) of_other = rig.medium->barrier();
    }).join();
    REQUIRE(of_other.is_ok());
    CHECK(letters_on(rig.disk->crash_landing(0), 2, 512) == (per_thread ? ".b" : "ab"));
  }
}

TEST_CASE("simulated: the crash strikes in the middle of the nth call, whatever it is") {
  enum class Kind { kAppend, kBarrier, kRoot, kAllocate };
  for (const Kind kind : {Kind::kAppend, Kind::kBarrier, Kind::kRoot, Kind::kAllocate}) {
    std::set<std::string> outcomes;
    for (uint64_t seed = 0; seed < 60; seed++) {
      Rig rig(seed);
      REQUIRE(rig.put(kAt, 'a', 512).is_ok());
      rig.disk->crash_at(2);
      if (kind != Kind::kBarrier) REQUIRE(rig.medium->barrier().is_ok());
      if (kind == Kind::kBarrier) REQUIRE(rig.put(kAt + 512, 'a', 512).is_ok());
      Status struck;
      if (kind == Kind::kAppend) struck = rig.put(kAt + 512, 'b', 512);
      if (kind == Kind::kBarrier) struck = rig.medium->barrier();
      if (kind == Kind::kRoot) struck = rig.medium->set_root(root_of(5));
      if (kind == Kind::kAllocate)
        struck = std::move(rig.medium->allocate(SegmentKind::kLog, 1, 1).status());
      CHECK(struck.code() == Code::kFailed);
      CHECK(rig.disk->crashed());
      CHECK(rig.medium->failed());
      CHECK(rig.medium->barrier().code() == Code::kFailed);
      rig.medium->close();
      CHECK_FALSE(rig.disk->open().is_ok());
      auto after = rig.disk->crash(seed);
      const int root = root_on(after);
      const std::string bytes = bytes_on(after, kAt, 1024);
      outcomes.insert(std::string(1, bytes[0]) + std::string(1, bytes[512]) + std::to_string(root));
      if (kind != Kind::kBarrier) CHECK(bytes[0] == 'a');
    }
    const std::string z(1, '\0');
    if (kind == Kind::kAppend) CHECK(outcomes == std::set<std::string>{"a" + z + "0", "ab0"});
    if (kind == Kind::kBarrier)
      CHECK(outcomes == std::set<std::string>{z + z + "0", "a" + z + "0", z + "a0", "aa0"});
    if (kind == Kind::kRoot) CHECK(outcomes == std::set<std::string>{"a" + z + "0", "a" + z + "5"});
    if (kind == Kind::kAllocate) CHECK(outcomes == std::set<std::string>{"a" + z + "0"});
  }
}

TEST_CASE(
    "simulated: an armed fault strikes the nth call of its kind and the medium stays failed") {
  for (const SimulatedCall call : {SimulatedCall::kAppend, SimulatedCall::kBarrier,
                                   SimulatedCall::kSetRoot, SimulatedCall::kAllocate}) {
    Rig rig;
    rig.disk->fail(call, 2, SimulatedFault::kIo);
    const auto make = [&] {
      switch (call) {
        case SimulatedCall::kAppend:
          return rig.put(kAt, 'a', 512);
        case SimulatedCall::kBarrier:
          return rig.medium->barrier();
        case SimulatedCall::kSetRoot:
          return rig.medium->set_root(root_of(1));
        default:
          return std::move(rig.medium->allocate(SegmentKind::kLog, 1, 1).status());
      }
    };
    CHECK(make().is_ok());
    CHECK_FALSE(rig.medium->failed());
    CHECK(make().code() == Code::kIo);
    CHECK(rig.medium->failed());
    CHECK(make().code() == Code::kFailed);
    CHECK(rig.medium->barrier().code() == Code::kFailed);
    CHECK(rig.medium->allocate(SegmentKind::kLog, 1, 1).status().code() == Code::kFailed);
    rig.medium->close();
    rig.open();
    CHECK(make().is_ok());
  }
}

TEST_CASE("simulated: a full disk is not a failure") {
  Rig rig;
  rig.disk->fail(SimulatedCall::kAllocate, 1, SimulatedFault::kDiskFull);
  CHECK(rig.medium->allocate(SegmentKind::kLog, 1, 1).status().code() == Code::kDiskFull);
  CHECK(rig.medium->allocate(SegmentKind::kLog, 1, 1).is_ok());
  rig.disk->set_disk_bytes(kAt + 4 * 64 * kKiB);
  CHECK(rig.medium->allocate(SegmentKind::kLog, kMiB, kMiB).status().code() == Code::kDiskFull);
  CHECK(rig.medium->allocate(SegmentKind::kLog, 1, kMiB)->bytes == 3 * 64 * kKiB);
  CHECK(rig.medium->allocate(SegmentKind::kLog, 100 * kMiB, 100 * kMiB).status().code() ==
        Code::kPoolFull);
  CHECK_FALSE(rig.medium->failed());
}

TEST_CASE("simulated: a short write leaves a part that the seed chooses") {
  std::set<size_t> lengths;
  for (uint64_t seed = 0; seed < 20; seed++) {
    Rig rig(seed);
    rig.disk->fail(SimulatedCall::kAppend, 1, SimulatedFault::kShortWrite);
    CHECK(rig.put(kAt, 'a', 1000).code() == Code::kIo);
    const std::string seen(reinterpret_cast<const char*>(rig.medium->view()) + kAt, 1000);
    const size_t placed = seen.find_first_not_of('a');
    lengths.insert(placed == std::string::npos ? 1000 : placed);
  }
  CHECK(lengths.size() > 10);
}

TEST_CASE("simulated: after a failed barrier some of what reads still see can be lost for ever") {
  int lost = 0, kept = 0;
  for (uint64_t seed = 0; seed < 40; seed++) {
    Rig rig(seed);
    rig.disk->fail(SimulatedCall::kBarrier, 1, SimulatedFault::kDropPending);
    REQUIRE(rig.put(kAt, 'a', 512).is_ok());
    CHECK(rig.medium->barrier().code() == Code::kIo);
    CHECK(rig.medium->view()[kAt] == 'a');
    const std::string after_crash = letters_on(rig.disk->crash_landing(UINT64_MAX), 1, 512);
    rig.medium->close();
    CHECK(letters_on(rig.disk, 1, 512) == after_crash);
    (after_crash == "a" ? kept : lost)++;
  }
  CHECK(lost > 5);
  CHECK(kept > 5);
}

TEST_CASE("simulated: appends outside the segments are refused") {
  Rig rig;
  CHECK(rig.put(0, 'a', 512).code() == Code::kOutOfRange);
  CHECK(rig.put(64 * kMiB - 100, 'a', 512).code() == Code::kOutOfRange);
  CHECK(rig.put(UINT64_MAX - 100, 'a', 512).code() == Code::kOutOfRange);
  CHECK(rig.disk->pending_atoms() == 0);
}
