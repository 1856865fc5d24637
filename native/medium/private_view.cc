#include "medium/private_view.h"

#include <sys/mman.h>

#include "base/bytes.h"
#include "base/system_page.h"

namespace holdfast {

Result<std::unique_ptr<PrivateView>> PrivateView::reserve(uint64_t bytes) {
  const uint64_t whole = round_up(bytes == 0 ? 1 : bytes, system_page_bytes());
  void* at = ::mmap(nullptr, whole, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED)
    return Status(Code::kNoMemory,
                  "no address space for a view of " + std::to_string(bytes) + " bytes");
  return std::unique_ptr<PrivateView>(new PrivateView(static_cast<uint8_t*>(at), whole));
}

PrivateView::~PrivateView() {
  guard_.stop();
  ::munmap(data_, bytes_);
}

uint64_t PrivateView::map(const Medium& medium, uint64_t offset, uint64_t bytes, uint64_t at) {
  const uint64_t whole = round_down(bytes, system_page_bytes());
  if (whole == 0 || !is_at_system_page(offset) || !is_at_system_page(at)) return 0;
  if (!watched_) watched_ = guard_.watch(data_, bytes_);
  if (!watched_ || !medium.map_privately(offset, whole, data_ + at)) return 0;
  shows_pool_ = true;
  return whole;
}

void PrivateView::blank() {
  // Over what is there: at no moment could something else take the addresses. If even that fails
  // what is shown stays, which harms nobody.
  (void)::mmap(data_, bytes_, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

}  // namespace holdfast
