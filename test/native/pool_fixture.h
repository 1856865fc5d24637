// What the engine's tests share: pools on a scratch file, composite keys, and a model to compare
// with.
#pragma once

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/pool.h"
#include "native/scratch.h"

namespace holdfast::test {

inline std::string key_in(uint32_t keyspace, const std::string& key) {
  std::string out(4, '\0');
  for (int i = 0; i < 4; i++)
    out[static_cast<size_t>(i)] = static_cast<char>(keyspace >> (24 - 8 * i));
  return out + key;
}

// Keys of one length, in their order.
inline std::string numbered_key(uint64_t n) {
  char text[32];
  std::snprintf(text, sizeof text, "user:%010llu", static_cast<unsigned long long>(n));
  return key_in(1, text);
}

// A file of fixed size; 0: it grows.
inline PoolOptions file_options(uint64_t size = 0) {
  PoolOptions options;
  options.medium.choice = MediumChoice::kFile;
  options.medium.size = size;
  return options;
}

inline std::shared_ptr<Pool> open_pool(const std::string& path,
                                       const PoolOptions& options = file_options()) {
  auto pool = Pool::open(path, options);
  REQUIRE_MESSAGE(pool.is_ok(), pool.status().message());
  return *pool;
}

// One commit of one key of keyspace 1.
inline Result<Receipt> try_put(Pool& pool, const std::string& key, const std::string& value,
                               CommitMode mode = CommitMode::kDurable) {
  Batch batch;
  REQUIRE(batch.put(key_in(1, key), value).is_ok());
  return pool.commit(batch, mode);
}

// Its epoch.
inline uint64_t put(Pool& pool, const std::string& key, const std::string& value,
                    CommitMode mode = CommitMode::kDurable) {
  auto receipt = try_put(pool, key, value, mode);
  REQUIRE_MESSAGE(receipt.is_ok(), receipt.status().message());
  return receipt->epoch;
}

// Of a pool that is open for reading only.
inline uint64_t refresh(Pool& pool) {
  auto epoch = pool.refresh();
  REQUIRE_MESSAGE(epoch.is_ok(), epoch.status().message());
  return *epoch;
}

inline std::optional<std::string> get(Pool& pool, const std::string& key,
                                      const SnapshotPtr& snapshot = nullptr) {
  auto reader = pool.read(snapshot);
  if (!reader.is_ok()) return std::nullopt;
  auto found = reader->find(key);
  if (!found.is_ok() || !found->has_value()) return std::nullopt;
  std::string out((*found)->size, '\0');
  if (!reader->copy(**found, reinterpret_cast<uint8_t*>(out.data())).is_ok()) return std::nullopt;
  return out;
}

// Bytes that the file takes of its file system.
inline uint64_t blocks_of(const std::string& path) {
  struct stat facts;
  REQUIRE(::stat(path.c_str(), &facts) == 0);
  return static_cast<uint64_t>(facts.st_blocks) * 512;
}

// What check finds, or that it could not look.
// Where these bytes are in the file, once.
inline uint64_t only_place_of(const std::string& path, const std::string& what) {
  const std::string bytes = bytes_of_file(path);
  const size_t at = bytes.find(what);
  REQUIRE(at != std::string::npos);
  REQUIRE(bytes.find(what, at + 1) == std::string::npos);
  return at;
}

inline std::vector<std::string> damages(Pool& pool) {
  auto checked = pool.check(nullptr, nullptr);
  return checked.is_ok() ? checked->damages : std::vector<std::string>{checked.status().message()};
}

inline std::map<std::string, std::string> contents(Pool& pool,
                                                   const SnapshotPtr& snapshot = nullptr) {
  std::map<std::string, std::string> out;
  RangeOptions all;
  all.high = std::string(4, '\xff');
  auto range = pool.range(all, snapshot);
  if (!range.is_ok()) return out;
  while (true) {
    auto given = (*range)->next(100, [&](Bytes key, const FoundValue& value, Reader& reader) {
      std::string bytes(value.size, '\0');
      if (reader.copy(value, reinterpret_cast<uint8_t*>(bytes.data())).is_ok())
        out[std::string(key)] = bytes;
      return true;
    });
    if (!given.is_ok() || *given == 0) return out;
  }
}

}  // namespace holdfast::test
