// The medium on libpmemobj: what it creates, keeps, frees, refuses and survives. On /dev/shm with PMEM_IS_PMEM_FORCE=1.
#include "medium/pmem_medium.h"

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <libpmem.h>
#include <libpmemobj.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/checksum.h"
#include "format/pmem_layout.h"
#include "medium/pmem_child.h"
#include "medium/pmem_front.h"
#include "medium/superblock.h"

// Real counts: these definitions come before libpmem's for the whole process, libpmemobj included.
namespace {
std::atomic<int> fences{0}, copies{0}, flushes{0};
template <typename F>
F real(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}
}  // namespace
extern "C" void pmem_drain(void) {
  static const auto next = real<void (*)()>("pmem_drain");
  fences++;
  next();
}
extern "C" void pmem_persist(const void* at, size_t size) {
  static const auto next = real<void (*)(const void*, size_t)>("pmem_persist");
  fences++;
  flushes++;
  next(at, size);
}
extern "C" void pmem_flush(const void* at, size_t size) {
  static const auto next = real<void (*)(const void*, size_t)>("pmem_flush");
  flushes++;
  next(at, size);
}
extern "C" void* pmem_memcpy(void* to, const void* from, size_t size, unsigned flags) {
  static const auto next = real<void* (*)(void*, const void*, size_t, unsigned)>("pmem_memcpy");
  copies++;
  if ((flags & (PMEM_F_MEM_NODRAIN | PMEM_F_MEM_NOFLUSH)) == 0) fences++;
  return next(to, from, size, flags);
}

