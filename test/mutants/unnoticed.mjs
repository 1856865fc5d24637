// Mutants that nothing given to them so far has noticed, and that are not known to be equivalent:
// begin here. All have had the cases of the native tests that come to them, up to 3 seconds' worth
// (layer quick), and 60 seeds of the simulator; nearly all 15 seconds' worth more (short); those of
// folds, merges and cleaning 1,500 seeds. Not the layers long and all (the slow cases), nor
// scripts, crash states, damage, storm and fuzzing, which are meant for most of them: the fences,
// footers and superblocks of persistent memory for crash states, absent blocks for the scripts,
// those of room and cleaning for the slow cases.
//
//   node test/mutants/run.mjs --reach --unnoticed --layers long,slow,scripts,pmem
export const unnoticed = [
  'what a disk must first give counts as reclaimed',
  'no fence behind reservations that were tried',
  'footers are not restored',
  'no fence behind the repair of the front',
  'superblocks come with the rest of the front',
  'a word is not durable when it is stored',
  'users fill the segment that the cleaner took',
  'users take what a round of cleaning has carried twice',
  "what a round carried is never the reserve's again",
  'the cleaner uses what is kept for the fold',
  'what moves leave behind is not counted as dead',
  'absent blocks are placed with their sums',
  'salvage takes segments that were given back',
];
