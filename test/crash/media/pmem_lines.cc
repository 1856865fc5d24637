#include "crash/media/pmem_lines.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "crash/media/libpmemobj_facts.h"

namespace holdfast::crash {
namespace {

constexpr uint64_t kLine = 64;
constexpr uint64_t kPage = 4096;
constexpr uint64_t kMostTraced = uint64_t{1} << 30;  // bytes of a pool that grows

struct Flushed {
  uint64_t line;
  uint64_t flags;
  uint64_t moment;
  uint8_t content[kLine];
};

struct ThreadLines {
  Flushed* lines;
  size_t count, room;
  ThreadLines* next;
};

uint8_t *live, *durable;  // the whole pool; what a power cut leaves for sure
int pool_fd = -1;         // of the pool's file, to ask where it has been written
uint64_t length, inode;
uint64_t reach;  // how far the file is mapped here, at least its length: a pool that grows is made
                 // longer later
uint8_t* punched_pages;  // of a page: a hole was punched there, and what it held may come back
struct {
  uint64_t offset, size;
} unsynced[64];  // written by system calls
uint64_t unsynced_count;
uintptr_t mapped_at, mapped_end;  // where the process has mapped all of it
uint32_t* newest;  // for a line: 1 + index of its newest entry among my flushed lines, while a
                   // point is written
ThreadLines* threads;
thread_local ThreadLines* mine;
bool focused;
uint64_t moments;          // flushes so far
uint64_t* durable_moment;  // of a line: the flush that made it what is durable; two threads may
                           // fence in the other order
uint64_t acknowledgements, looked_at, dirty_found;
double busy_s;

double now_s() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

bool oracle() {
  static int asked = -1;
  if (asked < 0) asked = getenv("HOLDFAST_TRACE_ORACLE") != nullptr;
  return asked == 1;
}

SpinLock lock;
TraceFile trace;

void unmap(void* at, size_t bytes) {
  syscall(SYS_munmap, at, bytes);
}  // not through our own munmap

void* fresh(size_t bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) abort();
  return at;
}

struct Mapping {
  unsigned long begin, end, offset, inode;
  unsigned major, minor;
  char permissions[8];
  char path[PATH_MAX];
};

// The mapping around `address`, from the kernel's list.
bool find_mapping(uintptr_t address, Mapping* out) {
  FILE* maps = fopen("/proc/self/maps", "re");
  if (maps == nullptr) abort();
  static char text[PATH_MAX + 256];
  bool found = false;
  while (!found && fgets(text, sizeof text, maps) != nullptr) {
    out->path[0] = '\0';
    if (sscanf(text, "%lx-%lx %7s %lx %x:%x %lu %4095[^\n]", &out->begin, &out->end,
               out->permissions, &out->offset, &out->major, &out->minor, &out->inode,
               out->path) < 7)
      continue;
    found = address >= out->begin && address < out->end && out->permissions[3] == 's';
  }
  fclose(maps);
  return found;
}

// Of each page that is there. A pool may be a sparse file far larger than the machine's memory: a
// hole that is only read through a mapping of a tmpfs takes memory for good.
template <typename F>
void for_each_page(F look) {
  long at = lseek(pool_fd, 0, SEEK_DATA);
  while (at >= 0 && static_cast<uint64_t>(at) < length) {
    const auto end = static_cast<uint64_t>(lseek(pool_fd, at, SEEK_HOLE));
    for (auto page = static_cast<uint64_t>(at); page < end && page < length; page += kPage)
      look(page);
    at = lseek(pool_fd, static_cast<long>(end), SEEK_DATA);
  }
}

// What was durable before the first event: the file HOLDFAST_TRACE_BASE (shorter: zeros follow),
// else what is there now. The first flush comes after the first store, so a caller who knows better
// names the file.
void read_base() {
  const char* base = getenv("HOLDFAST_TRACE_BASE");
  if (base == nullptr) {
    for_each_page([](uint64_t page) {
      if (memcmp(durable + page, live + page, kPage) != 0)
        memcpy(durable + page, live + page, kPage);
    });
    return;
  }
  const int fd = static_cast<int>(syscall(SYS_openat, AT_FDCWD, base, O_RDONLY | O_CLOEXEC, 0));
  if (fd < 0) abort();
  static uint8_t buffer[kPage];
  for (uint64_t page = 0; page < length && read(fd, buffer, kPage) == static_cast<long>(kPage);
       page += kPage) {
    if (memcmp(durable + page, buffer, kPage) != 0) memcpy(durable + page, buffer, kPage);
  }
  close(fd);
}

// Ends with what was looked at so far: without images, pool after pool may be.
void detach() {
  unmap(live, reach);
  unmap(durable, reach);
  unmap(durable_moment, reach / kLine * sizeof *durable_moment);
  unmap(punched_pages, reach / kPage);
  if (newest != nullptr) unmap(newest, reach / kLine * sizeof *newest);
  close(pool_fd);
  pool_fd = -1;
  live = durable = nullptr;
  newest = nullptr;
  mapped_at = mapped_end = 0;
  for (ThreadLines* each = threads; each != nullptr; each = each->next) each->count = 0;
}

// The first pool that is flushed to in the traced folder is the one.
bool attach(const Mapping& mapping) {
  const char* path = mapping.path;
  while (*path == ' ') path++;
  const size_t folder = strlen(trace.folder());
  const bool wanted = oracle() ? strncmp(path, trace.folder(), folder) == 0 && path[folder] == '/'
                               : directly_in(trace.folder(), path);
  if (!wanted || strstr(path, "(deleted)") != nullptr) return false;
  const int fd = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0));
  struct stat facts;
  if (fd < 0 || fstat(fd, &facts) != 0 || facts.st_ino != mapping.inode ||
      facts.st_size < 2 * static_cast<long>(kPage)) {
    if (fd >= 0) close(fd);
    return false;
  }
  length = static_cast<uint64_t>(facts.st_size) & ~(kPage - 1);
  reach = oracle() || length > kMostTraced ? length : kMostTraced;
  inode = mapping.inode;
  void* whole = mmap(nullptr, reach, PROT_READ, MAP_SHARED, fd, 0);
  if (whole == MAP_FAILED) abort();
  pool_fd = fd;
  live = static_cast<uint8_t*>(whole);
  durable = static_cast<uint8_t*>(fresh(reach));
  durable_moment = static_cast<uint64_t*>(fresh(reach / kLine * sizeof(uint64_t)));
  punched_pages = static_cast<uint8_t*>(fresh(reach / kPage));
  read_base();
  trace.event(EventType::kBase, length, 0, 0, 0);
  return true;
}