namespace holdfast {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kSmall = 32 * kMiB;

// A folder on tmpfs, gone at the end of the test.
class Place {
 public:
  explicit Place(const char* root = "/dev/shm") {
    std::string name = std::string(root) + "/holdfast-pmem-test-XXXXXX";
    REQUIRE(mkdtemp(name.data()) != nullptr);
    folder_ = name;
  }
  ~Place() { fs::remove_all(folder_); }
  std::string path(const char* name = "pool") const { return folder_ + "/" + name; }
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
};

MediumOptions options(CreateMode create = CreateMode::kIfMissing, uint64_t size = kSmall) {
  MediumOptions made;
  made.choice = MediumChoice::kPmem;
  made.create = create;
  made.size = size;
  return made;
}

OpenedMedium open_or_fail(const std::string& path, MediumOptions how = options()) {
  Result<OpenedMedium> opened = open_pmem_medium(path, how);
  REQUIRE_MESSAGE(opened.is_ok(), opened.status().message());
  return std::move(*opened);
}

Status status_of(const std::string& path, MediumOptions how = options(CreateMode::kNever, 0)) {
  Result<OpenedMedium> opened = open_pmem_medium(path, how);
  return opened ? Status() : std::move(opened.status());
}

Root root_of(uint8_t byte) {
  Root root;
  std::memset(root.bytes, byte, sizeof root.bytes);
  return root;
}

// Makes a closed pool and says where its front is.
uint64_t make_closed_pool(const std::string& path) {
  open_or_fail(path).medium->close();
  std::ifstream file(path, std::ios::binary);
  std::string head(kPmemFrontSearchBytes, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  Result<PmemFront> front = find_pmem_front(head, kSmall, path);
  REQUIRE(front.is_ok());
  CHECK(front->closed);
  return front->offset;
}

void overwrite(const std::string& path, uint64_t offset, const std::string& bytes) {
  const int fd = open(path.c_str(), O_WRONLY);
  REQUIRE(fd >= 0);
  REQUIRE(pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes.size()));
  close(fd);
}

// Runs `body` in a forked child and returns its wait status.
template <typename Body>
int in_child(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return status;
}

TEST_CASE("pmem: create, write, close, open again") {
  Place place;
  Segment segment;
  uint8_t uuid[16];
  {
    OpenedMedium opened = open_or_fail(place.path());
    CHECK(opened.created);
    CHECK(opened.format_version == kFormatVersion);
    CHECK(opened.secret != 0);
    std::memcpy(uuid, opened.uuid, sizeof uuid);
    Medium& medium = *opened.medium;
    CHECK(std::string(medium.info().name) == "pmem");
    CHECK(medium.info().barrier_is_per_thread);
    CHECK(medium.info().atom_bytes == 64);
    CHECK(medium.view_end() == kSmall);
    REQUIRE(medium.adopt({}).is_ok());
    Result<Segment> made = medium.allocate(SegmentKind::kLog, kMiB, kMiB);
    REQUIRE(made.is_ok());
    segment = *made;
    CHECK(segment.offset % kPageBytes == 0);
    CHECK(segment.bytes % kPageBytes == 0);
    CHECK(segment.bytes >= kMiB);
    CHECK(medium.append(segment.offset + 128, "twelve bytes", 12).is_ok());
    CHECK(medium.barrier().is_ok());
    CHECK(medium.set_root(root_of(7)).is_ok());
  }
  OpenedMedium opened = open_or_fail(place.path(), options(CreateMode::kNever, 0));
  CHECK(!opened.created);
  CHECK(std::memcmp(uuid, opened.uuid, sizeof uuid) == 0);
  CHECK(std::memcmp(opened.medium->root().bytes, root_of(7).bytes, Root::kBytes) == 0);
  REQUIRE(opened.medium->adopt({segment}).is_ok());
  CHECK(std::memcmp(opened.medium->view() + segment.offset + 128, "twelve bytes", 12) == 0);
  CHECK(fs::file_size(place.path()) == kSmall);
}

TEST_CASE("pmem: forced and volatile memory is never class power") {
  Place place;
  OpenedMedium opened = open_or_fail(place.path());
  CHECK(opened.medium->info().durability == DurabilityClass::kProcess);
  CHECK(opened.medium->info().durability_reason.find("PMEM_IS_PMEM_FORCE") != std::string::npos);
  opened.medium->close();
  MediumOptions strict = options(CreateMode::kNever, 0);
  strict.at_least = DurabilityClass::kPower;
  CHECK(status_of(place.path(), strict).code() == Code::kDurability);
  strict.create = CreateMode::kIfMissing;
  CHECK(status_of(place.path("other"), strict).code() == Code::kDurability);
  CHECK(!fs::exists(place.path("other")));
}

TEST_CASE("pmem: a commit is one copy and one fence") {
  Place place;
  OpenedMedium opened = open_or_fail(place.path());
  Medium& medium = *opened.medium;
  REQUIRE(medium.adopt({}).is_ok());
  Result<Segment> segment = medium.allocate(SegmentKind::kLog, kMiB, kMiB);
  REQUIRE(segment.is_ok());
  const std::string record(8192, 'r');
  for (uint64_t size : {64, 1024, 4096, 8192}) {
    fences = copies = flushes = 0;
    REQUIRE(medium.append(segment->offset, record.data(), size).is_ok());
    CHECK(fences == 0);
    REQUIRE(medium.barrier().is_ok());
    CHECK(fences == 1);
    CHECK(copies == 1);
    CHECK(flushes == 0);
  }
  CHECK(medium.counters().appends == 4);
  CHECK(medium.counters().writes == 4);
  CHECK(medium.counters().barriers == 4);
  CHECK(medium.counters().bytes_appended == 64 + 1024 + 4096 + 8192);
}

TEST_CASE("pmem: the root is durable when set_root returns, and both slots agree") {
  Place place;
  const uint64_t front = make_closed_pool(place.path());
  OpenedMedium opened = open_or_fail(place.path(), options(CreateMode::kNever, 0));
  for (uint8_t byte = 1; byte < 20; ++byte) {
    fences = 0;
    REQUIRE(opened.medium->set_root(root_of(byte)).is_ok());
    CHECK(fences >= 2);
    const Bytes bytes = bytes_of(opened.medium->view() + front, kPmemFrontBytes);
    Result<ChosenRoot> root = choose_root(bytes, opened.secret, "test");
    REQUIRE(root.is_ok());
    CHECK(root->root.bytes[100] == byte);
    const auto slot = [&](int copy) { return load<RootSlot>(bytes.data() + kRootSlotOffsets[copy]); };
    CHECK(slot(0).sequence == slot(1).sequence);
  }
  CHECK(opened.medium->counters().roots == 19);
}

TEST_CASE("pmem: what is not adopted is free again, whatever was lost") {
  Place place;
  uint64_t all_free = 0;
  std::vector<Segment> kept;
  {
    OpenedMedium opened = open_or_fail(place.path());
    Medium& medium = *opened.medium;
    REQUIRE(medium.adopt({}).is_ok());
    all_free = medium.space().free;
    for (int i = 0; i < 10; ++i) {
      Result<Segment> segment = medium.allocate(SegmentKind::kIndex, kMiB, kMiB);
      REQUIRE(segment.is_ok());
      if (i % 3 == 0) kept.push_back(*segment);
    }
  }
  for (int round = 0; round < 2; ++round) {
    OpenedMedium opened = open_or_fail(place.path(), options(CreateMode::kNever, 0));
    REQUIRE(opened.medium->adopt(kept).is_ok());
    uint64_t held = 0;
    for (const Segment& segment : kept) held += segment.bytes;
    CHECK(opened.medium->space().free == all_free - held);
  }
  OpenedMedium opened = open_or_fail(place.path(), options(CreateMode::kNever, 0));
  REQUIRE(opened.medium->adopt({}).is_ok());
  CHECK(opened.medium->space().free == all_free);
  CHECK(opened.medium->space().largest_free == all_free);
}

TEST_CASE("pmem: adopt refuses what is no segment, and frees nothing then") {
  Place place;
  Segment segment;
  {
    OpenedMedium opened = open_or_fail(place.path());
    REQUIRE(opened.medium->adopt({}).is_ok());
    segment = *opened.medium->allocate(SegmentKind::kLog, kMiB, kMiB);
  }
  const Segment wrong[] = {{segment.offset + kPageBytes, segment.bytes},
                           {segment.offset, segment.bytes - kPageBytes},
                           {kSmall, segment.bytes},
                           {~uint64_t{0} - 4095, 4096},
                           {0, 4096}};
  for (const Segment& bad : wrong) {
    OpenedMedium opened = open_or_fail(place.path(), options(CreateMode::kNever, 0));
    CHECK(opened.medium->adopt({segment, bad}).code() == Code::kCorrupt);
  }
  {
    OpenedMedium opened = open_or_fail(place.path(), options(CreateMode::kNever, 0));
    CHECK(opened.medium->adopt({segment, segment}).code() == Code::kCorrupt);
  }
  OpenedMedium opened = open_or_fail(place.path(), options(CreateMode::kNever, 0));
  CHECK(opened.medium->adopt({segment}).is_ok());
}

TEST_CASE("pmem: filled to the end, refused, emptied, filled again with larger pieces") {
  Place place;
  OpenedMedium opened = open_or_fail(place.path());
  Medium& medium = *opened.medium;
  REQUIRE(medium.adopt({}).is_ok());
  const MediumSpace empty = medium.space();
  CHECK(empty.taken == kSmall);
  CHECK(empty.capacity > kSmall - 8 * kMiB);
  CHECK(empty.free == empty.capacity);
  for (uint64_t piece : {uint64_t{100} * kKiB, uint64_t{700} * kKiB, 3 * kMiB}) {
    std::vector<Segment> held;
    for (;;) {
      Result<Segment> segment = medium.allocate(SegmentKind::kLarge, piece, piece);
      if (!segment) {
        CHECK(segment.status().code() == Code::kPoolFull);
        break;
      }
      CHECK(segment->bytes >= piece);
      for (const Segment& other : held) REQUIRE((segment->end() <= other.offset || other.end() <= segment->offset));
      held.push_back(*segment);
    }
    CHECK(medium.space().largest_free < piece);
    CHECK(!medium.failed());
    for (size_t i = 0; i < held.size(); i += 2) medium.release(held[i]);
    for (size_t i = 1; i < held.size(); i += 2) medium.release(held[i]);
    CHECK(medium.space().free == empty.free);
    CHECK(medium.space().largest_free == empty.largest_free);
  }
}

TEST_CASE("pmem: less than wanted when there is no such piece, never less than the minimum") {
  Place place;
  OpenedMedium opened = open_or_fail(place.path());
  Medium& medium = *opened.medium;
  REQUIRE(medium.adopt({}).is_ok());
  const uint64_t largest = medium.space().largest_free;
  CHECK(medium.allocate(SegmentKind::kLarge, largest + 1, largest + 1).status().code() == Code::kPoolFull);
  CHECK(medium.allocate(SegmentKind::kLarge, 80 * kGiB, 90 * kGiB).status().code() == Code::kPoolFull);
  Result<Segment> all = medium.allocate(SegmentKind::kLarge, kMiB, kGiB);
  REQUIRE(all.is_ok());
  CHECK(all->bytes == largest);
  CHECK(medium.space().free == 0);
  medium.release(*all);
  CHECK(medium.space().largest_free == largest);
}

TEST_CASE("pmem: release of what is not held fails the medium") {
  Place place;
  OpenedMedium opened = open_or_fail(place.path());
  REQUIRE(opened.medium->adopt({}).is_ok());
  opened.medium->release({kMiB, kMiB});
  CHECK(opened.medium->failed());
  CHECK(opened.medium->barrier().code() == Code::kFailed);
  CHECK(opened.medium->append(kMiB, "x", 1).code() == Code::kFailed);
  CHECK(opened.medium->set_root(root_of(1)).code() == Code::kFailed);
  CHECK(opened.medium->allocate(SegmentKind::kLog, 1, 1).status().code() == Code::kFailed);
}

TEST_CASE("pmem: create modes and sizes") {
  Place place;
  CHECK(status_of(place.path()).code() == Code::kNotFound);
  CHECK(status_of(place.path("no/such/folder"), options()).code() == Code::kNotFound);
  CHECK(status_of(place.path(), options(CreateMode::kIfMissing, 4 * kMiB)).code() == Code::kOutOfRange);
  CHECK(status_of(place.path(), options(CreateMode::kIfMissing, ~uint64_t{0})).code() == Code::kOutOfRange);
  CHECK(status_of(place.path(), options(CreateMode::kIfMissing, 16384 * kGiB)).code() == Code::kDiskFull);
  CHECK(fs::is_empty(place.folder()));
  make_closed_pool(place.path());
  CHECK(status_of(place.path(), options(CreateMode::kExclusive)).code() == Code::kExists);
  CHECK(status_of(place.path(), options(CreateMode::kNever, 2 * kSmall)).code() == Code::kOutOfRange);
  CHECK(status_of(place.path(), options(CreateMode::kIfMissing, kSmall)).is_ok());
  CHECK(status_of(place.folder()).code() == Code::kNotAPool);
  CHECK(std::distance(fs::directory_iterator(place.folder()), {}) == 1);
}

TEST_CASE("pmem: what a dead creator left is swept") {
  Place place;
  const int status = in_child([] {});
  REQUIRE(status == 0);
  const pid_t dead = fork();
  if (dead == 0) _exit(0);
  waitpid(dead, nullptr, 0);
  const std::string stale = place.path((".pool.holdfast-new-" + std::to_string(dead)).c_str());
  std::ofstream(stale) << "half a pool";
  make_closed_pool(place.path());
  CHECK(!fs::exists(stale));
}

TEST_CASE("pmem: an ordinary disk is refused unless forced") {
  const char* disk = std::getenv("HOLDFAST_TEST_DISK");
  Place place(disk != nullptr ? disk : "/var/tmp");
  unsetenv("PMEM_IS_PMEM_FORCE");
  const Status status = status_of(place.path(), options());
  CHECK(status.code() == Code::kMediumUnavailable);
  CHECK(status.message().find("medium 'file'") != std::string::npos);
  CHECK(fs::is_empty(place.folder()));
  setenv("PMEM_IS_PMEM_FORCE", "1", 1);
  OpenedMedium forced = open_or_fail(place.path());
  CHECK(forced.medium->info().durability == DurabilityClass::kProcess);
  forced.medium->close();
  unsetenv("PMEM_IS_PMEM_FORCE");
  CHECK(status_of(place.path()).code() == Code::kMediumUnavailable);
  setenv("PMEM_IS_PMEM_FORCE", "1", 1);
}

TEST_CASE("pmem: files that are no pools") {
  Place place;
  std::ofstream(place.path("empty")).flush();
  CHECK(status_of(place.path("empty"), options()).code() == Code::kNotAPool);
  std::ofstream(place.path("text")) << std::string(100000, 'x');
  CHECK(status_of(place.path("text"), options()).code() == Code::kNotAPool);
  CHECK(fs::file_size(place.path("text")) == 100000);
  PMEMobjpool* foreign = pmemobj_create(place.path("foreign").c_str(), "somebody else", kSmall, 0600);
  REQUIRE(foreign != nullptr);
  pmemobj_close(foreign);
  const Status status = status_of(place.path("foreign"));
  CHECK(status.code() == Code::kNotAPool);
  CHECK(status.message().find("another program") != std::string::npos);
}

TEST_CASE("pmem: truncated and lengthened") {
  Place place;
  for (uint64_t size : {uint64_t{1}, 4 * kKiB, kMiB, 8 * kMiB, kSmall - 4096, kSmall - 1, kSmall + 1}) {
    CAPTURE(size);
    const std::string path = place.path(std::to_string(size).c_str());
    make_closed_pool(path);
    fs::resize_file(path, size);
    const Code code = status_of(path).code();
    // Cut off before libpmemobj's own second page nothing says that it was one of ours.
    CHECK((code == Code::kCorrupt || (size <= 4 * kKiB && code == Code::kNotAPool)));
    fs::remove(path);
  }
}

TEST_CASE("pmem: a newer format is refused as such") {
  Place place;
  const uint64_t front = make_closed_pool(place.path());
  Superblock newer = *make_superblock(MediumKind::kPmem, kSmall);
  newer.format_version = kFormatVersion + 1;
  newer.checksum = checksum(&newer, offsetof(Superblock, checksum));
  for (uint64_t copy : kSuperblockOffsets) {
    overwrite(place.path(), front + copy, std::string(reinterpret_cast<char*>(&newer), sizeof newer));
  }
  CHECK(status_of(place.path()).code() == Code::kNewerFormat);
}

TEST_CASE("pmem: one damaged copy is survived and repaired, two are kCorrupt") {
  Place place;
  const uint64_t front = make_closed_pool(place.path());
  const std::string noise(256, '\x5a');
  for (int copy = 0; copy < 2; ++copy) {
    CAPTURE(copy);
    overwrite(place.path(), front + kSuperblockOffsets[copy], noise);
    CHECK(status_of(place.path()).is_ok());
    overwrite(place.path(), front + kRootSlotOffsets[copy], noise);
    CHECK(status_of(place.path()).is_ok());
  }
  CHECK(status_of(place.path()).is_ok());
  for (int copy = 0; copy < 2; ++copy) overwrite(place.path(), front + kRootSlotOffsets[copy], noise);
  CHECK(status_of(place.path()).code() == Code::kCorrupt);
  for (int copy = 0; copy < 2; ++copy) overwrite(place.path(), front + kSuperblockOffsets[copy], noise);
  CHECK(status_of(place.path()).code() == Code::kCorrupt);
}

TEST_CASE("pmem: a second owner is refused with the pid of the first; SIGKILL leaves no lock") {
  Place place;
  make_closed_pool(place.path());
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  const pid_t owner = fork();
  if (owner == 0) {
    Result<OpenedMedium> opened = open_pmem_medium(place.path(), options(CreateMode::kNever, 0));
    const bool ok = opened.is_ok() && opened->medium->adopt({}).is_ok() &&
                    opened->medium->allocate(SegmentKind::kLog, kMiB, kMiB).is_ok();
    if (write(ready[1], ok ? "y" : "n", 1) != 1) _exit(1);
    for (;;) pause();
  }
  char answer = 0;
  REQUIRE(read(ready[0], &answer, 1) == 1);
  CHECK(answer == 'y');
  const Status locked = status_of(place.path());
  CHECK(locked.code() == Code::kLocked);
  CHECK(locked.message().find(std::to_string(owner)) != std::string::npos);
  kill(owner, SIGKILL);
  waitpid(owner, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
  OpenedMedium opened = open_or_fail(place.path(), options(CreateMode::kNever, 0));  // checked in a child first
  REQUIRE(opened.medium->adopt({}).is_ok());
  CHECK(opened.medium->space().free == opened.medium->space().capacity);
  CHECK(opened.medium->info().durability_reason.find("without the check") == std::string::npos);
  const Status again = status_of(place.path());  // twice in one process
  CHECK(again.code() == Code::kLocked);
  CHECK(again.message().find(std::to_string(getpid())) != std::string::npos);
}

TEST_CASE("pmem: after an unclean end, damage to libpmemobj's own part is kCorrupt, not a crash") {
  Place place;
  const uint64_t front = make_closed_pool(place.path("sound"));
  std::ifstream file(place.path("sound"), std::ios::binary);
  std::string head(front, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  const size_t heap = head.find("MEMORY_HEAP_HDR");  // libpmemobj's own mark; the first zone's headers follow it
  REQUIRE(heap != std::string::npos);
  std::string in_use(8, '\0');
  store(in_use.data(), kPmemInUse);
  overwrite(place.path("sound"), front + kPmemUseMarkOffset, in_use);
  CHECK(status_of(place.path("sound")).is_ok());
  int refused = 0;
  for (uint64_t offset = heap; offset < heap + 3 * kKiB; offset += 128) {
    const std::string path = place.path("damaged");
    fs::copy_file(place.path("sound"), path, fs::copy_options::overwrite_existing);
    overwrite(path, front + kPmemUseMarkOffset, in_use);
    overwrite(path, offset, std::string(128, '\xa7'));
    const Code code = status_of(path).code();
    CHECK((code == Code::kOk || code == Code::kCorrupt));
    refused += code == Code::kCorrupt;
  }
  CHECK(refused > 0);
}

TEST_CASE("pmem: a check that hangs, dies, or is not there") {
  Place place;
  make_closed_pool(place.path());
  const auto script = [&](const char* name, const char* text) {
    std::ofstream(place.path(name)) << "#!/bin/sh\n" << text << "\n";
    chmod(place.path(name).c_str(), 0755);
    return place.path(name);
  };
  const Status hangs = probe_pool_in_child(script("hangs", "exec sleep 60"), place.path(), 100);
  CHECK(hangs.code() == Code::kCorrupt);
  CHECK(hangs.message().find("100 ms") != std::string::npos);
  CHECK(probe_pool_in_child(script("dies", "kill -SEGV $$"), place.path(), 5000).code() == Code::kCorrupt);
  CHECK(probe_pool_in_child(script("killed", "kill -KILL $$"), place.path(), 5000).code() == Code::kIo);
  CHECK(probe_pool_in_child(script("quiet", "exit 0"), place.path(), 5000).code() == Code::kCorrupt);
  CHECK(probe_pool_in_child(script("says", "echo no >&2; exit 1"), place.path(), 5000).message().find("said: no") !=
        std::string::npos);
  CHECK(probe_pool_in_child(place.path("absent"), place.path(), 5000).code() == Code::kIo);
  REQUIRE(!pmem_probe_program().empty());
  CHECK(probe_pool_in_child(pmem_probe_program(), place.path(), 5000).is_ok());
}

TEST_CASE("pmem: killed while segments come and go, nothing leaks and the root is whole") {
  Place place;
  make_closed_pool(place.path());
  for (int round = 0; round < 12; ++round) {
    int ready[2];
    REQUIRE(pipe(ready) == 0);
    const pid_t worker = fork();
    if (worker == 0) {
      Result<OpenedMedium> opened = open_pmem_medium(place.path(), options(CreateMode::kNever, 0));
      if (!opened || !opened->medium->adopt({}).is_ok() || write(ready[1], "y", 1) != 1) _exit(1);
      std::vector<Segment> held;
      for (uint8_t i = 1;; ++i) {
        Result<Segment> segment = opened->medium->allocate(SegmentKind::kLog, kMiB, kMiB);
        if (segment) held.push_back(*segment);
        if (held.size() > 5) {
          opened->medium->release(held.front());
          held.erase(held.begin());
        }
        if (!opened->medium->set_root(root_of(i)).is_ok()) _exit(1);
      }
    }
    char answer = 0;
    REQUIRE(read(ready[0], &answer, 1) == 1);
    usleep(static_cast<useconds_t>(500 + 700 * round));
    kill(worker, SIGKILL);
    waitpid(worker, nullptr, 0);
    close(ready[0]);
    close(ready[1]);
    OpenedMedium opened = open_or_fail(place.path(), options(CreateMode::kNever, 0));
    const Root& root = opened.medium->root();
    for (uint8_t byte : root.bytes) REQUIRE(byte == root.bytes[0]);
    REQUIRE(opened.medium->adopt({}).is_ok());
    CHECK(opened.medium->space().free == opened.medium->space().capacity);
    CHECK(opened.medium->space().largest_free == opened.medium->space().free);
  }
}

}  // namespace
}  // namespace holdfast
