/**
 * Handing runs that nobody drives to whoever is alive.
 *
 * Claiming is beginning to drive (see open.ts): of those who claim one run at the same time one
 * gets it, and the others go on to the next.
 */
import { abortedError, type HoldfastError, typeError } from '../errors';
import { booleanOption, optionsObject, signalOption } from '../options';
import type { PoolCore } from '../types';
import { openUnlessTaken, runnableIds } from './claimable';
import { Journals } from './journals';
import { checkIdText } from './keys';
import { checkOptions } from './open';
import type { DurableRun } from './run';
import type { ClaimOptions } from './types';
import { WaitingClaims } from './waiting-claims';

/**
 * Begins to drive one runnable run; undefined when there is none. One that cannot be read does not
 * keep the others from being handed out: its error is thrown when there is no other. With `wait`
 * it is only warned of, as somebody may begin another.
 */
export async function claimRun(
  pool: PoolCore,
  given?: ClaimOptions,
): Promise<DurableRun | undefined> {
  const {
    status,
    prefix = '',
    wait,
    signal: givenSignal,
    ...driving
  } = optionsObject(given, 'claim', [
    ...(['status', 'prefix', 'wait', 'signal'] as const),
    ...(['hooks', 'suspendAfter', 'compensations'] as const),
  ]);
  if (status !== undefined && status !== 'runnable')
    throw typeError(`what can be claimed is 'runnable'; got ${String(status)}`);
  checkIdText(prefix, 'prefix');
  checkOptions(driving);
  const signal = signalOption(givenSignal);
  if (signal?.aborted) throw abortedError(signal, 'The claim');
  if (booleanOption('wait', wait)) return WaitingClaims.of(pool).claim(prefix, driving, signal);
  const problems: HoldfastError[] = [];
  for (const id of runnableIds(Journals.of(pool), prefix, problems)) {
    const run = await openUnlessTaken(pool, id, driving, problems);
    if (run !== undefined) return run;
  }
  if (problems.length > 0) throw problems[0];
  return undefined;
}
