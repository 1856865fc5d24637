// Where the log of a killed writer ends: before a record of which any value is torn, and not
// because of a mark that is of an earlier life.
#include <doctest/doctest.h>

#include "native/forged_pool.h"

using namespace holdfast;
using namespace holdfast::test;

namespace {

std::string put_large(const std::string& key, const std::vector<LargePiece>& pieces) {
  LargeValue value;
  value.pieces = pieces;
  for (const LargePiece& piece : pieces) value.size += piece.used;
  return operation(OperationType::kPutLarge, key_in(1, key), value.encode());
}

const std::string kContent(50000, 'L');
const std::string kOther = std::string(49999, 'L') + "T";

}  // namespace

TEST_CASE("torn: every piece of a large value is looked at, and every part of its record") {
  Scratch scratch;
  for (int torn = -1; torn < 4; torn++) {  // which of the pieces; -1: none
    CAPTURE(torn);
    std::filesystem::remove(scratch.path("p"));
    Forged forged(scratch.path("p"));
    const auto piece = [&](int n) {
      return forged.piece(forged.end() - static_cast<uint64_t>(n + 1) * 64 * kKiB,
                          n == torn ? kOther : kContent, kContent);
    };
    // Two pieces in the first part of the record, one in each of the others.
    forged.record(put_large("a", {piece(0), piece(1)}), 1, 0, false);
    forged.record(put_large("b", {piece(2)}), 1, 1, false);
    forged.record(put_large("c", {piece(3)}), 1, 2, true);
    forged.write();
    auto pool = open_pool(scratch.path("p"), without_threads_of_its_own());
    CHECK(pool->stats().epoch == (torn < 0 ? 21 : 20));
    CHECK(get(*pool, key_in(1, "a")) ==
          (torn < 0 ? std::optional<std::string>(kContent + kContent) : std::nullopt));
    CHECK(get(*pool, key_in(1, "c")) ==
          (torn < 0 ? std::optional<std::string>(kContent) : std::nullopt));
    CHECK(contents(*pool).size() == (torn < 0 ? 23 : 20));
    CHECK(damages(*pool).empty());
  }
}

// A mark may land without its link, and of a pool that was made smaller since the segment may be
// gone.
TEST_CASE(
    "torn: a mark of a segment beyond the pool's end says that the file was cut, unless it is of "
    "an earlier life") {
  Scratch scratch;
  for (const uint64_t lives : {0, 1}) {
    CAPTURE(lives);
    std::filesystem::remove(scratch.path("p"));
    Forged forged(scratch.path("p"));
    forged.mark(forged.sequence + 1, {forged.end() + kMiB, 64 * kKiB}, lives);
    forged.write();
    auto pool = Pool::open(scratch.path("p"), without_threads_of_its_own());
    CHECK(pool.status().code() == (lives == 0 ? Code::kCorrupt : Code::kOk));
    if (pool.is_ok()) CHECK(contents(**pool).size() == 20);
  }
}
