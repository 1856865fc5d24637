// Makes and verifies the superblock and the root slots: bytes in memory only, no file. Any thread.
//
// A superblock that has not been verified is only bytes; verified, it is a Superblock
// (choose_superblock is the one door). One damaged copy, or one torn root slot, is survived by the
// other; a root slot torn by a crash is the new root that did not happen.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "format/layout.h"
#include "medium/medium.h"

namespace holdfast {

// A new identity: random uuid and secret, current format.
Result<Superblock> make_superblock(MediumKind medium, uint64_t size);

// `head`: the first bytes of a pool, kSegmentsOffset of them or fewer if the file is shorter.
// kNotAPool, kNewerFormat, kCorrupt (naming both copies). `where` names the pool in messages.
Result<Superblock> choose_superblock(Bytes head, const std::string& where);

struct ChosenRoot {
  Root root;
  uint64_t sequence = 0;
  int slot = 0;
};

// Of an open pool's mapped front: neither copy is this pool's any more.
bool is_written_over(const uint8_t* front, uint64_t secret);

// The same pool, of another size.
Superblock resized(const Superblock& superblock, uint64_t size);

RootSlot make_root_slot(const Root& root, uint64_t sequence, int slot, uint64_t secret);
// kCorrupt when neither slot is valid, or the pool ends before them.
Result<ChosenRoot> choose_root(Bytes head, uint64_t secret, const std::string& where);

// What of the doubled pages is damaged although the other copy serves; one sentence each.
std::vector<std::string> front_damages(Bytes head, uint64_t secret);

}  // namespace holdfast
