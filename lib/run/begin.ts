/**
 * Begins a run that nobody drives yet: whoever claims it does.
 *
 * One commit, under the condition that there is no such run, and in it the changes of a batch that
 * belong together with the run. A crash leaves all of it, or nothing. So asking again after one is
 * always right: a run that is there stays as it is, and is not begun a second time.
 */
import { PoolBatch } from '../batch';
import { isConflict } from '../errors';
import { momentOption, optionsObject } from '../options';
import type { PoolCore } from '../types';
import { divergedError, isSame, show } from './diverged';
import { Journals } from './journals';
import { checkRunId } from './keys';
import { NOBODY, putNewRun } from './new-run';
import type { BeginOptions, Begun } from './types';

export async function beginRun(pool: PoolCore, id: string, given?: BeginOptions): Promise<Begun> {
  checkRunId(id);
  const options = optionsObject(given, 'begin', ['input', 'notBefore', 'batch']);
  const { input, notBefore, batch = pool.batch() } = options;
  PoolBatch.check(batch);
  const until = notBefore === undefined ? undefined : momentOption('notBefore', notBefore);
  const journals = Journals.of(pool);
  if (journals.headers.has(id)) return again(journals, id, options);
  const waits = until === undefined ? {} : { waits: [{ until }] };
  putNewRun(batch, journals, id, { input, driver: NOBODY, ...waits });
  try {
    const receipt = await pool.commit(batch);
    return { begun: true, epoch: receipt.epoch, class: receipt.class };
  } catch (error) {
    // Else it is one of the batch's own conditions that does not hold.
    if (!isConflict(error) || !journals.headers.has(id)) throw error;
    return again(journals, id, options);
  }
}

async function again(
  { pool, entries }: Journals,
  id: string,
  { input, batch }: BeginOptions,
): Promise<Begun> {
  batch?.clear();
  const start = entries.get({ run: id, sequence: 0 });
  if (input !== undefined && start?.kind === 'start' && !isSame(start.input, input))
    throw divergedError(id, 'its input', show(start.input), show(input));
  // The first time may still be on its way to its barrier, and what is answered here must be
  // durable.
  await pool.settled();
  return { begun: false, class: pool.durability.class };
}
