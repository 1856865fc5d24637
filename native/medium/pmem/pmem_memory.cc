#include "medium/pmem/pmem_memory.h"

#include <dlfcn.h>
#include <libpmemobj.h>
#include <link.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "base/fresh_pages.h"

// Looked for by name in other copies of this code.
extern "C" {
__attribute__((visibility("default"))) std::atomic<bool> holdfast_gave_libpmemobj_memory{false};
}

namespace holdfast {
namespace {

constexpr size_t kPieceBytes = 12 * kMiB;  // libpmemobj 1.12 takes 11.4 MB
constexpr size_t kStep = 16;
constexpr size_t kLargestListed =
    64 * kKiB;  // of what is larger there are a few, which are told apart by exact size

// In front of every block.
struct alignas(kStep) BlockHead {
  size_t bytes;  // of the block behind, a multiple of kStep
  BlockHead* next_free;
};
static_assert(sizeof(BlockHead) == kStep);

class Piece {
 public:
  void map() {
    begin_ = static_cast<uint8_t*>(take_fresh_pages(kPieceBytes, Pages::kSmall));
    if (begin_ == nullptr) return;
    used_ = begin_;
    end_ = begin_ + kPieceBytes;
  }

  // Null: no room.
  void* take(size_t wanted) {
    if (wanted > kPieceBytes) return nullptr;
    const size_t bytes = std::max<size_t>(kStep, round_up(wanted, kStep));
    std::lock_guard guard(lock_);
    for (BlockHead** at = list_of(bytes); *at != nullptr; at = &(*at)->next_free) {
      if ((*at)->bytes != bytes) continue;
      BlockHead* const block = *at;
      *at = block->next_free;
      return block + 1;
    }
    if (static_cast<size_t>(end_ - used_) < bytes + sizeof(BlockHead)) return nullptr;
    auto* const block = reinterpret_cast<BlockHead*>(used_);
    used_ += bytes + sizeof(BlockHead);
    block->bytes = bytes;
    return block + 1;
  }

  bool holds(const void* block) const { return block >= begin_ && block < end_; }
  static size_t bytes_of(const void* block) {
    return static_cast<const BlockHead*>(block)[-1].bytes;
  }

  void give_back(void* block) {
    BlockHead* const head = static_cast<BlockHead*>(block) - 1;
    std::lock_guard guard(lock_);
    BlockHead** const list = list_of(head->bytes);
    head->next_free = *list;
    *list = head;
  }

 private:
  // Each list up to kLargestListed holds blocks of one size, so the first fits.
  BlockHead** list_of(size_t bytes) {
    return &free_[std::min(bytes, kLargestListed + kStep) / kStep];
  }

  std::mutex lock_;
  uint8_t* begin_ = nullptr;
  uint8_t* used_ = nullptr;
  uint8_t* end_ = nullptr;
  BlockHead* free_[kLargestListed / kStep + 2] = {};
};

Piece piece;

void* take(size_t bytes) {
  void* block = piece.take(bytes);
  return block != nullptr ? block : std::malloc(bytes);
}

void give_back(void* block) {
  if (piece.holds(block))
    piece.give_back(block);
  else
    std::free(block);
}

void* take_anew(void* block, size_t bytes) {
  if (block == nullptr) return take(bytes);
  if (!piece.holds(block)) return std::realloc(block, bytes);
  const size_t had = Piece::bytes_of(block);
  if (bytes <= had) return block;
  void* const larger = take(bytes);
  if (larger == nullptr) return nullptr;
  std::memcpy(larger, block, had);
  give_back(block);
  return larger;
}

char* copy_text(const char* text) {
  const size_t bytes = std::strlen(text) + 1;
  void* const copy = take(bytes);
  return copy == nullptr ? nullptr : static_cast<char*>(std::memcpy(copy, text, bytes));
}

// That of the copy that was loaded first: the same one for all copies in this process.
std::atomic<bool>& gave_in_this_process() {
  std::vector<std::string> loaded;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* names) {
        static_cast<std::vector<std::string>*>(names)->push_back(info->dlpi_name);
        return 0;
      },
      &loaded);
  for (const std::string& name : loaded) {
    void* const object = name.empty() ? nullptr : dlopen(name.c_str(), RTLD_LAZY | RTLD_NOLOAD);
    if (object == nullptr) continue;
    void* const found = dlsym(object, "holdfast_gave_libpmemobj_memory");
    dlclose(object);
    if (found != nullptr) return *static_cast<std::atomic<bool>*>(found);
  }
  return holdfast_gave_libpmemobj_memory;
}

// libpmemobj may outlive the copy that gave it these functions, if another copy uses it too; then
// it calls them as its threads end.
void stay_loaded() {
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&give_libpmemobj_memory), &self) != 0)
    dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

}  // namespace

void give_libpmemobj_memory() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (gave_in_this_process().exchange(true)) return;
    stay_loaded();
    piece.map();
    pmemobj_set_funcs(take, give_back, take_anew, copy_text);
  });
}

}  // namespace holdfast
