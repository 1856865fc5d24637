// The seam between the engine and what bytes live on. Everything above it is the same code on
// persistent memory, on an ordinary disk and on the simulated medium of the tests.
//
// A pool is one linear address space of bytes: an offset names a byte for the pool's whole life,
// `view()` is where offset 0 is mapped read-only. The medium hands out segments (contiguous pieces
// of that space), places bytes in them, and keeps one small root that changes all at once.
//
// What a crash leaves. Of everything appended since the last barrier any subset of its atoms
// (512-byte sectors on a disk, 64-byte lines on persistent memory) may have landed, in any order.
// Everything before the barrier is there. The root is the old one or the new one. Which segments
// are held is not remembered by the medium's word alone: at open the engine says which ones it
// still refers to (`adopt`), all others become free, so none can leak.
//
// Threads: append, barrier, allocate, release and set_root may be called from any thread, also at
// once; appends that run at once must not overlap. adopt is called once, before anything else. A
// medium that has failed a write, a barrier or a root stays failed: every later call returns
// kFailed (after a failed sync nothing may be assumed; never retry and believe).
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace holdfast {

// A contiguous piece of the pool. `offset` is a multiple of 4 KiB, `bytes` of 4 KiB.
struct Segment {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t end() const { return offset + bytes; }
};

enum class SegmentKind : uint8_t {
  kLog = 1,     // records; handed out zeroed or recycled, never unwritten blocks
  kIndex = 2,   // one sorted table
  kLarge = 3,   // (part of) one large value
  kFold = 4,    // the description of a fold
  kRegion = 5,  // one extent of a region: blocks rewritten in place (format/region.h)
};

enum class DurabilityClass : uint8_t { kProcess = 1, kPower = 2 };

// The few words that change all at once. What they mean is the engine's affair (format/layout.h).
struct Root {
  static constexpr size_t kBytes = 192;
  uint8_t bytes[kBytes] = {};
};

// Adds up what any thread counts, and apart from it what one thread at a time does: that is counted
// without a locked instruction.
class MediumCounter {
 public:
  uint64_t operator++(int) { return shared_.fetch_add(1, std::memory_order_relaxed); }
  void operator+=(uint64_t n) { shared_.fetch_add(n, std::memory_order_relaxed); }
  void add_alone(uint64_t n) {
    alone_.store(alone_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  uint64_t load() const {
    return shared_.load(std::memory_order_relaxed) + alone_.load(std::memory_order_relaxed);
  }
  operator uint64_t() const { return load(); }

 private:
  std::atomic<uint64_t> shared_{0}, alone_{0};
};

// Counted where it happens; read by tests, stats and benchmarks. Relaxed: each is exact, together
// they are a glance.
struct MediumCounters {
  MediumCounter appends;  // append() calls
  MediumCounter bytes_appended;
  MediumCounter writes;       // pwrite calls (file) or non-temporal copies (pmem)
  MediumCounter barriers;     // fdatasync calls (file) or sfences (pmem)
  MediumCounter roots;        // set_root() calls
  MediumCounter bytes_grown;  // by which the medium became larger
};

struct MediumInfo {
  const char* name = "";  // "pmem", "file", "simulated"
  DurabilityClass durability = DurabilityClass::kProcess;
  std::string durability_reason;  // one sentence a person can check
  uint64_t atom_bytes = 512;      // what is written whole or not at all
  uint64_t segment_unit = 0;      // segments are rounded up to this
  // The barrier covers only what the calling thread appended (sfence), so an appending thread must
  // raise its own barrier before it hands over; and it is so cheap that the engine does so at once.
  bool barrier_is_per_thread = false;
  bool grows = false;  // capacity is a limit, not what is taken already
};

struct MediumSpace {
  uint64_t capacity =
      0;  // bytes all segments together may reach (max uint64 / 2 where only the disk limits)
  uint64_t taken = 0;  // bytes of the backing file or device now
  uint64_t free = 0;   // bytes not held by a segment, growth up to capacity included
  uint64_t ready =
      0;  // of the free bytes, those that are there already: no full disk can refuse them
};

// One file of a pool that lies in several directories.
struct MediumPart {
  std::string path;
  uint64_t bytes = 0;  // the most it may hold
  uint64_t taken = 0;  // of its file system, now
  uint64_t left = 0;   // free in its file system
};

class Medium {
 public:
  virtual ~Medium() = default;

  // A segment of at least `min_bytes`, `want_bytes` if there is such a piece. kPoolFull when the
  // pool's capacity is used up, kDiskFull when the file system has no room: nothing has changed
  // then and the medium goes on working. Crash: the segment is simply not held until something
  // durable refers to it.
  virtual Result<Segment> allocate(SegmentKind kind, uint64_t min_bytes, uint64_t want_bytes) = 0;

  // Gives a whole segment back. The caller promises that neither the durable root nor any reader
  // refers to it.
  virtual void release(const Segment& segment) = 0;

  // As many free bytes as that are to be ready, taken from the disk where need be. An engine that
  // goes on only with enough of them can still delete and tidy up when the disk has become full.
  // kPoolFull, kDiskFull: there are fewer, but as many as could be had.
  virtual Status make_ready(uint64_t bytes);

  // What is free goes back to the file system where it can be asked for that, all but `kept` bytes,
  // unless that were fewer than `at_least`. What is allocated later takes it anew. Nothing held is
  // touched: a crash leaves free bytes or holes, both are free.
  virtual void give_back_free(uint64_t /*at_least*/, uint64_t /*kept*/) {}

  // What is allocated from now on lies below that, as far as there is room (0: anywhere): the
  // medium is to become so large.
  virtual void prefer_below(uint64_t /*bytes*/) {}

  // At open: these segments (disjoint; refused with kCorrupt otherwise, or when out of bounds) are
  // held; all the rest is free.
  virtual Status adopt(const std::vector<Segment>& held) = 0;

  // Places bytes; not durable before a barrier. Persistent memory: `offset` should be a multiple of
  // 64, whole lines go in with non-temporal stores. File: one pwrite (more only when the kernel
  // writes short).
  virtual Status append(uint64_t offset, const void* data, size_t size) = 0;

  // Bytes will be placed here soon, perhaps by others and already now: what of that would take its
  // time for the memory's sake is done now. Changes no byte.
  virtual void expect_appends(uint64_t /*offset*/, uint64_t /*bytes*/) const {}

  // What was appended at `begun` begins to be written to the device now, and what began `earlier`
  // is waited for: who appends much has it leave memory before the next commit's barrier, which
  // would have to wait for all of it. Promises nothing: what is durable is barrier()'s affair.
  // Fails as append() does.
  virtual Status write_out(const Segment& /*begun*/, const Segment& /*earlier*/) { return {}; }

  // Bytes will be read soon, from one end to the other: what of them only a disk has is fetched
  // meanwhile. A mapping of a file fetches no more than the pages that are touched otherwise.
  // Changes no byte; what lies beyond the view's end is passed over. True: some of it is not in
  // memory yet.
  virtual bool expect_reads(uint64_t /*offset*/, uint64_t /*bytes*/) const { return false; }
  // Reads that have waited for a disk so far, be it of other files, and the memory there is for
  // what is read of it; 0 where no read waits.
  virtual uint64_t reads_that_waited() const { return 0; }
  virtual uint64_t memory_for_reads() const { return 0; }

  // Where the first of the front's two pages for log marks is (format/log_mark.h); append() takes
  // them besides segments. 0: there are none.
  virtual uint64_t log_marks() const { return 0; }

  // What a caller does while its bytes drain.
  class Meanwhile {
   public:
    virtual void run() = 0;

   protected:
    ~Meanwhile() = default;
  };

  // Only where barrier_is_per_thread: append, `meanwhile`, barrier, in one call with nothing
  // between the bytes and the barrier that waits for them (a locked instruction would, and the
  // fence then has nothing left to overlap with). On a failed append `meanwhile` is not run. One at
  // a time, as the engine's append lock has it; counted without locked instructions for that
  // reason. Crash: as append() and barrier() say; `meanwhile` is the caller's own memory.
  virtual Status append_fenced(uint64_t offset, const void* data, size_t size,
                               Meanwhile& meanwhile) {
    HOLDFAST_TRY(append(offset, data, size));
    meanwhile.run();
    return barrier();
  }

  // Only in front of append_fenced(), on the same thread: bytes that its fence covers too, and
  // counted with it.
  virtual Status append_ahead(uint64_t offset, const void* data, size_t size) {
    return append(offset, data, size);
  }

  // All that was appended before (by this thread, where barrier_is_per_thread; else by any) is
  // durable.
  virtual Status barrier() = 0;

  virtual const Root& root() const = 0;
  // Durable when it returns; implies nothing about earlier appends (raise a barrier first).
  virtual Status set_root(const Root& root) = 0;

  // Makes the capacity `bytes` (0: grows by itself), durably. kMediumUnavailable: cannot be done in
  // place; kPoolFull: something is held beyond; kOutOfRange. Nothing has changed then. Crash: the
  // old size or the new one; both hold all that is held.
  virtual Status resize(uint64_t bytes);

  virtual const uint8_t* view() const = 0;
  // Offsets at and beyond this one are not mapped or not there: never read them.
  virtual uint64_t view_end() const = 0;

  // These bytes will be read often and written no more for a while: where they can be mapped in
  // larger pages, they are. Takes its time; no byte changes. False: never, on this medium.
  virtual bool widen_pages(const Segment&) { return false; }

  // The same bytes, copied: for much that is looked at once. Each page of a mapping that is touched
  // first costs a fault, and where a hypervisor keeps page tables of its own another; a read of a
  // file costs neither.
  virtual void copy_out(uint64_t offset, void* to, size_t size) const {
    std::memcpy(to, view() + offset, size);
  }

  // Maps bytes of the pool, for reading and for stores that never reach it, over the caller's
  // memory at `at` (all multiples of 4 KiB). False where there is no such mapping: then `at` is as
  // it was, and the caller copies.
  virtual bool map_privately(uint64_t, uint64_t, void*) const { return false; }

  // Has the mapping or the device failed underneath us (SIGBUS, failed sync)? Cheap; asked before
  // each acknowledgement.
  virtual bool failed() const = 0;

  // Has somebody removed the pool, or written over it? kIo: the medium has failed. Asked
  // a few times a second; a medium that looks in its barriers need not look here.
  virtual Status still_there() { return {}; }

  // Why it failed, where that is neither the mapping nor the device: an expired reader. Ok where it
  // is.
  virtual Status refused() const { return {}; }

  // Says what is damaged of the medium's own pages although it is kept twice and so not missed.
  virtual void check(const std::function<void(const std::string& damage)>&) const {}

  virtual const MediumInfo& info() const = 0;
  virtual MediumSpace space() const = 0;
  // The largest segment that allocate() could give now, growth included. Takes a while: it is
  // looked for.
  virtual uint64_t largest_free() const { return 0; }
  virtual std::vector<MediumPart> parts() const { return {}; }  // empty: the pool is one file
  const MediumCounters& counters() const { return counters_; }

  // Ends the use of the medium: unmaps, unlocks. Idempotent. No durability is implied. Every later
  // call is refused.
  virtual void close() = 0;

 protected:
  MediumCounters counters_;
};

}  // namespace holdfast
