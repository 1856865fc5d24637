// When a pool on persistent memory is opened without a child process: only where libpmemobj's part
// of it is exactly as it must be. Counted, not timed. On /dev/shm with PMEM_IS_PMEM_FORCE=1.
#include "medium/pmem/pmem_at_rest.h"

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <vector>

#include "format/pmem_layout.h"
#include "medium/pmem/pmem_library_layout.h"
#include "medium/pmem/pmem_medium.h"
#include "native/scratch.h"

namespace {
std::atomic<int> children{0};
}
// Before libc's: counts the children that look at a copy first.
extern "C" int posix_spawn(pid_t* child, const char* program,
                           const posix_spawn_file_actions_t* files,
                           const posix_spawnattr_t* attributes, char* const arguments[],
                           char* const environment[]) {
  static const auto next =
      reinterpret_cast<decltype(&posix_spawn)>(dlsym(RTLD_NEXT, "posix_spawn"));
  children++;
  return next(child, program, files, attributes, arguments, environment);
}

namespace holdfast {
namespace {

using test::bytes_of_file;
using test::Scratch;

constexpr uint64_t kBytes = 64 * kMiB;
constexpr uint64_t kZoneAt = kPmemHeapAt + sizeof(PmemHeapHeader);
constexpr uint64_t kChunkHeadersAt = kZoneAt + sizeof(PmemZoneHeader);
constexpr uint64_t kChunksAt = kZoneAt + kPmemZoneFront;

MediumOptions options(CreateMode create, uint64_t size) {
  MediumOptions made;
  made.choice = MediumChoice::kPmem;
  made.create = create;
  made.size = size;
  return made;
}

Status open_and_close(const std::string& path) {
  Result<OpenedMedium> opened = open_pmem_medium(path, options(CreateMode::kNever, 0));
  if (!opened) return std::move(opened.status());
  opened->medium->close();
  return {};
}

// Takes some segments of every kind, gives some back, changes the root; then ends as told. By a
// process of its own.
void use(const std::string& path, uint64_t size, int segments, bool killed) {
  const pid_t user = fork();
  if (user == 0) {
    Result<OpenedMedium> opened = open_pmem_medium(path, options(CreateMode::kIfMissing, size));
    if (!opened || !opened->medium->adopt({}).is_ok()) _exit(1);
    Medium& medium = *opened->medium;
    for (int i = 0; i < segments; i++) {
      Result<Segment> taken =
          medium.allocate(static_cast<SegmentKind>(1 + i % 5), 100 * kKiB,
                          100 * kKiB + static_cast<uint64_t>(i % 3) * kPmemChunkBytes);
      if (!taken) _exit(2);
      if (i % 4 == 3) medium.release(*taken);
      if (!medium.set_root(Root{}).is_ok()) _exit(3);
    }
    if (killed) kill(getpid(), SIGKILL);
    medium.close();
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(user, &status, 0) == user);
  REQUIRE((killed ? WIFSIGNALED(status) : status == 0));
}

uint64_t front_of(const std::string& pool) {
  return round_up(load<PmemDescriptor>(pool.data() + kPmemDescriptorAt).root_offset, kPageBytes);
}

struct Look {
  bool at_rest = false;
  std::string why;
  uint64_t reads = 0, bytes = 0;
};

Look look(const std::string& pool) {
  Look seen;
  const ReadPool read = [&](uint64_t offset, uint64_t bytes) -> Result<std::string> {
    seen.reads++;
    seen.bytes += bytes;
    return offset > pool.size() ? std::string() : pool.substr(offset, bytes);
  };
  PmemFront front;
  front.offset = front_of(pool);
  seen.at_rest = pmem_is_at_rest(read, pool.size(), front, &seen.why);
  return seen;
}

TEST_CASE(
    "pmem at rest: new, closed and killed pools are opened without a child, one that is otherwise "
    "with one") {
  Scratch scratch = Scratch::in_memory();
  const std::string path = scratch.path("pool");
  for (const bool killed : {false, true, true, false}) {
    CAPTURE(killed);
    use(path, kBytes, 20, killed);
    const Look seen = look(bytes_of_file(path));
    CHECK_MESSAGE(seen.at_rest, seen.why);
    children = 0;
    const Status opened = open_and_close(path);
    CHECK_MESSAGE(opened.is_ok(), opened.message());
    CHECK(children == 0);
  }
  // As if the process had died inside libpmemobj: a redo log that was begun.
  const int fd = open(path.c_str(), O_WRONLY);
  REQUIRE(fd >= 0);
  const uint64_t generation = 1;
  REQUIRE(pwrite(fd, &generation, sizeof generation,
                 kPmemLanesAt + 5 * kPmemLaneBytes + offsetof(PmemLog, checksum)) ==
          sizeof generation);
  close(fd);
  children = 0;
  CHECK(open_and_close(path).is_ok());
  CHECK(children == 1);
}

TEST_CASE("pmem at rest: what is looked at does not grow with what is stored") {
  Scratch scratch = Scratch::in_memory();
  use(scratch.path("few"), kBytes, 4, true);
  use(scratch.path("many"), kBytes, 104, true);
  use(scratch.path("large"), 4 * kBytes, 4, true);
  const Look few = look(bytes_of_file(scratch.path("few")));
  const Look many = look(bytes_of_file(scratch.path("many")));
  const Look large = look(bytes_of_file(scratch.path("large")));
  REQUIRE(few.at_rest);
  REQUIRE(many.at_rest);
  REQUIRE(large.at_rest);
  CHECK(few.bytes < kPmemLanes * kPmemLaneBytes + 16 * kKiB);
  CHECK(many.bytes - few.bytes == 75 * sizeof(PmemObjectHeader));  // a quarter was given back
  CHECK(large.bytes - few.bytes == 3 * kBytes / kPmemChunkBytes * sizeof(PmemChunkHeader));
  CHECK(large.reads == few.reads);
}

TEST_CASE("pmem at rest: every field by which libpmemobj finds its way is looked at") {
  Scratch scratch = Scratch::in_memory();
  const std::string path = scratch.path("pool");
  use(path, kBytes, 12, true);
  const std::string sound = bytes_of_file(path);
  REQUIRE(look(sound).at_rest);
  const uint64_t undo =
      kPmemLanesAt + 2 * sizeof(PmemLog) + kPmemInternalLogBytes + kPmemExternalLogBytes;
  const auto run = load<PmemChunkHeader>(sound.data() + kChunkHeadersAt);
  REQUIRE(run.type == kPmemRun);
  const uint64_t segment_at = kChunksAt + run.chunks * kPmemChunkBytes;
  const uint64_t root = load<PmemDescriptor>(sound.data() + kPmemDescriptorAt).root_offset;
  const struct {
    const char* what;
    uint64_t at, bytes;
  } fields[] = {
      {"lanes, their number, the heap", kPmemDescriptorAt, 24},
      {"root object", kPmemDescriptorAt + offsetof(PmemDescriptor, root_offset), 8},
      {"its size, conversion, the heap's size",
       kPmemDescriptorAt + offsetof(PmemDescriptor, root_size), 24},
      {"internal log", kPmemLanesAt + 7 * kPmemLaneBytes,
       sizeof(PmemLog) - 5 * 8},  // checksum, next, capacity
      {"external log", kPmemLanesAt + 7 * kPmemLaneBytes + sizeof(PmemLog) + kPmemInternalLogBytes,
       24},
      {"undo log", undo, 24},
      {"undo log's flags", undo + offsetof(PmemLog, flags), 8},
      {"undo log's first entry", undo + sizeof(PmemLog), 8},
      {"its length", undo + sizeof(PmemLog) + 16, 8},
      {"heap header", kPmemHeapAt, 16},
      {"chunks", kPmemHeapAt + offsetof(PmemHeapHeader, chunk_bytes), 16},
      {"zone header", kZoneAt, 8},
      {"run's chunk header", kChunkHeadersAt, 8},
      // Not its type: a used block that became a free one is as good for libpmemobj; adopt() misses
      // the segment.
      {"segment's chunk header", kChunkHeadersAt + run.chunks * sizeof(PmemChunkHeader) + 2, 6},
      {"segment's object header", segment_at, 15},  // the last byte of the type is its kind
      {"run's header and bitmap", kChunksAt, sizeof(PmemRunHeader) + 32},
      {"root's object header", root - sizeof(PmemObjectHeader), 8},
  };
  std::string pool = sound;
  for (const auto& field : fields) {
    for (uint64_t at = field.at; at < field.at + field.bytes; at++) {
      if (at == segment_at + 8) continue;
      CAPTURE(field.what);
      CAPTURE(at - field.at);
      pool[at] = static_cast<char>(pool[at] ^ (1 << at % 8));
      CHECK(!look(pool).at_rest);
      pool[at] = sound[at];
    }
  }
  CHECK(look(pool).at_rest);
}

}  // namespace
}  // namespace holdfast
