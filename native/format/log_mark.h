// How far the log had come when it went on in another segment: noted twice in the pool's front, the
// newest two in turn.
//
// The log is a chain of links, and damage that takes a link with its copy, or a whole segment,
// would make it look shorter than it is. A mark names the segment that was begun, so that what
// stands there can prove that the log did not end before; nothing else is ever read by it. A mark
// goes out behind the same barrier as the link it belongs to. Crash: it is old, new or torn, and
// may be newer than the link that landed. The segment itself had been made before, durably: where
// it is beyond the pool's end the file was cut.
#pragma once

#include <cstddef>

#include "base/bytes.h"
#include "base/checksum.h"
#include "format/layout.h"

namespace holdfast {

constexpr char kLogMarkMagic[8] = {'H', 'F', '-', 'M', 'A', 'R', 'K', '\n'};

struct LogMark {
  char magic[8];
  uint64_t sequence;  // of the segment that was begun; its parity says on which of the two pages
                      // the mark is
  uint64_t offset, bytes;
  uint64_t durable_epoch;  // known to be durable by then
  uint64_t incarnation;    // as in the frames
  uint64_t reserved;
  uint64_t checksum;  // of the words before, seeded with the pool's secret
};
static_assert(sizeof(LogMark) == 64 && offsetof(LogMark, durable_epoch) == 32 &&
              offsetof(LogMark, checksum) == 56);

inline uint64_t log_mark_checksum(const LogMark& mark, uint64_t secret) {
  return checksum_seeded(&mark, offsetof(LogMark, checksum), secret);
}

inline LogMark make_log_mark(uint64_t sequence, uint64_t offset, uint64_t bytes,
                             uint64_t durable_epoch, uint64_t incarnation, uint64_t secret) {
  LogMark mark = {};
  std::memcpy(mark.magic, kLogMarkMagic, sizeof mark.magic);
  mark.sequence = sequence;
  mark.offset = offset;
  mark.bytes = bytes;
  mark.durable_epoch = durable_epoch;
  mark.incarnation = incarnation;
  mark.checksum = log_mark_checksum(mark, secret);
  return mark;
}

// Of the page `slot`: no other mark belongs there.
inline bool is_log_mark(const LogMark& mark, uint64_t slot, uint64_t secret) {
  return std::memcmp(mark.magic, kLogMarkMagic, sizeof mark.magic) == 0 &&
         mark.sequence % 2 == slot && mark.checksum == log_mark_checksum(mark, secret);
}

}  // namespace holdfast
