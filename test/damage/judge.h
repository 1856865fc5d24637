// What the checks of a damaged pool have in common: what counts as an honest error, what may be
// lost, and the verdict. Reads of regions, of the change feed and beside a damaged readers' table
// are here too.
#pragma once

#include <string>

#include "damage_check.h"
#include "engine/damage/salvage.h"
#include "engine/pool.h"

namespace holdfast::crash {

class Judge {
 public:
  Judge(const Question& question, std::string* words);

  void wrong(const std::string& what);
  // An error must be one of those that name damage; kCorrupt must say where.
  bool acceptable(const Status& status, const char* what);
  // The same, and it counts as damage that was named.
  void named(const Status& status, const char* what);
  static bool names_a_place(const std::string& message);
  // May what this commit changed be as it was before? Only what was committed last, when the damage
  // reaches it.
  bool may_be_lost(uint64_t commit) const { return commit >= first_torn_; }
  bool any_may_be_lost() const { return first_torn_ != UINT64_MAX; }
  const Question& question() const { return question_; }

 protected:
  const Question& question_;
  std::string* words_;
  uint64_t damages_ = 0;
  bool wrong_ = false;

 private:
  bool hurt(const Commit& commit) const;
  uint64_t first_torn_ = UINT64_MAX;  // number of the first commit that may be taken for torn
};

// Every block of the region is `now`, or an error that names it. Nothing where the pool has none.
void read_region(Judge& judge, Pool& pool, const std::string& now);
// Writes some blocks whole: that mends them.
void mend_region(Judge& judge, Pool& pool, std::string* now);
// What salvage gives of the region is right, or it says what it has lost.
void check_saved_region(Judge& judge, Pool& saved, const SalvageReport& report);

// All of the history that the pool holds, each commit whole and right, or an error that names the
// place.
void read_feed(Judge& judge, Pool& pool);

// Puts a readers' table beside the pool that was damaged in one of many ways.
void damage_readers_table(const std::string& pool_path, uint64_t seed);
// While nobody has the pool open: a reader gives right values, or says what is wrong.
void read_as_reader(Judge& judge);

}  // namespace holdfast::crash