// Offset in the pool, or -1. Under the lock.
int64_t offset_of(const void* address) {
  const uintptr_t at = reinterpret_cast<uintptr_t>(address);
  // The same address may be another pool's by now, where pool after pool is looked at.
  if (!oracle() && mapped_end != 0 && at >= mapped_at && at < mapped_end)
    return static_cast<int64_t>(at - mapped_at);
  static Mapping mapping;
  if (!trace.on() || !find_mapping(at, &mapping)) return -1;
  if (oracle() && live != nullptr && mapping.inode != inode) detach();
  if (live == nullptr && !attach(mapping)) return -1;
  if (mapping.inode != inode) return -1;
  if (mapping.offset == 0 && mapping.end - mapping.begin >= length) {
    mapped_at = mapping.begin;
    mapped_end = mapping.begin + length;
  }
  return static_cast<int64_t>(mapping.offset + (at - mapping.begin));
}

ThreadLines* my_lines() {
  if (mine == nullptr) {
    mine = static_cast<ThreadLines*>(fresh(sizeof *mine));
    mine->next = threads;
    threads = mine;
  }
  return mine;
}

Flushed* find_flushed(ThreadLines* of, uint64_t line) {
  for (size_t i = of->count; i-- > 0;) {
    if (of->lines[i].line == line) return &of->lines[i];
  }
  return nullptr;
}

DirtyLine* dirty;
size_t dirty_count, dirty_room;

void add_dirty(uint64_t line, uint64_t flags, const uint8_t* content) {
  if (dirty_count == dirty_room) {
    const size_t room = dirty_room == 0 ? 4096 : 2 * dirty_room;
    DirtyLine* more = static_cast<DirtyLine*>(fresh(room * sizeof(DirtyLine)));
    if (dirty_room > 0) {
      memcpy(more, dirty, dirty_count * sizeof(DirtyLine));
      unmap(dirty, dirty_room * sizeof(DirtyLine));
    }
    dirty = more;
    dirty_room = room;
  }
  DirtyLine& entry = dirty[dirty_count++];
  entry.line = line;
  entry.flags = flags;
  memcpy(entry.live, live + line * kLine, kLine);
  memcpy(entry.flushed, content, kLine);
}

