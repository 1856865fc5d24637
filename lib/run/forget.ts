/**
 * Deleting runs that nobody will ask for again. For adapters: nothing may have been forked from them, and they have no checkpoints.
 *
 * A run goes in commits of its own; its header goes with the last, so what a crash left is deleted by deleting again. Who still
 * drives one of them is fenced.
 */
import type { PoolCore } from '../types';
import { Journals } from './journals';
import { entriesOf } from './keys';

const SLICE_OPERATIONS = 2048;

/** All runs whose id begins so. */
export async function forgetRuns(pool: PoolCore, prefix: string): Promise<void> {
  const journals = Journals.of(pool);
  const { headers, drivers, entries, intents, resolutions } = journals;
  let batch = pool.batch();
  for (const id of headers.keys({ prefix })) {
    for (const [sequence, entry] of journals.read(id)) {
      batch.delete(entries, { run: id, sequence });
      if (entry.kind === 'intent') batch.delete(intents, entry.key).delete(resolutions, entry.key);
      if (batch.length < SLICE_OPERATIONS) continue;
      await pool.commit(batch);
      batch = pool.batch();
    }
    for (const key of journals.signals.keys(entriesOf(id))) batch.delete(journals.signals, key);
    batch.delete(drivers, id).delete(headers, id);
    journals.ends(batch, id);
    if (batch.length < SLICE_OPERATIONS) continue;
    await pool.commit(batch);
    batch = pool.batch();
  }
  if (batch.length > 0) await pool.commit(batch);
}
