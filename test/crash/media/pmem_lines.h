// What of a pool on persistent memory is durable, kept beside the pool while it is used
// (pmem_tracer.cc): a cache line enters it only when it was flushed (or copied round the cache) and
// the same thread has fenced. Everything else may or may not be there after a power cut, and at
// each fence all of it is written to the trace.
//
//   - libpmemobj maps the pool's first page alone before it maps the whole: the tracer has a
//     mapping of its own;
//   - a flush takes what the line holds at that moment: a later store makes it dirty again;
//   - a fence makes durable what its own thread flushed, nothing else.
// Not seen: what a line held only between two flushes.
//
// A pool that grows also changes its file by system calls (PosixFile, docs/decisions/0009):
//   - a length (ftruncate), and bytes written round the mapping (pwrite), may be lost until the
//     file is synced;
//   - blocks taken (fallocate) hold zeros, as the hole did. That they may be gone again is not
//     tried: a hole reads the same, and takes them anew with the first store, if the file system
//     has room;
//   - of blocks given back (a hole punched) each page by itself may come back with what was durable
//     of it, until something was stored to it again, or the file was synced. A file system commits
//     a punch when it likes, but no store reaches a page before the fault that the store takes has
//     committed what the file's blocks are (MAP_SYNC), this and every other punch before it. That
//     pages come back without regard to the order of punches is more than such file systems do, so
//     nothing may rest on that order.
//
// With HOLDFAST_TRACE_ORACLE there are no images, but for whatever pool is in use under the folder,
// each time the engine itself fences (that is its acknowledgement) the pool is looked at for lines
// that are not durable although the engine has stored them: each time with the value "always", else
// as often as a tenth of the time allows. What is found is printed, and the process ends with exit
// code 86.
//
// Everything here is called under a Guard. Hidden: what is traced may have functions of these
// names.
#pragma once

#include "crash/media/tracer.h"

#pragma GCC visibility push(hidden)
namespace holdfast::crash {

struct Guard {
  Guard();
  ~Guard();
};

// Is it the pool that is traced?
bool of_the_pool(int fd);

// What happened to its memory. `flags`: of DirtyLine. `by_engine`: the engine's own fence, and so
// its acknowledgement.
void flushed(const void* address, size_t size, uint64_t flags);
void fenced(bool by_engine);
void unmapped(const void* at);

// What happened to its file: its length, blocks given back, bytes written round the mapping, a sync
// that succeeded, its name.
void resized(uint64_t to);
void punched(uint64_t offset, uint64_t size);
void written(const void* data, uint64_t offset, uint64_t size);
void synced();
void named(const char* path);

// What the traced program says of itself (trace_format.h).
void marked(uint64_t kind, uint64_t number);

// Whoever is traced ends: what was found.
void ended();

}  // namespace holdfast::crash
#pragma GCC visibility pop
