// The table by which readers in other processes and the writer of a pool know of each other: a
// small file beside the pool, `<pool>.readers`, mapped by all of them. Described for readers in
// docs/format.md; why it is safe: docs/decisions/0008.
//
//   0        header                 who writes, and what is durable
//   4096 …   slots, 128 bytes each  what a reader still needs
//
// Nothing in it outlives the processes that use it: it may be removed whenever no process has the
// pool open, and is made anew. Whose a slot is says a lock on one byte of the file (byte 1 + its
// number; byte 0 is the writer's), which the kernel drops with the process. Words are changed with
// atomic stores of 8 bytes by processes on one machine.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace holdfast {

constexpr char kReadersMagic[8] = {'H', 'F', '-', 'R', 'E', 'A', 'D', '\n'};
constexpr uint32_t kReadersVersion = 2;
constexpr uint32_t kReaderSlots = 256;
constexpr uint64_t kReaderSlotsOffset = 4096;
constexpr uint64_t kWriterLockByte = 0;
constexpr uint64_t kFirstSlotLockByte = 1;

using SharedWord = std::atomic<uint64_t>;
static_assert(SharedWord::is_always_lock_free && sizeof(SharedWord) == 8);

struct ReadersHeader {
  char magic[8];
  uint32_t version;
  uint32_t slots;
  uint8_t uuid[16];        // of the pool
  SharedWord incarnation;  // of the pool's newest writer that looks at this table; a root of a
                           // later one is a stranger's
  SharedWord attachments;  // rises each time a writer begins to look at it, before that writer
                           // appends anything
  SharedWord clock;        // rises each time the writer looks for what it may give back
  SharedWord failed;  // 1: the writer's pool has failed; what lies behind `durable` may never have
                      // reached the disk
  SharedWord writer_pid;  // to be shown to people
  SharedWord durability;  // DurabilityClass, as the writer has found the place
  SharedWord placing;  // 1: the writer may be rewriting bytes of regions in place; who has no pin
                       // yet waits until it is 0
  uint8_t reserved[40];
  SharedWord
      durable;  // epoch of the newest commit that is behind a barrier; in a cache line of its own
};
static_assert(sizeof(ReadersHeader) == 136 && offsetof(ReadersHeader, durable) == 128);

constexpr uint64_t kSlotFree = 0;
constexpr uint64_t kSlotExpired = UINT64_MAX;

struct ReaderSlot {
  SharedWord
      pin;  // free, expired, or the clock when the reader began: what dies later is kept for it
  SharedWord version;  // odd while the words below are being changed
  SharedWord pid, since_ms, epoch;
  SharedWord fold_offset, fold_segment_bytes, fold_bytes,
      fold_checksum;  // the fold it reads by; fold_bytes 0: not known yet
  uint8_t reserved[56];
};
static_assert(sizeof(ReaderSlot) == 128);

constexpr uint64_t kReadersFileBytes = kReaderSlotsOffset + kReaderSlots * sizeof(ReaderSlot);

}  // namespace holdfast
