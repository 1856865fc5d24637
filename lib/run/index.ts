/** The door of durable runs: everything the pool and the command line take from this folder. */
import type { PoolCore } from '../types';
import type { Entry } from './entries';
import { Journals } from './journals';
import { checkRunId } from './keys';

export type { Entry } from './entries';
export { journalOf } from './follow';
export { endLeases, setLease } from './holder';
export { claimRun, listRuns, runInfo } from './list';
export { applyOnce } from './once';
export { openRun } from './open';
export { resolveOutcome, unknownOutcomes } from './outcomes';
export { sendSignal } from './signals';

/** Reads a run's journal as it is stored, in the order of its commits. */
export function readJournal(
  pool: PoolCore,
  id: string,
): IterableIterator<[sequence: number, entry: Entry]> {
  checkRunId(id);
  return Journals.of(pool).read(id);
}
