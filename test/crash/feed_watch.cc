#include "feed_watch.h"

#include <algorithm>

namespace holdfast::crash {

namespace {
bool same(const Changes& a, const Changes& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Change& x, const Change& y) {
    return x.key == y.key && x.put == y.put && (!x.put || x.value == y.value);
  });
}
}  // namespace

// Regions are not among what is watched, and a commit that changed nothing else is passed over.
void FeedWatch::committed(uint64_t epoch, const Changes& all) {
  Changes changes;
  std::copy_if(all.begin(), all.end(), std::back_inserter(changes),
               [](const Change& one) { return !is_region_key(one.key); });
  if (changes.empty()) return;
  if (epoch == 0)
    uncertain_.push_back(std::move(changes));
  else
    made_[epoch] = std::move(changes);
}

void FeedWatch::reopened(uint64_t epoch) {
  made_.erase(made_.upper_bound(epoch), made_.end());
  cursor_.reset();
}

void FeedWatch::closing(Pool& pool) {
  gave_way_ = gave_way_ || pool.stats().retained_given_way > 0;
  cursor_.reset();
}

std::string FeedWatch::compare(const FeedCommit& commit, FeedCursor& cursor, Status* status) {
  Changes seen;
  for (const FeedChange& change : commit.changes) {
    Change one{std::string(change.key), change.type != OperationType::kDelete, {}};
    if (change.type == OperationType::kPut)
      one.value = observed_value(change.value.data(), change.value.size());
    if (change.type == OperationType::kPutLarge) {
      std::string bytes;
      *status = cursor.read_large(change, [&](const uint8_t* chunk, size_t size) {
        bytes.append(reinterpret_cast<const char*>(chunk), size);
        return Status();
      });
      if (!status->is_ok()) return {};
      one.value = observed_value(bytes.data(), bytes.size());
    }
    seen.push_back(one);
  }
  const auto made = made_.find(commit.epoch);
  if (made != made_.end())
    return same(made->second, seen)
               ? ""
               : "the feed gives other changes for epoch " + std::to_string(commit.epoch);
  const auto perhaps = std::find_if(uncertain_.begin(), uncertain_.end(),
                                    [&](const Changes& one) { return same(one, seen); });
  if (perhaps == uncertain_.end())
    return "the feed gives a commit that nobody made, epoch " + std::to_string(commit.epoch);
  made_[commit.epoch] = *perhaps;  // so it was done
  return {};
}

std::string FeedWatch::read(Pool& pool, bool to_the_end, const bool* crashed, uint64_t* durable) {
  const auto excused = [&](Status status) -> std::string {
    cursor_.reset();
    gave_way_ = gave_way_ || pool.stats().retained_given_way > 0;
    if (*crashed || status.code() == Code::kFailed || status.code() == Code::kClosed) return {};
    if (status.code() == Code::kForgotten && gave_way_) {
      reached_ = pool.stats().oldest_change - 1;
      return {};
    }
    return "the feed behind epoch " + std::to_string(reached_) +
           " failed: " + code_name(status.code()) + ": " + status.message();
  };
  if (cursor_ && random_.one_in(8)) cursor_.reset();
  if (!cursor_) {
    FeedOptions options;
    options.after = reached_;
    options.lag_bytes = random_.one_in(2) ? 0 : 64 * kMiB;
    auto opened = pool.feed(options);
    if (!opened.is_ok()) return excused(std::move(opened.status()));
    cursor_ = std::move(*opened);
  }
  std::string wrong;
  do {
    const uint64_t before = reached_;
    uint64_t last = reached_;
    Status inside;
    auto given =
        cursor_->next(random_.between(1, 64 * kKiB), [&](const FeedCommit& commit) -> Status {
          const auto missed = made_.upper_bound(last);
          if (missed != made_.end() && missed->first < commit.epoch)
            wrong = "the feed passes over epoch " + std::to_string(missed->first);
          if (wrong.empty()) wrong = compare(commit, *cursor_, &inside);
          if (!inside.is_ok()) return std::move(inside);
          last = commit.epoch;
          return wrong.empty() ? Status() : Status(Code::kAborted, wrong);
        });
    if (!wrong.empty()) return wrong;
    if (!given.is_ok()) return excused(std::move(given.status()));
    reached_ = cursor_->reached();
    const auto missed = made_.upper_bound(last);
    if (missed != made_.end() && missed->first <= reached_)
      return "the feed passes over epoch " + std::to_string(missed->first);
    if (reached_ < before) return "the feed went back";
    *durable = std::max(*durable, last);
  } while (to_the_end && cursor_->behind());
  return {};
}

std::string FeedWatch::read_history(Pool& pool) {
  gave_way_ = gave_way_ || pool.stats().retained_given_way > 0;
  if (gave_way_) return {};
  cursor_.reset();
  reached_ = 0;
  const bool crashed = false;
  uint64_t durable = 0;
  std::string wrong;
  do {
    wrong = read(pool, true, &crashed, &durable);
  } while (wrong.empty() && cursor_ && cursor_->behind());
  return wrong;
}

}  // namespace holdfast::crash
