/** Which runs one handle of a pool could begin to drive, and trying to. */
import { hasCode, type HoldfastError } from '../errors';
import type { PoolCore } from '../types';
import { Candidates } from './candidates';
import { Holder, isDriven } from './holder';
import { hasDrivenChild, type Journals } from './journals';
import { openRun } from './open';
import { isReady, whoGoesOn } from './ready';
import type { DurableRun } from './run';
import type { RunOptions } from './types';
import { isOfOneRun } from './unreadable';

/** What the last claim of a pool did not come to, so that the next one goes on there. */
const rounds = new WeakMap<Journals, { readonly candidates: Candidates; readonly after: string }>();

/**
 * Runs that were runnable when they were looked at, those that no claim came to first. `problems`
 * gets what is wrong with those that cannot be read.
 */
export function* runnableIds(
  journals: Journals,
  prefix: string,
  problems: HoldfastError[],
): IterableIterator<string> {
  // What is left of the last round first, so that claiming many runs looks at each of them once;
  // then all there are now.
  const left = rounds.get(journals) ?? { candidates: new Candidates(journals), after: undefined };
  for (const round of [left, undefined]) {
    const { candidates, after } = round ?? { candidates: new Candidates(journals) };
    for (const id of candidates.ids({ prefix, ...(after !== undefined && { gt: after }) })) {
      if (!isFree(journals, id, problems, candidates)) continue;
      const first = whoGoesOn(journals, id, prefix);
      if (first === undefined || (first !== id && !isFree(journals, first, problems))) continue;
      rounds.set(journals, { candidates, after: id });
      yield first;
    }
    if (after === undefined) break;
  }
  rounds.delete(journals);
}

/** Is there something to do for it, and nobody who does it? */
export function isFree(
  journals: Journals,
  id: string,
  problems: HoldfastError[],
  candidates?: Candidates,
): boolean {
  try {
    if (Holder.of(journals.pool).holds(id) || isDriven(journals, id)) return false;
    const header = journals.headers.get(id);
    if (header !== undefined && isReady(journals, id, header)) return true;
    if (!hasDrivenChild(journals, header?.waits)) candidates?.strikeOff(id, header);
  } catch (error) {
    if (!isOfOneRun(error)) throw error;
    problems.push(error);
  }
  return false;
}

/** Undefined: somebody else was quicker, or it cannot be read. */
export async function openUnlessTaken(
  pool: PoolCore,
  id: string,
  driving: RunOptions,
  problems: HoldfastError[],
): Promise<DurableRun | undefined> {
  try {
    const run = await openRun(pool, id, driving);
    return run.status === 'finished' ? undefined : run;
  } catch (error) {
    if (isOfOneRun(error)) problems.push(error);
    else if (!hasCode(error, 'ERR_HOLDFAST_RUN_ACTIVE')) throw error;
    return undefined;
  }
}
