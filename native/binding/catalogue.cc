// The names of the keyspaces and regions: keyspace 0 maps "n" + name to a keyspace's number and "c"
// to the last one given out, "r" + name to a region's and "d" to the last of those.
//
// Any thread, any number of them at once: a number is given out by one commit, a region's together
// with its size, whose conditions say that the counter is still what was read and the name still
// absent. Whoever loses that race reads again.
#include <optional>
#include <string>

#include "binding/convert.h"
#include "binding/handles.h"
#include "binding/region_functions.h"

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
  if ((*found)->size != sizeof bytes)
    return Status(Code::kCorrupt, "The catalogue has a number of a wrong size");
  HOLDFAST_TRY(reader->copy(**found, bytes));
  return load<uint32_t>(bytes);
}

// Adds what gives a name the number behind `last`.
Status give_out(Batch& batch, const std::string& name_key, const std::string& counter_key,
                uint32_t last) {
  const uint32_t number = last + 1;
  const Bytes next = bytes_of(&number, sizeof number);
  HOLDFAST_TRY(batch.require_absent(name_key));
  if (last == 0)
    HOLDFAST_TRY(batch.require_absent(counter_key));
  else
    HOLDFAST_TRY(batch.require_equal(counter_key, bytes_of(&last, sizeof last)));
  HOLDFAST_TRY(batch.put(counter_key, next));
  return batch.put(name_key, next);
}

// Eventual: no durable commit can survive without the commits before it.
Status make_keyspace(Pool& pool, const std::string& name_key, uint32_t last) {
  Batch batch;
  HOLDFAST_TRY(give_out(batch, name_key, catalogue_key('c', {}), last));
  return std::move(pool.commit(batch, CommitMode::kEventual).status());
}

Status make_region(Pool& pool, const std::string& name, uint64_t size, uint32_t last) {
  Batch batch;
  HOLDFAST_TRY(give_out(batch, catalogue_key('r', name), catalogue_key('d', {}), last));
  HOLDFAST_TRY(batch.region_size(last + 1, size, name));
  return std::move(pool.commit(batch, CommitMode::kEventual).status());
}

}  // namespace

Result<uint32_t> keyspace_number(Pool& pool, Bytes name, bool create) {
  const std::string name_key = catalogue_key('n', name);
  for (;;) {
    Result<uint32_t> known = read_number(pool, name_key);
    if (!known.is_ok() || *known != 0 || !create) return known;
    Result<uint32_t> last = read_number(pool, catalogue_key('c', {}));
    if (!last.is_ok()) return last;
    Status made = make_keyspace(pool, name_key, *last);
    if (made.is_ok()) return *last + 1;
    if (made.code() != Code::kConflict) return made;
  }
}

Result<uint32_t> region_number(Pool& pool, const std::string& name, std::optional<uint64_t> size) {
  for (;;) {
    Result<uint32_t> known = read_number(pool, catalogue_key('r', name));
    if (!known.is_ok()) return known;
    if (*known != 0) {
      if (!size) return known;
      Result<RegionInfo> info = pool.region_info(*known, nullptr);
      if (!info.is_ok() && info.status().code() == Code::kNotFound)
        continue;  // dropped in this very moment
      if (!info.is_ok()) return std::move(info.status());
      if (info->size == *size) return known;
      return Status(Code::kInvalidArgument,
                    "The region '" + name + "' has " + std::to_string(info->size) + " bytes, not " +
                        std::to_string(*size) + "; leave size out, or call resize()");
    }
    if (!size)
      return Status(Code::kNotFound, "There is no region '" + name + "'; give a size to make it");
    Result<uint32_t> last = read_number(pool, catalogue_key('d', {}));
    if (!last.is_ok()) return last;
    Status made = make_region(pool, name, *size, *last);
    if (made.is_ok()) return *last + 1;
    if (made.code() != Code::kConflict) return made;
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
