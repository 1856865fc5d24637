#include "judge.h"

#include <algorithm>

namespace holdfast::crash {

// A damaged commit may be taken for torn, and all after it with it, when nothing whole behind it
// proves that it was durable: that takes a commit which was begun after a durable one at or after
// the damaged one had been acknowledged.
Judge::Judge(const Question& question, std::string* words) : question_(question), words_(words) {
  const std::vector<Commit>& commits = question.pool.commits;
  uint64_t proven = 0;  // commits below this one are proven by those looked at so far, going
                        // backwards from the end
  for (size_t i = commits.size(); i-- > 0;) {
    if (hurt(commits[i])) {
      if (i >= proven) first_torn_ = i;
      continue;
    }
    size_t durable = i;
    while (durable > 0 && !commits[durable - 1].durable) durable--;
    proven = std::max<uint64_t>(proven, durable);
  }
}

bool Judge::hurt(const Commit& commit) const {
  for (const Range& place : commit.places) {
    for (const Range& damaged : question_.damaged) {
      if (damaged.meets(place)) return true;
    }
  }
  return false;
}

void Judge::wrong(const std::string& what) {
  if (!wrong_) *words_ += what + "; ";
  wrong_ = true;
}

bool Judge::acceptable(const Status& status, const char* what) {
  const bool of_damage = status.code() == Code::kCorrupt || status.code() == Code::kFailed ||
                         status.code() == Code::kIo;
  if (!of_damage)
    wrong(std::string(what) + " gave " + code_name(status.code()) + ": " + status.message());
  return of_damage;
}

void Judge::named(const Status& status, const char* what) {
  acceptable(status, what);
  if (status.code() == Code::kCorrupt && !names_a_place(status.message()))
    wrong("no place in: " + status.message());
  damages_++;
}

bool Judge::names_a_place(const std::string& message) {
  for (const char* word :
       {"offset", "byte", "node", "segment", "superblock", "libpmemobj", "ends at"}) {
    if (message.find(word) != std::string::npos) return true;
  }
  return false;
}

}  // namespace holdfast::crash