// Collects the lines that are not what is durable: mine that were flushed first, then all others. A
// line of a punched page that was flushed counts whatever it holds: zeros are not durable there
// before it is.
void collect(bool all) {
  dirty_count = 0;
  if (newest == nullptr) newest = static_cast<uint32_t*>(fresh(reach / kLine * sizeof *newest));
  ThreadLines* const lines = my_lines();
  for (size_t i = 0; i < lines->count; i++)
    newest[lines->lines[i].line] = static_cast<uint32_t>(i) + 1;
  for (size_t i = 0; i < lines->count; i++) {
    const Flushed& entry = lines->lines[i];
    if (newest[entry.line] != i + 1 || entry.moment < durable_moment[entry.line]) continue;
    const uint8_t* was = durable + entry.line * kLine;
    const bool same = memcmp(entry.content, was, kLine) == 0 &&
                      memcmp(live + entry.line * kLine, was, kLine) == 0;
    if (same && punched_pages[entry.line * kLine / kPage] == 0) continue;
    add_dirty(entry.line, DirtyLine::kFlushedHere | entry.flags, entry.content);
  }
  const auto look = [lines](uint64_t page) {
    if (memcmp(live + page, durable + page, kPage) == 0) return;
    for (uint64_t at = page; at < page + kPage; at += kLine) {
      if (newest[at / kLine] != 0 || memcmp(live + at, durable + at, kLine) == 0) continue;
      const Flushed* other = nullptr;
      for (ThreadLines* each = threads; each != nullptr && other == nullptr; each = each->next) {
        if (each != lines) other = find_flushed(each, at / kLine);
      }
      add_dirty(at / kLine, other ? DirtyLine::kFlushedElsewhere | other->flags : 0,
                other ? other->content : live + at);
    }
  };
  if (all) for_each_page(look);
  for (size_t i = 0; i < lines->count; i++) newest[lines->lines[i].line] = 0;
}

void write_point(EventType type, uint64_t a, uint64_t b) {
  trace.event(type, a, b, dirty_count, 0);
  trace.put(dirty, dirty_count * sizeof(DirtyLine));
}

// Our own fence is over: what the engine has stored in its segments is durable, or the engine has
// forgotten a flush. Lines in libpmemobj's own structures may be on their way by another thread:
// those are looked at only where all is quiet (marks).
void look_for_forgotten() {
  acknowledgements++;
  static const bool always = strcmp(getenv("HOLDFAST_TRACE_ORACLE"), "always") == 0;
  static const double begun = now_s();
  const double from = now_s();
  if (!always && busy_s > 0.1 * (from - begun)) return;
  looked_at++;
  collect(true);
  for (size_t i = 0; i < dirty_count; i++) {
    const uint64_t at = dirty[i].line * kLine;
    if (dirty[i].flags != 0 || at < kFirstChunk || libpmemobj_never_flushes(at)) continue;
    if (dirty_found++ < 5)
      fprintf(stderr,
              "pmem_tracer: the line at byte %lu is stored, not flushed, at an acknowledgement\n",
              at);
  }
  busy_s += now_s() - from;
}

}  // namespace

Guard::Guard() { lock.lock(); }
Guard::~Guard() { lock.unlock(); }

void flushed(const void* address, size_t size, uint64_t flags) {
  if (size == 0) return;
  const int64_t offset = offset_of(address);
  if (offset < 0) return;
  ThreadLines* const lines = my_lines();
  const uint64_t first = static_cast<uint64_t>(offset) / kLine;
  const uint64_t last = (static_cast<uint64_t>(offset) + size - 1) / kLine;
  for (uint64_t line = first; line <= last && (line + 1) * kLine <= length; line++) {
    if (lines->count == lines->room) {
      const size_t room = lines->room == 0 ? 1024 : 2 * lines->room;
      Flushed* more = static_cast<Flushed*>(fresh(room * sizeof(Flushed)));
      if (lines->room > 0) {
        memcpy(more, lines->lines, lines->count * sizeof(Flushed));
        unmap(lines->lines, lines->room * sizeof(Flushed));
      }
      lines->lines = more;
      lines->room = room;
    }
    Flushed& entry = lines->lines[lines->count++];
    entry.line = line;
    entry.flags = flags;
    entry.moment = ++moments;
    memcpy(entry.content, live + line * kLine, kLine);
  }
}

