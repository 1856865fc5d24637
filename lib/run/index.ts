/** The door of durable runs: everything the pool and the command line take from this folder. */
import type { PoolCore } from '../types';
import type { Entry } from './entries';
import { Journals } from './journals';
import { checkRunId } from './keys';
import { noRunError } from './signals';
import type { Wait } from './types';
import { isDue as isDueIn } from './waits';

export type { Entry } from './entries';
export { beginRun } from './begin';
export { ownerOf } from './checkpoints';
export { claimRun } from './claims';
export { divergedError, isSame, show } from './diverged';
export { journalOf } from './follow';
export { checkStepName } from './keys';
export { forgetOwned, forgetRuns } from './forget';
export { forkRun } from './fork';
export { hashOf } from './hash';
export { endLeases, setLease } from './holder';
export { listRuns, runInfo } from './list';
export { applyOnce, forgetOperations } from './once';
export { openRun } from './open';
export { ownCopy } from './own-copy';
export { unparkRun } from './park';
export { limitsOf } from './retry';
export { resolveOutcome, unknownOutcomes } from './outcomes';
export { sendSignal } from './signals';
export { endClaims } from './waiting-claims';

/** Has one of these come? */
export function isDue(pool: PoolCore, run: string, waits: readonly Wait[]): boolean {
  return isDueIn(Journals.of(pool), run, waits);
}

/** The id, when there is such a run; else the error that says so. */
export function mustBeThere(pool: PoolCore, id: string): string {
  checkRunId(id);
  if (!Journals.of(pool).headers.has(id)) throw noRunError(id);
  return id;
}

/** Reads a run's journal as it is stored, in the order of its commits. */
export function readJournal(
  pool: PoolCore,
  id: string,
): IterableIterator<[sequence: number, entry: Entry]> {
  checkRunId(id);
  return Journals.of(pool).read(id);
}
