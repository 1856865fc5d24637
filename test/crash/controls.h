// Bugs planted on purpose: each must be noticed within a number of seeds, else the simulator has
// lost its teeth.
#pragma once

#include <cstdint>
#include <string>

namespace holdfast::crash {

struct Control {
  const char* bug;
  uint64_t seeds;    // within which it must be noticed
  const char* what;  // it leaves out, in a few words
  const char* script =
      nullptr;  // the script that must notice it, where seeds meet the occasion too seldom
};

constexpr Control kControls[] = {
    {"barrier-left-out", 50, "a durable commit returns without its barrier having been raised"},
    {"acknowledged-before-barrier", 50, "a durable commit returns before its barrier"},
    {"group-acknowledged-early", 50, "a group of commits completes before its barrier"},
    {"barrier-covers-too-much", 500,
     "a barrier announces as durable what was appended while it was under way"},
    {"failed-barrier-believed", 100, "a barrier that failed counts as done"},
    {"checksum-not-checked", 100, "replay and reads believe bytes without their checksums"},
    {"torn-record-accepted", 100,
     "replay takes the operations of a record up to the first damaged one"},
    {"partial-record-accepted", 1000, "replay takes a record whose last part is missing"},
    {"incarnation-not-checked", 3000,
     "replay takes a lost record of an earlier life for a successor"},
    {"fold-forgets-incarnation", 5000, "the same, at the place where a fold ended"},
    {"root-before-fold", 100, "the root names a fold that is not behind a barrier"},
    {"clean-mark-with-tail", 50, "a pool is marked as closed in order though its log has a tail"},
    {"released-before-fold", 3000, "a segment is given back before the fold that forgets it"},
    {"released-before-fold", 0, "the same of a large value's place, where the next one is put",
     "a large value where another lay"},
    {"released-under-snapshot", 200, "a segment is given back while a snapshot reads it"},
    {"never-released", 50, "segments are forgotten instead of given back"},
    {"death-not-counted", 50, "bytes that died are counted as live for ever"},
    {"large-barrier-left-out", 5000,
     "a large value is not behind a barrier when its record is appended"},
    {"large-not-verified", 5000, "replay takes a record whose large value is torn"},
    {"move-not-compared", 200, "the cleaner moves a value that was replaced meanwhile"},
    {"region-placed-before-barrier", 0, "a fold places bytes of a commit that is not durable yet",
     "a region, written and placed anew"},
    {"region-snapshot-ignored", 1000, "a fold writes where a snapshot still reads"},
    {"region-absent-with-sums", 0, "a block and the sum that says it is there are placed together",
     "a region where other bytes lay"},
    {"feed-ahead-of-barrier", 200, "the feed gives commits that are not behind a barrier"},
    {"retained-given-back", 200, "log segments that were to be kept for the feed are given back"},
    {"kept-large-forgotten", 5000, "a fold forgets the large values that are kept for the feed"},
    {"moves-in-feed", 400, "the feed gives what the cleaner carried as commits"},
    {"deletions-forgotten", 50, "a fold forgets that a key was deleted"},
};

}  // namespace holdfast::crash
