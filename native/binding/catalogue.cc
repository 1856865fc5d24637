// The names of the keyspaces: keyspace 0 maps "n" + name to a number and "c" to the last number given out.
//
// Any thread, any number of them at once: a number is given out by one commit whose conditions say that the counter is
// still what was read and the name still absent. Whoever loses that race reads again.
#include <string>

#include "binding/convert.h"
#include "binding/handles.h"

namespace holdfast::binding {

namespace {

std::string catalogue_key(char kind, Bytes name) {
  std::string key = keyspace_prefix(kCatalogueKeyspace);
  key.push_back(kind);
  return key.append(name);
}

// 0: absent.
Result<uint32_t> read_number(Pool& pool, const std::string& key) {
  Result<Reader> reader = pool.read(nullptr);
  if (!reader.is_ok()) return std::move(reader.status());
  Result<std::optional<FoundValue>> found = reader->find(key);
  if (!found.is_ok()) return std::move(found.status());
  if (!found->has_value()) return 0u;
  uint8_t bytes[sizeof(uint32_t)];
  if ((*found)->size != sizeof bytes) {
    return Status(Code::kCorrupt, "The catalogue of keyspaces has a number of a wrong size");
  }
  HOLDFAST_TRY(reader->copy(**found, bytes));
  return load<uint32_t>(bytes);
}

Status give_out(Pool& pool, const std::string& name_key, uint32_t last, uint32_t number) {
  const std::string counter_key = catalogue_key('c', {});
  const Bytes next = bytes_of(&number, sizeof number);
  Batch batch;
  HOLDFAST_TRY(batch.require_absent(name_key));
  if (last == 0) HOLDFAST_TRY(batch.require_absent(counter_key));
  else HOLDFAST_TRY(batch.require_equal(counter_key, bytes_of(&last, sizeof last)));
  HOLDFAST_TRY(batch.put(counter_key, next));
  HOLDFAST_TRY(batch.put(name_key, next));
  Result<Receipt> receipt = pool.commit(batch, CommitMode::kEventual);
  return std::move(receipt.status());
}

}  // namespace

Result<uint32_t> keyspace_number(Pool& pool, Bytes name, bool create) {
  const std::string name_key = catalogue_key('n', name);
  for (;;) {
    Result<uint32_t> known = read_number(pool, name_key);
    if (!known.is_ok() || *known != 0 || !create) return known;
    Result<uint32_t> last = read_number(pool, catalogue_key('c', {}));
    if (!last.is_ok()) return last;
    Status given = give_out(pool, name_key, *last, *last + 1);
    if (given.is_ok()) return *last + 1;
    if (given.code() != Code::kConflict) return given;
  }
}

Result<std::vector<std::string>> keyspace_names(Pool& pool) {
  RangeOptions options;
  options.low = catalogue_key('n', {});
  options.high = catalogue_key('n' + 1, {});
  Result<std::unique_ptr<RangeIterator>> range = pool.range(options, nullptr);
  if (!range.is_ok()) return std::move(range.status());
  std::vector<std::string> names;
  for (;;) {
    Result<uint64_t> given = (*range)->next(256, [&](Bytes key, const FoundValue&, Reader&) {
      names.emplace_back(key.substr(options.low.size()));
      return true;
    });
    if (!given.is_ok()) return std::move(given.status());
    if (*given == 0) return names;
  }
}

}  // namespace holdfast::binding
