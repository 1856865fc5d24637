#include "base/test_points.h"

#ifdef HOLDFAST_TEST_POINTS

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

namespace holdfast {
namespace {

struct Armed {
  std::string name;
  std::atomic<long> left{0};

  Armed() {
    const char* wanted = std::getenv("HOLDFAST_POINT_KILL");
    if (wanted == nullptr) return;
    const char* colon = std::strchr(wanted, ':');
    name = colon ? std::string(wanted, colon) : std::string(wanted);
    left = colon ? std::atol(colon + 1) : 1;
  }
};

}  // namespace

void test_point(const char* name) {
  static Armed armed;
  if (armed.name.empty() || armed.name != name || armed.left.fetch_sub(1) != 1) return;
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

}  // namespace holdfast

#endif
