#include "medium/address_share.h"

#include <atomic>

#include "base/bytes.h"

namespace holdfast {
namespace {

constexpr uint64_t kLargestShare = 4096 * kGiB, kPoolsWithLargest = 8, kSharedByMore = 8192 * kGiB;

std::atomic<uint64_t> shares_given{0};

}  // namespace

AddressShare::AddressShare()
    : bytes_([number = shares_given.fetch_add(1) + 1] {
        return number <= kPoolsWithLargest ? kLargestShare : kSharedByMore / number;
      }()) {}

AddressShare::~AddressShare() { shares_given.fetch_sub(1); }

}  // namespace holdfast
