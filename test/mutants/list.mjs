// Single places of the engine that can be made wrong, each for itself. See run.mjs.
//
//   [what is wrong then, file under native/, where, instead, layer that is tried first]
//
// `where` is text that occurs once in the file. In it «…» marks what is replaced by `instead`:
// an expression, or a statement (or several), which without `instead` is left out.
import backup from './list/backup.mjs';
import commit from './list/commit.mjs';
import feed from './list/feed.mjs';
import fold from './list/fold.mjs';
import index from './list/index.mjs';
import log from './list/log.mjs';
import more from './list/more.mjs';
import media from './list/media.mjs';
import pmem from './list/pmem.mjs';
import readers from './list/readers.mjs';
import recovery from './list/recovery.mjs';
import regions from './list/regions.mjs';

export const mutants = [
  ...media,
  ...pmem,
  ...log,
  ...commit,
  ...recovery,
  ...fold,
  ...regions,
  ...index,
  ...feed,
  ...readers,
  ...backup,
  ...more,
];

/** Mutants that are no bugs, and why: nothing need notice them. */
export { equivalent } from './equivalent.mjs';
