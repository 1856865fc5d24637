/** Mutants that are no bugs, and why: nothing need notice them. */
export const equivalent = {
  'a frame may count more operations than fit': 'reading them stops at the first that does not fit',
  'operations may reach beyond their frame':
    'frames are whole lines, so what fits without its padding fits with it',
  'the last frame of a segment is not read': 'no frame is a header alone',
  'the copy of a link is not looked at': 'the search behind it comes to the copy too, only later',
  'what is staged is not written before a link':
    "nothing is staged where a link is made; a fresh segment's header goes out with the link",
  'a pin that is let go stays':
    'the lock of its slot is let go too, and a pin without an owner is passed over',
  'no barrier before the tail is read':
    'opening a file syncs it, and on persistent memory a process that died has left nothing in a cache of its own',
  'opening does not sync what a killed process left':
    'recovery raises a barrier before it reads the tail, or sets a root, which syncs all, before it places anything',
  'a large value of unknown outcome is given back':
    'the medium has failed too, and gives nothing out any more',
  'the failure of a barrier is not told to a group':
    'the pool has failed by then, and that is told',
  'a pool is marked clean though its last fold found no room':
    'what was not folded is a tail, and that is looked at too',
  'headers that are written again are not behind a barrier':
    'one that is lost again is written again',
  'a dead extent is given back one fold early':
    'it is buried where that fold is made the durable one, under the same lock',
  'the kept blocks of a cut are one too few':
    'the block that a cut goes through is in the overlay, and placed from there',
  'an addition forgets the one before it in its commit':
    'it finds it among the earlier writes of the record, only later',
  'a fold does not clear the clean mark':
    'opening has, and nothing is folded behind the mark that closing sets',
  'a failed pool is marked clean': 'its medium has failed too, and takes no root',
  'blocks beyond a cut are copied':
    'their sums are gone by then, and a block without a sum is not copied',
  'a feed follows a link to any segment': 'a link that is sound names the next number',
  'a feed passes over what is damaged': 'the record behind one that can be read is the next one',
  'a block of a backup may be of any number': 'the chain, which covers the number, is compared too',
  'restoring does not flush between parts': 'what is left goes with what comes next, in its order',
  'a region that is resized is not flushed before':
    'the operations of one record are applied in their order',
  'a file is cut before its superblocks say so':
    'nothing is held there, and a file that is shorter than its pool grows again',
  'a mapping that failed under the barrier is not seen':
    'each medium looks behind its own barrier, and says so',
  'a value moved by the cleaner counts as dead':
    'the place it was carried to describes the same segments, and that is looked at next',
  'a pool is marked clean though its tail is not folded':
    'two folds without an error leave none: nobody commits by then',
  'the error of a barrier is not told':
    'the pool has failed by then, and whoever waits is told that',
  'a run that could not be built keeps its segments': 'the builder gives them back when it goes',
  'a merge ends the placing of regions': "what was placed lies in front of the merge's own barrier",
  'a victim is given what the one before it has live':
    'that has been carried by then, and is passed over',
  'a segment that could be carried only in part is given back':
    'what could not be carried is tried once more at its end, and that error counts',
  'compact() does not merge': 'it merges once more at its end',
  'a deleted key is in the oldest run':
    'it is found there as deleted, and the next merge leaves it out',
  'a streamed value whose page failed is passed on':
    'such a page gives zeros, and the sum of the piece is compared before its last chunk is given',
  'a failure under a barrier is not seen': 'whoever raised it asks the medium once more',
  'the number of the root does not rise on persistent memory':
    'both slots are written in one transaction, so they never differ',
  'a failed pool takes commits':
    'what fails a pool has failed its medium by then, and that is looked at beside it',
  'a leaf that loses entries keeps their prefix':
    'it is one of those that stay too; a longer one only makes more of their heads differ',
  'parts that are there already are written over':
    'each is made under a name that must be new, the first by libpmemobj, and that is the error then',
  'what is kept for the feed is cleaned':
    'it is carried for nothing: before a segment is retired the same is asked again',
};
