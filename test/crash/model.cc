#include "model.h"

#include <cstdio>
#include <cstring>

#include "base/checksum.h"

namespace holdfast::crash {

namespace {

void fill(std::string* bytes, uint64_t nonce) {
  uint64_t word = nonce * 0x9e3779b97f4a7c15 + 0x632be59bd9b4e019;
  for (size_t at = 0; at < bytes->size(); at += 8) {
    word = word * 6364136223846793005 + 1442695040888963407;
    std::memcpy(bytes->data() + at, &word, std::min<size_t>(8, bytes->size() - at));
  }
}

void apply_changes(const Changes& changes, State* state) {
  for (const Change& change : changes) {
    if (is_region_key(change.key) && !slot_of(change.key)) {
      const uint32_t region = region_of(change.key);
      state->erase(
          state->lower_bound(slot_key(region, change.put ? change.value.size / kSlotBytes : 0)),
          state->lower_bound(size_key(region)));
    }
    if (change.put) {
      (*state)[change.key] = change.value;
    } else {
      state->erase(change.key);
    }
  }
}

std::string name_of(const std::string& key) {
  std::string out = key.size() > 4
                        ? std::to_string(static_cast<unsigned>(static_cast<uint8_t>(key[3]))) + ":"
                        : "";
  return out + key.substr(key.size() > 4 ? 4 : 0, 20);
}

size_t differences(const State& a, const State& b) {
  size_t n = 0;
  for (const auto& [key, value] : a) {
    const auto it = b.find(key);
    n += it == b.end() || !(it->second == value);
  }
  for (const auto& [key, value] : b) n += !a.contains(key);
  return n;
}

}  // namespace

std::string slot_key(uint32_t region, uint64_t slot) {
  char text[32];
  std::snprintf(text, sizeof text, "%03u.%08llu", region, static_cast<unsigned long long>(slot));
  return kRegionPrefix + text;
}
std::string size_key(uint32_t region) {
  char text[32];
  std::snprintf(text, sizeof text, "%03u.size", region);
  return kRegionPrefix + text;
}
uint32_t region_of(const std::string& key) {
  return static_cast<uint32_t>(std::stoul(key.substr(4, 3)));
}
std::optional<uint64_t> slot_of(const std::string& key) {
  return key.compare(8, 4, "size") == 0 ? std::nullopt
                                        : std::optional<uint64_t>(std::stoull(key.substr(8)));
}

Value make_value(uint64_t size, uint64_t nonce) {
  Value value{size, nonce, 0};
  const std::string bytes = bytes_of(value);
  value.hash = checksum(bytes.data(), bytes.size());
  return value;
}

std::string bytes_of(const Value& value) {
  std::string bytes(value.size, '\0');
  fill(&bytes, value.nonce);
  return bytes;
}

Value observed_value(const char* bytes, uint64_t size) { return {size, 0, checksum(bytes, size)}; }

bool Model::commit(uint64_t epoch, const Changes& changes) {
  apply_changes(changes, &latest_);
  since_.push_back({epoch, changes});
  if (epoch == 0) return true;
  const bool rises = epoch > last_epoch_;
  last_epoch_ = epoch;
  return rises;
}

void Model::durable_to(uint64_t commits) {
  while (floor_ < commits && !since_.empty()) {
    apply_changes(since_.front().changes, &base_);
    since_.pop_front();
    floor_++;
  }
}

void Model::durable_epoch(uint64_t epoch) {
  uint64_t to = floor_;
  for (const Commit& commit : since_) {
    if (commit.epoch == 0 || commit.epoch > epoch) break;
    to++;
  }
  durable_to(to);
}

bool Model::settle_on(const State& observed, std::string* why) {
  State state = base_;
  size_t fewest = SIZE_MAX, nearest = 0;
  std::string detail;
  for (size_t i = 0;; i++) {
    const size_t wrong = differences(state, observed);
    if (wrong < fewest) {
      fewest = wrong;
      nearest = i;
      detail = difference(state, observed);
    }
    if (wrong == 0) {
      base_ = latest_ = state;
      floor_ += i;
      since_.clear();
      last_epoch_ = 0;
      return true;
    }
    if (i == since_.size()) break;
    apply_changes(since_[i].changes, &state);
  }
  *why = "the state is none that a crash may leave: commits " + std::to_string(floor_) +
         " (durable) to " + std::to_string(commits()) + " were tried; the nearest, after commit " +
         std::to_string(floor_ + nearest) + ", differs:" + detail;
  return false;
}

std::string difference(const State& expected, const State& observed) {
  std::string out;
  int shown = 0;
  const auto say = [&](const std::string& key, const std::string& what) {
    if (shown++ < 4) out += " [" + name_of(key) + " " + what + "]";
  };
  for (const auto& [key, value] : expected) {
    const auto it = observed.find(key);
    if (it == observed.end()) {
      say(key, "is missing, had " + std::to_string(value.size) + " bytes");
    } else if (!(it->second == value)) {
      say(key, "has " + std::to_string(it->second.size) + " other bytes, not its " +
                   std::to_string(value.size));
    }
  }
  for (const auto& [key, value] : observed) {
    if (!expected.contains(key))
      say(key, "should not be there, has " + std::to_string(value.size) + " bytes");
  }
  if (shown > 4) out += " and " + std::to_string(shown - 4) + " more";
  return out;
}

}  // namespace holdfast::crash
