// Kernels with pages of 16 and 64 KiB (arm64): whatever maps, looks through a mapping, or advises
// the kernel of one works there too.
#include "base/system_page.h"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "medium/open_medium.h"
#include "medium/private_view.h"
#include "native/scratch.h"

namespace holdfast::test {
namespace {

// What has to do with mappings: the file medium, views, guards, readers in other processes. Without
// persistent memory, which is refused there, and without a page that is made to fail by its size.
constexpr const char* kTests =
    " --source-file='*/system_page_test.cc,*/native/medium/*,*/views_test.cc,*/regions_test.cc,*/"
    "failed_reads_test.cc,"
    "*/read_only/*' --source-file-exclude='*/pmem/*' --subcase-exclude='*pmem*'"
    " --test-case-exclude='*pmem*,large pages: an idle*,mapping: a media error*'";

std::string output_of(const std::string& page, const std::string& file) {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string command = "HOLDFAST_TEST_PAGE_BYTES=" + page + " '" + program + "'" + kTests +
                              " > '" + file + "' 2>&1; echo \"ended with $?\" >> '" + file + "'";
  REQUIRE(std::system(command.c_str()) == 0);
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Else all of it would prove nothing.
void refuses_what_does_not_begin_at_a_page() {
  CHECK(system_page_bytes() > 4096);
  void* const at = ::mmap(nullptr, 3 * system_page_bytes(), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(at != MAP_FAILED);
  CHECK(is_at_system_page(reinterpret_cast<uintptr_t>(at)));
  auto* const inside = static_cast<uint8_t*>(at) + 4096;
  unsigned char there[4];
  CHECK(::mincore(inside, 4096, there) == -1);
  CHECK(::madvise(inside, 4096, MADV_WILLNEED) == -1);
  CHECK(::mmap(inside, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
        MAP_FAILED);
  CHECK(errno == EINVAL);
  CHECK(::munmap(at, 3 * system_page_bytes()) == 0);
}

void refuses_persistent_memory() {
  Scratch scratch;
  MediumOptions options;
  options.choice = MediumChoice::kPmem;
  options.size = 64 * kMiB;
  const auto opened = open_medium(scratch.path("pool"), options);
  REQUIRE(!opened.is_ok());
  CHECK(opened.status().code() == Code::kMediumUnavailable);
  CHECK(opened.status().message().find("take the medium 'file'") != std::string::npos);
}

}  // namespace

TEST_CASE("system page: mappings on a kernel with pages of 16 or 64 KiB") {
  if (std::getenv("HOLDFAST_TEST_PAGE_BYTES") != nullptr) {  // on such a one
    refuses_what_does_not_begin_at_a_page();
    refuses_persistent_memory();
    return;
  }
  Scratch scratch;
  for (const char* const page : {"16384", "65536"}) {
    const std::string output = output_of(page, scratch.path("output"));
    INFO("pages of ", page, ":\n", output);
    CHECK(output.find("ended with 0") != std::string::npos);
    CHECK(output.find("Status: SUCCESS!") != std::string::npos);
    CHECK(output.find("test cases: 0 ") == std::string::npos);
  }
}

TEST_CASE("system page: a view shows whole pages of the pool, and leaves the rest to be copied") {
  Scratch scratch;
  MediumOptions options;
  options.choice = MediumChoice::kFile;
  auto opened = open_medium(scratch.path("pool"), options);
  REQUIRE(opened.is_ok());
  Medium& medium = *opened->medium;
  const uint64_t page = system_page_bytes(), part = 4 * kKiB;
  auto segment = medium.allocate(SegmentKind::kLog, 2 * page, 2 * page);
  REQUIRE(segment.is_ok());
  const uint64_t from = segment->offset;
  auto view = PrivateView::reserve(4 * page);
  REQUIRE(view.is_ok());
  CHECK((*view)->map(medium, from, 2 * page, 0) == 2 * page);
  CHECK((*view)->map(medium, from, page + page / 2, 2 * page) == page);
  if (page == part) return;
  CHECK((*view)->map(medium, from, part, 3 * page) == 0);
  CHECK((*view)->map(medium, from + part, page, 3 * page) == 0);
  CHECK((*view)->map(medium, from, page, 3 * page - part) == 0);
}

}  // namespace holdfast::test
