// What the tracers write and the explorer reads: a sequence of events, each a header and, behind
// it, its payload. The file is written by one process on this machine and read by another, so it
// has no need of a byte order or a version.
//
// A trace holds all that is needed to make every state in which a crash could have left the pool:
// what was durable, and at each point where something became durable, what else may have landed
// already.
#pragma once

#include <cstdint>

namespace holdfast::crash {

constexpr char kTraceVariable[] = "HOLDFAST_TRACE";  // file to write the events to
constexpr char kTraceFolderVariable[] =
    "HOLDFAST_TRACE_FOLDER";  // only files directly in this folder are traced

enum class EventType : uint32_t {
  kMark = 1,    // a: MarkKind, b: its number. On persistent memory `count` dirty lines follow, as
                // with kFence
  kFence = 2,   // persistent memory: `count` DirtyLine; those flushed by this thread become durable
  kBase = 3,    // persistent memory: a = length of the pool; `bytes` bytes: what was durable before
                // the first event
  kFile = 4,    // a: file's number, b: size; `bytes` bytes: name, then what it held when first seen
                // (durable)
  kWrite = 5,   // a: file (0: the pool), b: offset; `bytes` bytes
  kResize = 6,  // a: file, b: new size
  kSync = 7,    // a: file: all written before is durable
  kLink = 8,    // a: file; `bytes` bytes: a name it now has
  kUnlink = 9,  // `bytes` bytes: a name that is gone
  kFolderSync = 10,
  kPunch = 11,  // persistent memory: a: offset, b: bytes that are a hole from now on
};

enum class MarkKind : uint64_t {
  kBegun = 1,  // from now on the state after b commits may be there
  kAcked = 2,  // from now on it must be (0: the pool itself)
  kFocus = 3,  // b = 1: crash states from here on are of interest; 0: no longer
};

struct EventHeader {
  EventType type;
  uint32_t thread;
  uint64_t a, b;
  uint64_t count;
  uint64_t bytes;  // of the payload that follows
};

// A cache line that is not what is durable.
struct DirtyLine {
  static constexpr uint64_t kFlushedHere = 1;       // by the thread that fences
  static constexpr uint64_t kFlushedElsewhere = 2;  // by another one
  static constexpr uint64_t kStreamed =
      4;  // by a copy of ours that goes round the cache: may be torn at 8 bytes
  uint64_t line;
  uint64_t flags;
  uint8_t flushed[64];  // what it held when it was flushed (if it was; else as `live`)
  uint8_t live[64];
};

}  // namespace holdfast::crash

// Defined by a preloaded tracer; null without one. Any thread.
extern "C" __attribute__((weak)) void holdfast_trace_mark(uint64_t kind, uint64_t number);