void fenced(bool by_engine) {
  if (live == nullptr) return;
  ThreadLines* const lines = my_lines();
  if (!oracle() && (lines->count > 0 || focused)) {
    collect(focused);
    write_point(EventType::kFence, 0, 0);
  }
  for (size_t i = 0; i < lines->count; i++) {
    const Flushed& entry = lines->lines[i];
    if (entry.moment < durable_moment[entry.line]) continue;
    durable_moment[entry.line] = entry.moment;
    memcpy(durable + entry.line * kLine, entry.content, kLine);
    punched_pages[entry.line * kLine / kPage] = 0;
  }
  lines->count = 0;
  if (oracle() && by_engine) look_for_forgotten();
}

bool of_the_pool(int fd) {
  struct stat facts;
  return live != nullptr && fstat(fd, &facts) == 0 && facts.st_ino == inode;
}

// Pools are made longer while libpmemobj has them closed.
void resized(uint64_t to) {
  if (oracle()) return detach();  // its next flush finds it as it is then
  if (to < length || to > reach) abort();
  length = to & ~(kPage - 1);
  trace.event(EventType::kResize, 0, length, 0, 0);
}

// What was flushed of these pages and not fenced went to blocks that are gone.
void punched(uint64_t offset, uint64_t size) {
  if (offset % kPage != 0 || size % kPage != 0 || offset > length || size > length - offset)
    abort();
  for (ThreadLines* each = threads; each != nullptr; each = each->next) {
    size_t kept = 0;
    for (size_t i = 0; i < each->count; i++) {
      const uint64_t at = each->lines[i].line * kLine;
      if (at < offset || at >= offset + size) each->lines[kept++] = each->lines[i];
    }
    each->count = kept;
  }
  madvise(durable + offset, size, MADV_DONTNEED);  // zeros
  memset(punched_pages + offset / kPage, 1, size / kPage);
  trace.event(EventType::kPunch, offset, size, 0, 0);
}

void written(const void* data, uint64_t offset, uint64_t size) {
  if (oracle()) return;
  if (unsynced_count == sizeof unsynced / sizeof unsynced[0]) abort();
  unsynced[unsynced_count++] = {offset, size};
  trace.event(EventType::kWrite, 0, offset, 0, size);
  trace.put(data, size);
}

void synced() {
  if (oracle()) return;
  for (; unsynced_count > 0; unsynced_count--) {
    const auto& each = unsynced[unsynced_count - 1];
    memcpy(durable + each.offset, live + each.offset, each.size);
  }
  memset(punched_pages, 0, length / kPage);
  trace.event(EventType::kSync, 0, 0, 0, 0);
}

// The new pool gets its name: before, a crash leaves no pool but a temporary file.
void named(const char* path) {
  if (!trace.on() || !directly_in(trace.folder(), path)) return;
  trace.event(EventType::kLink, 0, 0, 0, strlen(path));
  trace.put(path, strlen(path));
}

// A pool that was closed may be changed by other means (the tests damage it): at its next opening
// what is there is durable.
void unmapped(const void* at) {
  if (live == nullptr || reinterpret_cast<uintptr_t>(at) != mapped_at) return;
  if (oracle())
    detach();
  else
    mapped_at = mapped_end = 0;  // it may be mapped elsewhere next time, and something else here
}

void marked(uint64_t kind, uint64_t number) {
  if (!trace.on() || oracle()) return;
  dirty_count = 0;
  const bool acknowledged = kind == static_cast<uint64_t>(MarkKind::kAcked);
  if (live != nullptr && acknowledged) collect(true);
  if (kind == static_cast<uint64_t>(MarkKind::kFocus)) focused = number != 0;
  write_point(EventType::kMark, kind, number);
}

void ended() {
  trace.flush();
  if (!oracle() || !trace.on()) return;
  fprintf(stderr, "pmem_tracer: %lu acknowledgements, %lu looked at, %lu lines not durable\n",
          acknowledgements, looked_at, dirty_found);
  if (dirty_found > 0) _exit(86);
}

}  // namespace holdfast::crash
