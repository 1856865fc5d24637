// A disk that others fill, for good at last: what a pool keeps is enough to delete, tidy up and go
// on.
#include <algorithm>
#include <map>

#include "native/pool_fixture.h"
#include "native/system_faults.h"
#include "seeded_random.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

class Walk {
 public:
  Walk(const std::string& path, uint64_t seed) : path_(path), random_(seed) {
    PoolOptions options = file_options();
    options.background = false;
    pool_ = open_pool(path_, options);
  }

  // False: the disk cannot be filled for this process alone. `filled`: once it is full it stays so.
  bool step(bool filled) {
    const uint64_t what = random_.below(100);
    if (what < 60)
      put();
    else if (what < 88)
      remove();
    else if (what < 92)
      return SystemFaults::fill_disk(path_);
    else if (what < 95)
      filled ? (void)0 : SystemFaults::disarm();
    else if (what < 96)
      CHECK(usual(pool_->compact()));
    else
      pool_->maintain(what < 99);
    return true;
  }
  void compare() {
    for (const auto& [key, value] : model_) CHECK(get(*pool_, key_in(1, key)) == value);
    CHECK(pool_->check(nullptr, nullptr)->damages.empty());
  }
  uint64_t refused = 0, deleted = 0;

 private:
  static bool usual(const Status& status) { return status.is_ok() || status.is_full(); }
  void put() {
    const std::string key = std::to_string(random_.below(400));
    const std::string value(random_.below(20) == 0 ? random_.below(800'000) : random_.below(20'000),
                            static_cast<char>('a' + random_.below(26)));
    const auto receipt = try_put(*pool_, key, value);
    REQUIRE(usual(receipt.status()));
    if (receipt.is_ok())
      model_[key] = value;
    else
      refused++;
  }
  void remove() {
    if (model_.empty()) return;
    const auto one = std::next(model_.begin(), static_cast<long>(random_.below(model_.size())));
    Batch batch;
    REQUIRE(batch.remove(key_in(1, one->first)).is_ok());
    const auto receipt = pool_->commit(batch, CommitMode::kDurable);
    const PoolStats stats = pool_->stats();
    CAPTURE(stats.log_segments);
    CAPTURE(stats.log_bytes);
    CAPTURE(stats.live_bytes);
    CAPTURE(stats.taken_bytes);
    REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message());
    model_.erase(one);
    deleted++;
  }

  const std::string path_;
  Random random_;
  std::shared_ptr<Pool> pool_;
  std::map<std::string, std::string> model_;
};

}  // namespace

TEST_CASE("a pool that grows deletes on a full disk, whatever came before") {
  const SystemFaults::Disarm disarm;
  for (uint64_t seed = 1; seed <= 8; seed++) {
    CAPTURE(seed);
    const Scratch scratch = Scratch::on_disk();
    Walk walk(scratch.path("p"), seed);
    for (int i = 0; i < 1500; i++) {
      CAPTURE(i);
      if (!walk.step(i > 100)) {
        MESSAGE("skipped: this file system does not tell which blocks a file has");
        return;
      }
    }
    SystemFaults::disarm();
    walk.compare();
    CHECK(walk.refused > 0);
    CHECK(walk.deleted > 0);
  }
}
