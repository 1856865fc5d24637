/** Mutants that are no bugs, and why: nothing need notice them. */
export const equivalent = {
  'a frame may count more operations than fit': 'reading them stops at the first that does not fit',
  'operations may reach beyond their frame': 'frames are whole lines, so what fits without its padding fits with it',
  'the last frame of a segment is not read': 'no frame is a header alone',
  'the copy of a link is not looked at': 'the search behind it comes to the copy too, only later',
  'what is staged is not written before a link': 'nothing is staged where a link is made; a fresh segment\'s header goes out with the link',
  'a pin that is let go stays': 'the lock of its slot is let go too, and a pin without an owner is passed over',
  'no barrier before the tail is read': 'opening a file syncs it, and on persistent memory a process that died has left nothing in a cache of its own',
  'opening does not sync what a killed process left': 
    'recovery raises a barrier before it reads the tail, or sets a root, which syncs all, before it places anything',
  'a large value of unknown outcome is given back': 'the medium has failed too, and gives nothing out any more',
  'the failure of a barrier is not told to a group': 'the pool has failed by then, and that is told',
  'a pool is marked clean though its last fold found no room': 'what was not folded is a tail, and that is looked at too',
  'headers that are written again are not behind a barrier': 'one that is lost again is written again',
  'segments behind the fold are cleaned': 'they wait for the fold that takes their records, as any cleaned one; only work is lost',
  'a dead extent is given back one fold early': 'it is buried where that fold is made the durable one, under the same lock',
  'the kept blocks of a cut are one too few': 'the block that a cut goes through is in the overlay, and placed from there',
  'an addition forgets the one before it in its commit': 'it finds it among the earlier writes of the record, only later',
  'a block of a backup may be of any number': 'the chain, which covers the number, is compared too',
  'restoring does not flush between parts': 'what is left goes with what comes next, in its order',
  'a region that is resized is not flushed before': 'the operations of one record are applied in their order',
  'pages of a failed sync are read again': 'it is advice to the kernel, which may ignore it',
};
