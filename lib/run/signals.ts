/**
 * Signals from outside: kept with the run until it asks for them, in the order they came.
 *
 * One commit, under the condition that the run is there and not finished: a crash leaves the signal
 * whole or not at all.
 */
import { HoldfastError, isConflict } from '../errors';
import type { CommitReceipt, PoolCore } from '../types';
import { ring } from './bell';
import { Journals } from './journals';
import { checkRunId, checkSignalName, entriesOf, signalsOf } from './keys';

export async function sendSignal(
  pool: PoolCore,
  run: string,
  name: string,
  value: unknown,
): Promise<CommitReceipt> {
  checkRunId(run);
  checkSignalName(name);
  const journals = Journals.of(pool);
  const { signals, open } = journals;
  const queue = signalsOf(run, name);
  for (;;) {
    let sequence = 0;
    for (const key of signals.keys({ ...entriesOf(queue), reverse: true, limit: 1 }))
      sequence = key.sequence + 1;
    const key = { run: queue, sequence };
    // Looked at first: a condition on what is not there yet would make its keyspaces.
    if (!open.has(run)) throw notOpenError(journals, run, name);
    const batch = pool.batch().requirePresent(open, run);
    journals.calls(batch, run);
    try {
      const receipt = await pool.commit(batch.requireAbsent(signals, key).put(signals, key, value));
      ring(run);
      return receipt;
    } catch (error) {
      if (!isConflict(error)) throw error;
      // The run has ended, or another signal of that name took the number: the next one is free.
    }
  }
}

function notOpenError(journals: Journals, run: string, name: string): HoldfastError {
  const what = `signal ${JSON.stringify(name)} to run ${JSON.stringify(run)}`;
  if (!journals.headers.has(run)) return noRunError(run, what);
  return new HoldfastError(
    'ERR_HOLDFAST_RUN_FINISHED',
    `${what}: the run is finished and will never ask for it`,
  );
}

export function noRunError(run: string, what = `run ${JSON.stringify(run)}`): HoldfastError {
  return new HoldfastError(
    'ERR_HOLDFAST_NOT_FOUND',
    `${what}: there is no such run in this pool. \`holdfast runs\` lists those there are`,
  );
}
