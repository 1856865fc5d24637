// Records of builds before root version 3, whose operations have longer heads: they are replayed,
// read, followed by readers and told to the feed, and what lives in them is carried on in today's
// form. The golden pools (test/golden) are whole pools of theirs.

#include "native/forged_pool.h"

namespace holdfast::test {
namespace {

using Contents = std::map<std::string, std::string>;

// A tail of both forms, one behind the other, with every kind of operation; what is there then.
Contents write_both_forms(const std::string& path) {
  Forged forged(path);
  forged.form = OperationForm::kOlder;
  forged.record(older_operation(OperationType::kPut, key_in(1, "k7"), "older") +
                    older_operation(OperationType::kDelete, key_in(1, "k8"), "") +
                    older_operation(OperationType::kPut, key_in(1, "empty"), "") +
                    older_operation(OperationType::kPut, key_in(1, "long"), std::string(9000, 'l')),
                4);
  forged.form = OperationForm::kShort;
  forged.record(operation(OperationType::kPut, key_in(1, "k9"), "today's"), 1);
  forged.form = OperationForm::kOlder;
  forged.record(older_operation(OperationType::kPut, key_in(1, "k10"), "older again"), 1);
  forged.write();
  Contents model;
  for (int i = 0; i < 20; i++) model[key_in(1, "k" + std::to_string(i))] = std::string(100, 'v');
  model[key_in(1, "k7")] = "older";
  model.erase(key_in(1, "k8"));
  model[key_in(1, "empty")] = "";
  model[key_in(1, "long")] = std::string(9000, 'l');
  model[key_in(1, "k9")] = "today's";
  model[key_in(1, "k10")] = "older again";
  return model;
}

}  // namespace

TEST_CASE("older form: replayed, folded, read again, and carried on by the cleaner") {
  const Scratch scratch;
  const std::string path = scratch.path("p");
  Contents model = write_both_forms(path);
  auto pool = open_pool(path, without_threads_of_its_own());
  CHECK((contents(*pool) == model));
  CHECK(damages(*pool) == std::vector<std::string>());
  REQUIRE(pool->close().is_ok());
  pool = open_pool(path, without_threads_of_its_own());
  CHECK((contents(*pool) == model));
  // Until all that was there is dead but for a little: the rest of each segment is carried on.
  for (int round = 0; round < 40; round++) {
    const std::string value(100'000, static_cast<char>('a' + round % 26));
    put(*pool, "filler", value);
    model[key_in(1, "filler")] = value;
  }
  REQUIRE(pool->compact().is_ok());
  CHECK(pool->stats().bytes_moved > 9000);
  CHECK((contents(*pool) == model));
  CHECK(damages(*pool) == std::vector<std::string>());
  REQUIRE(pool->close().is_ok());
  CHECK((contents(*open_pool(path, without_threads_of_its_own())) == model));
}

TEST_CASE("older form: a reader beside nobody sees the same") {
  const Scratch scratch;
  const std::string path = scratch.path("p");
  const Contents model = write_both_forms(path);
  PoolOptions options = without_threads_of_its_own();
  options.read_only = true;
  CHECK((contents(*open_pool(path, options)) == model));
}

TEST_CASE("older form: what a large value had is given back when it is deleted") {
  const Scratch scratch;
  const std::string path = scratch.path("p");
  Forged forged(path);
  const std::string content(50'000, 'L');
  LargeValue value;
  value.size = content.size();
  value.pieces.push_back(forged.piece(forged.end() - 64 * kKiB, content, content));
  forged.form = OperationForm::kOlder;
  forged.record(older_operation(OperationType::kPutLarge, key_in(1, "large"), value.encode()), 1);
  forged.write();
  auto pool = open_pool(path, without_threads_of_its_own());
  CHECK((get(*pool, key_in(1, "large")) == content));
  CHECK(pool->stats().large_bytes == 64 * kKiB);
  Batch batch;
  REQUIRE(batch.remove(key_in(1, "large")).is_ok());
  REQUIRE(pool->commit(batch, CommitMode::kDurable).is_ok());
  REQUIRE(pool->fold().is_ok());
  CHECK(pool->stats().large_bytes == 0);
  CHECK(damages(*pool) == std::vector<std::string>());
}

TEST_CASE("older form: a damaged value is an error, and what is torn ends the log") {
  const Scratch scratch;
  const std::string path = scratch.path("p");
  write_both_forms(path);
  const std::string whole = bytes_of_file(path);
  write_at(path, only_place_of(path, "older again"), "olden again");
  auto pool = open_pool(path, without_threads_of_its_own());
  CHECK(get(*pool, key_in(1, "k10")) == std::string(100, 'v'));
  CHECK(get(*pool, key_in(1, "k9")) == "today's");
  REQUIRE(pool->close().is_ok());
  pool = nullptr;

  Forged::write_whole(path, whole);
  pool = open_pool(path, without_threads_of_its_own());
  REQUIRE(pool->close().is_ok());  // folded: the index leads there
  pool = nullptr;
  write_at(path, only_place_of(path, "older again"), "olden again");
  pool = open_pool(path, without_threads_of_its_own());
  auto reader = pool->read(nullptr);
  REQUIRE(reader.is_ok());
  CHECK(reader->find(key_in(1, "k10")).status().code() == Code::kCorrupt);
  CHECK_FALSE(damages(*pool).empty());
}

}  // namespace holdfast::test
